"""organza mix: the style-mixing table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from organza.cli.parse import parse, parse_seeds
from organza.cli.record import record
from organza.cli.shared import Drawing
from organza.core.text import say


@dataclass(frozen=True, kw_only=True)
class Options(Drawing):
    """Make a table: each row's image with the styles of each column's. The sources are on the borders."""

    rows: str = "0-3"
    """Seeds of the rows: 0,1,4-6."""
    columns: str = "10-15"
    """Seeds of the columns."""
    styles: str = "coarse"
    """Layers that come from the column: coarse (4x4 and 8x8), middle (16x16 and 32x32), fine (the rest), or numbers
    such as 0-6."""
    output: Path = Path("out/mix.png")
    """The image."""


def main(argv: list[str]) -> int:
    """Parse, load, generate, and say where the image is."""
    options = parse(Options, argv, "organza mix")
    rows, columns, sampling = parse_seeds(options.rows), parse_seeds(options.columns), options.sampling
    from organza.models.load import load_generator
    from organza.studio.mix import mix

    G = load_generator(options.network, device=options.device, precision=options.precision)
    path = mix(
        G,
        rows,
        columns,
        options.output,
        styles=options.styles,
        sampling=sampling,
        scale=options.scale,
    )
    record("mix", argv, path, inputs={"--network": G.source}, changes=["--precision", G.precision])
    say(path)
    return 0
