"""What a pickle may turn into: plain values and these records. None of them can do anything."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class RefusedError(Exception):
    """The file asks for something that no file of weights needs, or is broken. Turned into a `UserError` outside."""


def brief(value: object) -> str:
    """A value from a file in a few characters; what is nested may be without end, so it is only named.

    Example:
        >>> brief("ab" * 1000), brief([[1]]), brief(7)
        ("'abababababababababababababababababababab'", 'a list', '7')
    """
    if isinstance(value, (str, bytes)):
        return repr(value[:40])
    if isinstance(value, int) and value.bit_length() > 64:
        return "a huge number"
    if value is None or isinstance(value, (int, float)):
        return repr(value)
    return str(value)[:80] if isinstance(value, Global) else f"a {type(value).__name__}"


@dataclass(frozen=True, slots=True)
class Global:
    """The name of somebody's function or class. It is never looked up.

    Example:
        >>> str(Global("os", "system"))
        'os.system'
    """

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False, slots=True)
class Stub:
    """An object of a class that we don't know, or what an unknown function would have returned: its description.

    Attributes:
        kind: what was called.
        args: with what.
        state: what the object was to be restored from.
        items, pairs: what was to be appended to it or set in it.
    """

    kind: Any
    args: tuple[Any, ...]
    state: Any = None
    items: list[Any] = field(default_factory=list)
    pairs: list[tuple[Any, Any]] = field(default_factory=list)

    def named(self, *names: str) -> bool:
        """Whether it is an object of a class with one of these full names."""
        return isinstance(self.kind, Global) and str(self.kind) in names


class Fields(dict):  # type: ignore[type-arg]
    """Stands for a dictionary whose keys are also attributes."""


@dataclass(eq=False, slots=True)
class Module:
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
class TensorRef:
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
        organza.formats.records.RefusedError: a tensor [1000000, 3] that doesn't fit its storage of 6 numbers
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


def sizes(value: Any) -> tuple[int, ...]:
    """A tuple of at most 16 sizes.

    Raises:
        RefusedError: anything else.
    """
    plain = isinstance(value, (tuple, list)) and len(value) <= 16
    if not plain or not all(type(n) is int and 0 <= n < 2**48 for n in value):
        raise RefusedError("sizes that are not sizes")
    return tuple(value)


@dataclass(eq=False, slots=True)
class DType:
    """A NumPy number format; only plain numbers are known."""

    code: str
    order: str = "|"

    def build(self, state: Any) -> None:
        """Take the byte order from a pickled state."""
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", "|", "="):
            self.order = state[1]

    def numpy(self) -> np.dtype[Any]:
        """The format itself.

        Raises:
            RefusedError: not plain numbers.
        """
        if self.code not in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"):
            raise RefusedError(f"an array of {self.code[:20]!r}")
        return np.dtype(self.order + self.code)


@dataclass(eq=False, slots=True)
class Array:
    """A NumPy array that is described but not yet read."""

    shape: tuple[int, ...] = ()
    dtype: Any = None
    fortran: bool = False
    raw: Any = None

    def build(self, state: Any) -> None:
        """Take shape, format and bytes from a pickled state.

        Raises:
            RefusedError: not an array's state.
        """
        if not isinstance(state, tuple) or len(state) != 5:
            raise RefusedError("an array without its description")
        _, shape, self.dtype, fortran, self.raw = state
        self.shape, self.fortran = sizes(shape), bool(fortran)

    def numpy(self) -> NDArray[Any]:
        """The array itself, read-only.

        Raises:
            RefusedError: not plain numbers, or more or fewer bytes than declared.
        """
        if not isinstance(self.dtype, DType):
            raise RefusedError("an array without a format")
        dtype = self.dtype.numpy()
        raw = self.raw.encode("latin-1") if isinstance(self.raw, str) else self.raw
        if not isinstance(raw, (bytes, bytearray)) or len(raw) != math.prod(self.shape) * dtype.itemsize:
            raise RefusedError(f"an array {list(self.shape)} with other bytes than it declares")
        return np.frombuffer(raw, dtype).reshape(self.shape, order="F" if self.fortran else "C")

    def tensor(self) -> Tensor:
        """A copy as a tensor."""
        array = self.numpy()
        return torch.from_numpy(np.array(array, array.dtype.newbyteorder("="), order="C"))
