"""Words of the command line to values, and what is wrong with them in one line."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import inspect
import io
import operator
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructTypeInfo,
)

from organza.cli.complaints import one_line, unbroken
from organza.cli.elsewhere import hint_of, ours
from organza.core.config import bounds, check
from organza.core.errors import UserError
from organza.core.files import user_path

T = TypeVar("T")

_registry = ConstructorRegistry()
_asking: list[Any] = []


@_registry.primitive_rule
def _path(kind: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Path] | None:
    """Every path that is an option: see `user_path`."""
    if kind.type is not Path:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="PATH",
        instance_from_str=lambda words: user_path(words[0]),
        is_instance=lambda value: isinstance(value, Path),
        str_from_instance=lambda path: [str(path)],
    )


@_registry.struct_rule
def _ranged(info: StructTypeInfo) -> StructConstructorSpec | None:
    """Tyro's rule for dataclasses, with each field's range beside its default."""
    if not dataclasses.is_dataclass(info.type) or info.type in _asking:
        return None
    _asking.append(info.type)
    try:
        spec = ConstructorRegistry.get_struct_spec(info)
    finally:
        _asking.pop()
    if not isinstance(spec, StructConstructorSpec):
        return None
    return dataclasses.replace(
        spec, fields=tuple(dataclasses.replace(field, type=_hinted(field.type)) for field in spec.fields)
    )


def _hinted(kind: Any) -> Any:
    if not (range_ := bounds(kind)):
        return kind
    hint = tyro.conf.arg(help_behavior_hint=lambda default: f"({range_}; default: {default})")
    return operator.getitem(Annotated, (kind, hint))


def parse(
    kind: type[T], argv: Sequence[str], prog: str, *, pairs: bool = False, missing: Mapping[str, str] | None = None
) -> T:
    """Read ``argv`` into the dataclass ``kind``: each field is an option, its docstring the help.

    Ranges that the annotations state (`organza.core.ranges`) are checked, and the help shows them. ``--help``
    prints the help and exits. Options of NVIDIA's tools are taken as ours (`organza.cli.elsewhere`).

    Args:
        kind: a dataclass whose own docstring is the description.
        argv: the words after the verb.
        prog: what to call the command in the help, such as ``organza generate``.
        pairs: give flags their opposite as well, ``--mirror`` and ``--no-mirror``; for flags that may be set already.
        missing: what to say of required options that are not there.

    Raises:
        UserError: an unknown option, a missing one, or a value that can't be read or is out of range.
    """
    hint, defaults = f"`{prog} --help` explains the options", defaults_of(kind)
    argv = ours(argv, defaults, prog)
    _check_names(argv, [*defaults, *_aliases(kind)], prog, pairs)
    asks_help = not {"-h", "--help"}.isdisjoint(argv)
    about = f"{inspect.cleandoc(kind.__doc__ or '')}\n\nWith --offline it never uses the network."
    config = () if pairs else (tyro.conf.FlagCreatePairsOff,)
    said = io.StringIO()
    try:
        # Tyro draws a box of several lines; what it says is kept and told as one.
        with contextlib.redirect_stderr(said), contextlib.nullcontext() if asks_help else unbroken():
            shape = kind if asks_help else _bare(kind)
            read = tyro.cli(shape, args=list(argv), prog=prog, description=about, config=config, registry=_registry)
    except SystemExit as stop:
        if not stop.code:
            raise
        line = one_line(said.getvalue(), argv)
        raise UserError(line, hint=(missing or {}).get(line, hint)) from None
    try:
        return check(kind(**vars(read)), option)
    except UserError as error:
        raise UserError(error.what, hint=hint) from None


def option(field: str) -> str:
    """The option that sets a field.

    Example:
        >>> option("z_dim"), option("class_")
        ('--z-dim', '--class')
    """
    return "--" + field.strip("_").replace("_", "-")


def typed(argv: Sequence[str]) -> set[str]:
    """The names of the fields whose options stand in ``argv``, whatever their values.

    Example:
        >>> sorted(typed(["--z-dim", "64", "--lr=0.1", "--no-mirror"]))
        ['lr', 'mirror', 'no_mirror', 'z_dim']
    """
    words = {word.split("=")[0][2:].replace("-", "_") for word in argv if word.startswith("--")}
    return words | {word.removeprefix("no_") for word in words}


def _bare(kind: type[Any]) -> type[Any]:
    """The options of ``kind`` without their help and with unions of the old form: tyro takes a fifth of the time."""
    hints = typing.get_type_hints(kind, include_extras=True)
    if any(dataclasses.is_dataclass(hint) for hint in hints.values()):
        return kind
    parts = [
        (f.name, _old_form(hints[f.name]), dataclasses.field(default=f.default, default_factory=f.default_factory))
        for f in dataclasses.fields(kind)
    ]
    return dataclasses.make_dataclass(kind.__name__, parts, kw_only=True, frozen=True)


def _old_form(hint: Any) -> Any:
    if isinstance(hint, types.UnionType):
        return operator.getitem(typing.Union, typing.get_args(hint))
    if metadata := getattr(hint, "__metadata__", ()):
        return operator.getitem(typing.Annotated, (_old_form(hint.__origin__), *metadata))
    return hint


def words_of(options: Any) -> list[str]:
    """The words that `parse` reads as ``options``, a dataclass without others in it: what differs from its defaults.

    Example:
        >>> from organza.cli.studio.mix import Options
        >>> words_of(Options(network=Path("run"), rows="1-2", scale=2))
        ['--network=run', '--scale=2', '--rows=1-2']
    """
    words: list[str] = []
    hints = typing.get_type_hints(type(options), include_extras=True)
    for field, name in zip(dataclasses.fields(options), names_of(type(options)), strict=True):
        value = getattr(options, field.name)
        if value is None or value == field.default:
            continue
        if tyro.conf.Positional in getattr(hints[field.name], "__metadata__", ()):
            words = [*map(str, value if isinstance(value, tuple) else [value]), *words]
        elif isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no-{name}")
        elif isinstance(value, tuple):
            words += [f"--{name}", *map(str, value)]
        else:
            words.append(f"--{name}={value}")
    return words


def names_of(kind: Any) -> list[str]:
    """The names of a dataclass's options, without dashes in front; those of dataclasses in it as well.

    Example:
        >>> from organza.cli.studio.mix import Options
        >>> names_of(Options)[-4:]
        ['rows', 'columns', 'styles', 'output']
    """
    return list(defaults_of(kind))


def defaults_of(kind: Any) -> dict[str, Any]:
    """Option -> default (`dataclasses.MISSING` where there is none), under the names of `names_of`."""
    found: dict[str, Any] = {}
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        hint, default = hints[field.name], field.default
        if dataclasses.is_dataclass(hint):
            inner = defaults_of(hint)
            if default is not dataclasses.MISSING:
                inner = dict(zip(inner, _values(default), strict=True))
            found |= inner
            continue
        about = [item.name for item in getattr(hint, "__metadata__", ()) if getattr(item, "name", None)]
        found[(about[0] if about else field.name).replace("_", "-")] = default
    return found


def _aliases(kind: Any) -> list[str]:
    """Other names of a dataclass's own options, without dashes in front."""
    hints = typing.get_type_hints(kind, include_extras=True).values()
    about = [item for hint in hints for item in getattr(hint, "__metadata__", ())]
    return [alias.lstrip("-") for item in about for alias in getattr(item, "aliases", None) or ()]


def _values(value: Any) -> Iterator[Any]:
    """The values of a dataclass's fields; those of dataclasses in it as well."""
    for field in dataclasses.fields(value):
        inner = getattr(value, field.name)
        yield from _values(inner) if dataclasses.is_dataclass(inner) else [inner]


def _check_names(argv: Sequence[str], known: Sequence[str], prog: str, pairs: bool) -> None:
    """Refuse options that there are not; tyro would speak of missing ones first, and it has some of its own."""
    hint = f"`{prog} --help` explains the options"
    for word in argv:
        if "\0" in word:
            raise UserError(f"{word!r} has a zero byte in it", hint=hint)
        if not re.match(r"--[a-zA-Z]", word):
            continue
        name = word[2:].split("=")[0].replace("_", "-")
        if name in known or name == "help" or (pairs and name.removeprefix("no-") in known):
            continue
        if here := hint_of(name, known, prog):
            raise UserError(f"unknown option --{name}", hint=here)
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
        raise UserError(f"unknown option --{name}" + (f" (did you mean --{near[0]}?)" if near else ""), hint=hint)


def parse_seeds(text: str, what: str = "seeds") -> list[int]:
    """Seeds and ranges of seeds, in the order given; or other whole numbers, called ``what``.

    Raises:
        UserError: something else, a seed out of range, or more than a million of them.

    Example:
        >>> parse_seeds("0,1,4-6")
        [0, 1, 4, 5, 6]
    """
    seeds: list[int] = []
    for part in text.replace(" ", "").split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if match is None:
            raise UserError(f"can't read the {what} {text!r}", hint="write numbers and ranges, such as 0,1,4-6")
        first = int(match[1])
        last = first if match[2] is None else int(match[2])
        if last < first:
            raise UserError(f"the range of {what} {part} runs backwards", hint=f"write {last}-{first}")
        if last >= 2**32:
            raise UserError(f"the seed {last} is too large", hint=f"seeds go from 0 to {2**32 - 1}")
        if len(seeds) + last - first >= 10**6:
            raise UserError(f"{text!r} is more than a million seeds", hint="take them in portions")
        seeds.extend(range(first, last + 1))
    return seeds


def parse_grid(text: str) -> tuple[int, int]:
    """Columns and rows.

    Raises:
        UserError: anything but ``COLUMNSxROWS``.

    Example:
        >>> parse_grid("3x2")
        (3, 2)
    """
    match = re.fullmatch(r" *(\d+) *[xX*] *(\d+) *", text)
    if match is None or not (int(match[1]) and int(match[2])):
        raise UserError(f"can't read the grid {text!r}", hint="write columns x rows, such as 4x3")
    return int(match[1]), int(match[2])


def parse_pair(text: str) -> tuple[float, float]:
    """Two numbers.

    Raises:
        UserError: anything but ``X,Y``.

    Example:
        >>> parse_pair("0.25,-0.1")
        (0.25, -0.1)
    """
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"can't read the pair {text!r}", hint="write two numbers, such as 0.25,0") from None
    return x, y


def parse_setting(word: str) -> tuple[str, object]:
    """A setting's name and value: a number, true or false, none, or text.

    Raises:
        UserError: not of the form NAME=VALUE.

    Example:
        >>> parse_setting("z-dim=64"), parse_setting("noise=random")
        (('z_dim', 64), ('noise', 'random'))
        >>> parse_setting("wgan-gp.z-dim=64")  # of one preset, where several are meant
        ('wgan-gp.z_dim', 64)
    """
    name, equals, text = word.partition("=")
    if not (name and equals):
        raise UserError(f"--set {word!r} is not NAME=VALUE", hint="write --set z_dim=64 lr=0.002")
    fixed = {"true": True, "false": False, "none": None}
    value: object = fixed.get(text.lower(), text)
    for kind in (int, float) if isinstance(value, str) else ():
        try:
            value = kind(text)
            break
        except ValueError:
            continue
    preset, dot, name = name.rpartition(".")
    return preset + dot + name.replace("-", "_"), value
