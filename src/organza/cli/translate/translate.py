"""organza translate: images through a trained translator."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from organza.cli.parse import parse
from organza.cli.progress import progress_bar
from organza.cli.shared import Trained
from organza.core.errors import UserError
from organza.core.ranges import CountOrZero, Seed
from organza.core.text import say

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, kw_only=True)
class Options(Trained):
    """Translate an image, a folder or an archive of images with a trained network: pix2pix, CycleGAN ..."""

    input: Annotated[Path, tyro.conf.arg(metavar="FILE|FOLDER")]
    """An image, a folder, or an archive with images (``set.zip/testA`` for a folder in it)."""
    outdir: Path = Path("out")
    """Folder for the results, under the names of the images."""
    output: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The one file to write instead, for one image."""
    model: Annotated[str | None, tyro.conf.arg(metavar="AtoB|BtoA")] = None
    """Which way, where the network translates both ways. Unless said: as it was trained."""
    size: Annotated[str, tyro.conf.arg(metavar="trained|own|HxW")] = "trained"
    """trained: the shorter side as in training; own: each image's own size; or height x width."""
    mode: Literal["auto", "eval", "train"] = "auto"
    """What normalisation and dropout do: as the checkpoint says, stored statistics, or as in training."""
    side: Literal["whole", "left", "right"] = "whole"
    """Translate only a half of each image, of pairs that lie side by side."""
    compare: bool = False
    """Lay each source beside its result."""
    samples: Annotated[CountOrZero, tyro.conf.arg(metavar="N")] = 0
    """Make so many results of each image with random style codes, side by side after it (bicyclegan)."""
    style: Annotated[Path | None, tyro.conf.arg(metavar="IMAGE")] = None
    """An image like the wanted result: its style code is taken (bicyclegan)."""
    hidden: bool = False
    """Instead, show what a cycle hides in its output: source, output, its high frequencies amplified, what comes back,
    the same after JPEG, and with noise (cyclegan)."""
    format: Literal["png", "jpg", "webp"] = "png"
    """Format of the files in --outdir."""
    class_: Annotated[str | None, tyro.conf.arg(name="class", metavar="N")] = None
    """The class, for networks with classes."""
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """float32 is exact, bf16 faster; auto: bf16 where it is native and the method allows it."""
    seed: Seed = 0
    """Of dropout and style codes, where a network has any."""


def main(argv: list[str]) -> int:
    """Parse, load, translate, and say where the results are."""
    options = parse(Options, argv, "organza translate")
    if options.class_ is not None and not options.class_.isdecimal():
        raise UserError(f"the class {options.class_!r} is no number")
    # After parsing: PyTorch takes seconds to import.
    from organza.data.options import parse_resolution
    from organza.models.load import load_translator
    from organza.models.translator import Size
    from organza.translate.files import translate_files

    size: Size = "own" if options.size == "own" else "trained"
    if options.size not in ("own", "trained"):
        size = parse_resolution(options.size)
    T = load_translator(options.network, model=options.model, device=options.device, precision=options.precision)
    figure, distances = None, []
    if options.hidden:
        from organza.translate.hidden import hidden, told

        back = next((name for name in T.names if name != T.name), None)
        if back is None:
            hint = "--hidden is for methods that translate both ways, such as cyclegan"
            raise UserError(f"{T.kind} has no way back, so there is nothing to hide", hint=hint)
        home = load_translator(options.network, model=back, device=options.device, precision=options.precision)

        def figure(image: Image.Image) -> Image.Image:
            found = hidden(T, home, image, size=size, seed=options.seed)
            distances.append(found.distances)
            return found.figure

    with progress_bar("translating", "images") as progress:
        done = translate_files(
            T,
            options.input,
            outdir=options.outdir,
            output=options.output,
            format=options.format,
            side=options.side,
            compare=options.compare,
            samples=options.samples,
            style=options.style,
            figure=figure,
            labels=None if options.class_ is None else int(options.class_),
            size=size,
            mode=None if options.mode == "auto" else options.mode,
            seed=options.seed,
            progress=progress,
        )
    for name, reason in done.skipped:
        say(f"skipped {name}: {reason}", error=True)
    if distances:
        say(told(distances))
    first, count = done.written[0], len(done.written)
    say(first if count == 1 else f"{first} and {count - 1} more in {options.outdir}")
    return 0
