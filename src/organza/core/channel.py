"""How a command tells another program how far it is: a small JSON that is always whole.

Where the environment variable ``ORGANZA_PROGRESS`` names a file, it holds what the command last said of itself:
``{"pid", "title", "unit", "done", "total", "rate", "eta", "code", "error"}``, as far as it is known. ``rate`` is in
units a second, ``eta`` in seconds, ``code`` the exit code at the end. Without the variable nothing is written.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import deque
from pathlib import Path
from typing import Any

from organza.core.errors import UserError
from organza.core.files import atomic_write

PROGRESS = "ORGANZA_PROGRESS"
PREVIEW = "preview.png"
"""The newest image of the work, in the file's folder."""
EVERY = 0.5
"""Seconds between two writings."""
MEMORY = 20.0
"""Seconds over which a rate is taken."""


class Channel:
    """Writes to the file that the environment names; a disk that is full must not end the work."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._told: dict[str, Any] = {"pid": os.getpid()}
        self._last = 0.0
        self._marks: deque[tuple[float, int]] = deque()

    @property
    def preview(self) -> Path:
        """Where the newest image of the work belongs."""
        return self.path.with_name(PREVIEW)

    def begun(self) -> None:
        """Say which process this is."""
        self._write()

    def progress(self, title: str, unit: str, done: int, total: int) -> None:
        """Say how far the work called ``title`` is. It is cheap: written is twice a second at most."""
        now = time.monotonic()
        if title != self._told.get("title") or (self._marks and done < self._marks[-1][1]):
            self._marks.clear()
            self._last = 0.0
        if done < total and now - self._last < EVERY:
            return
        self._last = now
        self._marks.append((now, done))
        while len(self._marks) > 2 and now - self._marks[1][0] > MEMORY:
            self._marks.popleft()
        (before, was), (after, now_done) = self._marks[0], self._marks[-1]
        rate = (now_done - was) / (after - before) if after > before and now_done > was else None
        eta = None if rate is None else round(max(0, total - done) / rate, 1)
        self._told |= {"title": title, "unit": unit, "done": done, "total": total}
        self._told |= {"rate": None if rate is None else round(rate, 3), "eta": eta}
        self._write()

    def ended(self, code: int, error: str | None = None) -> None:
        """Say how it ended."""
        self._told |= {"code": code, "error": error}
        self._write()

    def _write(self) -> None:
        with contextlib.suppress(OSError, UserError), atomic_write(self.path) as temporary:
            temporary.write_text(json.dumps(self._told), encoding="utf-8")


_open: dict[str, Channel] = {}


def channel() -> Channel | None:
    """The channel of this process; None where nobody listens.

    Example:
        >>> channel() is None
        True
    """
    path = os.environ.get(PROGRESS)
    if not path:
        return None
    if path not in _open:
        _open[path] = Channel(Path(path))
    return _open[path]
