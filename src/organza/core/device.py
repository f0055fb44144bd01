"""Device, number format and threads: decided here, once.

Networks ask `compute_dtype` where they enter their convolution stack and know nothing else of precision. Weights,
logits, pictures and losses stay float32 everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import torch
from torch import Tensor

Precision = Literal["auto", "float32", "bf16"]

_compute: ContextVar[torch.dtype] = ContextVar("compute", default=torch.float32)


def compute_dtype() -> torch.dtype:
    """The format of activations inside convolution stacks: float32 unless `computing` says otherwise."""
    return _compute.get()


@contextmanager
def computing(dtype: torch.dtype) -> Iterator[None]:
    """Run networks with activations of ``dtype``.

    Example:
        >>> with computing(torch.bfloat16):
        ...     print(compute_dtype())
        torch.bfloat16
    """
    token = _compute.set(dtype)
    try:
        yield
    finally:
        _compute.reset(token)


def to_compute(x: Tensor) -> Tensor:
    """``x`` ``[N, C, H, W]`` in the current format, channels last: what fast convolutions want."""
    return x.to(dtype=compute_dtype(), memory_format=torch.channels_last)
