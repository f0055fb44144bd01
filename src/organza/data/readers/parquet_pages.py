"""How large the pages of a parquet file become when unpacked: what must be known before anything is unpacked.

A page of a few bytes may declare gigabytes, and the library reserves what it declares. Only the two sizes in each
page's head are read here; everything else in it is passed over.

Sources: apache/parquet-format, ``parquet.thrift`` (``PageHeader``); apache/thrift,
``doc/specs/thrift-compact-protocol.md``.
"""

from __future__ import annotations

from typing import BinaryIO

_HEADS = (1 << 10, 1 << 17)
"""So many bytes are looked at for a page's head; statistics may make it long."""
_FREE, _RATIO = 1 << 28, 4
"""A page may unpack to so many bytes, or to so many times what it holds: images hardly shrink when they are packed."""
_DEPTH = 16
_BINARY, _LISTS, _MAP, _STRUCT = 8, (9, 10), 11, 12
_SIZES = {1: 0, 2: 0, 3: 1, 7: 8, 13: 16}
"""Bytes of the types that take always the same: true, false, one byte, a double, a UUID."""


def largest_page(file: BinaryIO, start: int, size: int) -> int:
    """The unpacked size of the largest page among those in ``size`` bytes from ``start``.

    Raises:
        ValueError: heads of pages that contradict the file, or a page that unpacks to far more than it holds.
    """
    at, end, largest = start, start + size, 0
    while at < end:
        unpacked, packed, head = _sizes(file, at, end)
        if unpacked > max(_FREE, _RATIO * packed):
            raise ValueError(f"a page of {packed:,} bytes that unpacks to {unpacked >> 20} MB")
        largest = max(largest, unpacked)
        at += head + packed
    if at != end:
        raise ValueError(f"pages that end at byte {at} instead of {end}")
    return largest


def _sizes(file: BinaryIO, at: int, end: int) -> tuple[int, int, int]:
    """Of the page at ``at``: bytes unpacked, bytes packed, bytes of its head."""
    for length in _HEADS:
        file.seek(at)
        reader = _Reader(file.read(min(length, end - at)))
        try:
            found = reader.struct()
        except _End:
            continue
        unpacked, packed = found.get(2, -1), found.get(3, -1)
        if unpacked < 0 or packed < 0:
            raise ValueError(f"a page without sizes at byte {at}")
        return unpacked, packed, reader.at
    raise ValueError(f"a page's head without end at byte {at}")


class _End(ValueError):
    pass


class _Reader:
    """Thrift's compact protocol: integers of a struct's own fields are kept, the rest is passed over."""

    def __init__(self, raw: bytes) -> None:
        self.raw, self.at = raw, 0

    def byte(self) -> int:
        if self.at >= len(self.raw):
            raise _End
        self.at += 1
        return self.raw[self.at - 1]

    def varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError("an integer without end")

    def skip(self, count: int) -> None:
        self.at += count
        if self.at > len(self.raw):
            raise _End

    def struct(self, depth: int = 0) -> dict[int, int]:
        """Its integers, by the number of their field."""
        found: dict[int, int] = {}
        number = 0
        while byte := self.byte():
            number = number + (byte >> 4) if byte >> 4 else _signed(self.varint())
            value = self.value(byte & 15, depth)
            if value is not None:
                found[number] = value
        return found

    def value(self, kind: int, depth: int) -> int | None:
        if depth > _DEPTH:
            raise ValueError("nested without end")
        if kind in (4, 5, 6):
            return _signed(self.varint())
        if kind in _SIZES:
            self.skip(_SIZES[kind])
        elif kind == _BINARY:
            self.skip(self.varint())
        elif kind in _LISTS:
            byte = self.byte()
            self.items(self.varint() if byte >> 4 == 15 else byte >> 4, (byte & 15,), depth)
        elif kind == _MAP:
            if count := self.varint():
                byte = self.byte()
                self.items(count, (byte >> 4, byte & 15), depth)
        elif kind == _STRUCT:
            self.struct(depth + 1)
        else:
            raise ValueError(f"the unknown type {kind}")
        return None

    def items(self, count: int, kinds: tuple[int, ...], depth: int) -> None:
        if count > len(self.raw):
            raise ValueError("a list without end")
        for _ in range(count):
            for kind in kinds:
                # Inside of lists a boolean takes a byte.
                self.skip(1) if kind in (1, 2) else self.value(kind, depth + 1)


def _signed(zigzag: int) -> int:
    return zigzag >> 1 ^ -(zigzag & 1)
