"""TFRecords as StyleGAN and ProGAN wrote them, byte for byte, without TensorFlow.

A file is a sequence of frames: length uint64, masked CRC of the length, payload, masked CRC of the payload. A payload
is a protobuf ``Example`` with two features: ``shape`` (int64 list: C, H, W) and ``data`` (bytes: uint8 pixels, CHW).

Sources: tensorflow/core/lib/io/record_writer.h (frames), tensorflow/core/example/example.proto (messages),
RFC 3720 appendix B.4 (CRC-32C, the Castagnoli polynomial).
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from organza.core.protobuf import fields, varint_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

T = TypeVar("T")
U8: TypeAlias = NDArray[np.uint8]
U32: TypeAlias = NDArray[np.uint32]
_LANE = 256
"""Bytes that are run through one lane of the vectorised checksum."""


@lru_cache(1)
def _bytewise() -> U32:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0x82F63B78), table >> 1).astype(np.uint32)
    return table


@lru_cache(1)
def _wordwise() -> tuple[U32, U32]:
    """Tables that move a register past its low and high 16 bits, four bytes further."""
    step = _bytewise()
    low = np.arange(1 << 16, dtype=np.uint32)
    for _ in range(4):
        low = step[low & 255] ^ (low >> 8)
    high = np.arange(1 << 16, dtype=np.uint32) << np.uint32(16)
    for _ in range(4):
        high = step[high & 255] ^ (high >> 8)
    return low, high


@lru_cache(64)
def _past_zeros(count: int) -> U32:
    """Tables ``[4, 256]`` that move a register past ``count`` zero bytes, for each of its own bytes."""
    registers = (np.arange(256, dtype=np.uint32)[None] << (8 * np.arange(4, dtype=np.uint32))[:, None]).ravel()
    if count == _LANE:
        step = _bytewise()
        for _ in range(count):
            registers = step[registers & 255] ^ (registers >> 8)
    else:
        half = _past_zeros(count // 2)
        registers = _move(half, _move(half, registers))
    return registers.reshape(4, 256)


def _move(tables: U32, x: U32) -> U32:
    moved = tables[0][x & 255] ^ tables[1][(x >> 8) & 255] ^ tables[2][(x >> 16) & 255] ^ tables[3][x >> 24]
    return np.asarray(moved)


def crc32c(rows: U8) -> U32:
    """CRC-32C of each row of ``[N, bytes]``.

    All rows and all stretches of 256 bytes within them are worked on at once, then joined in pairs: a checksum over
    ``ab`` is that of ``a``, moved past as many zeros as ``b`` has bytes, xor that of ``b``.

    Example:
        >>> hex(crc32c(np.frombuffer(b"123456789", np.uint8)[None])[0])
        '0xe3069283'
    """
    n, length = rows.shape
    if length < 4:
        return np.array([_slow(row.tobytes()) for row in rows], np.uint32)
    lanes = 1 << max(0, (-(-length // _LANE) - 1).bit_length())
    # Leading zeros change nothing, and the usual start of all ones is the same as flipping the first four bytes.
    padded = np.zeros((n, lanes * _LANE), np.uint8)
    padded[:, -length:] = rows
    padded[:, lanes * _LANE - length :][:, :4] ^= 255
    words = np.ascontiguousarray(padded.view("<u4").reshape(n * lanes, _LANE // 4).T)
    low, high = _wordwise()
    state = np.zeros(n * lanes, np.uint32)
    for word in words:
        state ^= word
        state = low[state & 0xFFFF] ^ high[state >> 16]
    span = _LANE
    while lanes > 1:
        pairs = state.reshape(-1, 2)
        state = _move(_past_zeros(span), pairs[:, 0]) ^ pairs[:, 1]
        lanes, span = lanes // 2, span * 2
    return ~state


def _slow(data: bytes) -> int:
    table, state = _bytewise(), 0xFFFFFFFF
    for byte in data:
        state = int(table[(state ^ byte) & 255]) ^ (state >> 8)
    return state ^ 0xFFFFFFFF


def masked(crc: U32) -> U32:
    """The form in which frames store a checksum."""
    return np.asarray(((crc >> np.uint32(15)) | (crc << np.uint32(17))) + np.uint32(0xA282EAD8))


@lru_cache(64)
def _frame_head(length: int) -> bytes:
    head = struct.pack("<Q", length)
    return head + struct.pack("<I", int(masked(crc32c(np.frombuffer(head, np.uint8)[None]))[0]))


def frames(payloads: U8) -> list[bytes]:
    """Payloads of equal length ``[N, bytes]`` -> frames, ready to be written one after another."""
    head = _frame_head(payloads.shape[1])
    sums = masked(crc32c(payloads)).astype("<u4")
    return [head + payload.tobytes() + check.tobytes() for payload, check in zip(payloads, sums, strict=True)]


def examples(pixels: U8) -> U8:
    """Images ``[N, C, H, W]`` -> payloads ``[N, bytes]``."""
    n, *shape = pixels.shape
    data = pixels.reshape(n, -1)
    ints = b"".join(varint(size) for size in shape)
    first = _entry(b"shape", field(3, field(1, ints)))
    # Of the second entry only the last part varies: everything before it is the same for all images.
    size = data.shape[1]
    value = varint(1 << 3 | 2) + varint(size)
    feature = varint(1 << 3 | 2) + varint(len(value) + size) + value
    inner = field(1, b"data") + varint(2 << 3 | 2) + varint(len(feature) + size) + feature
    second = varint(1 << 3 | 2) + varint(len(inner) + size) + inner
    features = first + second
    head = varint(1 << 3 | 2) + varint(len(features) + size) + features
    rows = np.empty((n, len(head) + size), np.uint8)
    rows[:, : len(head)] = np.frombuffer(head, np.uint8)
    rows[:, len(head) :] = data
    return rows


def _entry(key: bytes, feature: bytes) -> bytes:
    return field(1, field(1, key) + field(2, feature))


def varint(n: int) -> bytes:
    """A protobuf integer.

    Example:
        >>> varint(300)
        b'\\xac\\x02'
    """
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])


def field(number: int, content: bytes) -> bytes:
    """A protobuf field of bytes."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def features(payload: bytes) -> dict[str, list[int] | list[bytes]]:
    """The integer and bytes features of an ``Example``.

    Raises:
        ValueError: not such a message.

    Example:
        >>> features(examples(np.zeros((1, 1, 2, 2), np.uint8))[0].tobytes())
        {'shape': [1, 2, 2], 'data': [b'\\x00\\x00\\x00\\x00']}
    """
    found: dict[str, list[int] | list[bytes]] = {}
    steps = _Steps()
    for feature_map in _messages(memoryview(payload), 1, steps):
        for entry in _messages(feature_map, 1, steps):
            parts = dict(steps(fields(entry)))
            key, feature = parts.get(1), parts.get(2)
            if isinstance(key, memoryview) and isinstance(feature, memoryview):
                for kind, content in steps(fields(feature)):
                    if kind in (1, 3) and isinstance(content, memoryview):
                        values = [v for n, v in steps(fields(content)) if n == 1]
                        name = bytes(key).decode("utf-8", "replace")
                        found[name] = (
                            [bytes(v) for v in values if isinstance(v, memoryview)]
                            if kind == 1
                            else _ints(values, steps)
                        )
    return found


class _Steps:
    """Counts what is looked at: no record of an image has hundreds of thousands of parts."""

    def __init__(self) -> None:
        self.left = 200_000

    def __call__(self, items: Iterable[T]) -> Iterator[T]:
        for item in items:
            self.left -= 1
            if self.left < 0:
                raise ValueError("more parts than a record of an image has")
            yield item


def _messages(message: memoryview, number: int, steps: _Steps) -> Iterator[memoryview]:
    for found, value in steps(fields(message)):
        if found == number and isinstance(value, memoryview):
            yield value


def _ints(values: Sequence[int | memoryview], steps: _Steps) -> list[int]:
    """Integers may be packed into one field or stand in one field each."""
    out: list[int] = []
    for value in values:
        out += [value] if isinstance(value, int) else steps(_packed(value))
    return out


def _packed(value: memoryview) -> Iterator[int]:
    at = 0
    while at < len(value):
        number, at = varint_at(value, at)
        yield number


def index(path: Path) -> list[tuple[int, int]]:
    """(offset of the payload, length) of each frame: random access.

    Raises:
        ValueError: a frame's head is damaged or the file is cut short; the text says where.
    """
    found = []
    size, at = path.stat().st_size, 0
    with open(path, "rb") as file:
        while at < size:
            file.seek(at)
            head = file.read(12)
            if len(head) < 12:
                raise ValueError(f"cut short at byte {at}")
            length = struct.unpack_from("<Q", head)[0]
            if length > size - at - 16:
                raise ValueError(f"cut short or damaged at byte {at}")
            if head != _frame_head(length):
                raise ValueError(f"damaged at byte {at} (wrong checksum of a length)")
            found.append((at + 12, length))
            at += length + 16
    return found


def levels(pixels: U8) -> list[U8]:
    """Each image ``[N, C, S, S]`` at S, S/2 ... 4: means of 2x2 pixels, rounded only when stored, as StyleGAN did."""
    out = [pixels]
    smaller = pixels.astype(np.float32)
    while smaller.shape[-1] > 4:
        smaller = (
            smaller[..., 0::2, 0::2] + smaller[..., 0::2, 1::2] + smaller[..., 1::2, 0::2] + smaller[..., 1::2, 1::2]
        ) * np.float32(0.25)
        out.append(np.rint(smaller).clip(0, 255).astype(np.uint8))
    return out
