"""How long work tells whoever started it how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""``progress(done, total)``, called in the caller's thread."""
