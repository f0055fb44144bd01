"""Files that are there whole or not at all.

A file is written under a temporary name beside its destination, flushed to the disk, and renamed: whoever opens the
destination sees the old contents or the new, also after a power cut, also while a writer is killed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from organza.core.errors import UserError

_HINTS = {
    errno.ENOSPC: "the disk is full; free some space or write somewhere else",
    errno.EDQUOT: "your disk quota is used up; free some space or write somewhere else",
    errno.EROFS: "this disk is read-only; write somewhere else",
    errno.EACCES: "you may not write here; change the permissions or write somewhere else",
    errno.EPERM: "you may not write here; change the permissions or write somewhere else",
    errno.ENOTDIR: "a part of this path is a file, not a folder; choose another name",
    errno.EEXIST: "a part of this path is a file, not a folder; choose another name",
    errno.EISDIR: "this is a folder; give the name of a file",
    errno.ENOENT: "no file can be made here; write somewhere else",
    errno.ELOOP: "a link here leads to itself; choose another name",
    errno.EINVAL: "this disk takes no such name; choose another one",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}


def user_path(text: str | os.PathLike[str]) -> Path:
    """A path as a person writes it: ``~`` is their home. Every path from a command line or a call passes here.

    Raises:
        UserError: no path at all (empty, or with a zero byte).

    Example:
        >>> user_path("~/runs") == Path.home() / "runs"
        True
    """
    plain = os.fspath(text)
    if not plain or "\0" in plain:
        raise UserError(f"{plain!r} is not a path")
    try:
        return Path(plain).expanduser()
    except RuntimeError:  # ~somebody who is not there
        raise UserError("there is no such home folder", where=plain) from None


def write_error(path: str | os.PathLike[str], error: OSError) -> Exception:
    """``error`` as a `UserError` where the user can put it right; otherwise ``error`` itself.

    Example:
        >>> write_error("out.png", OSError(errno.ENOSPC, "No space left on device"))
        UserError('out.png: cannot be written; the disk is full; free some space or write somewhere else')
    """
    hint = _HINTS.get(error.errno or 0)
    return error if hint is None else UserError("cannot be written", where=os.fspath(path), hint=hint)


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Create the folder ``path`` and its parents where missing.

    Raises:
        UserError: no room, no permission, or a file stands in the way.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:  # on file systems that aren't for files, such as /proc
        raise UserError("this folder can't be made", where=path, hint="write somewhere else") from error
    except OSError as error:
        raise write_error(path, error) from error
    return Path(path)


def fsync_dir(path: str | os.PathLike[str]) -> None:
    """Make renames inside the folder ``path`` survive a power cut (nothing to do where the system lacks it)."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def fsync_file(path: str | os.PathLike[str]) -> None:
    """Flush the contents of the file ``path`` to the disk."""
    # A writable handle, because Windows refuses to flush others.
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside ``path``; when the block ends well, it becomes ``path``, else it is removed.

    The temporary file exists already, is empty, and has the same suffix, so writers that choose a format by suffix
    work. Missing parent folders are created.

    Raises:
        UserError: the disk is full or read-only, or permission is missing.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with atomic_write(Path(folder, "note.txt")) as temporary:
        ...         _ = temporary.write_text("hello")
        ...     print([file.name for file in Path(folder).iterdir()])
        ['note.txt']
    """
    path = Path(path)
    make_folder(path.parent)
    temporary = path.with_name(f".{path.stem[:100]}.{secrets.token_hex(4)}.tmp{path.suffix}")
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a directory")
        # Made here rather than by `tempfile`, whose private permissions would outlive the rename.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        try:
            yield temporary
            fsync_file(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise write_error(path, error) from error
    fsync_dir(path.parent)
