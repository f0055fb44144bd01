"""A lock between processes that the system drops when its holder dies, however it dies."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from organza.core.errors import UserError

_BUSY = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)
_UNABLE = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK, errno.EBADF)
"""What file systems say that can't lock, or (NFS) not a folder: we go on without, as there is nothing better."""


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock at ``path``: a file, which is made if need be, or a folder (Windows has no locks for those).

    A lock file names its holder. It stays when the lock is gone: what counts is the lock, not the file.

    Raises:
        BlockingIOError: another process holds it, and ``wait`` is false; the text says which one.
        UserError: a link lies there: what it leads to would be overwritten.

    Example:
        >>> with locked(folder / "lock"), locked(folder / "lock", wait=False):
        ...     pass
        Traceback (most recent call last):
        ...
        BlockingIOError: process ... on ...
    """
    folder = path.is_dir()
    if folder and sys.platform == "win32":
        yield
        return
    if path.is_symlink() and not folder:
        raise UserError("is a link, and a lock is written there", where=path, hint="remove the link")
    follow = 0 if folder else getattr(os, "O_NOFOLLOW", 0)
    handle = os.open(path, os.O_RDONLY if folder else os.O_RDWR | os.O_CREAT | follow, 0o666)
    try:
        if not _lock(handle, wait):
            holder = b"" if folder else os.read(handle, 200)
            raise BlockingIOError(holder.decode("utf-8", "replace").strip() or "another process")
        if not folder:
            os.ftruncate(handle, 0)
            os.write(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield
    finally:
        os.close(handle)


def _lock(handle: int, wait: bool) -> bool:
    """Whether the lock is ours now."""
    while True:
        try:
            if sys.platform == "win32":
                import msvcrt

                os.lseek(handle, 1 << 30, os.SEEK_SET)  # a byte beyond the holder's name, which others may read
                try:
                    msvcrt.locking(handle, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
                finally:
                    os.lseek(handle, 0, os.SEEK_SET)
            else:
                import fcntl

                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            return True
        except OSError as error:
            if error.errno in _UNABLE:
                return True
            if error.errno not in _BUSY:
                raise
            if not wait:
                return False
