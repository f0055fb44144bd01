"""Every face of a photograph, whichever way it is turned, with landmarks that turn with it.

The detector (`organza.vision.mtcnn`) knows faces that are about upright, and its landmarks depend a little on size,
turn and side. So faces are looked for in a reduced copy, in copies turned by eighths where nothing is found upright,
and each face is then looked at again alone: level, at known sizes, and mirrored as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from organza.data.source import BadPicture
from organza.media.images import Pixels, to_image
from organza.translate.faces.frame import MEAN_SIDE, cut, from_frame, portrait_quad, side_of, to_frame
from organza.vision.mtcnn import Detector, Face

F = NDArray[np.float64]
LONGEST = 1280
"""The longer side of the copy in which faces are looked for."""
DIAGONAL = 640
"""At most so long are the sides of copies that are turned by odd eighths, which are looked at last."""
LEAST = 20.0
"""Side of the smallest face that is looked for there, in pixels."""
SURE_TURNED = 0.9
"""Probability of a face that is found in a turned copy; upright, the detector's own limits hold."""
DOUBT = 0.8
"""Mean probability below which a face may be one that lies: turned copies are looked at as well."""
WINDOW = 48
"""Side of what the detector's last network looks at."""
BOX_SIDE, BOX_ABOVE = 2.9, 0.26
"""How large the detector's boxes are, and how far their middle is above that of the landmarks, in distances of the mean
face's eyes: measured over portraits."""
SIZES = (0.85, 1.0, 1.15)
"""Sizes of the windows of a look."""
LOOKS, STEP, REST = 8, 0.6, 0.0016
"""Looks at most; how far each moves the landmarks after the first; the move, in parts of the frame, that ends them."""
FOLLOWING, SURE_FOLLOWED = 2, 0.7
"""Looks in each frame of a video, and the probability of a face that each must find."""
MIRRORED = (1, 0, 2, 4, 3)
"""Landmarks of a mirrored face in the order of the face itself."""
TURNED_AWAY = 0.75
"""How far the nose may lie beside the middle of eyes and mouth, in halves of their width as it is seen: beyond, a face
looks nearly aside."""


@dataclass(frozen=True)
class Finder:
    """Photographs to faces.

    Attributes:
        detector: finds those that are about upright.
        longest: the longer side of the copy in which faces are looked for.
        looks: how often each is looked at again; 0 takes landmarks as the detector gives them.

    """

    detector: Detector
    longest: int = LONGEST
    looks: int = LOOKS

    def __call__(self, photo: Pixels) -> list[Face]:
        """The faces of a photograph, uint8 ``[H, W, 1 or 3]``, the largest first, in its own pixels."""
        scale = max(1.0, max(photo.shape[:2]) / self.longest)
        small = photo
        if scale > 1:
            height, width = (max(1, round(side / scale)) for side in photo.shape[:2])
            small = _reduced(photo, height, width)
        factor = np.array([photo.shape[1] / small.shape[1], photo.shape[0] / small.shape[0]])

        def sharp(faces: list[Face]) -> list[Face]:
            return [self.again(photo, _scaled(face, factor)) for face in faces]

        found = sharp(self.detector.find(small, LEAST))
        # A face that lies is sometimes found as if it stood, with little agreement on where its eyes are.
        if not found or min(face.score for face in found) < DOUBT:
            lying = sharp(_turned(self.detector, small))
            found += [face for face in lying if not found or face.score >= DOUBT]
        return once(found)

    def again(self, photo: Pixels, face: Face) -> Face:
        """A face with landmarks that do not depend on its size, turn and side, as far as they can be seen.

        Each look sees windows of several sizes, level, and mirrored as well; what they agree on is where the next look
        is. It ends where the frame rests. Its score is then the mean probability of these windows.
        """
        points, score = face.points, face.score
        for number in range(self.looks):
            try:
                before = portrait_quad(points)
                score, seen = self._look(photo, points)
                points = points + (seen - points) * (STEP if number else 1)
                after = portrait_quad(points)
            except BadPicture:
                return face
            if np.abs(after - before).max() < REST * side_of(before):
                break
        return replace(face, points=points, score=score)

    def follow(self, photo: Pixels, face: Face) -> Face | None:
        """The same face in the next frame of a video, near where it was; None where it is not seen there."""
        points = face.points
        try:
            for _ in range(FOLLOWING):
                score, points = self._look(photo, points)
                if score < SURE_FOLLOWED:
                    return None
        except BadPicture:
            return None
        shift = points.mean(0) - face.points.mean(0)
        return Face(score, face.box + np.tile(shift, 2), points)

    def _look(self, photo: Pixels, points: F) -> tuple[float, F]:
        """Mean probability of a face, and mean landmarks ``[5, 2]``, of windows around those that are known.

        Raises:
            BadPicture: that is no face, or outside.
        """
        corners = [_window(points, size) for size in SIZES]
        crops = np.stack([cut(photo, quad, WINDOW, "mirror") for quad in corners])
        crops = np.repeat(crops, 3, axis=3) if crops.shape[3] == 1 else crops
        scores, seen = self.detector.look(np.concatenate([crops, crops[:, :, ::-1]]))
        mirrored = seen[len(SIZES) :, MIRRORED] * [-1, 1] + [WINDOW - 1, 0]
        both = zip(corners * 2, np.concatenate([seen[: len(SIZES)], mirrored]), strict=True)
        return float(scores.mean()), np.mean([from_frame(places, quad, WINDOW) for quad, places in both], 0)


def _window(points: F, size: float) -> F:
    """Corners of a level square as the detector's boxes lie on faces, ``size`` times as large."""
    portrait = portrait_quad(points)
    across, down = (portrait[3] - portrait[0]) / MEAN_SIDE, (portrait[1] - portrait[0]) / MEAN_SIDE
    middle, half = points.mean(0) - BOX_ABOVE * down, BOX_SIDE * size / 2
    corners = middle + half * np.stack([-across - down, -across + down, across + down, across - down])
    return np.asarray(corners)


def once(faces: Sequence[Face], near: float = 1.2) -> list[Face]:
    """Each face once, the largest first: of two that are nearer than ``near`` distances of the smaller one's eyes, the
    surer stays."""
    kept: list[tuple[Face, F, float]] = []
    for face in sorted(faces, key=lambda face: -face.score):
        try:
            quad = portrait_quad(face.points)
        except BadPicture:
            continue
        middle, eyes = face.points.mean(0), side_of(quad) / MEAN_SIDE
        if all(np.hypot(*(middle - other)) > near * min(eyes, size) for _, other, size in kept):
            kept.append((face, middle, eyes))
    return [face for face, _, _ in sorted(kept, key=lambda one: -one[2])]


def turned_away(points: F) -> bool:
    """Whether a face looks so far aside that half of it is hidden, from its five landmarks ``[5, 2]``.

    Example:
        >>> from organza.translate.faces.frame import MEAN_FACE
        >>> turned_away(MEAN_FACE), turned_away(MEAN_FACE + [[0, 0], [0, 0], [0.6, 0], [0, 0], [0, 0]])
        (False, True)
    """
    quad = portrait_quad(points)
    level = to_frame(points, quad, 1)
    middle = (level[[0, 1]].mean(0) + level[[3, 4]].mean(0)) / 2
    width = (abs(level[1, 0] - level[0, 0]) + abs(level[4, 0] - level[3, 0])) / 2
    return bool(abs(level[2, 0] - middle[0]) > TURNED_AWAY * width / 2)


def _turned(detector: Detector, small: Pixels) -> list[Face]:
    """Faces of copies that are turned by quarters; where there are none, by odd eighths."""
    found = list[Face]()
    for quarters in (1, 3, 2):
        turned = np.ascontiguousarray(np.rot90(small, quarters))
        found += [_unturned(face, small.shape, quarters) for face in detector.find(turned, LEAST)]
    if not found:
        found = _diagonal(detector, small)
    return [face for face in found if face.score >= SURE_TURNED]


def _unturned(face: Face, shape: Sequence[int], quarters: int) -> Face:
    """A face of a copy that was turned counterclockwise by quarters, where it is in the photograph of ``shape``."""
    height, width = shape[:2]
    sizes = [(height, width), (width, height), (height, width), (width, height)]

    def back(places: F) -> F:
        for n in range(quarters, 0, -1):
            # Turned once more, a column becomes a row from below.
            before = sizes[n - 1]
            places = np.stack([before[1] - 1 - places[:, 1], places[:, 0]], 1)
        return places

    return _mapped(face, back(face.points), back(_corners(face.box)))


def _diagonal(detector: Detector, small: Pixels) -> list[Face]:
    """Faces of copies that are turned by an odd number of eighths."""
    found = []
    height, width = small.shape[:2]
    middle, half = np.array([width - 1, height - 1]) / 2, np.hypot(height, width) / 2
    size = min(DIAGONAL, int(np.ceil(2 * half)))
    for eighths in (1, 3, 5, 7):
        angle = eighths * np.pi / 4
        x, y = half * np.array([np.cos(angle), np.sin(angle)]), half * np.array([-np.sin(angle), np.cos(angle)])
        quad = middle + np.stack([-x - y, -x + y, x + y, x - y])
        for face in detector.find(cut(small, quad, size), LEAST):
            box = from_frame(_corners(face.box), quad, size)
            found.append(_mapped(face, from_frame(face.points, quad, size), box))
    return found


def _mapped(face: Face, points: F, corners: F) -> Face:
    return Face(face.score, np.concatenate([corners.min(0), corners.max(0)]), points)


def _corners(box: F) -> F:
    return np.array([[box[0], box[1]], [box[0], box[3]], [box[2], box[3]], [box[2], box[1]]])


def _scaled(face: Face, factor: F) -> Face:
    """From pixels of a reduced copy to those of the photograph."""
    return Face(face.score, (face.box + 0.5) * np.tile(factor, 2) - 0.5, (face.points + 0.5) * factor - 0.5)


def _reduced(photo: Pixels, height: int, width: int) -> Pixels:
    image = to_image(photo).resize((width, height), Image.Resampling.BOX, reducing_gap=2.0)
    return np.asarray(image).reshape(height, width, -1)
