"""Each op has two forms, a plain reference and a fast twin that must agree with it. They are chosen here, for all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

import torch
from torch import Tensor

Twin = Literal["fast", "reference"]

_twin: ContextVar[Twin] = ContextVar("twin", default="fast")


def reference() -> bool:
    """Whether ops take their reference form now."""
    return _twin.get() == "reference"


def tracing() -> bool:
    """Whether a graph is being made of what is computed now (`torch.jit.trace`): it may not depend on numbers."""
    return torch._C._get_tracing_state() is not None


@contextmanager
def using(twin: Twin) -> Iterator[None]:
    """Run every op in its ``"fast"`` form (the default) or its ``"reference"`` form.

    The reference form works in the dtype of its inputs; networks feed it float32 unless told otherwise.

    Example:
        >>> with using("reference"):
        ...     print(reference())
        True
    """
    token = _twin.set(twin)
    try:
        yield
    finally:
        _twin.reset(token)


_parameters = True  # not a context variable: on GPUs, backward passes run in threads of their own


def input_gradient(total: Tensor, x: Tensor) -> Tensor:
    """The gradient of the scalar ``total`` by ``x``, differentiable again, for penalties on gradients.

    An autograd function can't see whose gradients a backward pass is for, so ours would find those of convolutions'
    weights as well, at the price of another convolution each. In here they leave them out; so ``x`` must not reach
    `conv2d` as its weight, or `bias_act` as its bias.

    Example:
        >>> x = torch.ones(2, requires_grad=True)
        >>> input_gradient((3 * x).sum(), x)
        tensor([3., 3.])
    """
    global _parameters
    before, _parameters = _parameters, False
    try:
        (gradient,) = torch.autograd.grad(total, x, create_graph=True)
    finally:
        _parameters = before
    return gradient


def parameter_gradients() -> bool:
    """Whether the backward pass under way is to find gradients of weights and biases."""
    return _parameters


def apply(function: type[torch.autograd.Function], *args: Any) -> Tensor:
    """``function.apply(*args)``; where nothing is differentiated the forward pass alone, which is twice as fast on
    small tensors. It is so when images are generated, and in most backward passes.
    """
    run: Any = function.apply if torch.is_grad_enabled() else function.forward
    out: Tensor = run(*args)
    return out
