"""Each op has two forms: a plain `reference` and a `fast` twin that must agree with it. Chosen here, for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

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
