"""Where a portrait is cut out of a photograph: minivision's frame, turned with the face, and the way back.

Source: minivision-ai, photo2cartoon, 2020, https://github.com/minivision-ai/photo2cartoon: the photograph is turned
until the outer corners of the eyes are level; the box of 68 landmarks grows by 0.8 of its height above, 0.3 of it below
and 0.3 of its width on each side; the shorter side then grows until it is a square.

Our detector finds five landmarks, not 68. Where the others would be follows from the mean face of OpenFace
(https://github.com/cmusatyalab/openface, align_dlib.py), made symmetric; so for five landmarks the frame is an
approximation: a wide chin or a turned head moves the real box, and not this one.

Coordinates are pixels, x to the right and y down; (0, 0) is the middle of the first pixel.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from organza.data.source import BadPicture
from organza.media.images import Pixels, to_image

F = NDArray[np.float64]
Border = Literal["white", "mirror"]
"""What is seen where the frame reaches over the photograph's edge."""

ABOVE, BELOW, BESIDE = 0.8, 0.3, 0.3
"""How much the box of the landmarks grows, in parts of its height and width."""
MEAN_FACE: F = np.array([[-0.5, 0.0], [0.5, 0.0], [0.0, 0.5948], [-0.4528, 1.0907], [0.4528, 1.0907]])
"""Eyes, nose and corners of the mouth of the mean face, from between its eyes, in distances of the eyes."""
MEAN_BOX: F = np.array([[-1.1661, -0.3747], [1.1661, 1.9222]])
"""The box of its 68 landmarks: left and top, right and bottom."""


MEAN_SIDE = (1 + ABOVE + BELOW) * float(MEAN_BOX[1, 1] - MEAN_BOX[0, 1])
"""Side of its frame, in distances of its eyes."""


def framed(landmarks: F) -> F:
    """The authors' frame of 68 landmarks ``[68, 2]``.

    Returns:
        Corners ``[4, 2]``: top left, bottom left, bottom right, top right.
    """
    return _grown(landmarks, landmarks[45] - landmarks[36])


def portrait_quad(points: F) -> F:
    """The frame of five landmarks ``[5, 2]``: eyes, nose and corners of the mouth, those on the left first.

    It is level with the eyes. Its size is that of the mean face at the larger of two scales, across and down: a head
    that is turned or bowed is shortened in one direction alone.

    Returns:
        Corners ``[4, 2]`` as `framed` has them.

    Example:
        >>> quad = portrait_quad(10 * MEAN_FACE)
        >>> [round(float(side), 1) for side in quad[2] - quad[0]], quad.mean(0).round(1).tolist()
        ([48.2, 48.2], [0.0, 2.0])
    """
    across = points[1] - points[0]
    turn = _turn(across)
    there = (points - points.mean(0)) @ turn
    here = MEAN_FACE - MEAN_FACE.mean(0)
    scale = float(max((there * here).sum(0) / (here**2).sum(0)))
    if not scale > 0:
        raise BadPicture("its landmarks are those of no face")
    corners = np.array([[x, y] for x in MEAN_BOX[:, 0] for y in MEAN_BOX[:, 1]])
    return _grown(points.mean(0) + scale * (corners - MEAN_FACE.mean(0)) @ turn.T, across)


def _turn(across: F) -> F:
    """``[2, 2]``: columns are the directions to the right and down of a face whose eyes lie along ``across``."""
    length = float(np.hypot(*across))
    if not length > 0:
        raise BadPicture("its landmarks are those of no face")
    x, y = across / length
    return np.array([[x, -y], [y, x]])


def _grown(landmarks: F, across: F) -> F:
    """The square around landmarks, level with ``across``."""
    turn = _turn(across)
    level = landmarks @ turn
    low, high = level.min(0), level.max(0)
    width, height = high - low
    low = low - np.array([BESIDE * width, ABOVE * height])
    high = high + np.array([BESIDE * width, BELOW * height])
    middle, half = (low + high) / 2, float((high - low).max()) / 2
    corners = middle + half * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
    return np.asarray(corners @ turn.T)


def side_of(quad: F) -> float:
    """How long a side of the frame is, in pixels."""
    return float(np.hypot(*(quad[3] - quad[0])))


def to_frame(points: F, quad: F, size: int) -> F:
    """Places ``[N, 2]`` in the photograph, as pixels of the crop of ``size`` pixels.

    Example:
        >>> quad = np.array([[9.5, 19.5], [9.5, 29.5], [19.5, 29.5], [19.5, 19.5]])
        >>> to_frame(np.array([[10.0, 20.0]]), quad, 10).tolist()
        [[0.0, 0.0]]
    """
    across, down = quad[3] - quad[0], quad[1] - quad[0]
    axes = np.stack([across, down], 1)
    return np.asarray(np.linalg.solve(axes, (points - quad[0]).T).T * size - 0.5)


def from_frame(points: F, quad: F, size: int) -> F:
    """Pixels ``[N, 2]`` of the crop, as places in the photograph: the way back from `to_frame`."""
    share = (points + 0.5) / size
    return np.asarray(quad[0] + share[:, :1] * (quad[3] - quad[0]) + share[:, 1:] * (quad[1] - quad[0]))


def cut(photo: Pixels, quad: F, size: int, border: Border = "white") -> Pixels:
    """Cut the frame ``quad`` out of a photograph.

    Each pixel is the mean of bilinear samples, as many as it covers pixels of the photograph; one that is reduced by
    four or more is averaged in whole blocks first, so memory does not grow with the photograph.

    Args:
        photo: uint8 ``[H, W, C]``.
        quad: corners, see `portrait_quad`.
        size: side of the crop.
        border: what is seen beyond the photograph's edge.

    Returns:
        uint8 ``[size, size, C]``.

    Raises:
        BadPicture: nothing of the photograph is in it.
    """
    block = max(1, int(side_of(quad) / size / 2))
    height, width = photo.shape[:2]
    # Two blocks more than the corners: bilinear samples look at their neighbours.
    low = np.floor((quad.min(0) + 0.5) / block).astype(int) - 2
    high = np.ceil((quad.max(0) + 0.5) / block).astype(int) + 2
    start = np.maximum(low, 0)
    stop = np.minimum(high, [-(-width // block), -(-height // block)])
    if (stop <= start).any() or not np.isfinite(quad).all():
        raise BadPicture("the face lies outside the photograph")
    (left, top), (right, bottom) = start * block, np.minimum(stop * block, [width, height])
    inside = to_image(photo[top:bottom, left:right])
    seen = np.asarray(inside.reduce(block) if block > 1 else inside).reshape(*(stop - start)[::-1], -1)
    edges = ((start[1] - low[1], high[1] - stop[1]), (start[0] - low[0], high[0] - stop[0]), (0, 0))
    seen = np.pad(seen, edges, "symmetric") if border == "mirror" else np.pad(seen, edges, constant_values=255)
    finer = max(1, int(np.ceil(side_of(quad) / block / size)))
    corner = (quad[0] + 0.5) / block - low
    (ax, ay), (dx, dy) = ((quad[n] - quad[0]) / block / (size * finer) for n in (3, 1))
    numbers = (ax, dx, corner[0], ay, dy, corner[1])
    large = [
        # As floats: with 8 bits Pillow cuts samples off instead of rounding them.
        Image.fromarray(plane.astype(np.float32)).transform(
            (size * finer, size * finer), Image.Transform.AFFINE, numbers, Image.Resampling.BILINEAR
        )
        for plane in np.moveaxis(seen, 2, 0)
    ]
    planes = np.stack([np.asarray(plane) for plane in large], 2).reshape(size, finer, size, finer, -1)
    return np.asarray(np.rint(planes.mean((1, 3))), np.uint8)


def within(shape: tuple[int, int], quad: F, size: int) -> NDArray[np.float32]:
    """About how much of each pixel of the crop lies in a photograph of ``shape`` (height, width): ``[size, size]``."""
    if (quad.min(0) >= -0.5).all() and (quad.max(0) <= np.array(shape[::-1]) - 0.5).all():
        return np.ones([size, size], np.float32)
    rows, columns = np.mgrid[:size, :size]
    places = from_frame(np.stack([columns.ravel(), rows.ravel()], 1).astype(np.float64), quad, size)
    # How far inside the nearer edge a pixel's middle lies, in pixels of the crop.
    edges = np.minimum(places + 0.5, np.array(shape[::-1]) - 0.5 - places) * (size / side_of(quad))
    return np.asarray(np.clip(edges + 0.5, 0, 1).prod(1).reshape(size, size), np.float32)
