"""A look at every image of a source: formats, sizes, what is broken, what is there twice."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from organza.data.cache import parallel
from organza.data.decode import Target, decode, open_picture, render
from organza.data.export.encode import why
from organza.data.source import BadPicture, Entry, Source
from organza.media.images import to_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from organza.core.progress import Progress

NEAR_BITS = 4
"""Images whose 64-bit hashes differ in at most so many bits may be the same ..."""
NEAR_LEVELS = 24
"""... and are, if no place of their 8x8 thumbnails differs by so many grey levels."""
_THUMB = 8


class About(NamedTuple):
    """One image.

    Attributes:
        reason: why it can't be used; None if it can; "" for a file that never claimed to be an image.
        form: "PNG", "JPEG" ...
        mode: Pillow's: "RGB", "L", "P" ...
        size: (height, width) as displayed.
        digest: of the file's bytes.
        look: 64-bit difference hash of the decoded image.
        thumb: 8x8 RGB.
    """

    reason: str | None
    form: str = ""
    mode: str = ""
    size: tuple[int, int] = (0, 0)
    digest: bytes = b""
    look: int = 0
    thumb: bytes = b""


@dataclass(frozen=True)
class Inspect:
    """The job that looks at some images."""

    source: Source

    def __call__(self, chunk: Sequence[Entry]) -> list[About]:
        """One result for each entry."""
        return [self._one(entry) for entry in chunk]

    def _one(self, entry: Entry) -> About:
        try:
            data = self.source.read(entry)
            image = open_picture(data)
            form, mode, full = image.format or "pixels", image.mode, image.size
            image = open_picture(data, Target((16, 16), 3))
            stored = image.size
            plain = decode(image)
            thumb = render(plain, Target((_THUMB, _THUMB), 3, "stretch", "box"))
            # dHash: is each of 8x9 cells brighter than its neighbour?
            cells = render(plain, Target((8, 9), 1, "stretch", "box"))[..., 0].astype(np.int16)
        except BadPicture as error:
            return About(why(error, entry))
        except MemoryError:
            return About("too large for the memory")
        width, height = full if plain.size == stored else full[::-1]
        raw = data if isinstance(data, bytes) else data.tobytes()
        look = int.from_bytes(np.packbits(cells[:, 1:] > cells[:, :-1]).tobytes(), "big")
        return About(None, form, mode, (height, width), hashlib.sha1(raw).digest(), look, thumb.tobytes())


def inspect(source: Source, *, workers: int | None = None, progress: Progress | None = None) -> list[About]:
    """Look at all entries, in their order, by all cores."""
    entries = source.entries()
    found: list[About] = []
    for part in parallel.run(Inspect(source), entries, workers=workers):
        found += part
        if progress is not None:
            progress(len(found), len(entries))
    return found


def exact_groups(about: Sequence[About]) -> list[list[int]]:
    """Numbers of entries whose files are equal byte for byte."""
    groups: dict[bytes, list[int]] = {}
    for number, one in enumerate(about):
        if one.reason is None:
            groups.setdefault(one.digest, []).append(number)
    return [group for group in groups.values() if len(group) > 1]


def near_pairs(about: Sequence[About]) -> list[tuple[int, int]]:
    """Pairs of entries that look the same but differ as files: other size, compression, slight changes.

    Two hashes that differ in at most four bits are equal in at least one of five stretches, so only images that share
    a stretch are compared.
    """
    seen: dict[bytes, int] = {}
    for number, one in enumerate(about):
        if one.reason is None:
            seen.setdefault(one.digest, number)
    numbers = np.array(sorted(seen.values()), np.int64)
    if len(numbers) < 2:
        return []
    looks = np.array([about[n].look for n in numbers], np.uint64)
    thumbs = np.stack([np.frombuffer(about[n].thumb, np.uint8) for n in numbers]).astype(np.float32)
    found: set[tuple[int, int]] = set()
    for stretch in range(5):
        keys = (looks >> np.uint64(13 * stretch)) & np.uint64(0x1FFF)
        order = np.argsort(keys, kind="stable")
        for group in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
            if len(group) > 1:
                found.update(_close(group, looks, thumbs))
    return sorted((int(numbers[i]), int(numbers[j])) for i, j in found)


def _close(group: NDArray[np.int64], looks: NDArray[np.uint64], thumbs: NDArray[np.float32]) -> list[tuple[int, int]]:
    found = []
    for place, i in enumerate(group[:-1]):
        # In a set of thousands of like images (blank ones, say) naming some neighbours is enough.
        others = group[place + 1 : place + 1 + 500]
        bits = np.bitwise_count(looks[others] ^ looks[i]) if _COUNTS else _bit_count(looks[others] ^ looks[i])
        others = others[bits <= NEAR_BITS]
        close = np.abs(thumbs[others] - thumbs[i]).max(1) < NEAR_LEVELS
        found += [(min(i, j), max(i, j)) for j in others[close].tolist()]
    return found


_COUNTS = "bitwise_count" in np.__all__ if int(np.__version__.split(".")[0]) >= 2 else False


def _bit_count(x: NDArray[np.uint64]) -> NDArray[np.int64]:
    return np.asarray(np.unpackbits(x.view(np.uint8).reshape(len(x), 8), axis=1).sum(1), np.int64)


def split_of(name: str) -> str:
    """Which part of a dataset a name says it belongs to.

    Example:
        >>> [split_of(n) for n in ("x/train/1.png", "testA/1.png", "val/1.png", "1.png")]
        ['train', 'test', 'val', '']
    """
    for part in name.split("/")[:-1]:
        if found := re.fullmatch(r"(train|test|val)(?:ing|idation)?[AB]?", part):
            return found[1]
    return ""


def leaks(names: Sequence[str], groups: Sequence[Sequence[int]]) -> list[tuple[str, str]]:
    """Pairs of names of the same image in different parts: what a test must not share with training."""
    found = []
    for group in groups:
        first: dict[str, str] = {}
        for number in group:
            if split := split_of(names[number]):
                first.setdefault(split, names[number])
        if len(first) > 1:
            found.append(tuple(sorted(first.values(), key=split_of, reverse=True))[:2])
    return [(a, b) for a, b in found]


def contact_sheet(
    source: Source,
    about: Sequence[About],
    *,
    most: int = 64,
    side: int = 96,
    make: Callable[[NDArray[np.uint8], int], NDArray[np.uint8]] | None = None,
) -> NDArray[np.uint8]:
    """Up to ``most`` usable images, evenly spread, as one: uint8 ``[H, W, 3]``.

    Args:
        source, about: the images, and what is known of each.
        most: so many.
        side: of each, in pixels.
        make: ``(pixels [H, W, 3], its number) -> [H, W, 1 or 3]``, which then stands left of each, on half as many.
    """
    entries = source.entries()
    good = [i for i, one in enumerate(about) if one.reason is None]
    count = min(most if make is None else most // 2, len(good))
    cells: list[Image.Image] = []
    for number in (good[i * len(good) // count] for i in range(count)):
        image = decode(open_picture(source.read(entries[number])))
        if make is not None:
            cells.append(to_image(make(render(image, Target(None, 3)), number)))
        cells.append(image)
    columns = max(1, int(np.ceil(np.sqrt(len(cells)))))
    columns += columns % 2 if make is not None else 0
    rows = max(1, -(-len(cells) // columns))
    page = np.full((rows * (side + 4) + 4, columns * (side + 4) + 4, 3), 255, np.uint8)
    for place, cell in enumerate(cells):
        top, left = 4 + place // columns * (side + 4), 4 + place % columns * (side + 4)
        page[top : top + side, left : left + side] = _framed(cell, side)
    return page


def _framed(image: Image.Image, side: int) -> NDArray[np.uint8]:
    """The whole image on a light ground, so that odd shapes are seen."""
    scale = side / max(image.size)
    size = (max(1, round(image.height * scale)), max(1, round(image.width * scale)))
    small = render(image, Target(size, 3, "stretch"))
    frame = np.full((side, side, 3), 235, np.uint8)
    top, left = (side - size[0]) // 2, (side - size[1]) // 2
    frame[top : top + size[0], left : left + size[1]] = small
    return frame


def counted(values: Sequence[str], most: int = 6) -> str:
    """How often each occurs, the most frequent first.

    Example:
        >>> counted(["a", "b", "a"])
        'a 2, b 1'
    """
    counts = Counter(values).most_common()
    more = f", {len(counts) - most} others" if len(counts) > most else ""
    return ", ".join(f"{value} {n:,}" for value, n in counts[:most]) + more
