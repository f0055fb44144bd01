"""Tars and WebDataset shards, read in place; packed ones are unpacked into the cache once."""

from __future__ import annotations

import hashlib
import io
import os
import posixpath
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from organza.core.errors import UserError
from organza.core.jsons import read_json
from organza.core.sniff import refuse_stand_in
from organza.data.readers.packed import BROKEN, opener, unpacked
from organza.data.source import PICTURES, BadPicture, Contents, Entry, FileSource, file_entry, sort_out, suffix
from organza.data.tables.labels import as_classes, from_values
from organza.data.tables.values import Labels

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BROKEN = (tarfile.TarError, *BROKEN)
_BLOCK = tarfile.BLOCKSIZE


class _Place(NamedTuple):
    shard: int
    offset: int
    trouble: str


class TarSource(FileSource):
    """Images in one tar or in many shards.

    In WebDataset's way, files of one name belong together: ``0001.jpg``, ``0001.cls`` (class), ``0001.json`` (with
    ``"label"``), ``0001.txt`` (caption).
    """

    kind = "tar"

    def __init__(self, path: Path, shards: tuple[Path, ...], beside: tuple[str, ...] = ()) -> None:
        self.path, self.shards, self._left = path, shards, beside
        self._all: list[Entry] | None = None

    def __reduce__(self) -> tuple[type[TarSource], tuple[Path, tuple[Path, ...], tuple[str, ...]]]:
        return TarSource, (self.path, self.shards, self._left)

    @classmethod
    def recognise(cls, path: Path) -> TarSource | None:
        """A tar, packed or not; or a folder that holds tars and no images beside them."""
        if path.is_file():
            return cls(path, (unpacked(path, ".tar"),)) if _is_tar(path) else None
        files = sorted(f for f in path.iterdir() if f.is_file())
        shards = [f for f in files if suffix(f.name) == ".tar"]
        if not shards or any(suffix(f.name) in PICTURES for f in files):
            return None
        return cls(path, tuple(shards), tuple(f.name for f in files if f not in shards))

    def fingerprint(self) -> str:
        """Sizes and times of change of all shards."""
        about = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in self.shards]
        return hashlib.sha256(repr(about).encode()).hexdigest()

    def files(self) -> list[Entry]:
        """All members but folders, with the shard's name in front if there are several."""
        if self._all is None:
            found: list[Entry] = []
            for number, shard in enumerate(self.shards):
                prefix = f"{shard.stem}/" if len(self.shards) > 1 else ""
                refuse_stand_in(shard)
                try:
                    found += _listed(shard, number, prefix)
                except _BROKEN as error:
                    hint = "copy or download it again"
                    raise UserError(f"not a whole tar ({error})", where=shard, hint=hint) from None
            self._all = sorted(found)
        return self._all

    def contents(self) -> Contents:
        """Members by their names; ``.cls`` holds a class, and files beside shards are of another kind."""
        if self._contents is None:
            found = sort_out([file for file in self.files() if suffix(file.name) != ".cls"])
            classes = [(file.name, ".cls") for file in self.files() if suffix(file.name) == ".cls"]
            beside = [(name, suffix(name) or "a file beside the shards") for name in self._left]
            self._contents = Contents(found.entries, found.others + classes + beside)
        return self._contents

    def fetch(self, file: Entry) -> bytes:
        """The bytes of one member."""
        place: _Place = file.at
        if place.trouble:
            raise BadPicture(place.trouble)
        with open(self.shards[place.shard], "rb") as opened:
            opened.seek(place.offset)
            data = opened.read(file.size)
        if len(data) < file.size:
            raise BadPicture("cut short (the tar ends before it does)")
        return data

    def labels(self) -> Labels | None:
        """From ``.cls`` or ``.json`` members."""
        entries = self.entries()
        values = [_class(raw) for raw in self.beside(entries, ".cls")]
        if all(v is None for v in values):
            values = [_label(raw, e.name) for raw, e in zip(self.beside(entries, ".json"), entries, strict=True)]
        if all(v is None for v in values):
            return None
        labels = from_values(values, [e.name for e in entries], str(self.path))
        if labels.values.ndim == 1:
            return labels
        return replace(as_classes(labels.values.astype(np.float32)), missing=labels.missing, where=str(self.path))


def _listed(shard: Path, number: int, prefix: str) -> list[Entry]:
    """The members of one tar: files, and links to files that are in it too."""
    found: list[Entry] = []
    links: list[tuple[str, str]] = []
    with open(shard, "rb") as file:
        for member in _members(file):
            name = prefix + member.name
            if member.issym() or member.islnk():
                folder = posixpath.dirname(member.name) if member.issym() else ""
                links.append((name, prefix + posixpath.normpath(posixpath.join(folder, member.linkname))))
            elif not member.isdir():
                trouble = "" if member.type in _PLAIN else "not a plain file (sparse, a device or a pipe)"
                found.append(file_entry(name, member.size, _Place(number, member.offset_data, trouble)))
    known = {prefix + posixpath.normpath(file.name[len(prefix) :]): file for file in found}
    onward = {prefix + posixpath.normpath(name[len(prefix) :]): target for name, target in links}
    for name, target in links:
        for _ in range(40):  # as many as systems follow
            target = onward.get(target, target) if target not in known else target
        there = known.get(target)
        lost = _Place(number, 0, "a link that leads to no file in the tar")
        found.append(file_entry(name, 0, lost) if there is None else file_entry(name, there.size, there.at))
    return found


def _members(file: BinaryIO) -> Iterator[tarfile.TarInfo]:
    """All members of a tar, and of others that were put behind it.

    Python's `tarfile` stops without a word where a header is damaged or the file was cut between two members; what
    comes after the last member is looked at here, therefore.

    Raises:
        tarfile.ReadError: it does not end in an end marker, or there is something else behind that.
    """
    start: int | None = 0
    while start is not None:
        file.seek(start)
        with tarfile.open(fileobj=_Whole(file), mode="r:") as tar:
            count = 0
            for count, member in enumerate(tar, 1):  # noqa: B007
                if member.size < 0 or member.offset < start:
                    raise tarfile.ReadError(f"damaged at byte {member.offset:,}")
                start = member.offset + 1
                yield member
            end = tar.offset
        file.seek(end)
        block = file.read(_BLOCK)
        if not block:
            raise tarfile.ReadError(f"cut short: there is no end marker after {count:,} members")
        if block.strip(b"\0"):
            raise tarfile.ReadError(f"damaged at byte {end:,}, after {count:,} members")
        start = _next_used(file, end)


class _Whole(io.RawIOBase):
    """A file of which no more is asked for than is there: a head that declares any size would get it reserved."""

    def __init__(self, file: BinaryIO) -> None:
        at = file.tell()
        self.file, self.size = file, file.seek(0, os.SEEK_END)
        file.seek(at)

    def read(self, size: int = -1, /) -> bytes:
        left = self.size - self.file.tell()
        return self.file.read(left if size < 0 else min(size, max(0, left)))

    def seek(self, place: int, how: int = os.SEEK_SET, /) -> int:
        return self.file.seek(place, how)

    def tell(self) -> int:
        return self.file.tell()


def _next_used(file: BinaryIO, end: int) -> int | None:
    """The first block after ``end`` that holds anything."""
    at = file.seek(end)
    while chunk := file.read(1 << 20):
        if left := chunk.lstrip(b"\0"):
            return at + (len(chunk) - len(left)) // _BLOCK * _BLOCK
        at += len(chunk)
    return None


_PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)


def _class(raw: bytes | None) -> Any:
    try:
        return None if raw is None else int(raw[:100])
    except ValueError:
        raise UserError(f"not a class: {raw[:20]!r}", where=".cls") from None  # type: ignore[index]


def _label(raw: bytes | None, name: str) -> Any:
    if raw is None:
        return None
    try:
        content = read_json(raw, name, max_memory=1 << 28)
    except UserError:
        return None
    return content.get("label", content.get("cls")) if isinstance(content, dict) else None


def _is_tar(path: Path) -> bool:
    """By the first block alone: the rest may unpack to anything."""
    try:
        how = opener(path)
        with open(path, "rb") as file:
            head = (file if how is None else how(file)).read(_BLOCK)
        if head == bytes(_BLOCK):  # a tar of nothing
            return suffix(path.name.removesuffix(".gz")) == ".tar"
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except _BROKEN:
        return False
    return True
