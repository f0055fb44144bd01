"""Parts of a loss whose inner tensors are made anew for the gradients instead of being kept: less memory, more time.

Chen, Xu, Zhang, Guestrin: Training Deep Nets with Sublinear Memory Cost. 2016, arXiv 1604.06174.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

T = TypeVar("T")
_WEIGHED: list[list[int]] = []


def recomputed(function: Callable[..., T], *tensors: Tensor) -> T:
    """``function(*tensors)``, of which nothing inside is kept.

    Args:
        function: gives tensors; twice the same ones, so it must not be random, nor change a buffer.
        tensors: what it is given.

    Example:
        >>> x = torch.tensor([2.0], requires_grad=True)
        >>> recomputed(lambda x: x.exp().sin(), x).backward()
        >>> bool(torch.isclose(x.grad, x.exp() * x.exp().cos()))
        True
    """
    if _WEIGHED and torch.is_grad_enabled():
        _WEIGHED[-1].append(_kept_by(function, *tensors))
    found: T = checkpoint(function, *tensors, use_reentrant=False, preserve_rng_state=False)
    return found


@contextmanager
def weighed() -> Iterator[list[int]]:
    """Meanwhile each part is weighed: the bytes that it keeps while gradients go through it."""
    _WEIGHED.append([])
    try:
        yield _WEIGHED[-1]
    finally:
        _WEIGHED.pop()


def _kept_by(function: Callable[..., object], *tensors: Tensor) -> int:
    storages: dict[int, torch.UntypedStorage] = {}

    def weigh(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(weigh, lambda tensor: tensor):
        function(*tensors)
    return sum(storage.nbytes() for storage in storages.values())
