"""ONNX files, as far as small networks need them: nodes, and constants as arrays. Nothing in a file is run.

The file is a protocol buffer: fields, each a number with a kind and a value, nested as bytes. The numbers below are
those of ``onnx.proto3``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from organza.core.errors import UserError
from organza.core.protobuf import fields, varint_at
from organza.core.sniff import HEAD, instead

Setting = int | float | str | list[int] | list[float]
Value = int | bytes
_TYPES = {1: "<f4", 6: "<i4", 7: "<i8", 9: "|b1", 11: "<f8"}
MOST_BYTES, MOST_SIDES = 1 << 30, 8


@dataclass(frozen=True)
class Node:
    """One operation.

    Attributes:
        op: its name, such as ``"Conv"``.
        inputs, outputs: names of tensors; "" for one that is left out.
        settings: by name.
    """

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    settings: dict[str, Setting]


@dataclass(frozen=True)
class Graph:
    """A network.

    Attributes:
        nodes: in an order in which they can be computed.
        constants: arrays by name.
        inputs, outputs: names of what goes in and comes out.
    """

    nodes: tuple[Node, ...]
    constants: dict[str, NDArray[np.generic]]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def read_graph(path: Path) -> Graph:
    """The network in an ONNX file.

    Raises:
        UserError: unreadable, broken, no ONNX file, or with constants that lie in other files.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UserError("more than 1 GB", where=path, hint="give a small network")
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"can't be read ({error.strerror})", where=path) from error
    try:
        whole = [value for number, value in fields(data) if number == 7 and isinstance(value, bytes)]
        return _graph(whole[0])
    except (ValueError, IndexError, struct.error) as error:
        what, hint = instead(data[:HEAD]) or ("broken, or of another kind", "copy or download it again")
        raise UserError(f"is no ONNX file: {what}", where=path, hint=hint) from error


def _graph(data: bytes) -> Graph:
    nodes, constants, inputs, outputs = list[Node](), dict[str, NDArray[np.generic]](), list[str](), list[str]()
    for number, value in fields(data):
        if not isinstance(value, bytes):
            continue
        if number == 1:
            nodes.append(_node(value))
        elif number == 5:
            name, array = _array(value)
            constants[name] = array
        elif number in (11, 12):
            (inputs if number == 11 else outputs).append(_text(value, 1)[0])
    return Graph(tuple(nodes), constants, tuple(name for name in inputs if name not in constants), tuple(outputs))


def _node(data: bytes) -> Node:
    settings = dict(_setting(value) for number, value in fields(data) if number == 5 and isinstance(value, bytes))
    return Node((_text(data, 4) or ("",))[0], _text(data, 1), _text(data, 2), settings)


def _setting(data: bytes) -> tuple[str, Setting]:
    kind = next((value for number, value in fields(data) if number == 20), 0)
    if kind == 1:
        single: float = struct.unpack("<f", _bytes(data, 2))[0]
        return _text(data, 1)[0], single
    if kind == 2:
        return _text(data, 1)[0], next(iter(_whole(data, 3)), 0)
    if kind == 3:
        return _text(data, 1)[0], _text(data, 4)[0]
    if kind == 6:
        parts = [value for number, value in fields(data) if number == 7 and isinstance(value, bytes)]
        return _text(data, 1)[0], [float(x) for x in np.frombuffer(b"".join(parts), "<f4")]
    if kind == 7:
        return _text(data, 1)[0], _whole(data, 8)
    return _text(data, 1)[0], ""  # tensors and graphs: of no operation that is known here


def _array(data: bytes) -> tuple[str, NDArray[np.generic]]:
    shape, kind = _whole(data, 1), next((value for number, value in fields(data) if number == 2), 0)
    if len(shape) > MOST_SIDES or any(number == 14 and value for number, value in fields(data)):
        raise ValueError("a constant that lies elsewhere")
    if not isinstance(kind, int) or kind not in _TYPES:
        raise ValueError("a constant of an unknown kind")
    raw = _bytes(data, 9)
    if raw:
        flat = np.frombuffer(raw, _TYPES[kind])
    elif kind == 7:
        flat = np.array(_whole(data, 7), "<i8")
    else:
        parts = [value for number, value in fields(data) if number == 4 and isinstance(value, bytes)]
        flat = np.frombuffer(b"".join(parts), "<f4")
    return _text(data, 8)[0], flat.reshape(shape)


def _text(data: bytes, wanted: int) -> tuple[str, ...]:
    return tuple(value.decode() for number, value in fields(data) if number == wanted and isinstance(value, bytes))


def _bytes(data: bytes, wanted: int) -> bytes:
    found = (value for number, value in fields(data) if number == wanted and isinstance(value, bytes))
    return next(found, b"")


def _whole(data: bytes, wanted: int) -> list[int]:
    """Whole numbers of one field, be they one by one or packed into bytes."""
    found: list[int] = []
    for number, value in fields(data):
        if number == wanted and isinstance(value, int):
            found.append(_signed(value))
        elif number == wanted and isinstance(value, bytes):
            place = 0
            while place < len(value):
                one, place = varint_at(value, place)
                found.append(_signed(one))
    return found


def _signed(value: int) -> int:
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >= 1 << 63 else value
