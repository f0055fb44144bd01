"""Images in, files of a prepared dataset out: the part of a build that runs on all cores."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from PIL import Image

from organza.data import tfrecord
from organza.data.decode import NotAPicture, Target, decode, is_grey, open_picture, orientation, render
from organza.data.source import BadPicture, Entry, Source

if TYPE_CHECKING:
    from collections.abc import Sequence

Encoding = Literal["png", "webp", "jpeg", "keep"]

_SAVE = {
    "png": {"format": "PNG", "compress_level": 1},
    "webp": {"format": "WEBP", "method": 4},
    "jpeg": {"format": "JPEG", "subsampling": 0},
}
_SUFFIX = {"png": ".png", "webp": ".webp", "jpeg": ".jpg"}
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


class Made(NamedTuple):
    """What became of one entry.

    Attributes:
        slot: its place among the wanted entries.
        reason: None, why it is skipped, or "" for a file that never claimed to be an image.
        grey: whether the file itself is grey.
        size: (height, width) of the result.
        suffix: of the file that holds it.
        parts: its bytes; TFRecords have one part for each level of detail.
    """

    slot: int
    reason: str | None
    grey: bool = True
    size: tuple[int, int] = (0, 0)
    suffix: str = ""
    parts: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Encode:
    """Decode, resize, encode. ``keep`` leaves a file as it is where it already is what is wanted."""

    source: Source
    target: Target
    encoding: Encoding
    quality: int

    def __call__(self, chunk: Sequence[tuple[int, Entry]]) -> list[Made]:
        """(slot, entry) pairs -> results, in order."""
        return [self._one(slot, entry) for slot, entry in chunk]

    def _one(self, slot: int, entry: Entry) -> Made:
        try:
            data = self.source.read(entry)
            image = open_picture(data, self.target)
            grey, own = is_grey(image), image.format
            plain = decode(image)
            if self.encoding == "keep" and isinstance(data, bytes) and _is_final(image, self.target):
                return Made(slot, None, grey, (plain.height, plain.width), _SUFFIX[str(own).lower()], (data,))
            pixels = render(plain, self.target)
        except BadPicture as error:
            return Made(slot, why(error, entry))
        except MemoryError:
            return Made(slot, "too large for the memory")
        kind = self.encoding if self.encoding != "keep" else (str(own).lower() if own in ("JPEG", "WEBP") else "png")
        if kind == "jpeg" and self.target.channels == 4:
            kind = "png"  # JPEG has no transparency
        file = io.BytesIO()
        options = dict(_SAVE[kind]) if kind == "png" else {**_SAVE[kind], "quality": self.quality}
        Image.fromarray(pixels.squeeze(2) if self.target.channels == 1 else pixels).save(file, **options)  # type: ignore[arg-type]
        return Made(slot, None, grey, (pixels.shape[0], pixels.shape[1]), _SUFFIX[kind], (file.getvalue(),))


@dataclass(frozen=True)
class Records:
    """Decode, resize, and lay out as TFRecords at all levels of detail."""

    source: Source
    target: Target

    def __call__(self, chunk: Sequence[tuple[int, Entry]]) -> list[Made]:
        """(slot, entry) pairs -> results, in order; images of equal size are checksummed together."""
        made: list[Made] = []
        good: dict[tuple[int, ...], list[tuple[int, tfrecord.U8]]] = {}
        for slot, entry in chunk:
            try:
                image = open_picture(self.source.read(entry), self.target)
                grey = is_grey(image)
                pixels = render(decode(image), self.target).transpose(2, 0, 1)
            except BadPicture as error:
                made.append(Made(slot, why(error, entry)))
            except MemoryError:
                made.append(Made(slot, "too large for the memory"))
            else:
                good.setdefault(pixels.shape, []).append((len(made), pixels))
                made.append(Made(slot, None, grey, (pixels.shape[1], pixels.shape[2])))
        for (_, height, width), found in good.items():
            if height == width and height >= 4 and height & (height - 1) == 0:
                stack = np.stack([pixels for _, pixels in found])
                parts = [tfrecord.frames(tfrecord.examples(level)) for level in tfrecord.levels(stack)]
                for n, (place, _) in enumerate(found):
                    made[place] = made[place]._replace(parts=tuple(part[n] for part in parts))
        return made


def why(error: BadPicture, entry: Entry) -> str:
    """The reason to report: none for a file whose name promised nothing."""
    return "" if isinstance(error, NotAPicture) and not entry.claimed else str(error)


def _is_final(image: Image.Image, target: Target) -> bool:
    """Whether a file is already what is wanted; its pixels have been decoded."""
    if image.format not in ("PNG", "JPEG", "WEBP") or image.mode != _MODES[target.channels]:
        return False
    animated = getattr(image, "is_animated", False)
    hidden = "transparency" in image.info
    wanted = image.size if target.size is None else target.size[::-1]
    return not (animated or hidden) and image.size == wanted and orientation(image) == 1
