"""organza inspect: what a file of weights is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from organza.cli.parse import parse


@dataclass(frozen=True)
class Options:
    """Say what a file of weights is: whose, which networks, their sizes and settings. Nothing in it is run."""

    file: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """A file, a run's folder, an address, or the name of a published network."""


def main(argv: list[str]) -> int:
    """Parse, look, print a table."""
    options = parse(Options, argv, "organza inspect")
    # After parsing: PyTorch takes seconds to import.
    from rich.markup import escape
    from rich.table import Table

    from organza.cli.console import terminal
    from organza.weights.inspect import inspect

    report = inspect(options.file)
    console = terminal()
    console.print(f"[bold]{escape(str(report.path))}[/bold]: {escape(report.kind)}", soft_wrap=True)
    if report.networks:
        table = Table("network", "tensors", "numbers", "", box=None)
        for network in report.networks:
            counts = f"{network.tensors:,}", f"{network.numbers:,}"
            table.add_row(escape(network.name), *counts, escape(network.problem or ""))
        console.print(table)
    for name, value in report.settings.items():
        console.print(escape(f"{name}: {value}"), soft_wrap=True)
    for note in report.notes:
        console.print(escape(f"note: {note}"), soft_wrap=True)
    return 0
