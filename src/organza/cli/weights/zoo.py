"""organza zoo: the networks that come with Organza."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated

import tyro

from organza.cli.parse import parse


@dataclass(frozen=True)
class Options:
    """List the networks that come with Organza, or show the card of one. --network zoo/NAME takes one everywhere."""

    name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[NAME]")] = None
    """Which; all unless said."""


def main(argv: list[str]) -> int:
    """Parse, look, print."""
    options = parse(Options, argv, "organza zoo")
    from rich.markup import escape
    from rich.table import Table

    from organza.cli.console import terminal
    from organza.core.errors import UserError
    from organza.core.zoo import PREFIX, read_card, zoo_folder, zoo_names

    console = terminal()
    if options.name is not None:
        folder = zoo_folder(options.name.removeprefix(PREFIX))
        card = read_card(folder)
        if card is None:
            raise UserError("has no card", where=folder)
        console.print(f"[bold]{PREFIX}{escape(folder.name)}[/bold]", soft_wrap=True)
        for field in fields(card):
            value = getattr(card, field.name)
            if isinstance(value, dict):
                value = ", ".join(f"{name} {number:g}" for name, number in value.items())
            if value:
                console.print(escape(f"{field.name}: {value}"), soft_wrap=True)
        return 0
    table = Table("network", "size", "shows", "data", box=None)
    for name in zoo_names():
        folder = zoo_folder(name)
        card = read_card(folder)
        size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        if card is not None:
            table.add_row(PREFIX + name, f"{size / 1e6:.1f} MB", escape(card.summary), escape(card.data))
    console.print(table)
    return 0
