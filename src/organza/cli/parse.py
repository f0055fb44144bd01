"""Words of the command line to values, and what is wrong with them in one line."""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass, replace
from typing import Annotated, Any, TypeVar

import tyro
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructTypeInfo

from organza.core.config import bounds, check
from organza.core.errors import UserError

T = TypeVar("T")


def parse(
    kind: type[T], argv: list[str], prog: str, *, pairs: bool = False, missing: Mapping[str, str] | None = None
) -> T:
    """Read ``argv`` into the dataclass ``kind``: each field is an option, its docstring the help.

    Ranges that the annotations state (`organza.core.ranges`) are checked, and the help shows them.

    ``--help`` prints the help and exits. ``--offline``, which every verb has, keeps this process from the network until
    `organza.cli.main.main` returns, as ``ORGANZA_OFFLINE=1`` does.

    Args:
        kind: a dataclass whose own docstring is the description.
        argv: the words after the verb.
        prog: what to call the command in the help, such as ``organza generate``.
        pairs: give flags their opposite as well, ``--mirror`` and ``--no-mirror``; for flags that may be set already.
        missing: what to say of required options that are not there.

    Raises:
        UserError: an unknown option, a missing one, or a value that can't be read or is out of range.
    """
    if "--offline" in argv:
        argv = [word for word in argv if word != "--offline"]
        os.environ["ORGANZA_OFFLINE"] = "1"
    about = f"{inspect.cleandoc(kind.__doc__ or '')}\n\nWith --offline it never uses the network."
    said = io.StringIO()
    help_ = f"`{prog} --help` explains the options"
    try:
        # Tyro draws a box of several lines; what it says is kept and told as one.
        with contextlib.redirect_stderr(said), _ranges_in_help():
            config = () if pairs else (tyro.conf.FlagCreatePairsOff,)
            options: T = tyro.cli(kind, args=argv, prog=prog, description=about, config=config)
    except SystemExit as stop:
        if not stop.code:
            raise
        line = _one_line(said.getvalue())
        raise UserError(line, hint=(missing or {}).get(line, help_)) from None
    try:
        return check(options, option)
    except UserError as error:
        raise UserError(error.what, hint=help_) from None


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


def _ranges_in_help() -> ConstructorRegistry:
    """Tyro's rule for dataclasses, with each field's range beside its default."""
    registry = ConstructorRegistry()
    asking = False

    @registry.struct_rule
    def rule(info: StructTypeInfo) -> StructConstructorSpec | None:
        nonlocal asking
        if asking or not is_dataclass(info.type):
            return None
        asking = True
        try:
            spec = ConstructorRegistry.get_struct_spec(info)
        finally:
            asking = False
        if not isinstance(spec, StructConstructorSpec):
            return None
        return replace(spec, fields=tuple(replace(field, type=_hinted(field.type)) for field in spec.fields))

    return registry


def _hinted(kind: Any) -> Any:
    if not (range_ := bounds(kind)):
        return kind
    return Annotated[kind, tyro.conf.arg(help_behavior_hint=lambda default: f"({range_}; default: {default})")]


def _one_line(box: str) -> str:
    """Tyro's error box as a sentence.

    Example:
        >>> _one_line("╭─ Unrecognized options ─╮\\n│ Unrecognized options: --x │\\n│ ─── │\\n│ For help ... │\\n╰──╯")
        'unknown option --x'
    """
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    rows = [row.strip(" │╭╮╰╯").strip("─ ") for row in plain.splitlines()]
    # The title, what is wrong, a rule or the end, and help; with lines of blanks where the terminal has no Unicode.
    rows = ["" if set(row) <= {"-"} else row for row in rows]
    start = next((i for i, row in enumerate(rows) if row), 0) + 1
    start = next((i for i in range(start, len(rows)) if rows[i]), len(rows))
    stop = next((i for i in range(start, len(rows)) if not rows[i]), len(rows))
    text, rest = " ".join(rows[start:stop]), " ".join(rows[stop:])

    if missing := re.match(r"Missing from .*?: *(.*)", text):
        options = re.findall(r"(?<!\S)--[a-z][\w-]*", missing[1]) or [missing[1]]
        return f"{' and '.join(options)} {'is' if len(options) == 1 else 'are'} missing"
    if unknown := re.match(r"Unrecognized options: *(.*)", text):
        words = unknown[1].split(", ")
        options = [word for word in words if word.startswith("-")]
        if not options:
            return f"nothing is expected at {' '.join(words)!r}"
        near = re.search(r"Perhaps you meant: *(--[\w-]+)", rest)
        return f"unknown option {options[0]}" + (f" (did you mean {near[1]}?)" if near else "")
    if bad := re.match(r"Error parsing (\S+): *(.*)", text):
        reason = re.sub(r"could not convert string to float: ('.*')", r"\1 is not a number", bad[2])
        reason = re.sub(r"invalid literal for int\(\) with base 10: ('.*')", r"\1 is not a whole number", reason)
        return f"{bad[1].split('/')[-1]}: {reason}"
    if choice := re.match(r"invalid choice '(.*)' for argument '([^']*)'. Expected one of \((.*?),?\)", text):
        return f"{choice[2].split('/')[-1]} can't be {choice[1]!r}: choose {choice[3].replace(chr(39), '')}"
    if short := re.match(r"Missing value for argument '([^']*)'", text):
        return f"{short[1].split('/')[-1]} needs a value"
    return text[:1].lower() + text[1:]


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
