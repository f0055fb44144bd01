"""Files packed by gzip, bzip2 or xz: unpacked into the cache once, because they have no random access."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import re
import shutil
import zlib
from typing import TYPE_CHECKING, BinaryIO, cast

from organza.core.cache import cache_root
from organza.core.errors import UserError
from organza.core.files import atomic_write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SLACK, RATIO = 1 << 28, 128
"""At any place at most `SLACK` bytes more than `RATIO` times what was read so far: bombs stop early, images don't."""

BROKEN = (OSError, EOFError, ValueError, OverflowError, zlib.error, lzma.LZMAError)
"""What the decompressors raise on damage."""

_OPENERS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open, b"\x5d\x00\x00": lzma.open}


def opener(path: Path) -> Callable[[BinaryIO], BinaryIO] | None:
    """What unpacks the file at ``path``, or None if it is not packed."""
    with open(path, "rb") as file:
        head = file.read(6)
    found = next((how for magic, how in _OPENERS.items() if head.startswith(magic)), None)
    return cast("Callable[[BinaryIO], BinaryIO] | None", found)


def unpacked(path: Path, suffix: str) -> Path:
    """``path`` itself, or where its unpacked content lies, under a name that ends in ``suffix``.

    Raises:
        UserError: damaged, cut short, or it unpacks to far more than it holds; or there is no room for it.
    """
    how = opener(path)
    if how is None:
        return path
    with open(path, "rb") as file:
        content = how(file)
        return cached_copy(path, path.name.split(".")[0] + suffix, iter(lambda: content.read(1 << 20), b""), file.tell)


def inflated(path: Path, offset: int, packed: int, name: str) -> Path:
    """Where a stretch of ``path`` that deflate has packed lies unpacked.

    Raises:
        UserError: as `unpacked`.
    """
    with open(path, "rb") as file:
        file.seek(offset)
        return cached_copy(path, name, inflate(file, packed), lambda: file.tell() - offset)


def inflate(file: BinaryIO, packed: int) -> Iterator[bytes]:
    """The unpacked content of the next ``packed`` bytes of ``file``, in blocks.

    Raises:
        EOFError: they end too early.
        zlib.error: they are damaged.
    """
    machine, raw = zlib.decompressobj(-15), b""
    while not machine.eof:
        if not raw:
            raw = file.read(min(packed, 1 << 16))
            packed -= len(raw)
        if block := machine.decompress(raw, 1 << 20):
            yield block
        elif not raw:
            raise EOFError("it is cut short")
        raw = machine.unconsumed_tail


def cached_copy(path: Path, name: str, blocks: Iterator[bytes], consumed: Callable[[], int]) -> Path:
    """``blocks`` one after another, as a file in the cache.

    Args:
        path: what it comes from: it is unpacked again where that has changed.
        name: what it is called in there.
        blocks: the content.
        consumed: how many bytes were read for it so far.

    Raises:
        UserError: damaged, cut short, or it unpacks to far more than it holds; or there is no room for it.
    """
    about = path.stat()
    key = f"{path.resolve()}\0{about.st_size}\0{about.st_mtime_ns}\0{name}"
    digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    stem, dot, suffix = re.sub(r"[^a-zA-Z0-9_.-]", "-", name).rpartition(".")
    plain = cache_root() / "unpacked" / f"{stem[:60]}-{digest}{dot}{suffix[:20]}"
    if plain.exists():
        return plain
    written = 0
    with atomic_write(plain) as temporary, open(temporary, "wb") as out:
        free = shutil.disk_usage(temporary.parent).free
        while block := _next(blocks, path):
            written += len(block)
            if written > SLACK + RATIO * consumed():
                what = f"it unpacks to more than {written >> 20} MB, {RATIO} times what it holds"
                raise UserError(what, where=path, hint="unpack it yourself if it is what it should be")
            if written > free:
                raise UserError(f"no room to unpack it ({free >> 20} MB free)", where=plain.parent)
            out.write(block)
    return plain


def _next(blocks: Iterator[bytes], path: Path) -> bytes:
    try:
        return next(blocks, b"")
    except BROKEN as error:
        raise UserError(f"can't be unpacked ({error})", where=path, hint="download it again") from None
