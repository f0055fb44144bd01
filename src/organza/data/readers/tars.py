"""Tars and WebDataset shards, read in place; packed ones are unpacked into the cache once."""

from __future__ import annotations

import hashlib
import lzma
import shutil
import tarfile
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from organza.core.errors import UserError
from organza.core.files import atomic_write
from organza.core.jsons import read_json
from organza.data.cache import cache_root
from organza.data.labels import Labels, as_classes, from_values
from organza.data.names import beside, text_of
from organza.data.source import MAX_FILE, PICTURES, BadPicture, Entry, Source, find_side, may_be_picture, suffix

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# What tarfile and the decompressors raise on damage.
_BROKEN = (tarfile.TarError, OSError, EOFError, ValueError, OverflowError, zlib.error, lzma.LZMAError)


class _Member(NamedTuple):
    name: str
    size: int
    shard: int
    offset: int


class TarSource(Source):
    """Pictures in one tar or in many shards.

    In WebDataset's way, files of one name belong together: ``0001.jpg``, ``0001.cls`` (class), ``0001.json`` (with
    ``"label"``), ``0001.txt`` (caption).
    """

    kind = "tar"

    def __init__(self, path: Path, shards: tuple[Path, ...]) -> None:
        self.path, self.shards = path, shards
        self._all: list[_Member] | None = None

    def __reduce__(self) -> tuple[type[TarSource], tuple[Path, tuple[Path, ...]]]:
        return TarSource, (self.path, self.shards)

    @classmethod
    def recognise(cls, path: Path) -> TarSource | None:
        """A tar, packed or not; or a folder that holds tars and no pictures beside them."""
        if path.is_file():
            return cls(path, (_plain(path),)) if _is_tar(path) else None
        shards = sorted(f for f in path.iterdir() if f.is_file() and suffix(f.name) == ".tar")
        return (
            cls(path, tuple(shards)) if shards and not any(suffix(f.name) in PICTURES for f in path.iterdir()) else None
        )

    def fingerprint(self) -> str:
        """Sizes and times of change of all shards."""
        about = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in self.shards]
        return hashlib.sha256(repr(about).encode()).hexdigest()

    def _members(self) -> list[_Member]:
        if self._all is None:
            found: list[_Member] = []
            for number, shard in enumerate(self.shards):
                prefix = f"{shard.stem}/" if len(self.shards) > 1 else ""
                try:
                    with tarfile.open(shard, "r:") as tar:
                        for member in tar:
                            if member.isfile():
                                found.append(_Member(prefix + member.name, member.size, number, member.offset_data))
                except _BROKEN as error:
                    raise UserError(
                        f"not a whole tar ({error})", where=shard, hint="copy or download it again"
                    ) from None
            self._all = sorted(found)
        return self._all

    def entries(self) -> list[Entry]:
        """Sorted by name, with the shard's name in front if there are several."""
        found = [m for m in self._members() if may_be_picture(m.name) and suffix(m.name) != ".cls"]
        return [Entry(m.name, m.size, (m.shard, m.offset), suffix(m.name) in PICTURES) for m in found]

    def read(self, entry: Entry) -> bytes:
        """The bytes of one member."""
        if entry.size > MAX_FILE:
            raise BadPicture(f"{entry.size / 2**20:.0f} MB is more than a picture file may have ({MAX_FILE >> 20} MB)")
        shard, offset = entry.at
        with open(self.shards[shard], "rb") as file:
            file.seek(offset)
            data = file.read(entry.size)
        if len(data) < entry.size:
            raise BadPicture("cut short (the tar ends before it does)")
        return data

    def _content(self, member: _Member) -> bytes:
        return self.read(Entry(member.name, member.size, (member.shard, member.offset)))

    def side(self, name: str) -> bytes | None:
        """A member by its name."""
        found = find_side((m.name for m in self._members()), name)
        return None if found is None else self._content(next(m for m in self._members() if m.name == found))

    def _beside(self, entries: Sequence[Entry], kind: str) -> list[bytes | None]:
        members = {m.name: m for m in self._members() if m.name.lower().endswith(kind)}
        found = beside([e.name for e in entries], members, kind)
        return [None if name is None else self._content(members[name]) for name in found]

    def texts(self, entries: Sequence[Entry]) -> list[str | None]:
        """The ``.txt`` members beside the pictures."""
        return [None if t is None else text_of(t).strip() for t in self._beside(entries, ".txt")]

    def labels(self) -> Labels | None:
        """From ``.cls`` or ``.json`` members."""
        entries = self.entries()
        values = [_class(raw) for raw in self._beside(entries, ".cls")]
        if all(v is None for v in values):
            values = [_label(raw) for raw in self._beside(entries, ".json")]
        if all(v is None for v in values):
            return None
        labels = from_values(values, [e.name for e in entries], str(self.path))
        if labels.values.ndim == 1:
            return labels
        return replace(as_classes(labels.values.astype(np.float32)), missing=labels.missing, where=str(self.path))


def _class(raw: bytes | None) -> Any:
    try:
        return None if raw is None else int(raw)
    except ValueError:
        raise UserError(f"not a class: {raw[:20]!r}", where=".cls") from None  # type: ignore[index]


def _label(raw: bytes | None) -> Any:
    try:
        content = None if raw is None else read_json(raw, ".json")
    except UserError:
        return None
    return content.get("label", content.get("cls")) if isinstance(content, dict) else None


def _is_tar(path: Path) -> bool:
    try:
        return tarfile.is_tarfile(path)
    except _BROKEN:
        return False


def _plain(path: Path) -> Path:
    """``path``, or if it is packed, the tar in it: a packed tar has no random access."""
    try:
        with tarfile.open(path, "r:"):
            return path
    except _BROKEN:
        pass
    about = path.stat()
    key = hashlib.sha256(f"{path.resolve()}\0{about.st_size}\0{about.st_mtime_ns}".encode()).hexdigest()[:16]
    plain = cache_root() / "unpacked" / f"{path.name.split('.')[0]}-{key}.tar"
    if not plain.exists():
        opener = _opener(path)
        with atomic_write(plain) as temporary, opener(path, "rb") as packed, open(temporary, "wb") as out:
            try:
                shutil.copyfileobj(packed, out, 1 << 20)
            except _BROKEN as error:
                if isinstance(error, OSError) and error.errno:
                    raise  # the disk, not the archive
                raise UserError(f"can't be unpacked ({error})", where=path, hint="download it again") from None
    return plain


def _opener(path: Path) -> Any:
    import bz2
    import gzip

    with open(path, "rb") as file:
        head = file.read(6)
    if head[:2] == b"\x1f\x8b":
        return gzip.open
    return bz2.open if head[:3] == b"BZh" else lzma.open
