"""MNIST's own format, and that of its relatives: idx files, packed by gzip or not.

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database", the page's section "File formats".
"""

from __future__ import annotations

import hashlib
import math
import re
import struct
from typing import TYPE_CHECKING

import numpy as np

from organza.core.errors import UserError
from organza.data.cache.pixels import Pixels
from organza.data.readers.packed import BROKEN, opener, unpacked
from organza.data.source import MIN_STORED, Contents, Entry, Source
from organza.data.tables.values import Labels

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

IMAGES, LABELS = 0x803, 0x801


class IdxSource(Source):
    """Grey images of one idx file. 28x28 ones get a black border to 32x32, a power of two, as NVIDIA's tool does."""

    kind = "MNIST idx"

    def __init__(self, path: Path, images: Path) -> None:
        self.path, self.images = path, images
        self._pixels: Pixels | None = None

    def __reduce__(self) -> tuple[type[IdxSource], tuple[Path, Path]]:
        return IdxSource, (self.path, self.images)

    @classmethod
    def recognise(cls, path: Path) -> IdxSource | None:
        """The idx images at ``path``: a file, or a folder with one set (of several, the training set)."""
        if path.is_file():
            return cls(path, path) if _magic(path) == IMAGES else None
        files = sorted(f for f in path.iterdir() if f.is_file() and re.search(r"idx3|-images", f.name))
        found = [f for f in files if _magic(f) == IMAGES]
        found.sort(key=lambda f: not f.name.startswith("train"))
        return cls(path, found[0]) if found else None

    def fingerprint(self) -> str:
        """Size and time of change of the images and of their labels."""
        files = [self.images, *filter(None, [self._labels_file()])]
        about = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files]
        return hashlib.sha256(repr(about).encode()).hexdigest()

    def _load(self) -> Pixels:
        if self._pixels is None:
            plain, (count, height, width), head = _parse(self.images, 3)
            if count * MIN_STORED > self.images.stat().st_size:
                raise UserError(f"{count:,} images in {self.images.stat().st_size:,} bytes", where=self.images)
            self._pixels = Pixels(plain, (count, height, width, 1), head)
        return self._pixels

    def contents(self) -> Contents:
        """In the order of the file, named by number; of a folder, the other files are left aside."""
        count, height, width, _ = self._load().shape
        entries = [Entry(f"{i:05d}", height * width, i) for i in range(count)]
        if self.path == self.images:
            return Contents(entries, [])
        known = {self.images: "", self._labels_file(): "labels"}
        beside = [(f.name, known.get(f, "another set")) for f in sorted(self.path.iterdir()) if f.is_file()]
        return Contents(entries, [(name, what) for name, what in beside if what])

    def read(self, entry: Entry) -> NDArray[np.uint8]:
        """Pixels ``[H, W]``."""
        image = self._load().take(np.array([entry.at]))[0, :, :, 0]
        return np.pad(image, 2) if image.shape == (28, 28) else image

    def _labels_file(self) -> Path | None:
        name = re.sub("images", "labels", self.images.name).replace("idx3", "idx1")
        for candidate in (name, name.removesuffix(".gz"), name + ".gz"):
            file = self.images.with_name(candidate)
            if file != self.images and file.is_file():
                return file
        return None

    def labels(self) -> Labels | None:
        """From the labels file beside the images."""
        file = self._labels_file()
        if file is None:
            return None
        plain, (count,), head = _parse(file, 1)
        if count != self._load().shape[0]:
            raise UserError(f"{count} labels for {self._load().shape[0]} images", where=file)
        return Labels(np.fromfile(plain, np.uint8, count, offset=head).astype(np.int64))


def _magic(path: Path) -> int:
    try:
        how = opener(path)
        with open(path, "rb") as file:
            return int.from_bytes((file if how is None else how(file)).read(4), "big")
    except BROKEN:
        return -1


def _parse(path: Path, dims: int) -> tuple[Path, tuple[int, ...], int]:
    """Where the plain file lies, the shape of its array, and where that begins: the header agrees with the size."""
    plain = unpacked(path, ".idx")
    head = 4 + 4 * dims
    with open(plain, "rb") as file:
        raw = file.read(head)
    if len(raw) < head or int.from_bytes(raw[:4], "big") != 0x800 + dims:
        raise UserError("not an idx file of bytes", where=path)
    shape = struct.unpack_from(f">{dims}I", raw, 4)
    size = plain.stat().st_size
    if not all(shape):
        raise UserError(f"it holds no images: {shape}", where=path)
    if size - head != math.prod(shape):
        raise UserError(f"cut short: {size} bytes do not hold {shape}", where=path, hint="download it again")
    return plain, shape, head
