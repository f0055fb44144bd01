"""organza generate: images from seeds or saved w's."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    """Make images from seeds or saved w's: one file each, or all in one with --grid or --output. Several texts make a
    grid: a row for each, a column for each seed."""

    seeds: Annotated[str | None, tyro.conf.arg(metavar="0,1,4-6")] = None
    """Seeds and ranges. Unless said: one for each cell of --grid, or 0-15."""
    w: Annotated[Path | None, tyro.conf.arg(metavar="FILE.npz")] = None
    """Generate from the w's in this file instead of seeds."""
    embeddings: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Vectors of texts [N, D] in an .npy or .npz, in place of --text: for networks that were trained on such."""
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
    """Write just the Nth image (from 0), bit for bit as it comes among all of them."""
    translate: Annotated[str | None, tyro.conf.arg(metavar="X,Y")] = None
    """StyleGAN3: move the images right and down by shares of their longer side: 0.25,0 or -0.1,0.1."""
    rotate: Annotated[float, tyro.conf.arg(metavar="DEGREES")] = 0.0
    """StyleGAN3: turn the images counterclockwise before."""
    generator: Annotated[CountOrZero | None, tyro.conf.arg(metavar="N")] = None
    """MAD-GAN: let this one of its generators make all images, from 0; otherwise each seed chooses one."""
    save_w: Annotated[Path | None, tyro.conf.arg(metavar="FILE.npz")] = None
    """Write the w's of the images to this file as well."""


def main(argv: list[str]) -> int:
    """Parse, load, generate, and say where the images are."""
    options = parse(Options, argv, "organza generate")
    grid = None if options.grid is None else parse_grid(options.grid)
    several = len(options.text) > 1 or options.embeddings is not None
    sampling = (replace(options, text=()) if several else options).sampling
    seeds, typed = seeds_of(options.seeds, grid, "0-7" if several else "0-15"), options.seeds is not None
    seeds, sampling = class_columns(seeds, sampling, grid, typed=typed)
    translate = None if options.translate is None else parse_pair(options.translate)
    if several and (options.grid is not None or options.w is not None or sampling.labels is not None):
        what = "several texts make the rows of a grid, and seeds its columns"
        raise UserError(what, hint="leave --grid, --w, --class and --label out")
    if options.embeddings is not None and options.text:
        raise UserError("--text and --embeddings say the same", hint="leave one of them out")
    if options.w is not None and options.text:
        raise UserError("a saved w has its text in it already", hint="leave --text or --w out")
    if options.w is not None and sampling.labels is not None:
        raise UserError("a saved w has its class in it already", hint="leave --class or --w out")
    if options.w is not None and options.generator is not None:
        raise UserError("a saved w has its generator in it already", hint="leave --generator or --w out")
    # After parsing: PyTorch takes seconds to import.
    from organza.media.images import check_suffix
    from organza.models.load import load_generator
    from organza.studio.codes import load_codes, save_codes
    from organza.studio.generate import all_codes, from_codes, from_seeds, generate, load_vectors, rows_of_texts

    if options.save_w is not None:
        check_suffix(options.save_w, (".npz",))
    exact = options.precision == "auto" and options.format in ("png16", "npy")
    G = load_generator(options.network, device=options.device, precision="float32" if exact else options.precision)
    if translate is not None or options.rotate:
        G = G.placed(translate or (0.0, 0.0), options.rotate)
    if several:
        wanted = list(options.text) if options.embeddings is None else load_vectors(options.embeddings, G)
        seeds, sampling, grid = rows_of_texts(wanted, seeds, sampling)
    if options.generator is not None:
        G = G.only(options.generator)
    job = from_seeds(G, seeds, sampling) if options.w is None else from_codes(G, load_codes(options.w, G), sampling)
    with progress_bar("generating", "images") as progress:
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
    inputs = {"--network": G.source, "--w": options.w, "--embeddings": options.embeddings}
    for index, path in enumerate(paths):
        only = [] if single else ["--only", str(index)]
        record("generate", argv, path, inputs=inputs, changes=[*only, *pinned])
    if options.save_w is not None:
        say(save_codes(options.save_w, all_codes(G, job)))
    say(paths[0] if len(paths) == 1 else f"{paths[0]} to {paths[-1].name}: {len(paths)} images")
    return 0
