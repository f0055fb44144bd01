"""organza walk: a video of random walks through latent space."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from organza.cli.parse import parse, parse_grid
from organza.cli.progress import progress_bar
from organza.cli.record import record
from organza.cli.shared import Drawing, seeds_of
from organza.core.ranges import Positive
from organza.core.text import say


@dataclass(frozen=True, kw_only=True)
class Options(Drawing):
    """Make a video of random walks through latent space, one for each seed; it is a seamless loop."""

    seeds: Annotated[str | None, tyro.conf.arg(metavar="0-5")] = None
    """Which walks, as seeds and ranges. Unless said: one for each cell of --grid, or 0."""
    grid: Annotated[str | None, tyro.conf.arg(metavar="3x2")] = None
    """Walks side by side, columns x rows: 3x2."""
    seconds: Positive = 8.0
    """Length of the loop."""
    fps: Positive = 30.0
    """Frames a second; at most 50 in a .gif, 90 in a .webp."""
    smooth: Positive | None = None
    """Seconds within which images stay alike: more walks slower. Unless said: 1, or a fifth of --seconds if less."""
    output: Path = Path("out/walk.mp4")
    """The video: .mp4, .gif or .webp."""
    flat: bool = False
    """Leave the dither pattern out of a .gif: flat areas show steps, and the file is smaller."""


def main(argv: list[str]) -> int:
    """Parse, load, generate, and say where the video is."""
    options = parse(Options, argv, "organza walk")
    grid, sampling = None if options.grid is None else parse_grid(options.grid), options.sampling
    seeds = seeds_of(options.seeds, grid, "0")
    from organza.media.video import check_video
    from organza.models.load import load_generator
    from organza.studio.walk import walk

    check_video(options.output, options.fps)
    G = load_generator(options.network, device=options.device, precision=options.precision)
    with progress_bar("generating", "frames") as progress:
        path = walk(
            G,
            seeds,
            options.output,
            grid=grid,
            seconds=options.seconds,
            fps=options.fps,
            smooth=options.smooth,
            sampling=sampling,
            scale=options.scale,
            dither=not options.flat,
            progress=progress,
        )
    record("walk", argv, path, inputs={"--network": G.source}, changes=["--precision", G.precision])
    say(path)
    return 0
