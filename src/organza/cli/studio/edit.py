"""organza edit: images moved along directions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from organza.cli.parse import parse, parse_seeds
from organza.cli.progress import progress_bar
from organza.cli.record import record
from organza.cli.shared import Drawing
from organza.core.ranges import Count, Positive
from organza.core.text import say


@dataclass(frozen=True, kw_only=True)
class Options(Drawing):
    """Move images along directions from organza directions: a strip for each, or a video that swings to and fro."""

    directions: Path
    """The file."""
    apply: str
    """Which directions, how far, and in which layers: "sefa0=2", "smile=1.5@0-3;age=-2"."""
    seeds: str = "0-3"
    """Images, as seeds and ranges: 0,1,4-6."""
    w: Annotated[Path | None, tyro.conf.arg(metavar="FILE.npz")] = None
    """Move the w's in this file instead, such as those that organza project found."""
    strip: Count = 7
    """Images in a strip, from the opposite of --apply to all of it; 2 for before and after."""
    film: bool = False
    """Make a video also of a .webp, which is a strip otherwise."""
    seconds: Positive = 4.0
    """Length of a video."""
    fps: Positive = 30.0
    """Its frames a second; at most 50 in a .gif, 90 in a .webp."""
    output: Path = Path("out/edit.png")
    """The strip: .png, .jpg or .webp; or the video: .mp4, .gif, or .webp with --film."""


def main(argv: list[str]) -> int:
    """Parse, load, generate, and say where the image is."""
    options = parse(Options, argv, "organza edit")
    seeds, sampling = parse_seeds(options.seeds), options.sampling
    from organza.models.load import load_generator
    from organza.studio.codes import codes, load_codes, truncated
    from organza.studio.directions import load_directions
    from organza.studio.edit import edit, parse_edits

    G = load_generator(options.network, device=options.device, precision=options.precision)
    edits = parse_edits(options.apply, load_directions(options.directions, G), G.num_ws)
    if options.w is None:
        ws = codes(G, seeds, sampling)
    else:
        ws = truncated(G, load_codes(options.w, G), sampling)
    with progress_bar("generating", "frames") as progress:
        path = edit(
            G,
            ws,
            edits,
            options.output,
            columns=options.strip,
            moving=True if options.film else None,
            seconds=options.seconds,
            fps=options.fps,
            noise=sampling.noise,
            scale=options.scale,
            progress=progress,
        )
    inputs = {"--network": G.source, "--directions": options.directions, "--w": options.w}
    record("edit", argv, path, inputs=inputs, changes=["--precision", G.precision])
    say(path)
    return 0
