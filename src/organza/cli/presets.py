"""organza presets: what can be trained, and with which settings."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from organza.cli.parse import parse
from organza.core.config import bounds, kinds
from organza.presets import PRESETS, Preset, preset

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Options:
    """List the presets, or show every setting of one."""

    name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")] = None
    """A preset; leave it out for the list."""


def main(argv: list[str]) -> int:
    """Print the list, or one preset."""
    options = parse(Options, argv, "organza presets")
    from rich.table import Table

    from organza.cli.console import terminal

    console = terminal(width=120)
    if options.name is None:
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        for name, entry in PRESETS.items():
            table.add_row(f"[bold]{name}[/]", entry.summary)
        console.print(table)
        console.print("\n`organza presets NAME` shows the settings of one.")
    else:
        show(console, preset(options.name))
    return 0


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
    rows, ranges = [], kinds(type(settings))
    for setting in fields(settings):
        value, option = getattr(settings, setting.name), prefix + setting.name.replace("_", "-")
        if is_dataclass(value):
            rows += _rows(value, f"{option}.")
        else:
            rows.append((f"  --{option}", str(value), bounds(ranges[setting.name])))
    return rows
