"""organza cartoon: photographs to cartoon portraits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from organza.cli.parse import parse
from organza.cli.progress import progress_bar
from organza.cli.shared import Trained
from organza.core.errors import UserError
from organza.core.ranges import Range
from organza.core.text import say

if TYPE_CHECKING:
    from organza.translate.faces.pipeline import Cartoonist, Wanted


@dataclass(frozen=True, kw_only=True)
class Options(Trained):
    """Find the faces of a photograph, a folder of them or a video, and make cartoons of them with a trained network."""

    photo: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PHOTO")]
    """A photograph, a folder or an archive of photographs, or a video."""
    output: Path = Path("out")
    """Folder for the results; of a video, the file (.mp4, .mov, .mkv) or a folder for it."""
    faces: Annotated[str | None, tyro.conf.arg(metavar="all|largest|N")] = None
    """Which faces of each photograph. Unless said: the largest; of a video, all."""
    paste: bool = False
    """Also write the photograph with the cartoons in place of its faces. Of a video that is what is written anyway."""
    match_colours: bool = False
    """Give cartoons that are pasted the photograph's colours."""
    card: bool = False
    """Also write each face's photograph and cartoon side by side."""
    debug_steps: bool = False
    """Also write an image of each stage: what was found, cut out, taken for the person, shown to the network ..."""
    border: Literal["white", "mirror"] = "white"
    """What a frame shows beyond the photograph's edge."""
    smooth: Annotated[float, Range(least=0, below=1), tyro.conf.arg(metavar="SHARE")] = 0.0
    """Of a video: take flicker out of the cartoons, by blending in so much of the frame before; 0.7 is a good start.
    Needs organza[flow]."""
    model: Annotated[str | None, tyro.conf.arg(metavar="AtoB|BtoA")] = None
    """Which way, where the network translates both ways. Unless said: as it was trained."""
    group: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Of a training in stages, whose model: old-male. Unless said: each face's own age and sex choose it, where
    faceres.onnx is at hand; else that of all images, and so for a video."""
    weights_dir: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Folder of helper networks: mtcnn/pnet.pt, rnet.pt, onet.pt and faces/selfie.onnx,
    faceres.onnx. Unless said: in the cache."""
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """float32 is exact, bf16 faster; auto: bf16 where it is native and the method allows it."""


FILES = (".png", ".jpg", ".jpeg", ".webp", ".mp4", ".mov", ".mkv")
"""Endings of names that are no folder's."""


def main(argv: list[str]) -> int:
    """Parse, open the networks, and say where the cartoons are."""
    options = parse(Options, argv, "organza cartoon")
    wanted = wanted_faces(options.faces)
    inside = any(folder.is_file() for folder in options.photo.parents)  # a folder in an archive
    if not options.photo.exists() and not inside:
        raise UserError("does not exist", where=options.photo, hint="give a photograph, a folder of them, or a video")
    # After parsing: PyTorch takes seconds to import.
    from organza.data.groups import ALL
    from organza.media.clip import is_clip
    from organza.models.load import load_translator
    from organza.translate.by_face import chooser
    from organza.translate.faces.files import cartoon_files
    from organza.translate.faces.pipeline import Cartoonist, translating

    clip = options.photo.is_file() and is_clip(options.photo)
    if options.smooth and not clip:
        raise UserError("--smooth is for videos", where=options.photo, hint="leave it out")
    if not clip and options.output.suffix.lower() in FILES and not options.output.exists():
        what = "is a file's name, and there are several files"
        raise UserError(what, where=options.output, hint="name a folder for the results with --output")
    opening: dict[str, Any] = {"device": options.device, "precision": options.precision}
    choose = None
    if options.group is None and not clip:
        choose = chooser(options.network, options.weights_dir, options.model, **opening)
    group = options.group if choose is None else ALL
    T = load_translator(options.network, model=options.model, group=group, **opening)
    C = Cartoonist.open(T, options.weights_dir, border=options.border)
    C = C if choose is None else replace(C, translate=translating(T, choose))
    if clip:
        return _film(options, C, "all" if options.faces is None else wanted)
    with progress_bar("cartoons", "photographs") as progress:
        done = cartoon_files(
            C,
            options.photo,
            options.output,
            faces=wanted,
            pasted=options.paste,
            match_colours=options.match_colours,
            cards=options.card,
            debug=options.debug_steps,
            progress=progress,
        )
    for name, reason in done.skipped:
        say(f"skipped {name}: {reason}", error=True)
    for name, note in done.notes:
        say(f"{name}: {note}", error=True)
    first, count = done.written[0], len(done.written)
    say(f"{first}" if count == 1 else f"{first} and {count - 1} more in {options.output}")
    if choose is not None:
        say(f"models by age and sex: {choose.told()}", error=True)
    say(f"{done.faces} faces in {done.photos} photographs; seconds a face: {_shares(C, done.faces)}")
    return 0


def _film(options: Options, C: Cartoonist, wanted: Wanted) -> int:
    """A video."""
    from organza.translate.faces.film import cartoon_video
    from organza.translate.video import check_film

    alone = ("card", "debug_steps")
    if given := [name for name in alone if getattr(options, name)]:
        raise UserError(f"--{given[0].replace('_', '-')} is for photographs", where=options.photo, hint="leave it out")
    named = options.output if options.output.suffix and not options.output.is_dir() else None
    place = check_film(options.photo, named, options.output)
    with progress_bar("cartoons", "frames") as progress:
        done, seen = cartoon_video(
            C,
            options.photo,
            place,
            faces=wanted,
            match_colours=options.match_colours,
            smooth=options.smooth,
            progress=progress,
        )
    for line in done.warnings(options.photo):
        say(line, error=True)
    say(*seen.lines())
    say(f"{done.path}: {done.frames} frames, {done.shares()}")
    return 130 if done.stopped else 0


def wanted_faces(text: str | None) -> Wanted:
    """Which faces, as one types it; None is the largest.

    Raises:
        UserError: something else.

    Example:
        >>> wanted_faces(None), wanted_faces("all"), wanted_faces("3")
        ('largest', 'all', 3)
    """
    if text is None or text == "largest":
        return "largest"
    if text == "all":
        return "all"
    if text.isdecimal() and text.isascii() and len(text) < 5 and int(text):
        return int(text)
    raise UserError(f"--faces can't be {text!r}", hint="say all, largest, or how many: --faces 3")


def _shares(C: Cartoonist, faces: int) -> str:
    return ", ".join(f"{name} {spent / faces:.2f}" for name, spent in C.seconds.items() if spent)
