"""LMDB files of encoded images by key: LSUN's, BasicSR's, and those of rosinality's StyleGAN2.

The file is read here, page by page, rather than through the library of that name: that maps the file into memory and
follows whatever it says there, so that one cut short or damaged ends the process, or keeps it busy for ever. Here each
page is inside the file and is visited once.

Sources: openldap/libraries/liblmdb/mdb.c (``MDB_meta``, ``MDB_page``, ``MDB_node``; data version 1, 64 bits);
F. Yu et al., "LSUN", arXiv 1506.03365; rosinality/stylegan2-pytorch, ``prepare_data.py``.
"""

from __future__ import annotations

import hashlib
import re
import struct
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from organza.core.errors import UserError
from organza.core.sniff import refuse_stand_in
from organza.data.source import MAX_FILE, PICTURES, BadPicture, Contents, Entry, Source, suffix

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAGIC = b"\xde\xc0\xef\xbe"
_META = struct.Struct("<4sI2Q 48s IHH5Q 2Q")
_BRANCH, _LEAF, _OVERFLOW = 1, 2, 4
_BIG, _SUB, _DUP = 1, 2, 4
_NONE = 2**64 - 1
_HEAD = 16
_COUNTERS = ("length", "__len__", "__keys__", "num-samples", "num_samples")


class _Damaged(Exception):
    pass


class _Value(NamedTuple):
    key: bytes
    offset: int
    size: int


class LmdbSource(Source):
    """An LMDB file whose values are encoded images.

    Where keys are SIZE-NUMBER, the same images are there in several sizes: the largest of each is taken.
    """

    kind = "LMDB"

    def __init__(self, path: Path, file: Path) -> None:
        self.path, self.file = path, file
        self._contents: Contents | None = None

    def __reduce__(self) -> tuple[type[LmdbSource], tuple[Path, Path]]:
        return LmdbSource, (self.path, self.file)

    @classmethod
    def recognise(cls, path: Path) -> LmdbSource | None:
        """The file itself, the folder that holds it, or the folder above that.

        Raises:
            UserError: there are several in it.
        """
        if path.is_file():
            return cls(path, path) if _is_lmdb(path) else None
        children = sorted(path.iterdir())
        if any(suffix(child.name) in PICTURES for child in children):
            return None
        inside = [child / "data.mdb" for child in children if (child / "data.mdb").is_file()]
        # A file called data.mdb promises one, others (Google Drive's data-001.mdb) must look like one.
        own = [f for f in children if f.is_file() and (f.name == "data.mdb" or (f.suffix == ".mdb" and _is_lmdb(f)))]
        found = own or inside
        if len(found) > 1:
            names = ", ".join(str(f.parent.name if inside and not own else f.name) for f in found)
            raise UserError(f"{len(found)} LMDBs in one folder", where=path, hint=f"give one of them: {names}")
        return cls(path, found[0]) if found else None

    def fingerprint(self) -> str:
        """Size and time of change."""
        about = self.file.stat()
        return hashlib.sha256(f"{about.st_size} {about.st_mtime_ns}".encode()).hexdigest()

    def contents(self) -> Contents:
        """Sorted by key."""
        if self._contents is None:
            try:
                refuse_stand_in(self.file)
                with open(self.file, "rb") as file:
                    found = list(_values(file, self.file.stat().st_size))
            except (_Damaged, struct.error, OSError) as error:
                hint = "download it again"
                raise UserError(f"not a whole LMDB ({error})", where=self.file, hint=hint) from None
            self._contents = _sorted_out(found)
        return self._contents

    def read(self, entry: Entry) -> bytes:
        """The value of one key."""
        if entry.size > MAX_FILE:
            raise BadPicture(f"{entry.size / 2**20:.0f} MB is more than an image file may have ({MAX_FILE >> 20} MB)")
        with open(self.file, "rb") as file:
            file.seek(entry.at)
            data = file.read(entry.size)
        if len(data) != entry.size:
            raise BadPicture("cut short (the file ends before it does)")
        return data


def _is_lmdb(path: Path) -> bool:
    with open(path, "rb") as file:
        head = file.read(20)
    return head[16:20] == MAGIC


def _sorted_out(values: list[_Value]) -> Contents:
    """Images on one side; counters, and smaller copies of the same images, on the other."""
    entries, others = [], []
    sizes = [re.fullmatch(rb"(\d{1,9})-(\d{1,18})", value.key) for value in values]
    many = len({found[1] for found in sizes if found}) > 1
    largest: dict[bytes, int] = {}
    for found in sizes:
        if found and many:
            largest[found[2]] = max(int(found[1]), largest.get(found[2], 0))
    for value, found in zip(values, sizes, strict=True):
        name = value.key.decode("utf-8", "backslashreplace")
        if name in _COUNTERS:
            others.append((name, "a counter"))
        elif found and many and int(found[1]) < largest[found[2]]:
            others.append((name, f"the same image at {int(found[1])}, of which {largest[found[2]]} is taken"))
        else:
            entries.append(Entry(name, value.size, value.offset))
    assert len(entries) + len(others) == len(values)
    return Contents(entries, others)


def _values(file: BinaryIO, size: int) -> Iterator[_Value]:
    """Keys, and where their values lie, in the order of the keys.

    Raises:
        _Damaged, struct.error: the tree of pages contradicts itself or the size of the file.
    """
    page_size, count, root = _meta(file, size)
    seen: set[int] = set()

    def page(number: int) -> tuple[bytes, int, int]:
        """A page, its flags, and its upper bound (or how many pages it covers)."""
        if number in seen:
            raise _Damaged(f"page {number} occurs twice")
        if (number + 1) * page_size > size:
            raise _Damaged(f"page {number} lies behind the end of the file")
        seen.add(number)
        file.seek(number * page_size)
        raw = file.read(page_size)
        return raw, *struct.unpack_from("<HI", raw, 10)

    waiting = [root] if root != _NONE else []
    found = 0
    while waiting:
        raw, flags, _ = page(waiting.pop())
        nodes = _nodes(raw)
        if flags & _BRANCH:
            waiting += [low | high << 16 | top << 32 for _, low, high, top, _ in reversed(nodes)]
            continue
        if flags & ~0x10 != _LEAF:
            raise _Damaged(f"a page of the unknown kind {flags}")
        start = file.tell() - page_size
        for at, low, high, kind, length in nodes:
            key, data, amount = raw[at + 8 : at + 8 + length], at + 8 + length, low | high << 16
            if kind & (_SUB | _DUP):
                raise _Damaged("it holds named databases or several values for a key, which no set of images does")
            found += 1
            if not kind & _BIG:
                yield _Value(key, start + data, amount)
                continue
            (number,) = struct.unpack_from("<Q", raw, data)
            _, kind, pages = page(number)
            where = number * page_size + _HEAD
            if not kind & _OVERFLOW or _HEAD + amount > pages * page_size or where + amount > size:
                raise _Damaged(f"a value of {amount} bytes does not fit its {pages} pages")
            yield _Value(key, where, amount)
    if found != count:
        raise _Damaged(f"{found} values of {count}")


def _meta(file: BinaryIO, size: int) -> tuple[int, int, int]:
    """Page size, number of values, root page: of the newer of the two meta pages."""
    head = file.read(_HEAD + _META.size)
    if len(head) < _HEAD + _META.size or head[16:20] != MAGIC:
        raise _Damaged("it does not begin as one")
    page_size = struct.unpack_from("<I", head, _HEAD + 24)[0]
    if page_size not in (1 << n for n in range(9, 17)):
        raise _Damaged(f"pages of {page_size} bytes")
    file.seek(page_size)
    metas = [head, file.read(_HEAD + _META.size)]
    read = [_META.unpack_from(raw, _HEAD) for raw in metas if len(raw) == len(head) and raw[16:20] == MAGIC]
    _, version, *_, flags, _, _, _, _, count, root, _, _ = max(read, key=lambda meta: meta[-1])
    if version != 1:
        raise _Damaged(f"version {version} of the format is not known")
    if flags & 4:
        raise _Damaged("several values for a key, which no set of images has")
    return page_size, count, root


def _nodes(raw: bytes) -> list[tuple[int, int, int, int, int]]:
    """(place, low, high, flags, length of the key) of each node in a page; they share no byte."""
    lower = struct.unpack_from("<H", raw, 12)[0]
    if lower < _HEAD or lower > len(raw) or lower % 2:
        raise _Damaged(f"a page whose list ends at byte {lower}")
    places = struct.unpack_from(f"<{(lower - _HEAD) // 2}H", raw, _HEAD)
    nodes = [(at, *struct.unpack_from("<4H", raw, at)) for at in places]
    last = lower
    for at, low, high, flags, length in sorted(nodes):
        if at < last:
            raise _Damaged("nodes that share the same bytes")
        leaf = raw[10] & _LEAF
        last = at + 8 + length + ((8 if flags & _BIG else low | high << 16) if leaf else 0)
    if last > len(raw):
        raise _Damaged("a node that leaves its page")
    return nodes
