"""Frozen dataclasses to JSON and back.

The dataclass is the schema: values are checked against the annotations, their ranges included (`organza.core.ranges`).
So a file from another version or another hand, or a setting from a command line or from Python, is refused with the
name of the field instead of failing somewhere later.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import numbers
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from organza.core.errors import UserError
from organza.core.ranges import Range
from organza.core.text import printable

T = TypeVar("T")


def to_plain(config: Any) -> Any:
    """A dataclass (nested at will) as dicts, lists, strings, numbers, booleans and None.

    Example:
        >>> from organza.contract.data import DataSpec
        >>> to_plain(DataSpec(resolution=(32, 48)))
        {'resolution': [32, 48], 'channels': 3, 'label_dim': 0, ...}
    """
    if dataclasses.is_dataclass(config):
        return {f.name: to_plain(getattr(config, f.name)) for f in dataclasses.fields(config)}
    if isinstance(config, (tuple, list)):
        return [to_plain(item) for item in config]
    if isinstance(config, Mapping):
        return {key: to_plain(item) for key, item in config.items()}
    return config


def from_plain(cls: type[T], plain: Any, *, where: object = "config") -> T:
    """The inverse of `to_plain`; a field that the file lacks takes its default.

    A setting whose default is not what older versions did says so: ``field(default=..., metadata={"absent": ...})`` is
    what its absence in a file means.

    Raises:
        UserError: an unknown field, a missing one without default, or a value of the wrong type or out of its range.

    Example:
        >>> from organza.contract.data import DataSpec
        >>> from_plain(DataSpec, {"resolution": [32, 48]})
        DataSpec(resolution=(32, 48), channels=3, label_dim=0, ...)
    """
    value: T = _decode(cls, plain, str(where))
    return value


def differences(old: Any, new: Any, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """The settings in which two plain configs differ: ``{"training.batch": (16, 32)}``.

    Example:
        >>> differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}})
        {'a.c': (2, 3)}
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found: dict[str, tuple[Any, Any]] = {}
        for key in dict.fromkeys([*old, *new]):
            found |= differences(old.get(key), new.get(key), f"{prefix}{key}.")
        return found
    return {} if old == new else {prefix.rstrip("."): (old, new)}


def check(config: T, name: Callable[[str], str] = str) -> T:
    """``config`` itself, if each of its values is of the type and in the range that its field is annotated with.

    Whole numbers become floats, and lists become tuples, where the field says so. Values of nested dataclasses are
    checked likewise.

    Args:
        config: a dataclass.
        name: how to call a field in the error.

    Raises:
        UserError: the first value that does not fit.

    Example:
        >>> from organza.contract.method import Adam
        >>> check(Adam(lr=1)).lr
        1.0
        >>> check(Adam(lr=-1))
        Traceback (most recent call last):
        ...
        organza.core.errors.UserError: lr must be at least 0, not -1
    """
    values = {}
    for field, kind in kinds(type(config)).items():
        value = getattr(config, field)
        nested = dataclasses.is_dataclass(value) and not isinstance(value, type)
        try:
            values[field] = check(value, name) if nested else _decode(kind, value, name(field))
        except _Mismatch as error:
            raise UserError(error.what, hint=_meant(kind, value)) from None
    return dataclasses.replace(config, **values)  # type: ignore[type-var]


def kinds(cls: type) -> dict[str, Any]:
    """The annotation of each field of a dataclass that its constructor takes."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return {f.name: hints[f.name] for f in dataclasses.fields(cls) if f.init}


def bounds(kind: Any) -> str:
    """The range that an annotation states, as help shows it; empty where it states none.

    Example:
        >>> from organza.core.ranges import Count
        >>> bounds(tuple[Count, ...] | None), bounds(int)
        ('at least 1', '')
    """
    own = [str(extra) for extra in getattr(kind, "__metadata__", ()) if isinstance(extra, Range)]
    return ", ".join(dict.fromkeys([*own, *filter(None, map(bounds, get_args(kind)))]))


class _Mismatch(UserError):
    """A value of another type altogether: another member of a union may take it."""


def _decode(kind: Any, plain: Any, where: str) -> Any:
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        value = _decode(args[0], plain, where)
        for extra in args[1:]:
            if isinstance(extra, Range) and value is not None and (wanted := extra.unmet(value)):
                raise UserError(f"{where} must be {wanted}, not {_shown(plain).removesuffix('.0')}")
        return value
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return plain if isinstance(plain, kind) else _decode_dataclass(kind, plain, where)
    if origin in (Union, types.UnionType):
        for option in args:
            try:
                return _decode(option, plain, where)
            except _Mismatch:
                continue
    elif origin is Literal:
        if any(plain == choice and type(plain) is type(choice) for choice in args):
            return plain
    elif origin is tuple and isinstance(plain, (list, tuple)):
        parts = [args[0]] * len(plain) if len(args) == 2 and args[1] is Ellipsis else args
        if len(parts) == len(plain):
            return tuple(_decode(part, item, where) for part, item in zip(parts, plain, strict=True))
    elif origin is dict and isinstance(plain, Mapping):
        return {_decode(args[0], k, where): _decode(args[1], v, where) for k, v in plain.items()}
    elif kind is type(None) and plain is None:
        return None
    elif isinstance(plain, bool):
        if kind is bool:
            return plain
    elif kind is float and isinstance(plain, numbers.Real):
        return _finite(plain, where)
    elif kind is int and isinstance(plain, numbers.Integral):
        return int(plain)
    elif isinstance(kind, type) and isinstance(plain, kind):
        return plain
    raise _Mismatch(f"{where} must be {_described(kind)}, not {_shown(plain)}")


def _finite(number: numbers.Real, where: str) -> float:
    try:
        value = float(number)
    except OverflowError:  # of a whole number
        value = math.inf
    if not math.isfinite(value):
        raise UserError(f"{where} must be a finite number, not {_shown(number)}")
    return value


def _described(kind: Any) -> str:
    """An annotation in words.

    Example:
        >>> _described(float | None), _described(Literal["a", "b"]), _described(tuple[int, ...])
        ('a number or none', 'one of a, b', 'a list')
    """
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _described(args[0])
    if origin in (Union, types.UnionType):
        return " or ".join(_described(option) for option in args)
    if origin is Literal:
        return f"one of {', '.join(map(str, args))}"
    if origin is tuple:
        return "a list" if args[1:] == (Ellipsis,) else f"a list of {len(args)}"
    words = {float: "a number", int: "a whole number", str: "text", bool: "True or False", type(None): "none"}
    return words.get(kind) or f"a {getattr(kind, '__name__', kind)}"


def _shown(value: Any) -> str:
    try:
        return printable(repr(value), limit=60)
    except ValueError:  # a whole number of thousands of digits
        return "a number of thousands of digits"


def _meant(kind: Any, value: Any) -> str | None:
    """What to write instead, where it is clear: "16" for 16, or the other way about."""
    makers: dict[type, tuple[Callable[[Any], Any], ...]] = {str: (int, float), int: (str,), float: (str, int)}
    for make in makers.get(type(value), ()):
        with contextlib.suppress(ValueError, OverflowError, UserError):
            meant = _decode(kind, make(value), "")
            if isinstance(meant, str) or meant == float(value):
                return f"write {meant!r}"
    return None


def _decode_dataclass(cls: type, plain: Any, where: str) -> Any:
    if not isinstance(plain, Mapping):
        raise UserError(f"expected the fields of {cls.__name__}", where=where)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
    if unknown := sorted(set(map(str, plain)) - set(fields)):
        raise UserError(
            f"{cls.__name__} has no setting {unknown[0]!r}", where=where, hint="was it written by a newer Organza?"
        )
    hints = kinds(cls)
    values = {name: _decode(hints[name], plain[name], f"{where}.{name}") for name in fields if name in plain}
    absent = {f.name: f.metadata["absent"] for f in fields.values() if "absent" in f.metadata}
    values = absent | values
    missing = [
        f.name
        for f in fields.values()
        if f.name not in values and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise UserError(f"{cls.__name__} lacks {missing[0]!r}", where=where)
    return cls(**values)
