"""How large the pages of a parquet file become when unpacked: what must be known before anything is unpacked.

A page of a few bytes may declare gigabytes, and the library reserves what it declares. Only the two sizes in each
page's head are read here; everything else in it is passed over.

Sources: apache/parquet-format, ``parquet.thrift`` (``PageHeader``); apache/thrift,
``doc/specs/thrift-compact-protocol.md``.
"""

from __future__ import annotations

from typing import BinaryIO

_HEAD = 1 << 17
"""Heads hold statistics of a few kilobytes at most."""
_DEPTH = 16
_BINARY, _LISTS, _MAP, _STRUCT = 8, (9, 10), 11, 12
_SIZES = {1: 0, 2: 0, 3: 1, 7: 8, 13: 16}
"""Bytes of the types that take always the same: true, false, one byte, a double, a UUID."""


def largest_page(file: BinaryIO, start: int, size: int) -> int:
    """The unpacked size of the largest page among those in ``size`` bytes from ``start``.

    Raises:
        ValueError: heads of pages that contradict the file.
    """
    at, end, largest = start, start + size, 0
    while at < end:
        file.seek(at)
        head = _Reader(file.read(min(_HEAD, end - at)))
        sizes = head.struct()
        unpacked, packed = sizes.get(2, -1), sizes.get(3, -1)
        if not (isinstance(unpacked, int) and isinstance(packed, int) and unpacked >= 0 and packed >= 0):
            raise ValueError(f"a page without sizes at byte {at}")
        largest = max(largest, unpacked)
        at += head.at + packed
    if at != end:
        raise ValueError(f"pages that end at byte {at} instead of {end}")
    return largest


class _Reader:
    """Thrift's compact protocol: integers of a struct's own fields are kept, the rest is passed over."""

    def __init__(self, raw: bytes) -> None:
        self.raw, self.at = raw, 0

    def byte(self) -> int:
        if self.at >= len(self.raw):
            raise ValueError("a head without end")
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
            raise ValueError("a head without end")

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
