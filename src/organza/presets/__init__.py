"""Every preset by name: the only registry. A preset is a line in `index.py` and a value in its family's file.

Presets are plain values; one that varies another is written as `replace(that, one change)`. A new method adds its
config to its family's ``METHODS``. Names that need PyTorch are imported on first use, so that lists and help are quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from organza.presets.index import PRESETS, Preset, preset

if TYPE_CHECKING:
    from organza.presets.methods import METHODS
    from organza.presets.run import Run

__all__ = ["METHODS", "PRESETS", "Preset", "Run", "preset"]

_HOMES = {"METHODS": "methods", "Run": "run"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"organza.presets.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
