"""Files that are there whole or not at all.

A file is written under a temporary name beside its destination, flushed to the disk, and renamed: whoever opens the
destination sees the old contents or the new, also after a power cut, also while a writer is killed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
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
    errno.EFBIG: "the file is larger than this disk or your limit (ulimit -f) allows; write somewhere else",
    errno.EIO: "the disk does not answer as it should; write somewhere else",
}
_READING = {
    errno.EACCES: "you may not read this; ask its owner to change the permissions",
    errno.EPERM: "you may not read this; ask its owner to change the permissions",
    errno.ENOENT: "this is not there",
    errno.EISDIR: "this is a folder, not a file",
    errno.EIO: "the disk does not answer as it should",
}
_LEFT = re.compile(r"\.(.+)\.[0-9a-f]{8}\.(part|old|tmp(?:\.\w+)?)")


class TakenError(UserError):
    """What was to be made is there already."""


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


def read_error(path: str | os.PathLike[str], error: OSError) -> UserError:
    """``error`` as a `UserError`.

    Example:
        >>> read_error("in.png", OSError(errno.EACCES, "Permission denied"))
        UserError('in.png: you may not read this; ask its owner to change the permissions')
    """
    what = _READING.get(error.errno or 0, f"can't be read ({error.strerror or error})")
    return UserError(what, where=os.fspath(path))


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


def append(path: str | os.PathLike[str], data: bytes) -> None:
    """Add to the end of a file that grows, such as a log; it is made, with its folder, if need be.

    Raises:
        UserError: the disk is full or read-only, or permission is missing; a part may have been written.
    """
    make_folder(Path(path).parent)
    try:
        with open(path, "ab") as file:
            file.write(data)
    except OSError as error:
        raise write_error(path, error) from error


@contextmanager
def appending(path: str | os.PathLike[str]) -> Iterator[int]:
    """A handle at the end of a file that grows, such as the log of another process; it is made if need be.

    Raises:
        OSError: it can't be written.
    """
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        yield handle
    finally:
        os.close(handle)


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
        # Made here, so that it has the permissions of any new file. Some writers (safetensors) put a private one in
        # its place: the permissions are given back.
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        mode = os.fstat(handle).st_mode & 0o777
        os.close(handle)
        try:
            yield temporary
            temporary.chmod(mode)
            fsync_file(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise write_error(path, error) from error
    fsync_dir(path.parent)


@contextmanager
def atomic_folder(path: str | os.PathLike[str], *, replace: bool = False) -> Iterator[Path]:
    """Give an empty folder beside ``path``; when the block ends well, it becomes ``path``, else it is removed.

    By then each file in it is on the disk, with the permissions of any new file, whoever wrote it.

    Args:
        path: the folder to make; missing parents are created, an empty one is taken.
        replace: put it in the place of one that is there. That one is never lost: `sweep` brings it back if we are
            killed in between.

    Raises:
        TakenError: ``path`` is there already.
        UserError: the disk is full or read-only, or permission is missing.
    """
    path = Path(path)
    make_folder(path.parent)
    unique = secrets.token_hex(4)
    work, old = (path.with_name(f".{path.name}.{unique}.{end}") for end in ("part", "old"))
    try:
        work.mkdir()
        mode = work.stat().st_mode & 0o666
        yield work
        for file in work.rglob("*"):
            if file.is_file():
                file.chmod(mode)
                fsync_file(file)
            else:
                fsync_dir(file)
        fsync_dir(work)
        with contextlib.suppress(OSError):
            path.rmdir()  # an empty one is in nobody's way
        if replace and path.exists():
            path.rename(old)
        try:
            work.rename(path)
        except OSError:
            if not path.exists():
                raise
            raise TakenError("is there already", where=path, hint="give a new name") from None
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if old.exists() and not path.exists():
            old.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    fsync_dir(path.parent)


def discard(folder: Path) -> None:
    """Remove a folder so that nobody meets half of it."""
    gone = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
    with contextlib.suppress(OSError):
        folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what killed writers have left in ``folder``; what one was about to replace comes back.

    Only for whoever knows that nobody else writes there now.
    """
    for left in sorted(folder.iterdir()) if folder.is_dir() else []:
        match = _LEFT.fullmatch(left.name)
        if match is None:
            continue
        if match[2] == "old" and not left.with_name(match[1]).exists():
            left.rename(left.with_name(match[1]))
        elif left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
