"""A file of any kind to plain values and records: pickles, torch files old and new."""

from __future__ import annotations

import io
import math
import os
import struct
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from organza.core.download import kept_if_it_opens
from organza.core.errors import UserError
from organza.core.sniff import HEAD, instead
from organza.tensors.known import HARMLESS, KNOWN, MAGIC, legacy_torch, storage
from organza.tensors.networks import Tensors, flatten
from organza.tensors.pickle.machine import Limits, Stream, unpickle
from organza.tensors.records import RefusedError, Storage, TensorRef
from organza.tensors.tensor_file import Place, looks_like, read_header

MAX_ENTRIES, MAX_DIRECTORY = 20_000, 1 << 23
_HINT = "give a network of Organza, NVIDIA (.pkl), rosinality or lucidrains (.pt)"


@dataclass(frozen=True)
class Opened:
    """What a file holds.

    Attributes:
        path: the file.
        container: ``"pickle"``, ``"torch"`` (zip), ``"legacy torch"`` or ``"safetensors"``.
        value: plain values and records of `organza.tensors.records`.
        foreign: names that the pickle mentions and that mean nothing to us. Nothing of them was run.
    """

    path: Path
    container: str
    value: Any
    foreign: tuple[str, ...] = ()

    @cached_property
    def tensors(self) -> Tensors:
        """Every tensor in it by dotted name, without what wrappers add; see `organza.tensors.networks`.

        Raises:
            RefusedError: too much or too deep.
        """
        return flatten(self.value)


def open_file(path: Path) -> Opened:
    """Read a pickle or a torch file without running anything of it.

    Raises:
        UserError: unreadable, broken, hostile, or something else; says which.

    Example:
        >>> import pickle
        >>> _ = (folder / "a.pkl").write_bytes(pickle.dumps({"n": 3, "f": print}))
        >>> opened = open_file(folder / "a.pkl")
        >>> opened.value["n"], opened.foreign
        (3, ('builtins.print',))
    """
    names: set[str] = set()
    with kept_if_it_opens(path):
        try:
            size = path.stat().st_size
            if size == 0:
                raise UserError("an empty file", where=path)
            limits = Limits(copied=4 * size + (1 << 24))
            container, value = _open(path, size, limits, names)
        except OSError as error:
            raise UserError(f"can't be read ({error.strerror})", where=path) from error
        except RefusedError as error:
            raise UserError(f"refused: {error}", where=path, hint=_HINT) from None
    return Opened(path, container, value, tuple(sorted(names - HARMLESS)))


def _open(path: Path, size: int, limits: Limits, names: set[str]) -> tuple[str, Any]:
    with path.open("rb") as file:
        start = file.read(HEAD)
        if looks_like(start):
            return "safetensors", _open_safetensors(path)
        if (other := instead(start)) is not None and other[0] not in ("a PyTorch file", "a zip archive"):
            raise UserError(f"this is {other[0]}, not a file of weights", where=path, hint=other[1] or _HINT)
        if start.startswith(b"PK\x03\x04"):
            return "torch", _open_zip(path, size, limits, names)
        data = start + file.read()
    value = unpickle(Stream(data), KNOWN, limits, names=names)
    if type(value) is int and value == MAGIC:
        return "legacy torch", legacy_torch(Stream(data), KNOWN, limits, names)
    return "pickle", value


def _open_safetensors(path: Path) -> dict[str, TensorRef]:
    def refer(place: Place) -> TensorRef:
        count = math.prod(place.shape)
        strides = tuple(math.prod(place.shape[axis + 1 :]) for axis in range(len(place.shape)))
        return TensorRef(Storage(place.dtype, count, lambda: _part(path, place)), 0, place.shape, strides)

    return {name: refer(place) for name, place in read_header(path).items()}


def _part(path: Path, place: Place) -> bytes:
    with path.open("rb") as file:
        file.seek(place.start)
        return file.read(place.stop - place.start)


class _Bounded(io.BufferedReader):
    """A file whose zip directory is not read when it is longer than any torch file's."""

    def read(self, size: int | None = -1, /) -> bytes:
        end = os.fstat(self.fileno()).st_size - self.tell()
        if min(end, end if size is None or size < 0 else size) > MAX_DIRECTORY:
            raise RefusedError("a zip with a longer directory than a torch file has")
        return super().read(size)


def _open_zip(path: Path, size: int, limits: Limits, names: set[str]) -> Any:
    try:
        with _Bounded(io.FileIO(path)) as file, zipfile.ZipFile(file) as archive:
            entries = {info.filename: info for info in archive.infolist()}
    except RefusedError:
        raise
    except Exception as error:  # zipfile raises many kinds for a broken file
        raise RefusedError(f"a broken torch file ({' '.join(str(error).split())[:100]})") from None
    roots = [name[: -len("data.pkl")] for name in entries if name.endswith("data.pkl") and name.count("/") < 2]
    if len(entries) > MAX_ENTRIES or len(roots) != 1:
        raise RefusedError("a zip that is not a torch file")
    root = roots[0]
    if f"{root}constants.pkl" in entries and any(name.startswith(f"{root}code/") for name in entries):
        raise RefusedError("a TorchScript program, not weights")
    left = size

    def read(name: str) -> bytes:
        nonlocal left
        info = entries.get(name)
        if info is None:
            raise RefusedError(f"the entry {name!r} is missing")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or info.flag_bits & 1:
            raise RefusedError("compressed or encrypted entries, which torch doesn't write")
        left -= info.file_size
        if left < 0 or info.header_offset + info.file_size > size:
            raise RefusedError("entries that declare more than the file holds")
        return _stored(path, info)

    if f"{root}byteorder" in entries and read(f"{root}byteorder") != b"little":
        raise RefusedError("numbers in big-endian order")
    found: dict[str, Storage] = {}

    def persistent(pid: Any) -> Any:
        if not isinstance(pid, tuple) or len(pid) != 5 or pid[0] != "storage" or not isinstance(pid[2], str):
            raise RefusedError("a reference to something that is not a storage")
        key = pid[2]
        if key not in found:
            held = storage(pid[1], pid[4])
            info, wanted = entries.get(f"{root}data/{key}"), held.count * held.dtype.itemsize
            if info is None or info.file_size < wanted:
                raise RefusedError(f"a storage declares {wanted} bytes, the file holds {info.file_size if info else 0}")
            held.read = _once(lambda: read(f"{root}data/{key}"))
            found[key] = held
        return found[key]

    return unpickle(Stream(read(f"{root}data.pkl")), KNOWN, limits, persistent, names)


def _stored(path: Path, info: zipfile.ZipInfo) -> bytes:
    """The bytes of an entry that is stored as it is; the archive's directory is not read again for each."""
    with path.open("rb") as file:
        file.seek(info.header_offset)
        head = file.read(30)
        if len(head) == 30 and head.startswith(b"PK\x03\x04"):
            file.seek(sum(struct.unpack("<HH", head[26:])), 1)
            data = file.read(info.file_size)
            if len(data) == info.file_size:
                return data
    raise RefusedError(f"a broken entry {info.filename[:80]!r}")


def _once(read: Any) -> Any:
    kept: list[bytes] = []

    def again() -> bytes:
        if not kept:
            kept.append(read())
        return kept[0]

    return again
