"""NumPy's files that somebody else may have written: read without unpickling, and never more than they may hold."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from organza.core.errors import UserError
from organza.core.sniff import HEAD, instead

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_BYTES = 1 << 30
"""Of the arrays in one file, at most."""


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an ``.npz`` by name; that of an ``.npy`` as ``""``. What the file's name says does not matter.

    Raises:
        UserError: not such a file (it says what it is instead), broken, too large, or with Python objects.

    Example:
        >>> np.savez(folder / "a.npz", w=np.zeros(3))
        >>> list(read_arrays(folder / "a.npz"))
        ['w']
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
            if not head.startswith(b"PK\x03\x04"):
                if not head.startswith(b"\x93NUMPY"):
                    what, remedy = instead(head) or ("no NumPy file", "give a .npy or .npz")
                    raise UserError(f"this is {what}, not an array", where=path, hint=remedy or None)
                file.seek(0)
                return {"": _read(file, path.stat().st_size)}
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            if sum(info.file_size for info in members) > MAX_BYTES:
                raise UserError(f"arrays of more than {MAX_BYTES >> 20} MB", where=path)
            found = {}
            for info in members:
                with archive.open(info) as opened:
                    found[info.filename.removesuffix(".npy")] = _read(opened, info.file_size)
            return found
    except UserError:
        raise
    except MemoryError:
        raise UserError("too large for the memory", where=path) from None
    except OSError as error:
        raise UserError(f"can't be read ({error.strerror or error})", where=path) from None
    except Exception as error:  # a hostile header or archive breaks in many ways
        raise UserError(f"a broken NumPy file ({' '.join(str(error).split())[:100]})", where=path) from None


def _read(file: Any, size: int) -> NDArray[Any]:
    """One array of ``size`` bytes with its header."""
    start = file.tell()
    version = np.lib.format.read_magic(file)
    head = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = head(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are not read")
    if not all(n >= 0 for n in shape) or np.prod(shape, dtype=object) * dtype.itemsize + file.tell() - start > size:
        raise ValueError(f"cut short: {size:,} bytes do not hold {list(shape)}")
    file.seek(start)
    array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array
