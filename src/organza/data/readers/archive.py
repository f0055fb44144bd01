"""A zip of pictures, read in place.

The central directory is parsed here rather than by `zipfile`: its raw bytes (names, sizes, CRCs) are the fingerprint,
so that a cached set opens without parsing anything, and entries that know their place can be sent to other processes.
"""

from __future__ import annotations

import bz2
import hashlib
import lzma
import os
import struct
import zlib
from typing import TYPE_CHECKING, BinaryIO

from organza.core.errors import UserError
from organza.data.names import beside, text_of
from organza.data.source import MAX_FILE, PICTURES, BadPicture, Entry, Source, find_side, may_be_picture, suffix

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
STORED, DEFLATED, BZIP2, LZMA = 0, 8, 12, 14


class ZipSource(Source):
    """Pictures in a zip, stored or compressed, never unpacked to disk: names can't lead anywhere."""

    kind = "zip"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        self._all: list[Entry] | None = None

    def __reduce__(self) -> tuple[type[ZipSource], tuple[Path]]:
        return ZipSource, (self.path,)

    def _open(self) -> BinaryIO:
        if self._file is None:
            try:
                self._file = open(self.path, "rb")  # noqa: SIM115 (held as long as the source lives)
            except OSError as error:
                raise UserError(f"can't be opened ({error.strerror})", where=self.path) from None
        return self._file

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()

    def _broken(self, what: str) -> UserError:
        return UserError(f"not a complete zip file ({what})", where=self.path, hint="copy or download it again")

    def _directory(self) -> tuple[bytes, int, int]:
        """Raw central directory, how many entries it has, and by how much all offsets are shifted."""
        file = self._open()
        total = file.seek(0, os.SEEK_END)
        start = max(0, total - 65557)
        file.seek(start)
        tail = file.read()
        at = tail.rfind(b"PK\5\6")
        if at < 0 or len(tail) - at < _END.size:
            raise self._broken("its directory, at the end, is missing")
        _, _, _, _, count, size, offset, _ = _END.unpack_from(tail, at)
        end = start + at
        if 0xFFFF in (count,) or 0xFFFFFFFF in (size, offset):
            locator = end - 20
            file.seek(max(0, locator))
            raw = file.read(20)
            if raw[:4] == b"PK\6\7":
                file.seek(max(0, end - 20 - _END64.size))
                raw = file.read(_END64.size)
                if raw[:4] == b"PK\6\6":
                    *_, count, size, offset = _END64.unpack(raw)
                    end -= 20 + _END64.size
        shift = end - size - offset
        if shift < 0:
            raise self._broken("its directory does not fit the file")
        file.seek(offset + shift)
        return file.read(size), count, shift

    def fingerprint(self) -> str:
        """The directory's bytes: names, sizes, CRCs."""
        return hashlib.sha256(self._directory()[0]).hexdigest()

    def _list(self) -> list[Entry]:
        if self._all is None:
            raw, count, shift = self._directory()
            found = []
            at = 0
            unpack, length = _CENTRAL.unpack_from, _CENTRAL.size
            try:
                for _ in range(count):
                    (magic, _, _, flags, method, _, _, crc, packed, size, n_name, n_extra, n_note, _, _, _, offset) = (
                        unpack(raw, at)
                    )
                    if magic != b"PK\1\2":
                        raise self._broken("its directory is damaged")
                    name = raw[at + length : at + length + n_name].decode(
                        "utf-8" if flags & 0x800 else "cp437", "replace"
                    )
                    if 0xFFFFFFFF in (packed, size, offset):
                        extra = raw[at + length + n_name : at + length + n_name + n_extra]
                        size, packed, offset = _zip64(extra, size, packed, offset)
                    at += length + n_name + n_extra + n_note
                    if name[-1:] != "/":
                        name = name.replace("\\", "/")
                        where = (offset + shift, packed, method, flags, crc)
                        found.append(Entry(name, size, where, suffix(name) in PICTURES))
            except struct.error:
                raise self._broken("its directory is cut short") from None
            self._all = sorted(found)
        return self._all

    def entries(self) -> list[Entry]:
        """Sorted by name."""
        return [e for e in self._list() if may_be_picture(e.name)]

    def read(self, entry: Entry) -> bytes:
        """The unpacked bytes, checked against their CRC."""
        offset, packed, method, flags, crc = entry.at
        if flags & 1:
            raise BadPicture("encrypted (pack the zip again without a password)")
        if max(entry.size, packed) > MAX_FILE:
            raise BadPicture(f"{entry.size / 2**20:.0f} MB is more than a picture file may have ({MAX_FILE >> 20} MB)")
        file = self._open()
        file.seek(offset)
        head = file.read(30)
        if len(head) < 30 or head[:4] != b"PK\3\4":
            raise BadPicture("damaged in the zip (no entry where the directory says)")
        n_name, n_extra = struct.unpack_from("<2H", head, 26)
        file.seek(n_name + n_extra, os.SEEK_CUR)
        data = file.read(packed)
        try:
            if method == DEFLATED:
                data = zlib.decompressobj(-15).decompress(data, entry.size + 1)
            elif method == BZIP2:
                data = bz2.BZ2Decompressor().decompress(data, entry.size + 1)
            elif method == LZMA:
                data = _unlzma(data, entry.size)
            elif method != STORED:
                raise BadPicture(f"packed by a method that Python can't read (number {method})")
        except (zlib.error, OSError, EOFError, lzma.LZMAError, struct.error) as error:
            raise BadPicture(f"damaged in the zip ({error})") from None
        if len(data) != entry.size or zlib.crc32(data) != crc:
            raise BadPicture("damaged in the zip (its checksum is wrong)")
        return data

    def side(self, name: str) -> bytes | None:
        """An entry of the zip."""
        found = find_side((entry.name for entry in self._list()), name)
        return None if found is None else self._side(next(e for e in self._list() if e.name == found))

    def _side(self, entry: Entry) -> bytes:
        try:
            return self.read(entry)
        except BadPicture as error:
            raise UserError(str(error), where=f"{self.path}/{entry.name}") from None

    def texts(self, entries: Sequence[Entry]) -> list[str | None]:
        """The ``.txt`` entries beside the pictures."""
        known = {entry.name: entry for entry in self._list()}
        found = beside([e.name for e in entries], known, ".txt")
        return [None if name is None else text_of(self._side(known[name])).strip() for name in found]


def _zip64(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            wide = list(struct.unpack_from(f"<{length // 8}Q", extra, at + 4))
            values = [wide.pop(0) if v == 0xFFFFFFFF and wide else v for v in (size, packed, offset)]
            return values[0], values[1], values[2]
        at += 4 + length
    return size, packed, offset


def _unlzma(data: bytes, size: int) -> bytes:
    n = struct.unpack_from("<H", data, 2)[0]
    spec = lzma._decode_filter_properties(lzma.FILTER_LZMA1, data[4 : 4 + n])  # type: ignore[attr-defined]
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[spec]).decompress(data[4 + n :], size + 1)
