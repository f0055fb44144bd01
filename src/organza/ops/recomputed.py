"""Parts of a loss whose inner tensors are made anew for the gradients instead of being kept: less memory, more time.

Chen, Xu, Zhang, Guestrin: Training Deep Nets with Sublinear Memory Cost. 2016, arXiv 1604.06174.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

T = TypeVar("T")


@dataclass
class Weighed:
    """What parts of a loss need, found on PyTorch's device of shapes.

    Attributes:
        largest: bytes that one part keeps while gradients go through it, at most.
        inputs: storages that are kept until then, of all parts.
        known: for each part that was met, what it gives.
    """

    largest: int = 0
    inputs: dict[int, torch.UntypedStorage] = field(default_factory=dict)
    known: dict[Any, Any] = field(default_factory=dict)


_WEIGHED: list[Weighed] = []


def recomputed(function: Callable[..., T], *tensors: Tensor) -> T:
    """``function(*tensors)``, of which nothing inside is kept.

    Args:
        function: gives a tuple of tensors; twice the same ones, so it must not be random, nor change a buffer.
        tensors: what it is given.

    Example:
        >>> x = torch.tensor([2.0], requires_grad=True)
        >>> recomputed(lambda x: (x.exp().sin(),), x)[0].backward()
        >>> bool(torch.isclose(x.grad, x.exp() * x.exp().cos()))
        True
    """
    if _WEIGHED and torch.is_grad_enabled():
        known: T = _weigh(_WEIGHED[-1], function, *tensors)
        return known
    found: T = checkpoint(function, *tensors, use_reentrant=False, preserve_rng_state=False)
    return found


@contextmanager
def weighed() -> Iterator[Weighed]:
    """Meanwhile parts are weighed, each kind once."""
    _WEIGHED.append(Weighed())
    try:
        yield _WEIGHED[-1]
    finally:
        _WEIGHED.pop()


def _weigh(found: Weighed, function: Callable[..., Any], *tensors: Tensor) -> Any:
    storages: dict[int, torch.UntypedStorage] = {}

    def weigh(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage._cdata] = storage
        return tensor

    for tensor in tensors:
        found.inputs[tensor.untyped_storage()._cdata] = tensor.untyped_storage()
    plain, said = (function.func, function.args) if isinstance(function, partial) else (function, ())
    kind = plain.__code__, said, tuple(tensor.shape for tensor in tensors)
    if kind not in found.known:
        with torch.autograd.graph.saved_tensors_hooks(weigh, lambda tensor: tensor):
            found.known[kind] = function(*tensors)
        found.largest = max(found.largest, sum(storage.nbytes() for storage in storages.values()))
    return tuple(torch.empty_like(made).requires_grad_() for made in found.known[kind])
