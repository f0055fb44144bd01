"""organza translate: images through a trained translator."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from organza.cli.parse import parse
from organza.cli.progress import progress_bar
from organza.cli.shared import Trained
from organza.core.errors import UserError
from organza.core.ranges import Count, CountOrZero, Range, Seed
from organza.core.text import say

if TYPE_CHECKING:
    from organza.data.photo import Photo
    from organza.media.images import Pixels
    from organza.models.translator import Size, Translator


@dataclass(frozen=True, kw_only=True)
class Options(Trained):
    """Translate an image, a folder or an archive of images, or a video with a trained network: pix2pix, CycleGAN ..."""

    input: Annotated[Path, tyro.conf.arg(metavar="FILE|FOLDER")]
    """An image, a folder, an archive with images (``set.zip/testA`` for a folder in it), or a video."""
    outdir: Path = Path("out")
    """Folder for the results, under the names of the images."""
    output: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The one file to write instead, for one image or a video (.mp4, .mov, .mkv)."""
    model: Annotated[str | None, tyro.conf.arg(metavar="AtoB|BtoA")] = None
    """Which way, where the network translates both ways. Unless said: as it was trained."""
    group: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Of a training in stages, whose model: old-male. Unless said: each face's own age and sex choose it, where
    faceres.onnx is at hand; else that of all images."""
    weights_dir: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """For that: the folder of weights with faces/faceres.onnx. Unless said: where the training had it, or the cache."""
    size: Annotated[str | None, tyro.conf.arg(metavar="trained|own|HxW")] = None
    """trained: the shorter side as in training, which is what is done unless said; own: each image's own size; or
    height x width."""
    tile: Annotated[Count | None, tyro.conf.arg(metavar="N")] = None
    """Translate images in tiles of N x N pixels, blended where they overlap: for images larger than memory. Images then
    keep their own size unless --size says another."""
    overlap: Annotated[CountOrZero | None, tyro.conf.arg(metavar="N")] = None
    """With --tile: pixels that neighbouring tiles share; 256 unless said."""
    norm_mode: Annotated[Literal["auto", "eval", "train", "calibrated"], tyro.conf.arg(aliases=["--mode"])] = "auto"
    """What normalisation and dropout do. auto: as the checkpoint says, which measured it; eval: running statistics and
    no dropout; train: the image's own statistics and dropout; calibrated: eval with statistics measured again."""
    calibrate: Annotated[Path | None, tyro.conf.arg(metavar="FILE|FOLDER")] = None
    """Measure statistics of batch normalisation over these source images first, and use them: for others' weights."""
    side: Literal["whole", "left", "right"] = "whole"
    """Translate only a half of each image, of pairs that lie side by side."""
    compare: bool = False
    """Lay each source beside its result."""
    made: bool = False
    """Make a source of each image first, as in a training with --pairs: reduce it, take its colours ... With --compare,
    the image stands behind the result."""
    samples: Annotated[CountOrZero, tyro.conf.arg(metavar="N")] = 0
    """Make so many results of each image with random style codes, side by side after it (bicyclegan)."""
    style: Annotated[Path | None, tyro.conf.arg(metavar="IMAGE")] = None
    """An image like the wanted result: its style code is taken (bicyclegan)."""
    clusters: Annotated[str | None, tyro.conf.arg(metavar="CLASS=CLUSTER,...")] = None
    """Of label maps: which cluster of features regions of a class take, both from 0 on; others take their largest
    (pix2pixhd with --features)."""
    report: Annotated[Path | None, tyro.conf.arg(metavar="FILE.html")] = None
    """Write one page as well, with input, output, target (with --side, or --targets) and what comes back of each."""
    targets: Annotated[Path | None, tyro.conf.arg(metavar="FILE|FOLDER")] = None
    """For the report: the images that were wanted, under the names of the sources."""
    hidden: bool = False
    """Instead, show what a cycle hides in its output: source, output, its high frequencies amplified, what comes back,
    the same after JPEG, and with noise (cyclegan)."""
    format: Literal["png", "jpg", "webp"] = "png"
    """Format of the files in --outdir."""
    class_: Annotated[str | None, tyro.conf.arg(name="class", metavar="N|NAME")] = None
    """The class, for networks with classes: its number or its name."""
    target: Annotated[str | None, tyro.conf.arg(metavar="NAME,NAME")] = None
    """What the images should become, for networks with labels, by name: "Blond_Hair, no Male". What is not named stays
    where --labels says what the images are, and is taken for no where nothing does."""
    all_targets: bool = False
    """Instead of one target, a row for each image: itself, and what it becomes for each."""
    labels: str = "none"
    """Labels that the images have, in the words of `organza train --labels`: folders, or a table as
    FILE:COLUMN,COLUMN."""
    heat: bool = False
    """Lay before each result where the network looks, for networks with attention (U-GAT-IT)."""
    smooth: Annotated[float, Range(least=0, below=1), tyro.conf.arg(metavar="SHARE")] = 0.0
    """Of a video: take flicker out, by blending in so much of the frame before, moved along the motion of the source;
    0.7 is a good start. Needs organza[flow]."""
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """float32 is exact, bf16 faster; auto: bf16 where it is native and the method allows it."""
    seed: Seed = 0
    """Of dropout and style codes, where a network has any."""


def main(argv: list[str]) -> int:
    """Parse, load, translate, and say where the results are."""
    options = parse(Options, argv, "organza translate")
    named = options.class_ is not None and not options.class_.isdecimal()
    if sum([options.class_ is not None, options.target is not None, options.all_targets]) > 1:
        raise UserError("--class, --target and --all-targets are three answers to one question", hint="give one")
    if options.overlap is not None and options.tile is None:
        raise UserError("--overlap is of tiles, and there are none", hint="give --tile N too")
    # After parsing: PyTorch takes seconds to import.
    from organza.contract.targets import taken_for_no
    from organza.data.groups import ALL
    from organza.data.options import parse_resolution
    from organza.data.photo import Photo
    from organza.media.clip import is_clip
    from organza.models.load import load_translator
    from organza.models.tiles import OVERLAP
    from organza.translate.by_face import chooser
    from organza.translate.files import calibrate_on, check_labels, translate_files

    if options.targets is not None and options.report is None and not is_clip(options.input):
        raise UserError("--targets are for the report", hint="give --report FILE.html too")
    named_size = options.size or ("trained" if options.tile is None else "own")
    size: Size = "own" if named_size == "own" else "trained"
    if named_size not in ("own", "trained"):
        size = parse_resolution(named_size, "--size")
    chosen = None if options.clusters is None else _choice(options.clusters)
    opening: dict[str, Any] = {"device": options.device, "precision": options.precision}
    choose = None
    if options.group is None:
        insist = options.weights_dir is not None
        choose = chooser(options.network, options.weights_dir, options.model, insist=insist, **opening)
    group = options.group if choose is None else ALL
    T = load_translator(options.network, model=options.model, group=group, **opening)
    known = "none" if is_clip(options.input) else options.labels  # of a video they are refused below
    check_labels(T, labels=options.class_, target=options.target, known=known, every=options.all_targets)
    unknown = options.target is not None and T.targets and options.labels == "none"
    if others := taken_for_no(T.spec, options.target or "") if unknown else []:
        what = "name them too, or say with --labels what the images are"
        say(f"taken for no: {', '.join(others)}; {what}", error=True)
    if options.calibrate is not None:
        T = calibrate_on(T, options.calibrate)
    mode = None if options.norm_mode == "auto" else options.norm_mode
    if mode is not None:
        T = T.in_mode(mode)
    if options.tile is not None:
        T = T.tiled(options.tile, OVERLAP if options.overlap is None else options.overlap)
    if is_clip(options.input):
        return _film(options, T, named, size, choose)
    if options.smooth:
        raise UserError("--smooth is for videos", where=options.input, hint="leave it out")
    figure: Callable[[Photo], Photo] | None = None
    home, distances, given = None, [], T
    back = next((name for name in T.names if name != T.name), None)
    if back is not None and (options.hidden or options.report is not None):
        home = load_translator(options.network, model=back, group=options.group, **opening)
        home = home if mode is None or mode == "calibrated" else home.in_mode(mode)
    if options.hidden:
        import numpy as np

        from organza.translate.hidden import hidden, told

        if home is None:
            hint = "--hidden is for methods that translate both ways, such as cyclegan"
            raise UserError(f"{T.kind} has no way back, so there is nothing to hide", hint=hint)
        there = home

        def shown(image: Photo) -> Photo:
            found = hidden(T, there, image, size=size, seed=options.seed)
            distances.append(found.distances)
            return Photo(np.asarray(found.figure))

        figure = shown

    if options.made:
        from organza.translate.made import made_first, reader

        if options.hidden:
            raise UserError("--made and --hidden are two figures", hint="give one of them")
        figure, given = made_first(T, compare=options.compare, size=size, seed=options.seed), reader(T)
    with progress_bar("translating", "images") as progress:
        done = translate_files(
            given,
            options.input,
            outdir=options.outdir,
            output=options.output,
            format=options.format,
            side=options.side,
            compare=options.compare and not options.made,
            labels=None if options.class_ is None or named else int(options.class_),
            target=options.class_ if named else options.target,
            known=options.labels,
            every=options.all_targets,
            heat=options.heat,
            samples=options.samples,
            style=options.style,
            clusters=chosen,
            figure=figure,
            choose=choose,
            report=options.report,
            targets=options.targets,
            back=home,
            size=size,
            mode=mode,
            seed=options.seed,
            progress=progress,
        )
    for name, reason in done.skipped:
        say(f"skipped {name}: {reason}", error=True)
    if options.report is not None:
        say(options.report)
    if choose is not None and choose.count:
        say(f"models by age and sex: {choose.told()}", error=True)
    if distances:
        say(told(distances))
    first, count = done.written[0], len(done.written)
    say(first if count == 1 else f"{first} and {count - 1} more in {options.outdir}")
    return 0


def _film(
    options: Options, T: Translator, named: bool, size: Size, choose: Callable[[Photo], Translator] | None
) -> int:
    """A video, frame by frame; the face of the first one chooses the model."""
    from organza.data.photo import Photo
    from organza.translate.video import check_film, translate_video

    alone = ("compare", "samples", "report", "targets", "hidden", "all_targets", "heat", "made")
    if given := [name for name in alone if getattr(options, name)]:
        raise UserError(f"--{given[0].replace('_', '-')} is for images", where=options.input, hint="leave it out")
    if options.format != "png":
        raise UserError("--format is for images", where=options.input, hint="the ending of --output says a video's")
    if options.labels != "none":
        raise UserError("--labels are of a folder or an archive", where=options.input, hint="leave them out")
    z = None if options.style is None else T.encode(options.style)
    if options.clusters is not None:
        z = T.codes_of(_choice(options.clusters))
    place = check_film(options.input, options.output, options.outdir)
    follow = T.follow() if T.model.follow is not None else None

    chosen: list[Translator] = []

    def translate(pixels: Pixels) -> Photo:
        frame = Photo(pixels).half(options.side)
        if follow is not None:
            return follow(frame.pixels, size=size, mode=None if options.norm_mode == "auto" else options.norm_mode)
        if not chosen:
            chosen.append(T if choose is None else choose(frame))
        return chosen[0].photo(
            frame.pixels,
            None if options.class_ is None or named else int(options.class_),
            z,
            target=options.class_ if named else options.target,
            size=size,
            mode=None if options.norm_mode == "auto" else options.norm_mode,
            seed=options.seed,
        )

    with progress_bar("translating", "frames") as progress:
        done = translate_video(options.input, place, translate, smooth=options.smooth, progress=progress)
    for line in done.warnings(options.input):
        say(line, error=True)
    if follow is not None and follow.found:
        say(f"{follow.found} cuts, after which nothing is remembered")
    if done.flicker is not None:
        before, after = done.flicker
        say(f"flicker {before:.2f} -> {after:.2f} levels of 255 along the motion; {done.cuts} cuts")
    say(f"{done.path}: {done.frames} frames, {done.shares()}")
    return 130 if done.stopped else 0


def _choice(text: str) -> dict[int, int]:
    """Classes and clusters as one types them.

    Example:
        >>> _choice("3=1, 0=2")
        {3: 1, 0: 2}
    """
    found = {}
    for word in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,6})\s*=\s*(\d{1,6})\s*", word, re.ASCII)
        if match is None:
            raise UserError(f"{word.strip()!r} is no choice", where="--clusters", hint="write CLASS=CLUSTER: 3=1,0=2")
        found[int(match[1])] = int(match[2])
    return found
