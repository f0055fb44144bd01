"""Organza: train, run and explore generative adversarial networks.

The public names below are imported on first use, so that `import organza` costs nothing. Messages go through `logging`;
`organza.verbose()` shows all of them, as the command line does.

Example:
    >>> import organza
    >>> G = organza.load(tiny_run)
    >>> G.kind, G.resolution
    ('stylegan2', (16, 16))
    >>> G.generate(seeds=[0, 1], psi=0.7).shape
    (2, 16, 16, 3)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from organza import moved
from organza.core.version import __version__ as __version__

if TYPE_CHECKING:
    from organza.core.errors import UserError
    from organza.core.messages import verbose
    from organza.data import DataOptions, Dataset, open_dataset
    from organza.models.generator import Generator
    from organza.models.load import load
    from organza.models.translator import Translator
    from organza.presets import PRESETS, Preset, Run, preset
    from organza.runs.train import Outcome, dry_run, train

_HOMES = {
    "load": "models.load",
    "Generator": "models.generator",
    "Translator": "models.translator",
    "train": "runs.train",
    "dry_run": "runs.train",
    "Outcome": "runs.train",
    "open_dataset": "data",
    "Dataset": "data",
    "DataOptions": "data",
    "PRESETS": "presets",
    "Preset": "presets",
    "Run": "presets",
    "preset": "presets",
    "UserError": "core.errors",
    "verbose": "core.messages",
}

__all__ = [
    "PRESETS",
    "DataOptions",
    "Dataset",
    "Generator",
    "Outcome",
    "Preset",
    "Run",
    "Translator",
    "UserError",
    "dry_run",
    "load",
    "open_dataset",
    "preset",
    "train",
    "verbose",
]


moved.install()


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'organza' has no attribute {name!r}")
    return getattr(importlib.import_module(f"organza.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
