"""What a pickle may turn into: plain values and these records. None of them can do anything."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
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


class Record:
    """What stands for an object: its description."""

    __slots__ = ()

    def build(self, state: Any) -> None:
        """Take the attributes that a pickle gives an object; most don't matter."""

    def parts(self) -> list[Any]:
        """What it directly holds."""
        return []


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
class Stub(Record):
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

    def build(self, state: Any) -> None:
        """Keep the state."""
        self.state = state

    def parts(self) -> list[Any]:
        """All that was noted."""
        return [self.kind, self.args, self.state, self.items, *(v for _, v in self.pairs)]


class Fields(dict):  # type: ignore[type-arg]
    """Stands for a dictionary whose keys are also attributes."""


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
class DType(Record):
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
class Array(Record):
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
        import torch

        array = self.numpy()
        return torch.from_numpy(np.array(array, array.dtype.newbyteorder("="), order="C"))
