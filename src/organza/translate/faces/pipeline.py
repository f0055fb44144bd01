"""From a photograph to cartoons of its faces: stages that can each be replaced, on arrays.

find faces -> frame each -> cut it out, level -> find its person -> translate it on white -> mask it again -> paste it
back. `organza cartoon` is these stages between files.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from organza.core.errors import UserError
from organza.data.photo import Photo
from organza.data.source import BadPicture
from organza.media.images import Pixels
from organza.translate.faces.finding import Finder
from organza.translate.faces.frame import Border, F, cut, portrait_quad, side_of, to_frame, within
from organza.translate.faces.pasting import feathered, matched, paste
from organza.translate.faces.person import Mask, Segment, head_oval, person_mask, segmenting
from organza.vision.helpers import find_helper
from organza.vision.mtcnn import Detector, Face
from organza.vision.segment import PersonSegmenter

if TYPE_CHECKING:
    from organza.models.translator import Translator

Find = Callable[[Pixels], list[Face]]
"""A photograph uint8 ``[H, W, 3]`` to its faces, the largest first."""
Follow = Callable[[Pixels, Face], Face | None]
"""A frame of a video and a face of the one before, to where it is now; None where it is not seen."""
Translate = Callable[[Pixels], Pixels]
"""A portrait on white, uint8 ``[S, S, 3]``, to its cartoon ``[N, N, 3]``."""
Wanted = Literal["all", "largest"] | int
"""Which faces: all, the largest, or so many of the largest."""
SIZE = 256
"""Side of the crops: what the segmenter and the published network see."""
STAGES = ("find", "cut", "segment", "translate", "paste")


@dataclass(frozen=True)
class Seen:
    """One face as the network will be shown it.

    Attributes:
        face: where it was found.
        quad: the frame, ``[4, 2]``, in pixels of the photograph.
        crop: what the frame shows, level, uint8 ``[S, S, 3]``.
        mask: where its person is, ``[S, S]`` from 0 to 1.
        segmented: whether a person was found; otherwise ``mask`` is an oval around the face.
    """

    face: Face
    quad: F
    crop: Pixels
    mask: Mask
    segmented: bool


@dataclass(frozen=True)
class Portrait(Seen):
    """What became of one face.

    Attributes:
        cutout: the person on white, uint8 ``[S, S, 3]``: what the network was shown.
        translated: what the network made of it, uint8 ``[N, N, 3]``.
        cartoon: the same where the person is, on white.
    """

    cutout: Pixels
    translated: Pixels
    cartoon: Pixels

    @property
    def photo(self) -> Pixels:
        """The crop at the cartoon's size."""
        size = self.cartoon.shape[0]
        return Photo(self.crop).resized(size, size).eight()

    @property
    def sharp(self) -> bool:
        """Whether the photograph has at least a pixel for each four of the crop."""
        return side_of(self.quad) >= int(self.crop.shape[0]) / 2


@dataclass(frozen=True)
class Cartoonist:
    """The stages, from photographs to portraits. Each is a function of arrays, and may be another.

    Attributes:
        find: a photograph to its faces.
        segment: a crop to where people are.
        translate: a portrait on white to its cartoon.
        frame: five landmarks ``[5, 2]`` to the corners of what is cut out.
        border: what is seen beyond the photograph's edge.
        size: side of the crops.
        follow: finds a face again in the next frame of a video; None: faces are looked for in every frame.
        seconds: what each of `STAGES` has taken so far.
    """

    find: Find
    segment: Segment
    translate: Translate
    frame: Callable[[F], F] = portrait_quad
    border: Border = "white"
    size: int = SIZE
    follow: Follow | None = None
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0), compare=False)

    @classmethod
    def open(
        cls, T: Translator, weights_dir: str | os.PathLike[str] | None = None, *, border: Border = "white"
    ) -> Cartoonist:
        """With MTCNN, the selfie segmenter, and a network that translates.

        Args:
            T: from `organza.load`.
            weights_dir: folder of helper networks, see `organza.vision.helpers`; None looks into the cache.
            border: see `Border`.

        Raises:
            UserError: a helper's file is missing or broken.
        """
        finder = Finder(Detector.read(find_helper("mtcnn", weights_dir)))
        segmenter = PersonSegmenter.read(find_helper("selfie", weights_dir))
        return cls(finder, segmenting(segmenter), translating(T), border=border, follow=finder.follow)

    def faces(self, photo: Pixels) -> list[Face]:
        """All faces of a photograph uint8 ``[H, W, 3]``, the largest first."""
        with self.on("find"):
            return self.find(photo)

    def portrait(self, photo: Pixels, face: Face, others: Sequence[Face] = ()) -> Portrait:
        """The cartoon of one face.

        Args:
            photo: uint8 ``[H, W, 3]``.
            face: one of its faces.
            others: the others, whose people are left out.

        Raises:
            BadPicture: its landmarks are those of no face.
        """
        return self.translated(self.seen(photo, face, others))

    def seen(self, photo: Pixels, face: Face, others: Sequence[Face] = ()) -> Seen:
        """The earlier half of `portrait`: what is cut out, and where its person is."""
        with self.on("cut"):
            quad = self.frame(face.points)
            inside = within((photo.shape[0], photo.shape[1]), quad, self.size)
            # The segmenter knows photographs, whose people do not end at a white edge.
            mirrored = cut(photo, quad, self.size, "mirror")
            outside = self.border == "white" and inside.min() < 1
            crop = cut(photo, quad, self.size, self.border) if outside else mirrored
        with self.on("segment"):
            points = to_frame(face.points, quad, self.size)
            beside = [to_frame(other.points, quad, self.size) for other in others]
            found = person_mask(self.segment(mirrored), points, beside)
            mask = head_oval(points, self.size) if found is None else found
        return Seen(face, quad, crop, mask * inside if outside else mask, found is not None)

    def translated(self, seen: Seen) -> Portrait:
        """The later half of `portrait`: the person on white, translated, and masked again."""
        cutout = on_white(seen.crop, seen.mask)
        with self.on("translate"):
            made = self.translate(cutout)
        cartoon = on_white(made, resized(seen.mask, made.shape[0]))
        return Portrait(**vars(seen), cutout=cutout, translated=made, cartoon=cartoon)

    def portraits(self, photo: Pixels, wanted: Wanted = "largest") -> list[Portrait]:
        """The cartoons of a photograph's faces, the largest first; none where there are none."""
        found = self.faces(photo)
        made = []
        for face in chosen(found, wanted):
            try:
                made.append(self.portrait(photo, face, [other for other in found if other is not face]))
            except BadPicture:
                continue
        return made

    def pasted(self, photo: Pixels, portraits: Sequence[Portrait], *, match_colours: bool = False) -> Pixels:
        """The photograph with cartoons in place of its faces; those that are smaller, and so farther away, first."""
        with self.on("paste"):
            for one in sorted(portraits, key=lambda one: side_of(one.quad)):
                made, size = one.translated, one.translated.shape[0]
                mask = resized(one.mask, size)
                if match_colours:
                    made = matched(made, Photo(one.crop).resized(size, size).eight(), mask)
                photo = paste(photo, made, feathered(mask), one.quad)
        return photo

    def on(self, stage: str) -> AbstractContextManager[None]:
        """What is done meanwhile belongs to ``stage``."""
        return _Spent(self.seconds, stage)


def translating(T: Translator, choose: Callable[[Photo], Translator] | None = None) -> Translate:
    """The stage that asks a network, at the size of its training; with ``choose``, the one that it gives for a face."""

    def translate(cutout: Pixels) -> Pixels:
        made = (T if choose is None else choose(Photo(cutout))).photo(cutout).eight()
        if made.shape[2] == 1:
            return np.repeat(made, 3, axis=2)
        return on_white(made[..., :3], np.asarray(made[..., 3] / 255, np.float32)) if made.shape[2] == 4 else made

    return translate


def chosen(faces: Sequence[Face], wanted: Wanted) -> list[Face]:
    """Those of ``faces``, the largest first, that are wanted.

    Raises:
        UserError: fewer than one.
    """
    if wanted == "all":
        return list(faces)
    count = 1 if wanted == "largest" else wanted
    if count < 1:
        raise UserError(f"{count} faces can't be chosen", hint="say all, largest, or how many")
    return list(faces[:count])


def on_white(image: Pixels, mask: Mask) -> Pixels:
    """``image`` uint8 ``[S, S, 3]`` where ``mask`` ``[S, S]`` is 1, white where it is 0."""
    share = mask[..., None]
    return np.asarray(np.rint(image * share + 255 * (1 - share)), np.uint8)


def resized(mask: Mask, size: int) -> Mask:
    """A mask at another size, between 0 and 1."""
    from PIL import Image

    if mask.shape[0] == size:
        return mask
    how = Image.Resampling.BOX if size < mask.shape[0] else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(mask).resize((size, size), how), np.float32).clip(0, 1)


class _Spent(AbstractContextManager[None]):
    def __init__(self, seconds: dict[str, float], stage: str) -> None:
        self.seconds, self.stage = seconds, stage

    def __enter__(self) -> None:
        self.started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds[self.stage] = self.seconds.get(self.stage, 0.0) + time.perf_counter() - self.started
