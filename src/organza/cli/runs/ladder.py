"""organza ladder stylegan2 --data PICTURES --kimg 10: a paper's table of changes, at a small budget."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from organza.cli.parse import parse, parse_seeds, parse_setting
from organza.core.ranges import Count, Kimg, Positive, Range, Seed
from organza.core.text import say


@dataclass(frozen=True, kw_only=True)
class Options:
    """Train presets that differ by one change each, at an equal small budget, and show them as one table.

    The ladders are stylegan and stylegan2, table 1 of each paper, and patch-size, figure 6 of pix2pix. Any presets can
    be a ladder. The same command again goes on where it was stopped; configs that are finished stay.
    """

    names: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="NAME ...")]
    """Ladders and presets: stylegan2, or stylegan-d stylegan-e dcgan."""
    data: Path
    """Folder or archive of images; of pairs, for presets that translate."""
    outdir: Path = Path("out/ladder")
    """Folder for the runs and the table: ladder.txt, ladder.json, ladder.png."""
    kimg: Kimg = 10.0
    """Length of each training in thousands of images."""
    resolution: str | None = None
    """Side of the images, or HEIGHTxWIDTH; without it, their own."""
    batch: Count | None = None
    """Images in a step; without it, 16, or 1 for presets that translate."""
    width: Positive = 1.0
    """Factor on all feature maps, beside the one that follows from the images' size."""
    growth: Annotated[float, Range(above=0, most=1)] = 0.5
    """Share of the training during which networks grow that do."""
    paper_size: Count = 1024
    """Side of the images for which the presets are meant."""
    set: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE")] = ()
    """More settings, for all configs that have them: z_dim=64 lr=0.002."""
    seed: Seed = 0
    """Seed of everything random."""
    seeds: str = "0-7"
    """Images to generate of each config; pairs to show, for presets that translate."""
    metric: str = "fd2k"
    """A metric as organza evaluate names it; none leaves the column out."""
    device: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """cpu, cuda, cuda:1 ...; the GPU where there is one."""


def main(argv: list[str]) -> int:
    """Climb, and print the table."""
    options = parse(Options, argv, "organza ladder")
    overrides = dict(parse_setting(word) for word in options.set)
    from organza.core.device import keep_freed_memory
    from organza.runs.ladder import Budget, climb

    keep_freed_memory()
    budget = Budget(options.kimg, options.batch, options.width, options.growth, options.paper_size, options.seed)
    made = climb(
        options.names,
        options.data,
        options.outdir,
        budget,
        resolution=options.resolution,
        metric=None if options.metric == "none" else options.metric,
        seeds=parse_seeds(options.seeds),
        overrides=overrides,
        device=options.device,
    )
    if made.rungs:
        say(*made.text.read_text(encoding="utf-8").splitlines())
        say(made.picture)
    if not made.finished:
        say("organza: stopped; the same command goes on", error=True)
        return 130
    return 0
