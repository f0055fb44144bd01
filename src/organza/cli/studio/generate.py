"""organza generate: pictures from seeds or saved w's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from organza.cli.parse import parse, parse_grid, parse_pair
from organza.cli.progress import progress_bar
from organza.cli.record import record
from organza.cli.shared import Drawing, class_columns, seeds_of
from organza.core.errors import UserError
from organza.core.ranges import CountOrZero
from organza.core.text import say


@dataclass(frozen=True, kw_only=True)
class Options(Drawing):
    """Make pictures from seeds or saved w's: one file each, or all in one with --grid or --output."""

    seeds: Annotated[str | None, tyro.conf.arg(metavar="0,1,4-6")] = None
    """Seeds and ranges. Unless said: one for each cell of --grid, or 0-15."""
    w: Annotated[Path | None, tyro.conf.arg(metavar="FILE.npz")] = None
    """Draw the w's in this file instead of seeds."""
    grid: Annotated[str | None, tyro.conf.arg(metavar="4x4")] = None
    """Lay the images out in columns x rows: 4x4. Cells for which there are too few --seeds stay empty. With as many
    columns as --class names classes (--class 0-9 --grid 10x4), each row is a seed."""
    output: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Put everything into this one file."""
    outdir: Path = Path("out")
    """Folder for the files."""
    format: Literal["png", "jpg", "webp", "png16", "npy"] = "png"
    """Format of the files in --outdir; png16: 16 bits a channel, npy: floats as the network gives them."""
    only: Annotated[CountOrZero | None, tyro.conf.arg(metavar="N")] = None
    """Write just the Nth picture (from 0), bit for bit as it comes among all of them."""
    translate: Annotated[str | None, tyro.conf.arg(metavar="X,Y")] = None
    """StyleGAN3: move the pictures right and down by shares of their longer side: 0.25,0 or -0.1,0.1."""
    rotate: Annotated[float, tyro.conf.arg(metavar="DEGREES")] = 0.0
    """StyleGAN3: turn the pictures counterclockwise before."""
    save_w: Annotated[Path | None, tyro.conf.arg(metavar="FILE.npz")] = None
    """Write the w's of the pictures to this file as well."""


def main(argv: list[str]) -> int:
    """Parse, load, draw, and say where the pictures are."""
    options = parse(Options, argv, "organza generate")
    grid, sampling = None if options.grid is None else parse_grid(options.grid), options.sampling
    seeds, sampling = class_columns(
        seeds_of(options.seeds, grid, "0-15"), sampling, grid, typed=options.seeds is not None
    )
    translate = None if options.translate is None else parse_pair(options.translate)
    if options.w is not None and sampling.labels is not None:
        raise UserError("a saved w has its class in it already", hint="leave --class or --w out")
    # After parsing: PyTorch takes seconds to import.
    from organza.media.images import check_suffix
    from organza.models.load import load_generator
    from organza.studio.codes import load_codes, save_codes
    from organza.studio.generate import all_codes, from_codes, from_seeds, generate

    if options.save_w is not None:
        check_suffix(options.save_w, (".npz",))
    exact = options.precision == "auto" and options.format in ("png16", "npy")
    G = load_generator(options.network, device=options.device, precision="float32" if exact else options.precision)
    if translate is not None or options.rotate:
        G = G.placed(translate or (0.0, 0.0), options.rotate)
    job = from_seeds(G, seeds, sampling) if options.w is None else from_codes(G, load_codes(options.w, G), sampling)
    with progress_bar("drawing", "pictures") as progress:
        paths = generate(
            G,
            job,
            output=options.output,
            outdir=options.outdir,
            suffix=".png" if options.format == "png16" else f".{options.format}",
            deep=options.format == "png16",
            grid=grid,
            scale=options.scale,
            only=options.only,
            progress=progress,
        )
    single = options.output is not None or grid is not None or options.only is not None
    pinned = ["--precision", G.precision]
    inputs = {"--network": G.source, "--w": options.w}
    for index, path in enumerate(paths):
        only = [] if single else ["--only", str(index)]
        record("generate", argv, path, inputs=inputs, changes=[*only, *pinned])
    if options.save_w is not None:
        say(save_codes(options.save_w, all_codes(G, job)))
    say(paths[0] if len(paths) == 1 else f"{paths[0]} to {paths[-1].name}: {len(paths)} pictures")
    return 0
