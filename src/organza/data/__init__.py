"""Images on disk -> batches for training.

`open_dataset` takes a folder, a zip, TFRecords ...; `Loader` streams batches from it. `open_domains` and
`DomainLoader` do the same for pairs and for two sets.

Names are imported on first use: worker processes need little of this, and only the loaders need PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from organza.data.dataset import Dataset, open_dataset
    from organza.data.domains import Domains, open_domains
    from organza.data.loader import DomainLoader, Loader
    from organza.data.options import DataOptions, parse_resolution

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

_HOMES = {
    "DataOptions": "options",
    "Dataset": "dataset",
    "DomainLoader": "loader",
    "Domains": "domains",
    "Loader": "loader",
    "open_dataset": "dataset",
    "open_domains": "domains",
    "parse_resolution": "options",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"organza.data.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
