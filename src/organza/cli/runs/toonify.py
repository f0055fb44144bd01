"""organza toonify: two StyleGAN networks to a translator for faces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from organza.cli.parse import parse, parse_setting
from organza.cli.progress import passing_bar
from organza.core.ranges import Count, CountOrZero, Kimg, PositiveOrZero, Seed, Share
from organza.core.text import say


@dataclass(frozen=True, kw_only=True)
class Options:
    """Blend two networks, generate pairs of both, and train a translator on the pairs.

    The same command again goes on where it was stopped.
    """

    network: Path
    """What photographs look like: folder of a run, or one of its checkpoints."""
    second: Path
    """What they should become: a network that was trained on from --network (organza train --resume)."""
    outdir: Path = Path("out/toonify")
    """Folder for everything: blend/, pairs/, student/, comparison.png."""
    swap: CountOrZero = 16
    """The first size in pixels that comes from --second; 0 mixes all layers alike."""
    width: PositiveOrZero = 0.0
    """Doublings of the size over which the change is spread; 0 for a clean cut."""
    amount: Share = 1.0
    """How much of --second its layers have, from 0 to 1."""
    mapping: Literal["first", "second"] = "first"
    """Whose mapping from z to w the blended network has. Pairs have the same w in any case, that of --network."""
    pairs: Count = 2000
    """Pairs to learn from."""
    held_out: CountOrZero = 50
    """More pairs, which the student is tried on."""
    first_seed: Seed = 0
    """Seeds of the pairs go from here on."""
    trunc: float = 0.7
    """Truncation psi of both networks."""
    class_: Annotated[CountOrZero | None, tyro.conf.arg(name="class", metavar="N")] = None
    """The class, for networks with classes."""
    student: Annotated[str, tyro.conf.arg(metavar="PRESET")] = "pix2pix"
    """Preset of the translator; any that learns from pairs."""
    kimg: Kimg | None = None
    """Length of its training in thousands of images. Unless said: the preset's own."""
    set: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE")] = ()
    """More settings of its training: batch=4 width=32."""
    device: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """cpu, cuda, cuda:1 ...; the GPU where there is one."""


def main(argv: list[str]) -> int:
    """Parse, do what is not done yet, and say where the student is."""
    options = parse(Options, argv, "organza toonify")
    changes = dict(parse_setting(word) for word in options.set)
    if options.kimg is not None:
        changes["kimg"] = options.kimg
    # After parsing: PyTorch takes seconds to import.
    from organza.core.device import keep_freed_memory
    from organza.runs.toonify import Recipe, toonify

    keep_freed_memory()
    names = ("swap", "width", "amount", "mapping", "pairs", "held_out", "first_seed")
    recipe = Recipe(**{name: getattr(options, name) for name in names}, psi=options.trunc, label=options.class_)
    with passing_bar("generating pairs", "pairs") as progress:
        done = toonify(
            options.network,
            options.second,
            options.outdir,
            recipe,
            student=options.student,
            device=options.device,
            progress=progress,
            **changes,
        )
    if done.comparison is None:
        return 0
    say(done.comparison)
    say(done.student.folder)
    then = f"organza translate --network {done.student.folder} --input FACES"
    say(f"next: {then}; faces framed as those of --network", error=True)
    return 0
