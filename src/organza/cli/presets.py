"""organza presets: what can be trained, and with which settings."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from organza.cli.parse import parse
from organza.core.speed import remembered
from organza.presets import PRESETS, Preset, preset

if TYPE_CHECKING:
    from rich.console import Console

NOTE = "Labels after a comma are optional. Papers are numbers at arxiv.org. Size: height, or height x width."
TIMES = (
    "Times for a thousand images at this size are rough, to a factor of two, from the speed that `organza doctor` "
    "found here; `train --dry-run` measures."
)
NO_TIMES = "`organza doctor` measures this machine; then times are listed here."


@dataclass(frozen=True)
class Options:
    """List the presets, or show every setting of one."""

    name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[NAME]")] = None
    """A preset; leave it out for the list."""


def main(argv: list[str]) -> int:
    """Print the list, or one preset."""
    options = parse(Options, argv, "organza presets")
    from rich.table import Table

    from organza.cli.console import terminal

    console = terminal(width=140)
    if options.name is not None:
        show(console, preset(options.name))
        return 0
    rate = remembered()
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for head in ("preset", "data", "paper", "size", "kimg takes" if rate else "GFLOP/image", "what it is for"):
        right = head in ("size", "kimg takes", "GFLOP/image")
        table.add_column(head, justify="right" if right else "left", no_wrap=head != "what it is for")
    for name, entry in PRESETS.items():
        facts = entry.facts
        size = "x".join(map(str, facts.size if facts.size[0] != facts.size[1] else facts.size[:1]))
        cost = _about(1000 * facts.gflop / rate) if rate else f"{facts.gflop:g}"
        table.add_row(f"[bold]{name}[/]", facts.takes, facts.paper, size, cost, entry.summary)
    console.print(table)
    console.print(f"\n{NOTE} {TIMES if rate else NO_TIMES}", highlight=False)
    console.print("`organza presets NAME` shows the settings of one.", highlight=False)
    return 0


def _about(seconds: float) -> str:
    """A rough time in its largest unit.

    Example:
        >>> _about(0.2), _about(12.3), _about(400), _about(30000), _about(2e6)
        ('0.2 s', '12 s', '7 min', '8 h', '23 d')
    """
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.2g} s"


def show(console: Console, entry: Preset) -> None:
    """Print what a preset is for, its method's description, and all its settings, by part."""
    from rich.table import Table

    console.print(f"[bold]{entry.name}[/]: {entry.summary}\n")
    run = entry.run
    # The module of a method opens with its paper.
    module = inspect.getmodule(type(run.method))
    for text in (module.__doc__ if module else None, type(run.method).__doc__):
        if text:
            console.print(inspect.cleandoc(text).split("\n\nExample:")[0] + "\n", markup=False)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("option")
    table.add_column("value")
    table.add_column("range")
    for part in fields(run):
        settings = getattr(run, part.name)
        table.add_row(f"[dim]{part.name}[/]", "", "")
        for row in _rows(settings):
            table.add_row(*row)
    console.print(table)


def _rows(settings: Any, prefix: str = "") -> list[tuple[str, str, str]]:
    """Each setting as the option that sets it, its value, and its range where it has one."""
    from organza.core.config import bounds, kinds

    rows, ranges = [], kinds(type(settings))
    for setting in fields(settings):
        value, option = getattr(settings, setting.name), prefix + setting.name.replace("_", "-")
        if is_dataclass(value):
            rows += _rows(value, f"{option}.")
        else:
            rows.append((f"  --{option}", str(value), bounds(ranges[setting.name])))
    return rows
