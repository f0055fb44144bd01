"""Pictures on disk -> batches for training.

`open_dataset` takes a folder, a zip or MNIST's idx files; `Loader` streams batches from it. The data tools and worker
processes use this package without PyTorch, so `Loader`, which needs it, is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from organza.data.dataset import Dataset, open_dataset
from organza.data.options import DataOptions, parse_resolution

if TYPE_CHECKING:
    from organza.data.loader import Loader

__all__ = ["DataOptions", "Dataset", "Loader", "open_dataset", "parse_resolution"]


def __getattr__(name: str) -> Any:
    if name == "Loader":
        from organza.data.loader import Loader

        return Loader
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
