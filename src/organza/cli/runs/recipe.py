"""organza compare --recipe classics --data IMAGES: methods trained and evaluated side by side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from organza.cli.parse import parse, parse_seeds, parse_setting
from organza.core.ranges import Kimg, Positive
from organza.core.text import say


@dataclass(frozen=True, kw_only=True)
class Options:
    """Train several methods on the same images, and compare them after equal images and after equal time.

    The same command again goes on where it was stopped.
    """

    recipe: Annotated[str, tyro.conf.arg(metavar="NAME")]
    """classics (from the autoencoder to Triple-GAN), or presets with commas between them: gan,dcgan,wgan-gp."""
    data: Path
    """Folder or archive of images; with classes, for presets that need labels."""
    outdir: Path = Path("out/compare")
    """Folder for the runs and the result: comparison.md, comparison.json, comparison.png."""
    kimg: Kimg = 20.0
    """Thousands of images after which methods are compared."""
    minutes: Positive = 10.0
    """Minutes of training after which they are compared."""
    seeds: str = "0"
    """Seeds of the trainings: 0-2 for three of each."""
    resolution: str | None = None
    """Side of the images, or HEIGHTxWIDTH; without it, their own."""
    metrics: Annotated[str, tyro.conf.arg(metavar="NAMES")] = "fd2k"
    """Metrics as organza evaluate names them, with commas between them; with --features lenet:FILE also classes2k."""
    features: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Feature network for names that state none."""
    set: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE")] = ()
    """More settings, for all methods that have them: batch=64; for one alone: dcgan.width=32."""
    device: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """cpu, cuda, cuda:1 ...; the GPU where there is one."""


def main(argv: list[str]) -> int:
    """Train, evaluate, print the table."""
    options = parse(Options, argv, "organza compare")
    settings = dict(parse_setting(word) for word in options.set)
    seeds = parse_seeds(options.seeds)
    from organza.core.device import keep_freed_memory
    from organza.runs.recipe import Budget, carry_out, presets_of
    from organza.runs.recipe_page import markdown, write

    keep_freed_memory()
    names = presets_of(options.recipe)
    budget = Budget(options.kimg, options.minutes, options.metrics, options.features, settings)
    files: list[Path] = []
    entries, finished = carry_out(
        names,
        options.data,
        options.outdir,
        budget,
        seeds=seeds,
        resolution=options.resolution,
        device=options.device,
        after=lambda found: files.__setitem__(slice(None), write(found, budget, options.outdir)),
    )
    if entries:
        say(*markdown(entries, budget).splitlines())
        say(*map(str, files))
    if not finished:
        say("organza: stopped; the same command goes on", error=True)
        return 130
    return 0
