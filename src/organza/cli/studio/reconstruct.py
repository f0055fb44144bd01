"""organza reconstruct: images beside what an autoencoder makes of their codes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from organza.cli.parse import parse
from organza.cli.record import record
from organza.cli.shared import Trained
from organza.core.ranges import Count, Range
from organza.core.text import say


@dataclass(frozen=True, kw_only=True)
class Options(Trained):
    """Show images beside what an autoencoder (vae, autoencoder) makes of their codes. A GAN can't read images; organza
    project searches for codes there."""

    images: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE ...")]
    """Images, or folders of them; at most 64 are shown."""
    between: Annotated[int, Range(least=0, most=64)] = 0
    """Show so many images between each two neighbours instead, on the straight line between their codes."""
    save_w: Annotated[Path | None, tyro.conf.arg(metavar="FILE.npz")] = None
    """Write the codes to this file as well; generate, interpolate and edit take it as --w."""
    fit: Literal["center-crop", "pad", "stretch"] = "center-crop"
    """How images of another shape fit."""
    scale: Count = 1
    """Make each pixel a square of so many pixels."""
    output: Path = Path("out/reconstructed.png")
    """The figure."""


def main(argv: list[str]) -> int:
    """Parse, load, reconstruct, and say where the figure is."""
    options = parse(Options, argv, "organza reconstruct")
    from organza.models.load import load_generator
    from organza.studio.codes import save_codes
    from organza.studio.reconstruct import reconstruct

    G = load_generator(options.network, device=options.device)
    ws, path = reconstruct(
        G, options.images, options.output, between=options.between, fit=options.fit, scale=options.scale
    )
    record("reconstruct", argv, path, inputs={"--network": G.source})
    say(path)
    if options.save_w is not None:
        say(save_codes(options.save_w, ws))
    return 0
