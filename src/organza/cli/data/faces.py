"""organza faces: a drawn dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from organza.cli.parse import parse
from organza.cli.progress import progress_bar
from organza.core.errors import UserError
from organza.core.ranges import Count, Seed
from organza.core.text import say


@dataclass(frozen=True)
class Options:
    """Draw a dataset of cartoon faces: a zip of images with labels, ready for organza train."""

    dest: Path
    """The zip to write."""
    count: Count = 4000
    """How many faces."""
    resolution: str = "64"
    """Size of the images: 64, or 96x64 (height x width)."""
    seed: Seed = 0
    """Which faces: another seed draws others."""
    label: str = "hair"
    """The choice that becomes the class: hair, glasses, mouth, skin ..."""
    style: Literal["paint", "line"] = "paint"
    """In colour, or ink on paper; the same seed draws the same faces."""
    frames: Count = 1
    """More than 1: videos of so many frames, --count in all, in which a face moves: pairs of ink and paint with the
    motion of each pixel, for vid2vid and others that learn from pairs."""


def main(argv: list[str]) -> int:
    """Parse, render, and say where the zip is."""
    options = parse(Options, argv, "organza faces")
    from organza.data.options import parse_resolution

    if options.frames > 1:
        return _films(options)
    from organza.data.drawn_faces.files import write_faces

    with progress_bar("drawing", "faces") as progress:
        path = write_faces(
            options.dest,
            options.count,
            parse_resolution(options.resolution),
            options.seed,
            factor=options.label,
            style=options.style,
            progress=progress,
        )
    say(path)
    return 0


def _films(options: Options) -> int:
    from organza.data.drawn_faces.films import write_films
    from organza.data.options import parse_resolution

    if (options.label, options.style) != (Options.label, Options.style):
        raise UserError("--label and --style are of single faces", hint="leave them out: videos have both styles")
    with progress_bar("drawing", "frames") as progress:
        path = write_films(
            options.dest,
            options.count,
            options.frames,
            parse_resolution(options.resolution),
            options.seed,
            progress=progress,
        )
    say(path)
    return 0
