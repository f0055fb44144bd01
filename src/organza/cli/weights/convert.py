"""organza convert: weights from one layout to another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from organza.cli.parse import parse
from organza.core.text import say


@dataclass(frozen=True)
class Options:
    """Write somebody's weights as a folder of Organza, or ours as theirs.

    StyleGAN2 can be a file of NVIDIA's or rosinality's; pix2pix and CycleGAN a folder of junyanz', vid2vid one of its
    authors'. Nothing of theirs is run."""

    file: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """A file, a run's folder, an address, or the name of a published network."""
    dest: Path
    """The new folder; with --to nvidia the new .pkl file, with --to rosinality the new .pt file."""
    to: Literal["organza", "nvidia", "rosinality", "junyanz", "vid2vid"] = "organza"
    """The layout to write."""
    dtype: Literal["all", "float32", "bf16"] = "all"
    """With Organza's layout. all: everything there is. Else only what generates or translates; bf16 halves the file and
    is computed in float32."""


def main(argv: list[str]) -> int:
    """Parse, convert, say where it is."""
    options = parse(Options, argv, "organza convert")
    # After parsing: PyTorch takes seconds to import.
    from organza.weights.convert import convert

    say(convert(options.file, options.dest, options.to, dtype=None if options.dtype == "all" else options.dtype))
    return 0
