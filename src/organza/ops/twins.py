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


def apply(function: type[torch.autograd.Function], *args: Any) -> Tensor:
    """``function.apply(*args)``, which PyTorch leaves without types."""
    out: Tensor = function.apply(*args)  # type: ignore[no-untyped-call]
    return out
