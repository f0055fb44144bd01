"""organza noise: what noise does to an image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from organza.cli.parse import parse
from organza.cli.record import record
from organza.cli.shared import Trained
from organza.core.ranges import Count, CountOrZero, Seed
from organza.core.text import say


@dataclass(frozen=True, kw_only=True)
class Options(Trained):
    """Generate one image with stored and fresh noise, its deviation over many samples, and noise on some layers
    only."""

    seed: Seed = 0
    """Which image."""
    samples: Count = 100
    """Samples of noise for the deviation."""
    trunc: float = 1.0
    """Truncation psi: 1 gives the full variety, 0.7 safer images, 0 the average."""
    class_: Annotated[CountOrZero | None, tyro.conf.arg(name="class", metavar="N")] = None
    """The class to generate, for networks with classes."""
    scale: Count = 1
    """Make each pixel a square of so many pixels."""
    output: Path = Path("out/noise.png")
    """The image."""


def main(argv: list[str]) -> int:
    """Parse, load, generate, and say where the image is and how far pixels move."""
    options = parse(Options, argv, "organza noise")
    from organza.models.load import load_generator
    from organza.models.sampling import Sampling
    from organza.studio.noise import noise

    G = load_generator(options.network, device=options.device)
    found = noise(
        G,
        options.seed,
        options.output,
        samples=options.samples,
        sampling=Sampling(options.class_, options.trunc),
        scale=options.scale,
    )
    record("noise", argv, found.path, inputs={"--network": G.source})
    spread = found.deviation
    say(f"deviation over {options.samples} samples: mean {spread.mean():.2f}, most {spread.max():.2f} levels of 255")
    say(found.path)
    return 0
