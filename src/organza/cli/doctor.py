"""organza doctor: is this machine ready?"""

from __future__ import annotations

from dataclasses import dataclass

from organza.cli.parse import parse


@dataclass(frozen=True)
class Options:
    """Check this machine: processor, memory, GPU, optional packages, cache, speed."""

    no_speed: bool = False
    """Skip the speed test."""


def main(argv: list[str]) -> int:
    """Print each finding as it is made, with advice where something could be better."""
    options = parse(Options, argv, "organza doctor")
    from rich.text import Text

    from organza.cli.console import terminal
    from organza.core.doctor import examine

    console = terminal(width=200)
    for finding in examine(speed=not options.no_speed):
        mark = Text("ok   ", "green") if finding.ok else Text("warn ", "yellow")
        line = Text.assemble(mark, f"{finding.name:18}", finding.value)
        if not finding.ok:
            line.append(f"; {finding.advice}", "yellow")
        console.print(line)
    return 0
