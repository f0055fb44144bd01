"""How fast this machine computes, remembered from the last `organza doctor`: so lists can say what a training costs
without importing PyTorch."""

from __future__ import annotations

import json
from collections.abc import Mapping

from organza.core.cache import cache_root
from organza.core.errors import UserError
from organza.core.files import atomic_write, make_folder
from organza.core.jsons import read_json

FILE = "speed.json"


def remember(rates: Mapping[str, float]) -> None:
    """Keep GFLOP/s of convolutions by format, such as ``{"float32": 70.0}``; where nothing can be kept, nothing is.

    Example:
        >>> remember({"float32": 70.04, "bf16": 110})
        >>> remembered()
        70.0
    """
    try:
        make_folder(cache_root())
        with atomic_write(cache_root() / FILE) as temporary:
            temporary.write_text(json.dumps({name: round(rate, 1) for name, rate in rates.items()}) + "\n")
    except UserError:
        pass


def remembered() -> float | None:
    """GFLOP/s in float32; None where nobody has measured."""
    path = cache_root() / FILE
    try:
        found = read_json(path.read_bytes(), path)
    except (OSError, UserError):
        return None
    rate = found.get("float32") if isinstance(found, dict) else None
    return rate if isinstance(rate, float) and 0 < rate < 1e9 else None
