"""Read NVIDIA's snapshot pickles without running any code: a test helper.

Every global that a pickle names becomes an inert stand-in; tensors are rebuilt from the legacy torch stream by this
file's own parser. Anything else is refused.
"""

from __future__ import annotations

import io
import pickle
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


class RefusedError(Exception):
    """The file asks for something that no network snapshot needs."""


@dataclass
class Module:
    """A pickled network: its class name, arguments and attributes."""

    name: str
    state: dict[str, Any] = field(default_factory=dict)

    @property
    def arguments(self) -> dict[str, Any]:
        return dict(self.state.get("_init_kwargs", {}))

    def tensors(self, prefix: str = "") -> dict[str, Tensor]:
        """Parameters and buffers by dotted name."""
        found = {
            prefix + name: value
            for kind in ("_parameters", "_buffers")
            for name, value in self.state.get(kind, {}).items()
            if value is not None
        }
        for name, child in self.state.get("_modules", {}).items():
            if child is not None:
                found |= child.tensors(f"{prefix}{name}.")
        return found


class EasyDict(dict):  # type: ignore[type-arg]
    """Stands for NVIDIA's dictionary with attributes."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.update(state)


class Inert:
    """Stands for values that no test reads (numpy scalars, classes)."""

    def __init__(self, *args: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


def _persistent(meta: dict[str, Any]) -> Module | EasyDict:
    if meta.get("type") != "class" or meta.get("version") != 6:
        raise RefusedError(f"persistent object of version {meta.get('version')!r}")
    return Module(str(meta["class_name"]), dict(meta["state"]))


def _rebuild_tensor(
    storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *rest: object
) -> Tensor:
    return torch.as_strided(storage, size, stride, offset).clone()


def _legacy_storage(data: bytes) -> Tensor:
    """The one storage that a legacy torch stream inside a snapshot holds."""
    stream = io.BytesIO(data)
    for expected in (MAGIC, PROTOCOL):
        if _Plain(stream).load() != expected:
            raise RefusedError("not a legacy torch stream")
    _Plain(stream).load()  # system info
    unpickler = _Plain(stream)
    key, dtype, count = unpickler.load()
    if _Plain(stream).load() != [key]:
        raise RefusedError("expected one storage")
    (stored,) = struct.unpack("<q", stream.read(8))
    raw = stream.read()
    item = torch.empty((), dtype=dtype).element_size()
    if stored != count or len(raw) != count * item:
        raise RefusedError("storage of the wrong length")
    return torch.frombuffer(bytearray(raw), dtype=dtype) if count else torch.empty(0, dtype=dtype)


class _Plain(pickle.Unpickler):
    """Plain values and references to storages."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise RefusedError(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        kind, dtype, key, _, count, *_ = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype):
            raise RefusedError(f"persistent id {kind!r}")
        return key, dtype, count


GLOBALS = {
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _persistent,
    ("dnnlib.util", "EasyDict"): EasyDict,
    ("collections", "OrderedDict"): dict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): lambda data, requires_grad, hooks: data,
    ("torch.storage", "_load_from_bytes"): _legacy_storage,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
    ("numpy", "dtype"): Inert,
    ("numpy", "ndarray"): Inert,
    ("_codecs", "encode"): Inert,
    **{(f"numpy.{core}.multiarray", name): Inert for core in ("core", "_core") for name in ("scalar", "_reconstruct")},
}


class _Snapshot(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in GLOBALS:
            raise RefusedError(f"{module}.{name}")
        return GLOBALS[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise RefusedError("persistent id")


def read(path: Path) -> dict[str, Any]:
    """The snapshot's dictionary; networks in it are `Module`."""
    with path.open("rb") as file:
        snapshot = _Snapshot(file).load()
    assert isinstance(snapshot, dict)
    return snapshot
