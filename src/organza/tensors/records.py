"""What a file of weights may turn into, beside the records of any pickle: networks and tensors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from organza.tensors.pickle.records import Array, DType, Fields, Global, Record, RefusedError, Stub, brief, sizes

__all__ = [
    "Array",
    "DType",
    "Fields",
    "Global",
    "Module",
    "Record",
    "RefusedError",
    "Storage",
    "Stub",
    "TensorRef",
    "brief",
    "sizes",
    "tensor_ref",
]


@dataclass(eq=False, slots=True)
class Module(Record):
    """A network of NVIDIA's PyTorch code: its class name and attributes."""

    name: str
    version: Any
    state: dict[str, Any]

    def get(self, name: str, default: Any = None) -> Any:
        """A plain attribute."""
        return self.state.get(name, default)

    def child(self, name: str) -> Module | None:
        """A submodule, or None."""
        children = self.state.get("_modules")
        found = children.get(name) if isinstance(children, dict) else None
        return found if isinstance(found, Module) else None

    def children(self) -> dict[str, Module]:
        """Submodules by name."""
        found = self.state.get("_modules")
        return {str(k): v for k, v in found.items() if isinstance(v, Module)} if isinstance(found, dict) else {}

    def tensors(self) -> dict[str, TensorRef]:
        """Parameters and buffers by dotted name, of this module and everything in it.

        Raises:
            RefusedError: modules in more than 20 layers, or more than 20,000 tensors.
        """
        found: dict[str, TensorRef] = {}
        waiting: list[tuple[str, Module, int]] = [("", self, 0)]
        visits = 0
        while waiting:
            prefix, module, depth = waiting.pop()
            visits += 1
            if depth > 20 or visits > 20_000 or len(found) > 20_000:
                raise RefusedError("its modules are nested without end")
            for kind in ("_parameters", "_buffers"):
                held = module.state.get(kind)
                for name, value in held.items() if isinstance(held, dict) else ():
                    if isinstance(value, TensorRef):
                        found[f"{prefix}{name}"] = value
            waiting += [(f"{prefix}{name}.", child, depth + 1) for name, child in module.children().items()]
        return found

    def parts(self) -> list[Any]:
        """Its attributes."""
        return [self.state]


@dataclass(eq=False, slots=True)
class Storage:
    """A stretch of numbers that tensors look into.

    Attributes:
        dtype: format of the numbers.
        count: how many.
        read: gives their bytes; None until it is known where they are.
    """

    dtype: torch.dtype
    count: int
    read: Callable[[], memoryview | bytes] | None = None


@dataclass(frozen=True, eq=False, slots=True)
class TensorRef(Record):
    """A tensor that is described but not yet read."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def tensor(self) -> Tensor:
        """Read it.

        Raises:
            RefusedError: it lies outside of its storage, or the storage is shorter than declared.
        """
        if self.storage.read is None:
            raise RefusedError("a tensor without its numbers")
        size = self.storage.dtype.itemsize
        raw = memoryview(self.storage.read())
        if len(raw) < self.storage.count * size:
            raise RefusedError(f"a tensor declares {self.storage.count * size} bytes, the file holds {len(raw)}")
        if not math.prod(self.shape):
            return torch.empty(self.shape, dtype=self.storage.dtype)
        end = self.offset + 1 + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))
        # A copy, because torch wants memory that may be written.
        flat = torch.frombuffer(bytearray(raw[self.offset * size : end * size]), dtype=self.storage.dtype)
        return flat.as_strided(self.shape, self.strides)


def tensor_ref(storage: Any, offset: Any, shape: Any, strides: Any) -> TensorRef:
    """A checked `TensorRef`.

    Raises:
        RefusedError: not a storage, sizes that are not sizes, or a tensor that does not lie inside its storage.

    Example:
        >>> tensor_ref(Storage(torch.float32, 6), 0, (2, 3), (3, 1)).shape
        (2, 3)
        >>> tensor_ref(Storage(torch.float32, 6), 0, (1000000, 3), (0, 1))
        Traceback (most recent call last):
        ...
        organza.tensors.pickle.records.RefusedError: a tensor [1000000, 3] that doesn't fit its storage of 6 numbers
    """
    if not isinstance(storage, Storage):
        raise RefusedError("a tensor without storage")
    shape, strides = sizes(shape), sizes(strides)
    if len(shape) != len(strides) or type(offset) is not int or offset < 0:
        raise RefusedError("a tensor whose shape makes no sense")
    count = math.prod(shape)
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True)) if count else 0
    if (last >= storage.count and count) or count > max(storage.count, 1):
        raise RefusedError(f"a tensor {list(shape)} that doesn't fit its storage of {storage.count} numbers")
    return TensorRef(storage, offset, shape, strides)
