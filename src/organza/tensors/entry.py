"""Tensors of somebody's file that are read when they are wanted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from organza.tensors.records import Array, RefusedError, TensorRef


@dataclass(frozen=True)
class Entry:
    """One tensor that can be read when it is wanted."""

    shape: tuple[int, ...]
    read: Callable[[], Tensor]

    def change(self, shape: tuple[int, ...], function: Callable[[Tensor], Tensor]) -> Entry:
        """The same, changed by ``function``, which makes it ``shape``."""
        return Entry(shape, lambda: function(self.read()))

    def reshape(self, *shape: int) -> Entry:
        """The same numbers in another shape."""
        return self.change(shape, lambda x: x.reshape(shape))

    def scale(self, factor: float) -> Entry:
        """The same times a number."""
        return self if factor == 1 else self.change(self.shape, lambda x: x * factor)


def entry(value: object) -> Entry:
    """An `Entry` of a pickled tensor, array or number.

    Raises:
        RefusedError: it is none of these.
    """
    if isinstance(value, (TensorRef, Array)):
        return Entry(value.shape, value.tensor)
    if isinstance(value, (int, float)):
        return constant(torch.tensor(float(value)))
    raise RefusedError("a tensor was expected")


def constant(value: Tensor) -> Entry:
    """An `Entry` of a tensor that is there."""
    return Entry(tuple(value.shape), lambda: value)
