"""Pictures on disk -> batches for training.

`open_dataset` takes a folder, a zip, TFRecords ...; `Loader` streams batches from it. `open_domains` and
`DomainLoader` do the same for pairs and for two sets. The data tools and worker
processes use this package without PyTorch, so the loaders, which need it, are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from organza.data.dataset import Dataset, open_dataset
from organza.data.domains import Domains, open_domains
from organza.data.options import DataOptions, parse_resolution

if TYPE_CHECKING:
    from organza.data.loader import DomainLoader, Loader

__all__ = [
    "DataOptions",
    "Dataset",
    "DomainLoader",
    "Domains",
    "Loader",
    "open_dataset",
    "open_domains",
    "parse_resolution",
]


def __getattr__(name: str) -> Any:
    if name in ("Loader", "DomainLoader"):
        from organza.data import loader

        return getattr(loader, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
