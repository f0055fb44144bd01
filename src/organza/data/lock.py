"""A lock between processes that the system drops when its holder dies."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock at ``path``, a file that is made if need be.

    Raises:
        BlockingIOError: another process holds it, and ``wait`` is false.
    """
    with open(path, "ab") as file:
        _lock(file, wait)
        yield


def _lock(file: IO[bytes], wait: bool) -> None:
    if sys.platform == "win32":
        import msvcrt

        file.seek(0)
        while True:
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK if not wait else msvcrt.LK_LOCK, 1)
                return
            except OSError:
                if not wait:
                    raise BlockingIOError("held by another process") from None
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
