"""A pickle machine that knows no functions.

A pickle is a small program for a stack machine. Python's own machine looks up names and calls what it finds, which
is why opening a pickle may run anything. This one has its own stack, and no way to look up a name: a name becomes a
`Global`, a call becomes a `Stub` that notes what was to be called with what, and the few calls that a reader knows
(`organza.tensors.pickle.arrays`, `organza.tensors.known`) become records. Python's `pickle` is not used at all;
`pickletools` splits the bytes into instructions.

Every pickle of somebody else's goes through here: networks, and CIFAR's batches.

Everything is bounded: instructions, seconds, copies, nesting, and declared sizes (never more than the file holds).
"""

from __future__ import annotations

import pickletools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from organza.tensors.pickle.records import Fields, Global, Record, RefusedError, Stub

MAX_LINE = 1 << 16
SECONDS = 12.0
MAX_DEPTH = 100
MAX_KEY = 1 << 12


@dataclass
class Limits:
    """What one file may use up, shared by the pickles inside it."""

    instructions: int = 1_000_000
    copied: int = 1 << 26
    depth: int = 4
    deadline: float = field(default_factory=lambda: time.monotonic() + SECONDS)

    def step(self) -> None:
        """Count an instruction."""
        self.instructions -= 1
        if self.instructions < 0:
            raise RefusedError("more instructions than a file of weights has")
        if self.instructions % 1024 == 0 and time.monotonic() > self.deadline:
            raise RefusedError("reading it takes too long")

    def copy(self, amount: int) -> None:
        """Count bytes (or entries) that are copied inside memory."""
        self.copied -= amount
        if self.copied < 0:
            raise RefusedError("it copies itself over and over")


class Stream:
    """Bytes with a position; reading past the end gives less, and reserves nothing.

    Example:
        >>> stream = Stream(b"ab\\ncd")
        >>> stream.readline(), stream.read(2**60), stream.tell()
        (b'ab\\n', b'cd', 5)
    """

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data, self.position = data, position

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes."""
        found = self.data[self.position : self.position + max(0, size)]
        self.position += len(found)
        return found

    def readline(self) -> bytes:
        """Up to the end of the line.

        Raises:
            RefusedError: it is longer than any name or number.
        """
        end = self.data.find(b"\n", self.position, self.position + MAX_LINE)
        if end < 0 and len(self.data) - self.position > MAX_LINE:
            raise RefusedError("a line without end")
        return self.read((len(self.data) if end < 0 else end + 1) - self.position)

    def tell(self) -> int:
        """The position."""
        return self.position


Known = Callable[..., Any]
_MARK = object()
_PUSH_ARGUMENT = {
    *("INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
    "MARK": lambda: _MARK,
}


def unpickle(
    stream: Stream,
    known: dict[tuple[str, str], Known],
    limits: Limits,
    persistent: Callable[[Any], Any] | None = None,
    names: set[str] | None = None,
) -> Any:
    """Read one pickle; ``stream`` stays behind it.

    Args:
        stream: where it begins.
        known: the calls that become something else than a `Stub`: ``(module, name) -> function(limits, *args)``.
        limits: what may be used up.
        persistent: gives objects that are kept outside of the pickle, by their id; None refuses them.
        names: collects the names that the pickle mentions and that are not known.

    Raises:
        RefusedError: broken, hostile, or without bounds.

    Example:
        >>> import pickle
        >>> unpickle(Stream(pickle.dumps({"a": (1, 2.5)})), {}, Limits())
        {'a': (1, 2.5)}
        >>> unpickle(Stream(pickle.dumps(print)), {}, Limits())
        Global(module='builtins', name='print')
    """
    machine = _Machine(known, limits, persistent, set() if names is None else names)
    try:
        for opcode, arg, _ in pickletools.genops(stream):  # type: ignore[arg-type]
            limits.step()
            if opcode.name == "STOP":
                result = machine.pop()
                check_nesting(result)
                return result
            machine.do(opcode.name, arg)
    except RefusedError:
        raise
    except (MemoryError, RecursionError) as error:
        raise RefusedError(f"it can't be held in memory ({type(error).__name__})") from None
    except Exception as error:  # a broken pickle breaks in a hundred ways
        raise RefusedError(f"a broken pickle ({' '.join(str(error).split())[:100] or type(error).__name__})") from None
    raise RefusedError("a pickle without end")


@dataclass
class _Machine:
    known: dict[tuple[str, str], Known]
    limits: Limits
    persistent: Callable[[Any], Any] | None
    names: set[str]
    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def do(self, name: str, arg: Any) -> None:
        """Carry out one instruction."""
        if name in _PUSH_ARGUMENT:
            self.stack.append(arg)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[arg] = self.top()
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = self.top()
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[arg])
        elif name not in ("PROTO", "FRAME"):
            action = _ACTIONS.get(name)
            if action is None:
                raise RefusedError(f"the instruction {name}, which no file of weights has")
            action(self, arg)

    def top(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise RefusedError("a broken pickle (its stack is empty)")
        return self.stack[-1]

    def pop(self) -> Any:
        value = self.top()
        self.stack.pop()
        return value

    def pop_mark(self) -> list[Any]:
        """What lies above the topmost mark."""
        for index in range(len(self.stack) - 1, -1, -1):
            if self.stack[index] is _MARK:
                values = self.stack[index + 1 :]
                del self.stack[index:]
                return values
        raise RefusedError("a broken pickle (no mark)")

    def call(self, what: Any, args: Any) -> Any:
        """What a call becomes: a record where it is known, else a note of it."""
        if not isinstance(args, tuple):
            raise RefusedError("a call without arguments")
        known = self.known.get((what.module, what.name)) if isinstance(what, Global) else None
        return Stub(what, args) if known is None else known(self.limits, *args)

    def name(self, module: Any, name: Any) -> Global:
        """A name, noted."""
        if not isinstance(module, str) or not isinstance(name, str) or len(module) + len(name) > 1000:
            raise RefusedError("a name that is not a name")
        found = Global(module, name)
        if (module, name) not in self.known and len(self.names) < 1000:
            self.names.add(str(found))
        return found


def key_of(value: Any) -> Any:
    """``value`` where it may be a key. What is slow to hash or to compare, or made to collide, could take for ever.

    Example:
        >>> key_of("a"), key_of((64, 64))
        ('a', '(64, 64)')
    """
    if isinstance(value, tuple) and len(value) <= 16:  # the hash of tuples is no secret, that of text is
        if all(item is None or isinstance(item, (str, bytes, int, float)) for item in value):
            return repr(tuple(key_of(item) for item in value))
        raise RefusedError("a key of nested tuples")
    if isinstance(value, int) and value.bit_length() <= 64:
        return value
    if isinstance(value, (str, bytes)) and len(value) <= MAX_KEY:
        return value
    if value is None or isinstance(value, (float, Global, Record)):
        return value
    raise RefusedError(f"a key that can't be one ({type(value).__name__})")


def _set_pairs(target: Any, values: list[Any]) -> None:
    if len(values) % 2:
        raise RefusedError("a broken pickle (a key without a value)")
    pairs = list(zip(values[::2], values[1::2], strict=True))
    if isinstance(target, dict):
        target.update((key_of(k), v) for k, v in pairs)
    elif isinstance(target, Stub):
        target.pairs += pairs
    else:
        raise RefusedError(f"entries for a {type(target).__name__}")


def _append(target: Any, values: list[Any]) -> None:
    if isinstance(target, list):
        target += values
    elif isinstance(target, set):
        target.update(map(key_of, values))
    elif isinstance(target, Stub):
        target.items += values
    else:
        raise RefusedError(f"items for a {type(target).__name__}")


def _build(m: _Machine, _: Any) -> None:
    state, target = m.pop(), m.top()
    if isinstance(target, Record):
        target.build(state)
    elif isinstance(target, Fields):
        if isinstance(state, dict):
            m.limits.copy(len(state))
            target.update(state)
    elif not isinstance(target, (dict, list, set)):  # their attributes don't matter
        raise RefusedError(f"attributes for a {type(target).__name__}")


def _reduce(m: _Machine, _: Any) -> None:
    args, what = m.pop(), m.pop()
    m.stack.append(m.call(what, args))


def _new_with_names(m: _Machine, _: Any) -> None:
    m.pop()
    _reduce(m, _)


def _global(m: _Machine, arg: Any) -> None:
    module, _, name = arg.partition(" ")
    m.stack.append(m.name(module, name))


def _stack_global(m: _Machine, _: Any) -> None:
    name, module = m.pop(), m.pop()
    m.stack.append(m.name(module, name))


def _inst(m: _Machine, arg: Any) -> None:
    args = tuple(m.pop_mark())
    _global(m, arg)
    m.stack.append(m.call(m.pop(), args))


def _obj(m: _Machine, _: Any) -> None:
    what, *args = m.pop_mark()
    m.stack.append(m.call(what, tuple(args)))


def _tuple(count: int) -> Callable[[_Machine, Any], None]:
    def action(m: _Machine, _: Any) -> None:
        m.stack.append(tuple([m.pop() for _ in range(count)][::-1]))

    return action


def _append_one(m: _Machine, _: Any) -> None:
    value = m.pop()
    _append(m.top(), [value])


def _append_all(m: _Machine, _: Any) -> None:
    values = m.pop_mark()
    _append(m.top(), values)


def _set_one(m: _Machine, _: Any) -> None:
    value, key = m.pop(), m.pop()
    _set_pairs(m.top(), [key, value])


def _set_all(m: _Machine, _: Any) -> None:
    values = m.pop_mark()
    _set_pairs(m.top(), values)


def _dict(m: _Machine, _: Any) -> None:
    found: dict[Any, Any] = {}
    _set_pairs(found, m.pop_mark())
    m.stack.append(found)


def _pop_any(m: _Machine, _: Any) -> None:
    if not m.stack:
        raise RefusedError("a broken pickle (its stack is empty)")
    m.stack.pop()


def _persistent(m: _Machine, arg: Any) -> None:
    if m.persistent is None:
        raise RefusedError("it refers to objects outside of it")
    m.stack.append(m.persistent(arg))


_ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "POP": _pop_any,
    "POP_MARK": lambda m, _: m.pop_mark().clear(),
    "DUP": lambda m, _: m.stack.append(m.top()),
    "LIST": lambda m, _: m.stack.append(m.pop_mark()),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.pop_mark())),
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    "DICT": _dict,
    "FROZENSET": lambda m, _: m.stack.append(frozenset(map(key_of, m.pop_mark()))),
    "APPEND": _append_one,
    "APPENDS": _append_all,
    "ADDITEMS": _append_all,
    "SETITEM": _set_one,
    "SETITEMS": _set_all,
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "NEWOBJ": _reduce,
    "NEWOBJ_EX": _new_with_names,
    "INST": _inst,
    "OBJ": _obj,
    "BUILD": _build,
    "PERSID": _persistent,
    "BINPERSID": lambda m, _: _persistent(m, m.pop()),
}


def parts(value: Any) -> list[Any]:
    """What a value directly holds."""
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, (tuple, list, set, frozenset)):
        return list(value)
    return value.parts() if isinstance(value, Record) else []


def check_nesting(value: Any) -> None:
    """Refuse what is nested deeper than any network.

    Example:
        >>> deep = ()
        >>> for _ in range(1000): deep = (deep,)
        >>> check_nesting(deep)
        Traceback (most recent call last):
        ...
        organza.tensors.pickle.records.RefusedError: it is nested more than 100 deep
    """
    seen, layer, depth = {id(value)}, [value], 0
    while layer:
        depth += 1
        if depth > MAX_DEPTH:
            raise RefusedError(f"it is nested more than {MAX_DEPTH} deep")
        inner: list[Any] = []
        for holder in layer:
            for item in parts(holder):
                if id(item) not in seen and isinstance(item, (dict, tuple, list, set, frozenset, Record)):
                    seen.add(id(item))
                    inner.append(item)
        layer = inner
