"""organza blend: two networks into one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from organza.cli.parse import parse
from organza.cli.record import record


@dataclass(frozen=True)
class Options:
    """Make a network with the coarse layers of one and the fine layers of another, trained on from it."""

    network: Path
    """The one with the coarse layers: folder of a run, or one of its checkpoints."""
    second: Path
    """The other network."""
    swap: int = 16
    """The first size in pixels that comes from --second; 0 mixes all layers alike."""
    width: float = 0.0
    """Doublings of the size over which the change is spread; 0 for a clean cut."""
    amount: float = 1.0
    """How much of --second its layers have, from 0 to 1."""
    mapping: Literal["first", "second"] = "first"
    """Whose mapping from z to w."""
    outdir: Path = Path("out/blend")
    """The new network's folder."""


def main(argv: list[str]) -> int:
    """Parse, load, mix, and say where the network is."""
    options = parse(Options, argv, "organza blend")
    from organza.apps.blend import blend
    from organza.generator import load

    first, second = (load(path, device="cpu") for path in (options.network, options.second))
    path = blend(
        first,
        second,
        options.outdir,
        swap=options.swap or None,
        width=options.width,
        amount=options.amount,
        mapping=options.mapping,
    )
    record("blend", argv, path, option="--outdir", inputs={"--network": first.source, "--second": second.source})
    print(path)
    return 0
