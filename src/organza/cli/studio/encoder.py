"""organza encoder: a network that guesses codes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from organza.cli.parse import parse
from organza.cli.progress import progress_bar
from organza.cli.shared import Trained
from organza.core.ranges import Count, Seed
from organza.core.text import say


@dataclass(frozen=True, kw_only=True)
class Options(Trained):
    """Train a small network that guesses codes from images, on images that the network generates: project --encoder
    starts from its guess."""

    pictures: Count = 20000
    """Generated images to learn from, each seen once."""
    batch: Count = 32
    """Images a step."""
    seed: Seed = 0
    """Of everything random."""
    output: Path = Path("out/encoder.safetensors")
    """The file."""


def main(argv: list[str]) -> int:
    """Parse, load, train, and say how much of w is explained and where the file is."""
    options = parse(Options, argv, "organza encoder")
    from organza.media.images import check_suffix
    from organza.models.load import load_generator
    from organza.studio.projection.encoder import Teaching, save_encoder, teach

    check_suffix(options.output, (".safetensors",))
    G = load_generator(options.network, device=options.device)
    with progress_bar("teaching", "images") as progress:
        encoder, left = teach(G, Teaching(options.pictures, options.batch), seed=options.seed, progress=progress)
    say(f"explains {100 * (1 - left):.0f}% of the variance of w in new images")
    say(save_encoder(options.output, encoder, G))
    return 0
