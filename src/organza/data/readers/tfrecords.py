"""StyleGAN's and ProGAN's TFRecords: one file per resolution, labels beside them."""

from __future__ import annotations

import hashlib
import re
import struct
from typing import TYPE_CHECKING

import numpy as np

from organza.core.arrays import read_arrays
from organza.core.errors import UserError
from organza.core.sniff import refuse_stand_in
from organza.data import tfrecord
from organza.data.source import BadPicture, Contents, Entry, Source
from organza.data.tables.labels import as_classes
from organza.data.tables.values import Labels

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MAX_RECORD = 1 << 26
"""A record larger than this many bytes is refused: its checksum takes several times its size."""


class TFRecordSource(Source):
    """The images of one ``.tfrecords`` file; of a folder, those of the highest resolution."""

    kind = "TFRecords"

    def __init__(self, path: Path, file: Path) -> None:
        self.path, self.file = path, file
        self._contents: Contents | None = None

    def __reduce__(self) -> tuple[type[TFRecordSource], tuple[Path, Path]]:
        return TFRecordSource, (self.path, self.file)

    @classmethod
    def recognise(cls, path: Path) -> TFRecordSource | None:
        """A file that begins with a frame, or a folder with ``*.tfrecords`` files."""
        if path.is_file():
            return cls(path, path) if _is_frame(path) else None
        files = [f for f in path.iterdir() if _is_records(f) and f.is_file()]
        return cls(path, max(files, key=_rank)) if files else None

    def fingerprint(self) -> str:
        """Sizes and times of change of the records and of the labels."""
        files = [self.file, *filter(None, [self._labels_file()])]
        about = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files]
        return hashlib.sha256(repr(about).encode()).hexdigest()

    def contents(self) -> Contents:
        """In the order of the file, named by number; of a folder, the other files are left aside."""
        if self._contents is None:
            try:
                refuse_stand_in(self.file)
                found = tfrecord.index(self.file)
            except (ValueError, OSError) as error:
                raise UserError(f"not a whole TFRecords file ({error})", where=self.file) from None
            entries = [Entry(f"{i:08d}", length, (offset, length)) for i, (offset, length) in enumerate(found)]
            self._contents = Contents(entries, self._others())
        return self._contents

    def _others(self) -> list[tuple[str, str]]:
        if self.path == self.file:
            return []
        labels, beside = self._labels_file(), (f for f in sorted(self.path.iterdir()) if f.is_file() and f != self.file)
        other = {True: "the same at another size", False: "another file"}
        return [(f.name, "labels" if f == labels else other[_is_records(f)]) for f in beside]

    def read(self, entry: Entry) -> bytes | NDArray[np.uint8]:
        """Pixels ``[H, W, C]``, or the encoded image of other tools' records."""
        offset, length = entry.at
        if length > MAX_RECORD:
            raise BadPicture(f"{length / 2**20:.0f} MB is more than an image may have ({MAX_RECORD >> 20} MB)")
        with open(self.file, "rb") as file:
            file.seek(offset)
            payload = file.read(length)
            check = file.read(4)
        sums = tfrecord.masked(tfrecord.crc32c(np.frombuffer(payload, np.uint8)[None]))
        if len(payload) != length or check != struct.pack("<I", int(sums[0])):
            raise BadPicture("damaged (its checksum is wrong)")
        try:
            return _picture(tfrecord.features(payload))
        except ValueError as error:
            raise BadPicture(f"not an image record ({error})") from None

    def _labels_file(self) -> Path | None:
        stem = re.sub(r"(-r\d+)?\.tfrecords?$", "", self.file.name)
        files = sorted(self.file.parent.glob("*.labels"))
        return next((f for f in files if f.name.startswith(stem)), None)

    def labels(self) -> Labels | None:
        """Vectors from the ``.labels`` file (NumPy's format); one-hot ones become classes."""
        file = self._labels_file()
        if file is None:
            return None
        values = next(iter(read_arrays(file).values()), np.zeros(0))
        if values.ndim != 2 or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
            raise UserError("labels should be finite numbers, one row for each image", where=file)
        if len(values) < len(self.entries()):
            raise UserError(f"{len(values)} labels for {len(self.entries())} images", where=file)
        return as_classes(values[: len(self.entries())].astype(np.float32)) if values.shape[1] else None


def _is_records(file: Path) -> bool:
    return re.search(r"\.tfrecords?$", file.name) is not None


def _is_frame(path: Path) -> bool:
    with open(path, "rb") as file:
        head = file.read(12)
    return len(head) == 12 and head == tfrecord._frame_head(struct.unpack_from("<Q", head)[0])


def _rank(file: Path) -> tuple[int, str]:
    found = re.search(r"-r(\d+)\.", file.name)
    return (int(found[1]) if found else 0, file.name)


def _picture(found: dict[str, list[int] | list[bytes]]) -> bytes | NDArray[np.uint8]:
    shape, data = found.get("shape"), found.get("data")
    if shape and data and isinstance(data[0], bytes):
        sizes = [n for n in shape if isinstance(n, int)]
        if (
            len(sizes) != 3
            or sizes[0] not in (1, 3, 4)
            or int(np.prod(sizes, dtype=object)) != len(data[0])
            or 0 in sizes
        ):
            raise ValueError(f"shape {sizes} for {len(data[0])} bytes")
        pixels = np.frombuffer(data[0], np.uint8).reshape(sizes).transpose(1, 2, 0)
        return np.ascontiguousarray(pixels[..., 0] if sizes[0] == 1 else pixels)
    for name in ("image/encoded", "image", "image_raw", "img", "jpeg", "png", "data"):
        encoded = found.get(name)
        if encoded and isinstance(encoded[0], bytes):
            return encoded[0]
    raise ValueError(f"features: {', '.join(found) or 'none'}")
