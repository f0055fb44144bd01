"""MNIST's own format, and that of its relatives: idx files, packed by gzip or not.

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database", the page's section "File formats".
"""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from typing import TYPE_CHECKING

import numpy as np

from organza.core.errors import UserError
from organza.data.labels import Labels
from organza.data.source import Entry, Source

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

IMAGES, LABELS = 0x803, 0x801


class IdxSource(Source):
    """Grey pictures of one idx file. 28x28 ones get a black border to 32x32, a power of two, as NVIDIA's tool does."""

    kind = "MNIST idx"

    def __init__(self, path: Path, images: Path) -> None:
        self.path, self.images = path, images
        self._pixels: NDArray[np.uint8] | None = None

    def __reduce__(self) -> tuple[type[IdxSource], tuple[Path, Path]]:
        return IdxSource, (self.path, self.images)

    @classmethod
    def recognise(cls, path: Path) -> IdxSource | None:
        """The idx pictures at ``path``: a file, or a folder with one set (of several, the training set)."""
        if path.is_file():
            return cls(path, path) if _magic(path) == IMAGES else None
        files = sorted(f for f in path.iterdir() if f.is_file() and re.search(r"idx3|-images", f.name))
        found = [f for f in files if _magic(f) == IMAGES]
        found.sort(key=lambda f: not f.name.startswith("train"))
        return cls(path, found[0]) if found else None

    def fingerprint(self) -> str:
        """Size and time of change of the pictures and of their labels."""
        files = [self.images, *filter(None, [self._labels_file()])]
        about = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files]
        return hashlib.sha256(repr(about).encode()).hexdigest()

    def _load(self) -> NDArray[np.uint8]:
        if self._pixels is None:
            pixels = _parse(self.images, 3)
            if pixels.shape[1:] == (28, 28):
                pixels = np.pad(pixels, [(0, 0), (2, 2), (2, 2)])
            self._pixels = pixels
        return self._pixels

    def entries(self) -> list[Entry]:
        """In the order of the file, named by number."""
        pixels = self._load()
        return [Entry(f"{i:05d}", pixels[0].size, i) for i in range(len(pixels))]

    def read(self, entry: Entry) -> NDArray[np.uint8]:
        """Pixels ``[H, W]``."""
        pixels: NDArray[np.uint8] = self._load()[entry.at]
        return pixels

    def _labels_file(self) -> Path | None:
        name = re.sub("images", "labels", self.images.name).replace("idx3", "idx1")
        for candidate in (name, name.removesuffix(".gz"), name + ".gz"):
            file = self.images.with_name(candidate)
            if file != self.images and file.is_file():
                return file
        return None

    def labels(self) -> Labels | None:
        """From the labels file beside the pictures."""
        file = self._labels_file()
        if file is None:
            return None
        labels = _parse(file, 1).astype(np.int64)
        if len(labels) != len(self._load()):
            raise UserError(f"{len(labels)} labels for {len(self._load())} pictures", where=file)
        return Labels(labels)


def _read(path: Path, limit: int = -1) -> bytes:
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    opener = gzip.open if packed else open
    with opener(path, "rb") as file:
        data: bytes = file.read(limit)
    return data


def _magic(path: Path) -> int:
    try:
        return int.from_bytes(_read(path, 4), "big")
    except (OSError, EOFError, zlib.error):
        return -1


def _parse(path: Path, dims: int) -> NDArray[np.uint8]:
    try:
        data = _read(path)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"can't be unpacked ({error})", where=path, hint="download it again") from None
    head = 4 + 4 * dims
    if len(data) < head or int.from_bytes(data[:4], "big") != 0x800 + dims:
        raise UserError("not an idx file of bytes", where=path)
    shape = tuple(int(n) for n in np.frombuffer(data[4:head], ">u4"))
    if len(data) - head != int(np.prod(shape, dtype=object)):
        raise UserError(f"cut short: {len(data)} bytes do not hold {shape}", where=path, hint="download it again")
    return np.frombuffer(data, np.uint8, offset=head).reshape(shape)
