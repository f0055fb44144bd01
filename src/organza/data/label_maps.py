"""Label maps: images whose colours are classes, and instance maps beside them.

A palette is the list of colours that occur: those of all images of a set, of a file, or the main ones, where label maps
were saved as JPEGs and colours have run at the borders. Instance maps lie in a folder of their own under the names of
the label maps; their numbers travel as a fourth channel, counted anew in each image.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from organza.core.errors import UserError
from organza.core.files import read_error, user_path
from organza.data.decode import decode, open_picture, upright
from organza.data.source import BadPicture, Contents, Entry, Source
from organza.data.tables.values import Labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

    from organza.data.dataset import Dataset

Palette = tuple[tuple[int, ...], ...]
MOST = 256
"""Classes that a label map may have."""
SAMPLE = 40
"""Images in which main colours are looked for."""


def find_palette(dataset: Dataset, wish: str, *, instances: bool = False) -> tuple[Palette, bool]:
    """The colours of a set's label maps, and whether no others may occur.

    Args:
        dataset: the label maps, resized without mixing colours.
        wish: ``"auto"``, all that occur; a number, so many main ones; or a file with a colour in each line.
        instances: whether the last channel holds numbers of instances.

    Raises:
        UserError: too many colours, no such file, or one that does not list colours; or an image has a colour that the
            file does not.
    """
    channels = dataset.spec.channels - instances
    if re.fullmatch(r"\d+", wish):
        count = int(wish)
        if not 2 <= count <= MOST:
            raise UserError(f"{count} classes", where="--label-map", hint=f"say from 2 to {MOST}")
        chosen = np.linspace(0, len(dataset) - 1, min(len(dataset), SAMPLE)).astype(np.int64)
        found = main_colours(dataset.fetch(chosen)[0][..., :channels].reshape(-1, channels), count)
        return tuple(tuple(int(level) for level in row) for row in np.rint(found)), False
    listed = None if wish == "auto" else read_palette(wish, channels)
    seen: set[tuple[int, ...]] = set(listed or ())
    for number in range(len(dataset)):
        own = colours(dataset.fetch([number])[0][0, ..., :channels])
        if listed is not None and own - seen:
            raise unknown_colour(min(own - seen), dataset.names[number])
        seen |= own
        if len(seen) > MOST:
            what = f"{dataset.names[number]}: with this image there are {len(seen)} colours"
            hint = f"a label map has at most {MOST}; of JPEGs say how many main colours: --label-map 12"
            raise UserError(what, hint=hint)
    return listed or tuple(sorted(seen)), True


def colours(pixels: NDArray[np.uint8]) -> set[tuple[int, ...]]:
    """The colours of an image ``[H, W, C]``.

    Example:
        >>> sorted(colours(np.array([[[1], [3]], [[3], [1]]], np.uint8)))
        [(1,), (3,)]
    """
    flat = pixels.reshape(-1, pixels.shape[-1]).astype(np.uint32)
    packed = flat @ (np.uint32(1) << np.arange(0, 8 * flat.shape[1], 8, dtype=np.uint32))
    return {tuple(int(value >> shift) & 255 for shift in range(0, 8 * flat.shape[1], 8)) for value in np.unique(packed)}


def unknown_colour(colour: Sequence[int], where: str | None = None) -> UserError:
    """What to say of a colour that is no class."""
    shown = str(colour[0]) if len(colour) == 1 else str(tuple(colour))
    what = f"the value {shown} is no class of this palette"
    return UserError(what, where=where, hint="a label map must not be resized with mixed colours, nor be a JPEG")


def read_palette(path: str | Path, channels: int) -> Palette:
    """A palette from a text file: a colour in each line, as one grey level or as red, green and blue; words are left
    aside.

    Raises:
        UserError: no such file, or a line without a colour.
    """
    path = user_path(path)
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError as error:
        raise read_error(path, error) from error
    found: list[tuple[int, ...]] = []
    for number, line in enumerate(lines, 1):
        if not line.split("#")[0].strip():
            continue
        levels = [int(word) for word in re.findall(r"(?<![\w.])\d{1,3}(?![\w.])", line.split("#")[0])]
        if len(levels) == 1:
            levels *= channels
        if len(levels) != channels or max(levels) > 255 or tuple(levels) in found:
            what = f"line {number} is no colour of {channels} levels from 0 to 255, or there twice"
            raise UserError(what, where=path, hint="write a colour in each line: 128 64 128")
        found.append(tuple(levels))
    if not 2 <= len(found) <= MOST:
        raise UserError(f"lists {len(found)} colours", where=path, hint=f"a palette has from 2 to {MOST}")
    return tuple(found)


def main_colours(pixels: NDArray[np.uint8], count: int) -> NDArray[np.float32]:
    """The main colours of ``[M, C]``: k-medians from the most frequent ones, in levels, ``[count or fewer, C]``."""
    chosen = pixels[np.random.RandomState(0).permutation(len(pixels))[:100_000]].astype(np.float32)
    _, inverse, numbers = np.unique(chosen // 32, axis=0, return_inverse=True, return_counts=True)
    centres: list[NDArray[np.float32]] = []
    for cell in np.argsort(-numbers):
        mean = chosen[inverse.reshape(-1) == cell].mean(0)
        if all(np.linalg.norm(mean - other) > 48 for other in centres):  # JPEG blurs the borders between labels
            centres.append(mean)
        if len(centres) == count:
            break
    found = np.stack(centres)
    for _ in range(10):
        owners = ((chosen[:, None] - found[None]) ** 2).sum(2).argmin(1)
        parts = [chosen[owners == k] if (owners == k).any() else found[k : k + 1] for k in range(len(found))]
        found = np.stack([np.median(part, axis=0) for part in parts])  # of the plain inside, not of blurred borders
    return found.astype(np.float32)


class WithInstances(Source):
    """Label maps with the numbers of instances as a fourth channel.

    Args:
        inner: the label maps, whose names begin with ``prefix``.
        instances: the instance maps, under the same names without ending, behind ``other``.
    """

    def __init__(self, inner: Source, instances: Source, prefix: str = "", other: str = "") -> None:
        self.inner, self.instances, self.prefix, self.other = inner, instances, prefix, other
        self.kind, self.path = inner.kind, inner.path
        self._places: dict[str, Entry] | None = None

    def __reduce__(self) -> tuple[type[WithInstances], tuple[Source, Source, str, str]]:
        return WithInstances, (self.inner, self.instances, self.prefix, self.other)

    @property
    def name(self) -> str:
        """The label maps', and that there are instances."""
        return f"{self.inner.name}-instances"

    def fingerprint(self) -> str:
        """Of both."""
        return hashlib.sha256(f"{self.inner.fingerprint()} {self.instances.fingerprint()}".encode()).hexdigest()

    def contents(self) -> Contents:
        """The label maps."""
        return self.inner.contents()

    def read(self, entry: Entry) -> NDArray[np.uint8]:
        """``[H, W, 4]``: the colour, and the number of the instance, from 1 on.

        Raises:
            BadPicture: the label map or its instance map is missing, broken or of another size.
        """
        if self._places is None:
            self._places = {_stem(e.name.removeprefix(self.other)): e for e in self.instances.entries()}
        beside = self._places.get(_stem(entry.name.removeprefix(self.prefix)))
        if beside is None:
            raise BadPicture("there is no instance map of its name")
        labels = np.asarray(decode(open_picture(self.inner.read(entry))).convert("RGB"))
        numbers = whole_numbers(open_picture(self.instances.read(beside)))
        if numbers.shape != labels.shape[:2]:
            sizes = "x".join(map(str, numbers.shape[::-1])), "x".join(map(str, labels.shape[1::-1]))
            raise BadPicture("its instance map is {}, not {}".format(*sizes))
        return np.concatenate([labels, counted(numbers)[..., None]], 2)

    def side(self, name: str) -> bytes | None:
        """The label maps'."""
        return self.inner.side(name)

    def texts(self, entries: Sequence[Entry]) -> list[str | None]:
        """The label maps'."""
        return self.inner.texts(entries)

    def labels(self) -> Labels | None:
        """The label maps'."""
        return self.inner.labels()


def whole_numbers(image: Image.Image) -> NDArray[Any]:
    """The numbers of an index image ``[H, W]``: palette places or grey levels as they are; each colour of RGB is one.

    Raises:
        BadPicture: it is broken.
    """
    if image.mode in ("L", "P", "I") or image.mode.startswith("I;16"):
        return np.asarray(upright(image)).astype(np.int64)
    levels = np.asarray(decode(image).convert("RGB")).astype(np.int64)
    return np.asarray(levels @ np.array([1 << 16, 1 << 8, 1]))


def counted(numbers: NDArray[Any]) -> NDArray[np.uint8]:
    """Numbers of instances, counted from 1 in each image; beyond 255 they begin again.

    Example:
        >>> counted(np.array([[26001, 26002], [7, 26001]]))
        array([[2, 3],
               [1, 2]], dtype=uint8)
    """
    places = np.unique(numbers, return_inverse=True)[1].reshape(numbers.shape)
    return (places % 255 + 1).astype(np.uint8)


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))
