"""Write a pickle from plain values and named calls, without the classes that it names."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from organza.tensors.known import MAGIC, PROTOCOL
from organza.tensors.records import Global


@dataclass(frozen=True, eq=False)
class Call:
    """A call that whoever reads the pickle makes: ``what(*args)``, then ``pairs`` set in the result."""

    what: Global
    args: tuple[Any, ...] = ()
    pairs: tuple[tuple[Any, Any], ...] = ()


@dataclass(frozen=True, eq=False)
class Reference:
    """Something outside of the pickle, by its id."""

    pid: tuple[Any, ...]


def dumps(value: Any) -> bytes:
    """The pickle of ``value``, protocol 4.

    Example:
        >>> import pickle
        >>> pickle.loads(dumps({"a": [1, -2.5, None, True], "b": (b"xyz", Call(Global("builtins", "set"), ([1],)))}))
        {'a': [1, -2.5, None, True], 'b': (b'xyz', {1})}
    """
    return b"".join([b"\x80\x04", *_write(value), b"."])


def _write(value: Any) -> Iterator[bytes]:
    if value is None or isinstance(value, bool):
        yield {None: b"N", True: b"\x88", False: b"\x89"}[value]
    elif isinstance(value, int):
        raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        yield b"\x8a" + struct.pack("<B", len(raw)) + raw
    elif isinstance(value, float):
        yield b"G" + struct.pack(">d", value)
    elif isinstance(value, str):
        raw = value.encode()
        yield b"X" + struct.pack("<I", len(raw)) + raw
    elif isinstance(value, bytes):
        yield b"\x8e" + struct.pack("<Q", len(value))
        yield value
    elif isinstance(value, (tuple, list)):
        yield b"("
        for item in value:
            yield from _write(item)
        yield b"t" if isinstance(value, tuple) else b"l"
    elif isinstance(value, dict):
        yield b"}"
        yield from _pairs(tuple(value.items()))
    elif isinstance(value, Global):
        yield f"c{value.module}\n{value.name}\n".encode()
    elif isinstance(value, Call):
        yield from _write(value.what)
        yield from _write(value.args)
        yield b"R"
        yield from _pairs(value.pairs)
    elif isinstance(value, Reference):
        yield from _write(value.pid)
        yield b"Q"
    else:
        raise TypeError(f"can't be pickled here: {type(value).__name__}")


def _pairs(pairs: tuple[tuple[Any, Any], ...]) -> Iterator[bytes]:
    if pairs:
        yield b"("
        for key, value in pairs:
            yield from _write(key)
            yield from _write(value)
        yield b"u"


def tensor(value: Tensor) -> Call:
    """A float32 tensor as pickles of PyTorch objects hold it."""
    raw = value.detach().cpu().float().contiguous()
    numbers: bytes = raw.numpy().tobytes()
    system = {"protocol_version": PROTOCOL, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    storage = Reference(("storage", Global("torch", "FloatStorage"), "0", "cpu", raw.numel(), None))
    head = [dumps(MAGIC), dumps(PROTOCOL), dumps(system), dumps(storage), dumps(["0"])]
    stream = b"".join([*head, struct.pack("<q", raw.numel()), numbers])
    held = Call(Global("torch.storage", "_load_from_bytes"), (stream,))
    hooks = Call(Global("collections", "OrderedDict"))
    args = (held, 0, tuple(raw.shape), tuple(raw.stride()), False, hooks)
    return Call(Global("torch._utils", "_rebuild_tensor_v2"), args)


def parameter(value: Tensor) -> Call:
    """The same as a parameter."""
    hooks = Call(Global("collections", "OrderedDict"))
    return Call(Global("torch._utils", "_rebuild_parameter"), (tensor(value), True, hooks))
