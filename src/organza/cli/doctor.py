"""organza doctor: is this machine ready?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Annotated

import tyro

from organza.cli.parse import parse


@dataclass(frozen=True)
class Options:
    """Check this machine: processor, memory, GPU, optional packages, cache, speed, helper networks."""

    no_speed: bool = False
    """Skip the speed test."""
    weights_dir: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Look for helper networks here instead of in the cache."""


def main(argv: list[str]) -> int:
    """Print each finding as it is made, with advice where something could be better."""
    options = parse(Options, argv, "organza doctor")
    from rich.text import Text

    from organza.cli.console import terminal
    from organza.core.doctor import examine
    from organza.vision.helpers import examine_helpers

    console = terminal(width=200)
    for finding in chain(examine(speed=not options.no_speed), examine_helpers(options.weights_dir)):
        mark = Text("ok   ", "green") if finding.ok else Text("warn ", "yellow")
        line = Text.assemble(mark, f"{finding.name:18}", finding.value)
        if not finding.ok:
            line.append(f"; {finding.advice}", "yellow")
        console.print(line, soft_wrap=True)
    return 0
