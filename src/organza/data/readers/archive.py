"""A zip of images, read in place.

The central directory is parsed here rather than by `zipfile`: its raw bytes (names, sizes, CRCs) are the fingerprint,
so that a cached set opens without parsing anything, and entries that know their place can be sent to other processes.

The directory itself says how many entries there are. The counters behind it don't: they hold 16 bits, and several
programs (macOS' Finder among them) let them wrap, as they do with offsets beyond 4 GB.

Source: PKWARE, "APPNOTE.TXT - .ZIP File Format Specification", sections 4.3 to 4.6.
"""

from __future__ import annotations

import bz2
import hashlib
import lzma
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

from organza.core.errors import UserError
from organza.data.source import BadPicture, Entry, FileSource, file_entry
from organza.data.tables.names import decode_name

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = 30
_WRAP = 1 << 32
STORED, DEFLATED, BZIP2, LZMA = 0, 8, 12, 14


class _Place(NamedTuple):
    offset: int
    packed: int
    method: int
    flags: int
    crc: int


class ZipSource(FileSource):
    """Images in a zip, stored or compressed, never unpacked to disk: names can't lead anywhere."""

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
        """Raw central directory, where it begins, and by how much all offsets are shifted."""
        file = self._open()
        total = file.seek(0, os.SEEK_END)
        start = max(0, total - 65557)
        file.seek(start)
        tail = file.read()
        at = _find_end(tail)
        if at < 0:
            raise self._broken("its directory, at the end, is missing")
        *_, size, offset, _ = _END.unpack_from(tail, at)
        end = start + at
        if end >= 20:
            file.seek(end - 20)
            locator = file.read(20)
            if locator[:4] == b"PK\6\7":
                end, size, offset = self._end64(end - 20, struct.unpack_from("<Q", locator, 8)[0])
        begin = end - size
        if begin < 0 or offset > begin:
            raise self._broken("its directory does not fit the file")
        file.seek(begin)
        return file.read(size), begin, begin - offset

    def _end64(self, locator: int, said: int) -> tuple[int, int, int]:
        """Where the zip64 end record lies, and what it says: size and offset of the directory."""
        file = self._open()
        for at in (locator - _END64.size, said):  # right before its locator, unless it has been extended
            if 0 <= at <= locator - _END64.size:
                file.seek(at)
                raw = file.read(_END64.size)
                if raw[:4] == b"PK\6\6":
                    *_, size, offset = _END64.unpack(raw)
                    return at, size, offset
        raise self._broken("its zip64 record is missing")

    def fingerprint(self) -> str:
        """The directory's bytes: names, sizes, CRCs."""
        return hashlib.sha256(self._directory()[0]).hexdigest()

    def files(self) -> list[Entry]:
        """All entries of the directory but folders."""
        if self._all is None:
            raw, begin, shift = self._directory()
            found = []
            places: list[tuple[int, int]] = []
            at = wraps = 0
            while raw[at : at + 4] == b"PK\1\2":
                try:
                    (_, _, _, flags, method, _, _, crc, packed, size, n_name, n_extra, n_note, _, _, _, offset) = (
                        _CENTRAL.unpack_from(raw, at)
                    )
                except struct.error:
                    raise self._broken("its directory is cut short") from None
                name_at = at + _CENTRAL.size
                at = name_at + n_name + n_extra + n_note
                if at > len(raw):
                    raise self._broken("its directory is cut short")
                extra = raw[name_at + n_name : name_at + n_name + n_extra]
                name = _name(raw[name_at : name_at + n_name], flags, extra)
                if 0xFFFFFFFF in (packed, size, offset):
                    size, packed, offset = _zip64(extra, size, packed, offset)
                if shift and shift % _WRAP == 0:  # not something before the zip, but offsets that have wrapped
                    wraps += offset + wraps * _WRAP < places[-1][1] if places else 0
                    offset += wraps * _WRAP
                else:
                    offset += shift
                places.append((offset, offset + _LOCAL + n_name + packed))
                if name[-1:] != "/":
                    found.append(file_entry(name, size, _Place(offset, packed, method, flags, crc)))
            if raw[at : at + 4] not in (b"", b"PK\5\5"):  # a signature may follow
                raise self._broken("its directory is damaged")
            if not places and begin:
                raise self._broken("its directory is empty")
            self._check(places, begin)
            self._all = sorted(found)
        return self._all

    def _check(self, places: list[tuple[int, int]], begin: int) -> None:
        """Refuse entries that share bytes (small files that unpack to huge ones) or lie outside of the file."""
        places.sort()
        last = 0
        for start, end in places:
            if start < last:
                raise self._broken("entries share the same bytes")
            last = end
        if last > begin:
            raise self._broken("entries lie outside of the file")

    def data_at(self, file: Entry) -> int:
        """Where the bytes of an entry begin, behind its name.

        Raises:
            BadPicture: there is no such entry.
        """
        opened = self._open()
        opened.seek(file.at.offset)
        head = opened.read(_LOCAL)
        if len(head) < _LOCAL or head[:4] != b"PK\3\4":
            raise BadPicture("damaged in the zip (no entry where the directory says)")
        return int(file.at.offset + _LOCAL + sum(struct.unpack_from("<2H", head, 26)))

    def fetch(self, file: Entry) -> bytes:
        """The unpacked bytes, checked against their CRC."""
        _, packed, method, flags, crc = file.at
        if flags & 1:
            raise BadPicture("encrypted (pack the zip again without a password)")
        opened = self._open()
        opened.seek(self.data_at(file))
        data = opened.read(packed)
        try:
            if method == DEFLATED:
                data = zlib.decompressobj(-15).decompress(data, file.size + 1)
            elif method == BZIP2:
                data = bz2.BZ2Decompressor().decompress(data, file.size + 1)
            elif method == LZMA:
                data = _unlzma(data, file.size)
            elif method != STORED:
                raise BadPicture(f"packed by a method that Python can't read (number {method})")
        except (zlib.error, OSError, EOFError, ValueError, lzma.LZMAError, struct.error) as error:
            raise BadPicture(f"damaged in the zip ({error})") from None
        if len(data) != file.size or zlib.crc32(data) != crc:
            raise BadPicture("damaged in the zip (its checksum is wrong)")
        return data


def _find_end(tail: bytes) -> int:
    """Where the end record begins: the last one whose comment reaches to the end of the file, else the last one."""
    last = at = tail.rfind(b"PK\5\6", 0, max(0, len(tail) - _END.size + 4))
    while at >= 0:
        if at + _END.size + struct.unpack_from("<H", tail, at + 20)[0] == len(tail):
            return at
        at = tail.rfind(b"PK\5\6", 0, at)
    return last


def _name(raw: bytes, flags: int, extra: bytes) -> str:
    """An entry's name: UTF-8 where it says so or can be read so, else the DOS code page."""
    for kind, value in _extras(extra) if b"up" in extra else ():
        # Info-ZIP's Unicode name counts while it belongs to the name that it stands for.
        if kind == 0x7075 and len(value) > 5 and struct.unpack_from("<L", value, 1)[0] == zlib.crc32(raw):
            raw, flags = value[5:], 0x800
    return decode_name(raw, utf8=bool(flags & 0x800)).replace("\\", "/")


def _extras(extra: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        found.append((kind, extra[at + 4 : at + 4 + length]))
        at += 4 + length
    return found


def _zip64(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    for kind, value in _extras(extra):
        if kind == 1:
            wide = list(struct.unpack_from(f"<{len(value) // 8}Q", value))
            values = [wide.pop(0) if v == 0xFFFFFFFF and wide else v for v in (size, packed, offset)]
            return values[0], values[1], values[2]
    return size, packed, offset


def _unlzma(data: bytes, size: int) -> bytes:
    n = struct.unpack_from("<H", data, 2)[0]
    spec = lzma._decode_filter_properties(lzma.FILTER_LZMA1, data[4 : 4 + n])  # type: ignore[attr-defined]
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[spec]).decompress(data[4 + n :], size + 1)
