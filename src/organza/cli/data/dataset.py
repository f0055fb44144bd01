"""organza dataset: look at, build, export, align and fetch datasets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from organza.cli.parse import parse
from organza.cli.progress import progress_bar
from organza.core.errors import UserError
from organza.core.ranges import Count, Range
from organza.core.text import say

if TYPE_CHECKING:
    from organza.data.export.build import Report

Number = Annotated[Count | None, tyro.conf.arg(metavar="N")]
Text = Annotated[str | None, tyro.conf.arg(metavar="TEXT")]


@dataclass(frozen=True)
class InfoOptions:
    """Format, count, sizes, labels, duplicates, and what would be skipped and why; with a contact sheet."""

    path: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]
    """Folder, archive, shards, address ... whatever `train --data` takes."""
    sheet: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Where the contact sheet goes; out/NAME-contact.png if not said."""
    labels: Text = None
    """Check these labels, as for build, and say what each column is taken for; all that there could be if not said."""
    pairs: Text = None
    """Show the pairs that `train --pairs` makes of these images: grey, edges, sketch, low-res:4, holes, noise, jpeg."""
    frames: bool = False
    """The images are frames of videos, those of a folder one after the other; video files are looked at so anyway."""
    all: bool = False
    """List everything instead of the first ten of each."""
    workers: Number = None
    """Processes; all cores if not said."""


@dataclass(frozen=True)
class BuildOptions:
    """Write a prepared dataset: NVIDIA's zip layout (their tools read it), a folder, shards or TFRecords."""

    source: str
    """Folder, archive, shards, address ... whatever `train --data` takes."""
    dest: Path
    """The zip or folder to write; it appears when complete."""
    format: Literal["auto", "zip", "folder", "webdataset", "tfrecords"] = "auto"
    """auto: a zip if DEST ends in .zip, else a folder."""
    resolution: Text = None
    """"256", or "512x768" (height x width); each image keeps its size if not said."""
    transform: Literal["center-crop", "center-crop-wide", "pad", "stretch"] = "center-crop"
    """How images of another shape fit; center-crop-wide cuts to 4:3 with black bars."""
    resize_filter: Literal["lanczos", "box"] = "lanczos"
    """How images are resized."""
    channels: Literal["auto", "1", "3", "4"] = "auto"
    """1 grey, 3 RGB, 4 with transparency; auto: 1 if all are grey, else 3."""
    encode: Literal["png", "webp", "jpeg", "keep"] = "png"
    """File format; keep leaves a file that needs no change as it is, and others in their own format."""
    quality: Annotated[int, Range(least=1, most=100)] = 95
    """Of JPEG and WebP."""
    labels: str = "own"
    """none, own (dataset.json or the format's), folders, or a table as FILE:COLUMN,COLUMN."""
    captions: str = "none"
    """none, txt, auto, or a table as FILE:COLUMN."""
    max_images: Number = None
    """At most so many, evenly spread."""
    strict: bool = False
    """Refuse a source with bad files instead of skipping them."""
    overwrite: bool = False
    """Replace DEST if it exists."""
    workers: Number = None
    """Processes; all cores if not said."""


@dataclass(frozen=True)
class ExportOptions(BuildOptions):
    """The same as build, under the name that one looks for when another program should read the result."""


@dataclass(frozen=True)
class AlignOptions:
    """Cut aligned faces out of photographs: FFHQ's by its metadata, any others by landmarks that MTCNN finds."""

    source: str
    """Folder or archive with the photographs."""
    dest: Path
    """The zip or folder to write."""
    metadata: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """For FFHQ: ffhq-dataset-v2.json, or the file of 2019."""
    mtcnn: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """For others: folder of MTCNN's pnet.pt, rnet.pt and onet.pt. The largest face of each photograph is cut out."""
    weights_dir: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Instead of --mtcnn: folder of helper networks, mtcnn/ and faces/selfie.onnx."""
    crop: Annotated[Literal["ffhq", "celeba", "photo2cartoon"], tyro.conf.arg(aliases=["--template"])] = "ffhq"
    """Without --metadata: FFHQ's crop, approximately, the middle square of CelebA's, or minivision's frame on white, as
    photo2cartoon is trained on; that one finds its networks in the cache, too."""
    faces: Literal["all", "largest"] = "largest"
    """With --crop photo2cartoon: which faces of each photograph."""
    least: Number = None
    """With --crop photo2cartoon: side of the smallest frame, in pixels of the photograph; a quarter of --size if not
    said."""
    background: Literal["white", "keep"] = "white"
    """With --crop photo2cartoon: what stands around the person."""
    size: Number = None
    """Side of the crops; 1024 for FFHQ and 256 for others if not said."""
    split: Literal["all", "train", "validation"] = "all"
    """The first 60,000, the others, or all."""
    max_images: Number = None
    """The first so many."""
    overwrite: bool = False
    """Replace DEST if it exists."""
    workers: Number = None
    """Processes; all cores if not said."""


@dataclass(frozen=True)
class FetchOptions:
    """Download a public dataset into the cache; without a name, list them."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="NAME ...")] = field(
        default_factory=tuple
    )
    """mnist, cifar10, horse2zebra ..."""
    dest: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Where to, instead of the cache."""


def main(argv: list[str]) -> int:
    """Parse ``VERB [options]`` and do it."""
    if not argv or argv[0] in ("-h", "--help"):
        say("usage: organza dataset VERB [options]", "")
        for verb, (kind, _) in _VERBS.items():
            say(f"  {verb:8} {kind.__doc__}")
        say("", "`organza dataset VERB --help` lists the options.")
        return 0 if argv else 2
    if argv[0] not in _VERBS:
        raise UserError(f"organza dataset can't {argv[0]!r}", hint=f"it can {', '.join(_VERBS)}")
    kind, act = _VERBS[argv[0]]
    return act(parse(kind, argv[1:], f"organza dataset {argv[0]}"))


def _info(options: InfoOptions) -> int:
    from organza.data.opening import open_source
    from organza.runs.dataset import info
    from organza.runs.videos import holds_videos, video_info

    if options.frames or holds_videos(options.path):
        if options.labels or options.pairs:
            raise UserError("--labels and --pairs are of single images", where=options.path, hint="leave them out")
        place = options.sheet or Path("out") / f"{Path(options.path).stem}-contact.png"
        with progress_bar("looking", "frames") as progress:
            videos = video_info(options.path, sheet=place, progress=progress)
        say(*videos.lines(10**9 if options.all else 10))
        return 0
    sheet = options.sheet or Path("out") / f"{open_source(options.path).name}-contact.png"
    with progress_bar("looking", "images") as progress:
        found = info(
            options.path,
            sheet=sheet,
            labels=options.labels,
            pairs=options.pairs or "none",
            workers=options.workers,
            progress=progress,
        )
    say(*found.lines(10**9 if options.all else 10))
    return 0


def _build(options: BuildOptions) -> int:
    from organza.data.export.build import build
    from organza.data.options import DataOptions

    with progress_bar("building", "images") as progress:
        report = build(
            options.source,
            options.dest,
            DataOptions(
                resolution=options.resolution,
                channels=options.channels,
                fit="crop-wide" if options.transform == "center-crop-wide" else options.transform,
                filter=options.resize_filter,
                labels=options.labels,
                captions=options.captions,
                strict=options.strict,
                max_images=options.max_images,
            ),
            form=None if options.format == "auto" else options.format,
            encoding=options.encode,
            quality=options.quality,
            workers=options.workers,
            overwrite=options.overwrite,
            progress=progress,
        )
    return _report(report, options.dest)


def _align(options: AlignOptions) -> int:
    from organza.runs.dataset import align, align_found

    crop = options.crop
    if crop == "photo2cartoon":
        return _portraits(options)
    for name, usual in (("faces", "largest"), ("least", None), ("background", "white")):
        if getattr(options, name) != usual:
            raise UserError(f"--{name} is for --crop photo2cartoon", hint="leave it out")
    if options.mtcnn is None and options.weights_dir is not None:
        options = replace(options, mtcnn=options.weights_dir / "mtcnn")
    if (options.metadata is None) == (options.mtcnn is None):
        raise UserError("--metadata or --mtcnn is missing", hint="give FFHQ's metadata, or MTCNN's folder for others")
    if options.mtcnn is not None:
        with progress_bar("aligning", "faces") as progress:
            report = align_found(
                options.mtcnn,
                options.source,
                options.dest,
                size=options.size or 256,
                crop=crop,
                max_images=options.max_images,
                overwrite=options.overwrite,
                workers=options.workers,
                progress=progress,
            )
        return _report(report, options.dest)
    assert options.metadata is not None
    with progress_bar("aligning", "faces") as progress:
        report = align(
            options.metadata,
            options.source,
            options.dest,
            size=options.size or 1024,
            split=options.split,
            max_images=options.max_images,
            overwrite=options.overwrite,
            workers=options.workers,
            progress=progress,
        )
    return _report(report, options.dest)


def _portraits(options: AlignOptions) -> int:
    from organza.runs.dataset import align_portraits
    from organza.translate.faces.dataset import reasons

    if options.metadata is not None or options.mtcnn is not None:
        raise UserError(
            "--crop photo2cartoon takes its networks from --weights-dir", hint="say it, and leave others out"
        )
    with progress_bar("looking for faces", "photographs") as progress:
        report = align_portraits(
            options.source,
            options.dest,
            weights_dir=options.weights_dir,
            faces=options.faces,
            size=options.size or 256,
            least=options.least,
            background=options.background,
            max_images=options.max_images,
            overwrite=options.overwrite,
            workers=options.workers,
            progress=progress,
        )
    say(*reasons(report.skipped))
    return _report(report, options.dest)


def _report(report: Report, dest: Path) -> int:
    for name, reason in report.skipped[:10]:
        say(f"skipped {name}: {reason}")
    if len(report.skipped) > 10:
        say(f"skipped {len(report.skipped) - 10:,} more")
    if len(report.sizes) == 1:
        (height, width), _ = next(iter(report.sizes.items()))
        size = f"{height}x{width}"
    else:
        size = f"{len(report.sizes)} different sizes"
    for text in report.about:
        say(f"labels: {text}")
    extras = [text for text, there in (("labels", report.labelled), ("captions", report.captioned)) if there]
    say(f"{dest}: {report.count:,} pictures, {size}{''.join(f', {text}' for text in extras)}")
    return 0


def _fetch(options: FetchOptions) -> int:
    from organza.data.catalogue import PUBLIC
    from organza.runs.dataset import fetch

    if not options.names:
        for name, about in PUBLIC.items():
            known = "" if all(file.sha256 for file in about.files) else " (checksum unknown)"
            say(f"{name:24} {about.about}{known}")
        return 0
    for name in options.names:
        with progress_bar(f"fetching {name}", "bytes") as progress:
            path, about = fetch(name, dest=options.dest, progress=progress)
        unknown = [file.file_name for file in about.files if file.sha256 is None]
        say(f"{path}" + (f" (nobody publishes a checksum of {', '.join(unknown)}: not verified)" if unknown else ""))
    return 0


_VERBS: dict[str, tuple[type, Callable[..., int]]] = {
    "info": (InfoOptions, _info),
    "build": (BuildOptions, _build),
    "export": (ExportOptions, _build),
    "align": (AlignOptions, _align),
    "fetch": (FetchOptions, _fetch),
}
