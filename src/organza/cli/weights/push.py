"""organza push: a trained network to the Hugging Face hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from organza.cli.parse import parse
from organza.core.text import say


@dataclass(frozen=True)
class Options:
    """Send a network to the Hugging Face hub, with samples and a card: weights and settings alone, nothing that runs.
    It is then found as --network hf:USER/NAME."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder of a run, one of its checkpoints, or a file of somebody else's."""
    dest: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DEST")]
    """Where to: hf:USER/NAME, a repository, which is made where it is not there yet."""
    dtype: Literal["float32", "bf16"] = "float32"
    """bf16 halves the file."""
    private: bool = False
    """Make a new repository that only you can see."""
    licence: Annotated[str | None, tyro.conf.arg(metavar="TEXT")] = None
    """For the card: under which terms the weights may be used."""
    summary: Annotated[str | None, tyro.conf.arg(metavar="TEXT")] = None
    """For the card: what the network makes."""
    data: Annotated[str | None, tyro.conf.arg(metavar="TEXT")] = None
    """For the card: what it was trained on, and whose that is."""
    limits: Annotated[str | None, tyro.conf.arg(metavar="TEXT")] = None
    """For the card: what it can't do, or must not be used for."""


def main(argv: list[str]) -> int:
    """Parse, send, say where it is."""
    options = parse(Options, argv, "organza push")
    # After parsing: PyTorch takes seconds to import.
    from organza.weights.push import Told, push

    told = Told(options.licence, options.summary, options.data, options.limits)
    say(push(options.run, options.dest, told, dtype=options.dtype, private=options.private))
    return 0
