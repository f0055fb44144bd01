"""organza demo: the whole way in a few minutes, from drawn images to a video."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from organza.cli.parse import parse
from organza.core.ranges import Kimg
from organza.core.text import say


@dataclass(frozen=True)
class Options:
    """Show what trained networks make, draw faces, train a small StyleGAN2 on them, and make a grid and a video."""

    outdir: Path = Path("out/demo")
    """Folder for everything; done again there, it continues where it was."""
    kimg: Kimg | None = None
    """Length of the training in thousands of images; without it, that of the preset stylegan2-demo."""


def main(argv: list[str]) -> int:
    """Run the demo and name the files that it made."""
    options = parse(Options, argv, "organza demo")
    from organza.core.device import keep_freed_memory
    from organza.runs.demo import at_once, demo

    keep_freed_memory()
    say(f"by networks that come with Organza: {at_once(options.outdir)}", error=True)
    say(
        "drawing faces, then training on them for a few minutes; Ctrl-C stops and keeps what is there",
        error=True,
    )
    made = demo(options.outdir, kimg=options.kimg)
    say("", f"real and generated  {made.grid}")
    say(f"samples over time   {made.samples[0]} to {made.samples[-1].name}")
    say(f"losses and speed    {made.run / 'plot.png'}")
    say(f"interpolation       {made.film}")
    say("", f"more: organza generate --network {made.run} --seeds 0-15 --trunc 0.7 --grid 4x4")
    return 0
