"""organza blend: two networks into one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from organza.cli.parse import parse, parse_seeds
from organza.cli.record import record
from organza.core.ranges import Count, CountOrZero, PositiveOrZero, Share
from organza.core.text import say


@dataclass(frozen=True)
class Options:
    """Make a network with the coarse layers of one and the fine layers of another, trained on from it."""

    network: Path
    """The one with the coarse layers: folder of a run, or one of its checkpoints."""
    second: Path
    """The other network."""
    swap: CountOrZero = 16
    """The first size in pixels that comes from --second; 0 mixes all layers alike."""
    width: PositiveOrZero = 0.0
    """Doublings of the size over which the change is spread; 0 for a clean cut."""
    amount: Share = 1.0
    """How much of --second its layers have, from 0 to 1."""
    mapping: Literal["first", "second"] = "first"
    """Whose mapping from z to w."""
    seeds: str = "0-7"
    """Images to compare, as seeds and ranges."""
    trunc: float = 1.0
    """Their truncation psi."""
    class_: Annotated[CountOrZero | None, tyro.conf.arg(name="class", metavar="N")] = None
    """Their class, for networks with classes."""
    scale: Count = 1
    """Make each of their pixels a square of so many pixels."""
    outdir: Path = Path("out/blend")
    """The new network's folder; in it, comparison.png shows the first network, the mixture and the second one."""


def main(argv: list[str]) -> int:
    """Parse, load, mix, and say where the network is."""
    options = parse(Options, argv, "organza blend")
    seeds = parse_seeds(options.seeds)
    from organza.models.load import load_generator
    from organza.models.sampling import Sampling
    from organza.studio.blend import blend, comparison
    from organza.studio.codes import codes

    first, second = (load_generator(path, device="cpu") for path in (options.network, options.second))
    sampling = Sampling(options.class_, options.trunc)
    codes(first, seeds, sampling)
    path = blend(
        first,
        second,
        options.outdir,
        swap=options.swap or None,
        width=options.width,
        amount=options.amount,
        mapping=options.mapping,
    )
    picture = comparison(
        first,
        second,
        load_generator(path, device="cpu"),
        seeds,
        path / "comparison.png",
        sampling=sampling,
        scale=options.scale,
    )
    record("blend", argv, path, option="--outdir", inputs={"--network": first.source, "--second": second.source})
    say(picture)
    say(path)
    return 0
