"""organza generate: pictures from seeds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from organza.cli.parse import parse, parse_grid, parse_seeds
from organza.cli.progress import progress_bar


@dataclass(frozen=True)
class Options:
    """Make pictures from seeds: one file each, or all in one with --grid or --output."""

    network: Path
    """Folder of a run, such as runs/00000-stylegan2-faces, or one of its checkpoints."""
    seeds: str = "0-15"
    """Seeds and ranges: 0,1,4-6."""
    trunc: float = 1.0
    """Truncation psi: 1 gives the full variety, 0.7 safer pictures, 0 the average."""
    cutoff: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Truncate only the first so many layers."""
    grid: Annotated[str | None, tyro.conf.arg(metavar="4x4")] = None
    """Lay the pictures out in columns x rows: 4x4."""
    class_: Annotated[int | None, tyro.conf.arg(name="class", metavar="N")] = None
    """The class to draw, for networks with classes."""
    noise: Literal["const", "random", "none"] = "const"
    """Fine detail: stored, fresh for each seed, or none."""
    scale: int = 1
    """Make each pixel a square of so many pixels."""
    output: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Put everything into this one file."""
    outdir: Path = Path("out")
    """Folder for the files."""
    format: Literal["png", "jpg", "webp"] = "png"
    """Format of the files in --outdir."""
    device: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """cpu, cuda, cuda:1 ...; the GPU where there is one."""


def main(argv: list[str]) -> int:
    """Parse, load, draw, and say where the pictures are."""
    options = parse(Options, argv, "organza generate")
    seeds = parse_seeds(options.seeds)
    grid = None if options.grid is None else parse_grid(options.grid)
    # After parsing: PyTorch takes seconds to import.
    from organza.apps.generate import generate
    from organza.generator import load

    with progress_bar("drawing", "pictures") as progress:
        paths = generate(
            load(options.network, device=options.device),
            seeds,
            output=options.output,
            outdir=options.outdir,
            suffix=f".{options.format}",
            grid=grid,
            labels=options.class_,
            psi=options.trunc,
            cutoff=options.cutoff,
            noise=options.noise,
            scale=options.scale,
            progress=progress,
        )
    print(paths[0] if len(paths) == 1 else f"{paths[0]} to {paths[-1].name}: {len(paths)} pictures")
    return 0
