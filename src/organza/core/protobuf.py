"""The wire format of protocol buffers, as TFRecords and ONNX files have it: read and added to without a schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

Message = TypeVar("Message", bytes, memoryview)


def fields(message: Message) -> Iterator[tuple[int, int | Message]]:
    """(number, value) of each field of a message; values are whole numbers, or parts of the message.

    Raises:
        ValueError: not a message.

    Example:
        >>> list(fields(bytes([0x08, 0x05, 0x12, 0x02, 0x68, 0x69])))
        [(1, 5), (2, b'hi')]
    """
    at, end = 0, len(message)
    while at < end:
        tag, at = varint_at(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = varint_at(message, at)
            yield tag >> 3, value
            continue
        if kind == 2:
            size, at = varint_at(message, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError("unknown field type")
        if size > end - at:
            raise ValueError("field beyond the end")
        yield tag >> 3, message[at : at + size]
        at += size


def varint_at(message: bytes | memoryview, at: int) -> tuple[int, int]:
    """A whole number of seven bits a byte, and where it ends.

    Raises:
        ValueError: it does not end.

    Example:
        >>> varint_at(bytes([0xAC, 0x02]), 0)
        (300, 2)
    """
    value = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
        shift += 7
    raise ValueError("integer without an end")


def varint(number: int) -> bytes:
    """A whole number from 0 on, seven bits a byte: the reverse of `varint_at`.

    Example:
        >>> varint(300).hex()
        'ac02'
    """
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def bytes_field(number: int, value: bytes) -> bytes:
    """A field of bytes: text, or another message.

    Example:
        >>> list(fields(bytes_field(2, b"hi")))
        [(2, b'hi')]
    """
    return varint(number << 3 | 2) + varint(len(value)) + value
