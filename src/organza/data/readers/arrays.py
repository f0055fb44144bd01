"""Images as NumPy arrays: ``.npy``, or one array of an ``.npz``, as samplers, MedMNIST and many papers' sets have them.

Rows are read in place; nothing is ever unpickled. What the numbers mean is decided once for the whole array:

| numbers | black and white |
|---|---|
| unsigned or signed integers from 0 to 255 | 0 and 255 |
| 0 and 1 only, of any type | 0 and 1 |
| integers from 0 to 65535 | 0 and 65535 |
| floats from 0 to 1 | 0 and 1 |
| floats from -1 to 1 | -1 and 1 |
| floats from 0 to 255 | 0 and 255 |

Source: numpy/lib/format.py (the file format, version 1 to 3).
"""

from __future__ import annotations

import hashlib
import io
import math
import zlib
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from numpy.lib import format as npy

from organza.core.errors import UserError
from organza.data.readers.archive import DEFLATED, STORED, ZipSource
from organza.data.readers.packed import inflate, inflated
from organza.data.source import MAX_FILE, MIN_STORED, BadPicture, Contents, Entry, Source
from organza.data.tables.values import Labels

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_IMAGES = ("images", "imgs", "image", "pictures", "samples", "train_images", "x_train", "X", "x", "data", "arr_0")
_LABELS = ("labels", "label", "train_labels", "y_train", "Y", "y", "classes", "arr_1")
_FID = {"mu", "sigma"}
_BLOCK, _HEAD = 1 << 22, 1 << 16


class Array(NamedTuple):
    """An array in a file.

    Attributes:
        offset: where its numbers begin.
        shape, dtype, fortran: what they are.
        packed: (name, offset, bytes) of the stretch of the file that unpacks to it; None if it lies there as it is.
    """

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    packed: tuple[str, int, int] | None = None

    def rows(self, path: Path, start: int, stop: int) -> NDArray[Any]:
        """Some of its rows.

        Raises:
            UserError: the file is shorter than it says.
        """
        file = path if self.packed is None else inflated(path, self.packed[1], self.packed[2], self.packed[0])
        size = math.prod(self.shape[1:])
        at = self.offset + start * size * self.dtype.itemsize
        found = np.fromfile(file, self.dtype, (stop - start) * size, offset=at)
        if found.size != (stop - start) * size:
            raise UserError("cut short: it unpacks to less than it declares", where=path, hint="download it again")
        return found.reshape(stop - start, *self.shape[1:])


class ArraySource(Source):
    """The images of an array ``[N, H, W]``, ``[N, H, W, C]`` or ``[N, C, H, W]`` with 1, 3 or 4 channels."""

    kind = "NumPy array"

    def __init__(self, path: Path, scale: tuple[float, float] | None = None) -> None:
        self.path, self._scale = path, scale
        self._arrays: dict[str, Array] | None = None

    def __reduce__(self) -> tuple[type[ArraySource], tuple[Path, tuple[float, float] | None]]:
        return ArraySource, (self.path, self._scale)

    @classmethod
    def recognise(cls, path: Path) -> ArraySource | None:
        """An ``.npy`` file, or a zip whose first entry is one."""
        if not path.is_file():
            return None
        with open(path, "rb") as file:
            head = file.read(30)
            if head.startswith(b"PK\3\4") and len(head) == 30:
                head += file.read(int.from_bytes(head[26:28], "little"))
        return cls(path) if head.startswith(b"\x93NUMPY") or (head[:2] == b"PK" and head[-4:] == b".npy") else None

    def fingerprint(self) -> str:
        """Size and time of change, and which array was taken."""
        about = self.path.stat()
        return hashlib.sha256(f"{about.st_size} {about.st_mtime_ns} {_IMAGES}".encode()).hexdigest()

    def _load(self) -> dict[str, Array]:
        """The arrays in the file by name; headers only."""
        if self._arrays is None:
            with open(self.path, "rb") as file:
                if file.read(2) == b"PK":
                    self._arrays = _members(self.path, file)
                else:
                    file.seek(0)
                    size = self.path.stat().st_size
                    self._arrays = {"": _header(file.read(_HEAD), 0, size, self.path)}
        return self._arrays

    def _choose(self) -> tuple[str, Array]:
        arrays = self._load()
        fit = {name: a for name, a in arrays.items() if a.dtype.kind in "biuf" and _layout(a.shape) is not None}
        for name in (*_IMAGES, *(fit if len(fit) == 1 else ())):
            if name in fit:
                return name, self._checked(name, fit[name])
        if set(arrays) >= _FID:
            hint = "`organza evaluate --reference` takes them"
            raise UserError("FID statistics (mu and sigma), no images", where=self.path, hint=hint)
        shapes = ", ".join(f"{name or 'one array'} {list(a.shape)}" for name, a in list(arrays.items())[:6])
        hint = "images are arrays [N, H, W], [N, H, W, C] or [N, C, H, W] with 1, 3 or 4 channels"
        raise UserError(f"no array of images among: {shapes}", where=self.path, hint=hint)

    def _checked(self, name: str, array: Array) -> Array:
        """``array``, if its images have a size that can be."""
        where = f"{self.path}/{name}" if name else self.path
        stored = self.path.stat().st_size
        if array.fortran:
            raise UserError("in Fortran's order", where=where, hint="save it again with np.ascontiguousarray")
        if array.shape[0] * MIN_STORED > stored:
            raise UserError(f"{array.shape[0]:,} images in {stored:,} bytes", where=where)
        if math.prod(array.shape[1:]) * array.dtype.itemsize > MAX_FILE:
            raise UserError(f"images of more than {MAX_FILE >> 20} MB: {list(array.shape)}", where=where)
        return array

    def contents(self) -> Contents:
        """In the order of the array, named by number; other arrays are left aside."""
        chosen, array = self._choose()
        self._range(array)  # before copies of this source go to other processes
        count, size = array.shape[0], math.prod(array.shape[1:]) * array.dtype.itemsize
        entries = [Entry(f"{i:05d}", size, i) for i in range(count)]
        labels = self._labels_name(count)
        others = [
            (f"{name}.npy", "labels" if name == labels else f"an array {list(a.shape)}")
            for name, a in self._load().items()
            if name != chosen
        ]
        return Contents(entries, others)

    def read(self, entry: Entry) -> NDArray[np.uint8]:
        """Pixels ``[H, W]`` or ``[H, W, C]``."""
        _, array = self._choose()
        black, white = self._range(array)
        image = array.rows(self.path, entry.at, entry.at + 1)[0]
        if _layout(array.shape) == "CHW":
            image = image.transpose(1, 2, 0)
        if image.dtype != np.uint8 or (black, white) != (0, 255):
            image = np.rint((image.astype(np.float32) - black) * (255 / (white - black))).astype(np.uint8)
        return np.ascontiguousarray(image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image)

    def _range(self, array: Array) -> tuple[float, float]:
        """The numbers of black and of white."""
        if self._scale is None:
            self._scale = _scale(array, self.path)
        return self._scale

    def _labels_name(self, count: int) -> str | None:
        def fits(array: Array) -> bool:
            return array.dtype.kind in "iu" and array.shape in ((count,), (count, 1))

        return next((name for name in _LABELS if name in self._load() and fits(self._load()[name])), None)

    def labels(self) -> Labels | None:
        """Classes from an integer array beside the images."""
        _, array = self._choose()
        name = self._labels_name(array.shape[0])
        if name is None:
            return None
        values = self._load()[name].rows(self.path, 0, array.shape[0]).reshape(-1).astype(np.int64)
        if values.min() < 0 or values.max() >= 1 << 20:
            raise UserError(f"{name}: classes are 0, 1, 2 ..., not {values.min()} to {values.max()}", where=self.path)
        return Labels(values)


def _layout(shape: tuple[int, ...]) -> str | None:
    """ "HW", "HWC" or "CHW" for an array of images; None for any other.

    Example:
        >>> [_layout(s) for s in ((9, 28, 28), (9, 8, 8, 3), (9, 3, 8, 8), (9, 3, 8, 3), (64, 64, 3), (9, 7, 8, 8))]
        ['HW', 'HWC', 'CHW', 'HWC', None, None]
    """
    if not all(shape):
        return None
    if len(shape) == 3:  # with a side of 3 or 4 it is one image
        return None if shape[2] in (1, 3, 4) or shape[0] in (1, 3, 4) else "HW"
    if len(shape) == 4 and shape[3] in (1, 3, 4) and not (shape[1] in (1, 3, 4) and shape[2] == shape[3]):
        return "HWC"
    return "CHW" if len(shape) == 4 and shape[1] in (1, 3, 4) else None


def _scale(array: Array, path: Path) -> tuple[float, float]:
    step = max(1, _BLOCK // max(1, math.prod(array.shape[1:])))
    low, high, binary = math.inf, -math.inf, True
    for start in range(0, array.shape[0], step):
        block = array.rows(path, start, min(start + step, array.shape[0]))
        if array.dtype.kind == "f" and not np.isfinite(block).all():
            raise UserError("its numbers are not all finite", where=path)
        low, high = min(low, float(block.min())), max(high, float(block.max()))
        binary = binary and bool(((block == 0) | (block == 1)).all())
        if array.dtype == np.uint8 and not binary:
            return 0, 255  # nothing that follows can change that
    if binary:
        return 0, 1
    floats = array.dtype.kind == "f"
    ranges = ((0, 1), (-1, 1), (0, 255)) if floats else ((0, 255), (0, 65535))
    found = next(((black, white) for black, white in ranges if black <= low and high <= white), None)
    if found is None:
        what = "0 to 1, -1 to 1, or 0 to 255" if floats else "0 to 255 or 0 to 65535"
        raise UserError(f"its numbers go from {low:g} to {high:g}; images have {what}", where=path)
    return found


def _members(path: Path, file: BinaryIO) -> dict[str, Array]:
    """The arrays of an ``.npz``."""
    found = {}
    archive = ZipSource(path)
    for entry in archive.files():
        where, name = f"{path}/{entry.name}", entry.name.removesuffix(".npy")
        try:
            at = archive.data_at(entry)
            file.seek(at)
            if entry.at.method == STORED:
                found[name] = _header(file.read(min(_HEAD, entry.size)), at, entry.size, where)
            elif entry.at.method == DEFLATED:
                head = b"".join(islice(inflate(file, entry.at.packed), 1))
                found[name] = _header(head, 0, entry.size, where)._replace(packed=(entry.name, at, entry.at.packed))
            else:
                raise BadPicture(f"packed by another method ({entry.at.method})")
        except (BadPicture, EOFError, zlib.error) as error:
            raise UserError(f"can't be unpacked ({error})", where=where, hint="download it again") from None
    return found


def _header(raw: bytes, at: int, size: int, where: object) -> Array:
    """What the head of an ``.npy`` of ``size`` bytes, which begins at ``at`` in its file, says; it agrees with that."""
    file = io.BytesIO(raw)
    try:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(file)
    except Exception as error:  # a hostile header is a Python expression that breaks in many ways
        raise UserError(f"not a NumPy array ({type(error).__name__})", where=where) from None
    if dtype.hasobject:
        return Array(0, (), dtype, False)  # it would have to be unpickled: it is not read
    if not all(isinstance(n, int) and n >= 0 for n in shape) or math.prod(shape) * dtype.itemsize != size - file.tell():
        raise UserError(f"cut short: {size:,} bytes do not hold {list(shape)}", where=where, hint="download it again")
    return Array(at + file.tell(), shape, dtype, fortran)
