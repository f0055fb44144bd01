"""organza interpolate: a seamless film through seeds."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from organza.cli.parse import parse, parse_grid, parse_seeds
from organza.cli.progress import progress_bar


@dataclass(frozen=True)
class Options:
    """Make a seamless film that passes from seed to seed and back to the first."""

    network: Path
    """Folder of a run, such as runs/00000-stylegan2-faces, or one of its checkpoints."""
    seeds: str = "0-5"
    """Keyframes, as seeds and ranges: 1,5,9,13. With enough of them, each cell of the grid has its own; otherwise each
    cell takes the same plus 1000, plus 2000 ..."""
    grid: Annotated[str, tyro.conf.arg(metavar="3x2")] = "1x1"
    """Films side by side, columns x rows: 3x2."""
    seconds: float = 8.0
    """Length of the loop."""
    fps: float = 30.0
    """Frames a second; at most 50 in a .gif."""
    trunc: float = 1.0
    """Truncation psi: 1 gives the full variety, 0.7 safer pictures, 0 the average."""
    cutoff: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Truncate only the first so many layers."""
    space: Literal["w", "z"] = "w"
    """w: a smooth curve through the keyframes' w. z: great circles between their z."""
    class_: Annotated[int | None, tyro.conf.arg(name="class", metavar="N")] = None
    """The class to draw, for networks with classes."""
    noise: Literal["const", "random", "none"] = "const"
    """Fine detail: stored, fresh in each frame, or none."""
    scale: int = 1
    """Make each pixel a square of so many pixels."""
    output: Path = Path("out/loop.mp4")
    """The film: .mp4, .gif or .webp."""
    flat: bool = False
    """Leave the dither pattern out of a .gif: flat areas show steps, and the file is smaller."""
    device: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """cpu, cuda, cuda:1 ...; the GPU where there is one."""


def main(argv: list[str]) -> int:
    """Parse, load, draw, and say where the film is."""
    options = parse(Options, argv, "organza interpolate")
    seeds = parse_seeds(options.seeds)
    grid = parse_grid(options.grid)
    # After parsing: PyTorch takes seconds to import.
    from organza.apps.interpolate import interpolate, plan
    from organza.apps.video import check_video
    from organza.generator import load

    check_video(options.output, options.fps)
    if note := plan(seeds, grid[0] * grid[1]).note:
        print(f"organza: {note}", file=sys.stderr)
    with progress_bar("drawing", "frames") as progress:
        path = interpolate(
            load(options.network, device=options.device),
            seeds,
            options.output,
            grid=grid,
            seconds=options.seconds,
            fps=options.fps,
            space=options.space,
            labels=options.class_,
            psi=options.trunc,
            cutoff=options.cutoff,
            noise=options.noise,
            scale=options.scale,
            dither=not options.flat,
            progress=progress,
        )
    print(path)
    return 0
