"""Where Organza keeps what it can make or fetch again."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_root() -> Path:
    """``$ORGANZA_CACHE``, or the platform's folder for caches."""
    if chosen := os.environ.get("ORGANZA_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local") / "organza" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/organza"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "organza"
