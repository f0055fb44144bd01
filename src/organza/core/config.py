"""Frozen dataclasses to JSON and back.

The dataclass is the schema: what a file holds is checked against the annotations, so that a file from another
version or another hand is refused with the name of the field instead of failing somewhere later.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from organza.core.errors import UserError

T = TypeVar("T")


def to_plain(config: Any) -> Any:
    """A dataclass (nested at will) as dicts, lists, strings, numbers, booleans and None.

    Example:
        >>> from organza.core.method import DataSpec
        >>> to_plain(DataSpec(resolution=(32, 48)))
        {'resolution': [32, 48], 'channels': 3, 'label_dim': 0}
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
        UserError: an unknown field, a missing one without default, or a value of the wrong type.

    Example:
        >>> from organza.core.method import DataSpec
        >>> from_plain(DataSpec, {"resolution": [32, 48]})
        DataSpec(resolution=(32, 48), channels=3, label_dim=0)
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


def _decode(kind: Any, plain: Any, where: str) -> Any:
    origin, args = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _decode_dataclass(kind, plain, where)
    if origin in (Union, types.UnionType):
        for option in args:
            try:
                return _decode(option, plain, where)
            except UserError:
                continue
    elif origin is Literal:
        if any(plain == choice and type(plain) is type(choice) for choice in args):
            return plain
    elif origin is tuple and isinstance(plain, list):
        if len(args) == 2 and args[1] is Ellipsis:
            return tuple(_decode(args[0], item, where) for item in plain)
        if len(args) == len(plain):
            return tuple(_decode(part, item, where) for part, item in zip(args, plain, strict=True))
    elif origin is dict and isinstance(plain, Mapping):
        return {_decode(args[0], k, where): _decode(args[1], v, where) for k, v in plain.items()}
    elif kind is type(None) and plain is None:
        return None
    elif kind is float and isinstance(plain, (int, float)) and not isinstance(plain, bool):
        return float(plain)
    elif kind in (int, str, bool) and type(plain) is kind:
        return plain
    raise UserError(f"{plain!r} is not a {getattr(kind, '__name__', kind)}", where=where)


def _decode_dataclass(cls: type, plain: Any, where: str) -> Any:
    if not isinstance(plain, Mapping):
        raise UserError(f"expected the fields of {cls.__name__}", where=where)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
    if unknown := sorted(set(plain) - set(fields)):
        raise UserError(
            f"{cls.__name__} has no setting {unknown[0]!r}", where=where, hint="was it written by a newer Organza?"
        )
    hints = typing.get_type_hints(cls)
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
