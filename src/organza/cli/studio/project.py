"""organza project: the codes of images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from organza.cli.parse import parse
from organza.cli.progress import previews, progress_bar
from organza.cli.record import record
from organza.cli.shared import Trained
from organza.core.errors import UserError
from organza.core.ranges import Count, CountOrZero, Seed
from organza.core.text import say


@dataclass(frozen=True, kw_only=True)
class Options(Trained):
    """Find the codes from which a network generates images, as in StyleGAN2's appendix D; several images at once."""

    pictures: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PICTURE ...")]
    """Images, or folders of them."""
    space: Literal["w", "w+"] = "w"
    """w: one code for all layers, good to edit; w+: one for each layer, closer to the image."""
    steps: Count = 1000
    """Steps of the search."""
    tune: Annotated[Count | None, tyro.conf.arg(metavar="STEPS")] = None
    """Then tune the network's weights (PTI) for so many steps, such as 350."""
    fit: Literal["center-crop", "pad", "stretch"] = "center-crop"
    """How images of another shape fit."""
    align: Annotated[str | None, tyro.conf.arg(metavar="mtcnn:FOLDER")] = None
    """Cut the largest face out first, by landmarks of the MTCNN in this folder (pnet.pt, rnet.pt, onet.pt): networks
    of aligned faces want aligned faces."""
    crop: Literal["ffhq", "celeba"] = "ffhq"
    """What --align cuts out: FFHQ's crop, approximately, or the middle square of CelebA's."""
    distance: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """lpips, lpips-alex or lpips-squeeze, fetched on first use; voile64; stand-in; or NVIDIA's file vgg16.pt. If not
    said, lpips where its files are in the cache, else the stand-in."""
    encoder: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Start from the guess of this file of organza encoder; without it, from the average."""
    class_: Annotated[CountOrZero | None, tyro.conf.arg(name="class", metavar="N")] = None
    """The class of the images, for networks with classes."""
    seed: Seed = 0
    """Of everything random."""
    film: Literal["mp4", "gif", "webp", "none"] = "gif"
    """A video of the search."""
    format: Literal["png", "jpg", "webp"] = "png"
    """Of the images."""
    scale: Count = 1
    """Make each pixel of comparison and video a square of so many pixels."""
    outdir: Path = Path("out/project")
    """Folder for the results."""


def main(argv: list[str]) -> int:
    """Parse, load, search, and say how near it came and where the results are."""
    options = parse(Options, argv, "organza project")
    from organza.models.load import load_generator
    from organza.studio.projection.invert import Projecting, Tuning
    from organza.studio.projection.project import by_landmarks, project

    align = None
    if options.align is not None:
        kind, _, folder = options.align.partition(":")
        if kind != "mtcnn" or not folder:
            raise UserError(f"can't align by {options.align!r}", hint="write mtcnn:FOLDER")
        align = by_landmarks(folder, options.crop)
    G = load_generator(options.network, device=options.device)
    with progress_bar("searching", "steps") as progress:
        found = project(
            G,
            options.pictures,
            options.outdir,
            settings=Projecting(steps=options.steps, space=options.space),
            tuning=None if options.tune is None else Tuning(steps=options.tune),
            fit=options.fit,
            align=align,
            distance=options.distance,
            encoder=options.encoder,
            labels=options.class_,
            seed=options.seed,
            film=options.film,
            suffix=f".{options.format}",
            scale=options.scale,
            progress=progress,
            show=previews(),
        )
    inputs = {"--network": G.source, "--encoder": options.encoder}
    record("project", argv, options.outdir, option="--outdir", inputs=inputs)
    say(f"distance: {found.perceptual}")
    for index, name in enumerate(found.names):
        tuned = "" if found.tuned_error is None else f", tuned {found.tuned_error[index]:.1f}"
        pixels = f"pixels {found.error[index]:.1f} levels of 255 off"
        say(f"{name}: distance {found.distance[index]:.4f}, {pixels}{tuned}")
    for path in found.files:
        say(path)
    return 0
