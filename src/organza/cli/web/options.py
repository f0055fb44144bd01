"""The options of a verb as fields of a form."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import textwrap
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal

import tyro

from organza.cli.parse import names_of
from organza.cli.runs.train import options_of
from organza.cli.verbs import module
from organza.cli.web.offered import (
    CHOICES,
    JOBS,
    KINDS,
    LEFT_OUT,
    MAIN,
    SEEDS,
    TEXTS,
    WRITTEN,
    endings_of,
    told,
)
from organza.core.errors import UserError
from organza.core.ranges import Range
from organza.core.text import printable
from organza.presets import preset
from organza.web.studio.forms import Field


@dataclass(frozen=True)
class Option:
    """An option of a verb.

    Attributes:
        name: in Python.
        word: on the command line, without dashes.
        hint: its annotation.
        default: or `dataclasses.MISSING`.
        help: its docstring.
        group: the part of a preset that it belongs to.
        positional: whether it stands without its name.
    """

    name: str
    word: str
    hint: Any
    default: Any
    help: str
    group: str = ""
    positional: bool = False


@dataclass(frozen=True)
class Way:
    """How a form becomes a command line.

    Attributes:
        verb: its name in tables, such as ``"train"``.
        words: the first words after ``organza``.
        kind: the dataclass of its options.
        pairs: whether flags have their opposite.
        options: all of them.
    """

    verb: str
    words: tuple[str, ...]
    kind: type[Any]
    pairs: bool
    options: tuple[Option, ...]


@cache
def way_of(verb: str, name: str | None) -> Way:
    """The way of a verb, or of a preset's ``train``.

    Raises:
        UserError: no such verb or preset.
    """
    if verb == "train":
        if name is None:
            raise UserError("no preset is named", hint="GET /api/presets lists them")
        entry = preset(name)
        kind = options_of(entry.run, entry.summary)
        return Way("train", ("train", name), kind, True, tuple(_options(kind)))
    if verb not in JOBS:
        raise UserError(f"{printable(repr(verb), 60)} is no verb of jobs", hint=f"there are {', '.join(JOBS)}")
    first, _, second = verb.partition(" ")
    kind = module(first)._VERBS[second][0] if second else module(first).Options
    return Way(verb, tuple(verb.split()), kind, verb == "evaluate", tuple(_options(kind)))


def _options(kind: type[Any], group: str = "", help: Mapping[str, str] | None = None) -> list[Option]:
    found: list[Option] = []
    hints = typing.get_type_hints(kind, include_extras=True)
    flat = [field for field in dataclasses.fields(kind) if not dataclasses.is_dataclass(hints[field.name])]
    words = iter(names_of(dataclasses.make_dataclass("Flat", [(f.name, hints[f.name], _bare(f)) for f in flat])))
    said = _field_help(kind)
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            inner = _options(hint if isinstance(hint, type) else type(hint), field.name)
            default = field.default
            if default is not dataclasses.MISSING:
                inner = [dataclasses.replace(each, default=getattr(default, each.name)) for each in inner]
            found += inner
            continue
        default = field.default
        if default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        positional = tyro.conf.Positional in getattr(hint, "__metadata__", ())
        found.append(Option(field.name, next(words), hint, default, said.get(field.name, ""), group, positional))
    return found


def _bare(field: Any) -> Any:
    return dataclasses.field(default=None)


def _field_help(kind: type[Any]) -> Mapping[str, str]:
    """The docstring below each field of a dataclass and of those it builds on."""
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(each):
            continue
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(each)))
        except (OSError, TypeError, SyntaxError):  # a dataclass that was made by a function
            continue
        body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
        for node, after in itertools.pairwise(body):
            said = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if said and isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                assert isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                found[node.target.id] = " ".join(str(after.value.value).split())
    return found


def field_of(way: Way, each: Option) -> Field | None:
    """The form's field for an option; None where a request has no say in it."""
    if each.name == "output" and each.name in WRITTEN and (endings := endings_of(way.verb)):
        return Field("output", "Format", "Of the file.", "choice", endings[0], endings)
    if each.name in WRITTEN or told(LEFT_OUT, way.verb, each.name):
        return None
    members = [*members_of(each.hint)]
    many = any(typing.get_origin(member) is tuple for member in members)
    range_ = next((found for found in _ranges(each.hint)), None)
    base = partial(
        Field,
        each.name,
        each.word.replace("-", " ").capitalize(),
        each.help,
        required=each.default is dataclasses.MISSING,
        advanced=way.verb in MAIN and each.name not in MAIN[way.verb] and each.default is not dataclasses.MISSING,
        group=each.group,
    )
    default = None if each.default is dataclasses.MISSING else _plain(each.default)
    if (kind := told(KINDS, way.verb, each.name)) and _could_be_a_path(members):
        return base(type=kind, many=many)
    if (choices := told(CHOICES, way.verb, each.name)) and _may_be_text(members):
        return base(type="choice", default=default, choices=_with(default, choices))
    if told(SEEDS, way.verb, each.name) and str in members:
        return base(type="seeds", default=default)
    if told(TEXTS, way.verb, each.name) is not None and (str in members or many):
        return base(type="text", default=default, many=many)
    literals = [
        choice for member in members if typing.get_origin(member) is Literal for choice in typing.get_args(member)
    ]
    if literals:
        return base(type="choice", default=default, choices=tuple(literals))
    if many and str not in members:  # numbers, as one types them
        shown = None if default is None else " ".join(map(str, flat(default)))
        return base(type="text", default=shown)
    least, most = (
        (None, None) if range_ is None else (_first(range_.least, range_.above), _first(range_.most, range_.below))
    )
    for type_ in (bool, int, float):
        if type_ in members:
            return base(type=type_.__name__, default=default, least=least, most=most)
    return None


def _first(*bounds: float | None) -> float | None:
    return next((bound for bound in bounds if bound is not None), None)


def _with(default: Any, choices: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*([default] if isinstance(default, str) else []), *choices]))


def members_of(hint: Any) -> Sequence[Any]:
    """The kinds that an annotation allows, those of a tuple as well."""
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        return members_of(typing.get_args(hint)[0])
    if origin in (typing.Union, types.UnionType):
        return [member for each in typing.get_args(hint) for member in members_of(each)]
    if origin is tuple:
        return [
            hint,
            *(member for each in typing.get_args(hint) if each is not Ellipsis for member in members_of(each)),
        ]
    return [hint]


def _ranges(hint: Any) -> Sequence[Range]:
    own = [extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Range)]
    return own + [found for each in typing.get_args(hint) if each is not Ellipsis for found in _ranges(each)]


def _could_be_a_path(members: Sequence[Any]) -> bool:
    from pathlib import Path

    return Path in members or str in members


def _may_be_text(members: Sequence[Any]) -> bool:
    return str in members or any(typing.get_origin(member) is Literal for member in members)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)


def flat(value: Any) -> list[Any]:
    """What lists and tuples within each other hold, in their order."""
    return [part for item in value for part in flat(item)] if isinstance(value, (list, tuple)) else [value]
