"""organza truncation: seeds from truncated to full variety."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from organza.cli.parse import parse, parse_seeds
from organza.cli.record import record
from organza.cli.shared import Drawing
from organza.core.ranges import Count
from organza.core.text import say


@dataclass(frozen=True, kw_only=True)
class Options(Drawing):
    """Make a table: a row for each seed, truncation from -1 to 1, the average in the middle."""

    seeds: str = "0-3"
    """The rows, as seeds and ranges: 0,1,4-6."""
    columns: Count = 9
    """How many values of psi; an odd number."""
    trunc: float = 1.0
    """Psi of the last column; the first has its opposite."""
    output: Path = Path("out/truncation.png")
    """The image."""


def main(argv: list[str]) -> int:
    """Parse, load, generate, and say where the image is."""
    options = parse(Options, argv, "organza truncation")
    seeds, sampling = parse_seeds(options.seeds), options.sampling
    from organza.models.load import load_generator
    from organza.studio.truncation import truncation

    G = load_generator(options.network, device=options.device, precision=options.precision)
    path = truncation(
        G,
        seeds,
        options.output,
        columns=options.columns,
        sampling=sampling,
        scale=options.scale,
    )
    record("truncation", argv, path, inputs={"--network": G.source}, changes=["--precision", G.precision])
    say(path)
    return 0
