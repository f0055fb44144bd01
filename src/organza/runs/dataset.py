"""What `organza dataset` does, as functions: look at a dataset, align FFHQ's faces, fetch public sets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from organza.core.cache import cache_root
from organza.core.download import download
from organza.core.errors import UserError
from organza.core.files import user_path
from organza.data.align import AlignedSource, Crop, five_point_quad, read_metadata, upright
from organza.data.catalogue import Public, public
from organza.data.decode import open_picture
from organza.data.domains import layout_of
from organza.data.export.build import Form, Report, build
from organza.data.export.encode import Encoding
from organza.data.inspect import About, contact_sheet, counted, exact_groups, inspect, leaks, near_pairs
from organza.data.opening import open_source
from organza.data.options import DataOptions, default_resolution
from organza.data.source import BadPicture, Source
from organza.data.tables.captions import FILES
from organza.data.tables.labels import find_labels, take
from organza.data.tables.tables import read_table
from organza.data.tables.values import Labels
from organza.data.techniques import technique
from organza.media.images import save_picture

if TYPE_CHECKING:
    from organza.core.progress import Progress


@dataclass(frozen=True)
class Info:
    """What `info` found.

    Attributes:
        kind: the format.
        count: usable images.
        skipped: (name, reason) of each that is not.
        others: (name, what it is) of what is no image and does not claim to be one.
        formats, modes: how often which, as text.
        sizes: (height, width) of each usable image ``[N, 2]``.
        layout: how the images lie there, see `organza.data.domains.layout_of`.
        labels: what labels there are, or what the wanted ones are taken for, as text.
        captions: where captions would come from, or "".
        twice: names of equal files, in groups.
        near: pairs of names of images that look the same.
        leaked: pairs of names of the same image in training and test parts.
        same_name: names that occur more than once.
        sheet: the contact sheet, if one was wanted.
        pairs: what pairs a technique makes of the images, or "".
    """

    path: Path
    kind: str
    count: int
    skipped: list[tuple[str, str]]
    others: list[tuple[str, str]]
    formats: str
    modes: str
    sizes: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    layout: str
    labels: list[str]
    captions: str
    twice: list[list[str]]
    near: list[tuple[str, str]]
    leaked: list[tuple[str, str]]
    same_name: list[str]
    sheet: Path | None
    pairs: str = ""

    def lines(self, most: int = 10) -> list[str]:
        """For people: one fact a line, long lists cut after ``most``."""
        heights, widths = self.sizes[:, 0], self.sizes[:, 1]
        equal = len(np.unique(self.sizes, axis=0)) == 1
        middle = f"median {int(np.median(heights))}x{int(np.median(widths))}"
        size = (
            f"{heights[0]}x{widths[0]}"
            if equal
            else f"{heights.min()}x{widths.min()} to {heights.max()}x{widths.max()}, {middle}"
        )
        side = default_resolution(self.sizes.min(1).tolist())
        out = [
            f"{self.path}: {self.kind}, {self.count:,} pictures",  # other programs read this line
            f"  height x width  {size}",
            f"  default         --resolution {side}",
            f"  formats         {self.formats}",
            f"  modes           {self.modes}",
            f"  layout          {self.layout}",
            *([f"  pairs           {self.pairs}"] if self.pairs else []),
            *(f"  labels          {text}" for text in self.labels or ["none"]),
            f"  captions        {self.captions or 'none'}",
            f"  other files     {counted([what for _, what in self.others]) or 'none'}",
        ]
        for title, found in (
            ("equal files", [" = ".join(group) for group in self.twice]),
            ("look the same", [f"{a} ~ {b}" for a, b in self.near]),
            ("in training and test", [f"{a} = {b}" for a, b in self.leaked]),
            ("same name", self.same_name),
            ("skipped", [f"{name}: {reason}" for name, reason in self.skipped]),
        ):
            out.append(f"  {title}: {len(found):,}" if found else f"  {title}: none")
            out += [f"    {line}" for line in found[:most]]
            out += [f"    and {len(found) - most:,} more"] if len(found) > most else []
        return out if self.sheet is None else [*out, f"  contact sheet   {self.sheet}"]


def info(
    path: str | Path,
    *,
    sheet: str | Path | None = None,
    labels: str | None = None,
    pairs: str = "none",
    workers: int | None = None,
    progress: Progress | None = None,
) -> Info:
    """Look at every image of a dataset.

    Args:
        path: whatever `organza.data.open_dataset` takes.
        sheet: where to write a contact sheet, if anywhere.
        labels: look at these (see `DataOptions.labels`) instead of all that there could be.
        pairs: a technique of `organza.data.techniques`: the sheet shows pairs of source and image.
        workers: processes; all cores by default.
        progress: called as ``progress(done, total)``.

    Raises:
        UserError: there is nothing usable, or no such technique.

    Example:
        >>> import tempfile; from PIL import Image
        >>> with tempfile.TemporaryDirectory() as tmp:
        ...     Image.new("RGB", (20, 16), "red").save(Path(tmp, "a.png"))
        ...     Image.new("RGB", (20, 16), "red").save(Path(tmp, "b.png"))
        ...     found = info(tmp)
        >>> found.count, found.twice
        (2, [['a.png', 'b.png']])
    """
    how, source = technique(pairs), open_source(path)
    entries = source.entries()
    about = inspect(source, workers=workers, progress=progress)
    skipped = [(e.name, one.reason) for e, one in zip(entries, about, strict=True) if one.reason]
    others = [(e.name, "no image") for e, one in zip(entries, about, strict=True) if one.reason == ""]
    good = [one for one in about if one.reason is None]
    assert len(good) + len(skipped) + len(others) == len(entries)
    if not good:
        from organza.data.cache.prepare import listed

        raise UserError("no usable images" + listed(skipped), where=source.path)
    names = [e.name for e in entries]
    twice, near = exact_groups(about), near_pairs(about)
    repeated = sorted({a for a, b in zip(sorted(names), sorted(names)[1:], strict=False) if a == b})
    if sheet is not None:
        save_picture(contact_sheet(source, about, make=how), sheet)
    return Info(
        path=source.path,
        kind=source.kind,
        count=len(good),
        skipped=skipped,
        others=[*source.contents().others, *others],
        formats=counted([one.form for one in good]),
        modes=counted([one.mode for one in good]),
        sizes=np.array([one.size for one in good], np.int64),
        layout=layout_of(source).about,
        pairs="" if how is None else f"{len(good):,} made by {how.about}",
        labels=_labels(source, [row for row, one in enumerate(about) if one.reason is None], labels),
        captions=_captions(source, about),
        twice=[[names[n] for n in group] for group in twice],
        near=[(names[a], names[b]) for a, b in near],
        leaked=leaks(names, [*twice, *near]),
        same_name=repeated,
        sheet=None if sheet is None else user_path(sheet),
    )


TABLES = (
    *("list_attr_celeba.txt", "list_attr_celeba.csv", "attributes.jsonl", "attributes.csv", "labels.csv"),
    *("labels.json", "train.csv", "metadata.csv", "metadata.jsonl", "captions.csv"),
)
"""Usual names of tables, whose columns `info` lists."""


def _labels(source: Source, used: list[int], wanted: str | None) -> list[str]:
    """What ``--labels`` could be, and what is wrong with it, by the very check that `build` and training make."""
    entries = source.entries()
    found: list[str] = []
    for wish in ("own", "folders") if wanted is None else (wanted,):
        try:
            labels = find_labels(source, entries, wish)
            if labels is not None:
                found += labels.about
                found.append(f"--labels {wish}: {_described(take(labels, used, entries))}")
        except UserError as error:
            if wish != "folders" or wanted is not None:
                found.append(f"unusable: {error}")
    for name in TABLES if wanted is None else ():
        if source.side(name) is not None:
            try:
                columns = read_table(source, name, entries).columns
            except UserError as error:
                found.append(f"unusable: {error}")
            else:
                found.append(f"--labels {name}:COLUMN,COLUMN of {', '.join(columns)}; --labels {name} tells more")
    return found


def _described(labels: Labels) -> str:
    if labels.values.ndim == 2:
        return f"vectors of {labels.dim}"
    names = f" ({', '.join(labels.names[:6])}{' ...' if len(labels.names) > 6 else ''})" if labels.names else ""
    return f"{labels.dim} classes{names}"


def _captions(source: Source, about: list[About]) -> str:
    beside = sum(text is not None for text in source.texts(source.entries()))
    if beside:
        return f"--captions txt: {beside:,} of {len(about):,} images"
    return next((f"--captions {name}" for name in FILES if source.side(name) is not None), "")


def align(
    metadata: str | Path,
    source: str | Path,
    dest: str | Path,
    *,
    size: int = 1024,
    split: Literal["all", "train", "validation"] = "all",
    form: Form | None = None,
    encoding: Encoding = "png",
    max_images: int | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Cut FFHQ's aligned faces out of the in-the-wild photographs.

    Args:
        metadata: ``ffhq-dataset-v2.json`` or the file of 2019.
        source: folder or archive with the photographs.
        dest, form, encoding, workers, overwrite, progress: as for `organza.data.export.build.build`.
        size: side of the crops in pixels; 128 makes thumbnails.
        split: the first 60,000, the others, or all.
        max_images: the first so many.

    Raises:
        UserError: not FFHQ's metadata; none of the photographs; or ``dest`` can't be written.
    """
    items = read_metadata(user_path(metadata), split)[:max_images]
    # As the official crops were made: 1024 from a larger square; smaller ones from 1024.
    faces = AlignedSource(open_source(source), items, Path(metadata), max(size, 1024))
    options = DataOptions(resolution=str(size), channels="3", filter="lanczos")
    return build(
        faces,
        dest,
        options,
        form=form,
        encoding=encoding,
        workers=workers,
        overwrite=overwrite,
        progress=progress,
    )


def align_found(
    weights: str | Path,
    source: str | Path,
    dest: str | Path,
    *,
    size: int = 256,
    crop: Crop = "ffhq",
    form: Form | None = None,
    encoding: Encoding = "png",
    max_images: int | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Cut the largest face out of each photograph, by landmarks that MTCNN finds.

    Args:
        weights: folder of MTCNN's networks, see `organza.vision.mtcnn`.
        source: whatever `organza.data.open_dataset` takes.
        dest, form, encoding, workers, overwrite: as for `organza.data.export.build.build`.
        size: side of the crops in pixels.
        crop: how much of the image a crop shows, see `organza.data.align.five_point_quad`.
        max_images: look at the first so many photographs.
        progress: called as ``progress(done, total)`` while faces are looked for.

    Returns:
        What was built; photographs that can't be read or where no face was found are among the skipped.

    Raises:
        UserError: other weights, no face in any photograph, or ``dest`` can't be written.
    """
    from organza.vision.mtcnn import Detector

    detector, photos = Detector.read(weights), open_source(source)
    entries = photos.entries()[:max_images]
    items, skipped = [], []
    for number, entry in enumerate(entries):
        try:
            faces = detector.find(np.asarray(upright(open_picture(photos.read(entry)))))
        except BadPicture as error:
            skipped.append((entry.name, str(error)))
            faces = None
        if faces:
            quad = five_point_quad(faces[0].points, crop).tolist()
            items.append({"number": number, "photo": entry.name, "md5": "", "quad": quad})
        elif faces is not None:
            skipped.append((entry.name, "no face was found"))
        if progress is not None:
            progress(number + 1, len(entries))
    if not items:
        raise UserError(f"no face in any of {len(entries)} photographs", where=photos.path)
    report = build(
        AlignedSource(photos, items, photos.path, size, upright=True),
        dest,
        DataOptions(resolution=str(size), channels="3"),
        form=form,
        encoding=encoding,
        workers=workers,
        overwrite=overwrite,
    )
    return replace(report, skipped=[*skipped, *report.skipped])


def align_portraits(
    source: str | Path,
    dest: str | Path,
    *,
    weights_dir: str | Path | None = None,
    faces: Literal["all", "largest"] = "largest",
    size: int = 256,
    least: int | None = None,
    background: Literal["white", "keep"] = "white",
    form: Form | None = None,
    encoding: Encoding = "png",
    max_images: int | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Cut portraits out of photographs as minivision's Photo2Cartoon wants them: level, framed alike, on white.

    Args:
        source: whatever `organza.data.open_dataset` takes.
        dest, form, encoding, workers, overwrite: as for `organza.data.export.build.build`.
        weights_dir: folder of helper networks, see `organza.vision.helpers`.
        faces: of each photograph.
        size: side of the portraits in pixels.
        least: side of the smallest frame in pixels of its photograph; a quarter of ``size`` by default.
        background: white, or as it is.
        max_images: look at the first so many photographs.
        progress: called as ``progress(done, total)`` while faces are looked for.

    Returns:
        What was built; what was left out is among the skipped, with the reason.

    Raises:
        UserError: a helper's file is missing, no face can be used, or ``dest`` can't be written.
    """
    from organza.translate.faces.dataset import PortraitSource, Wish, look
    from organza.vision.helpers import find_helper

    mtcnn = find_helper("mtcnn", weights_dir)
    selfie = find_helper("selfie", weights_dir) if background == "white" else None
    photos = open_source(source)
    entries = photos.entries()[:max_images]
    wish = Wish(faces, size / 4 if least is None else least)
    places, left = look(photos, entries, mtcnn, wish, workers=workers, progress=progress)
    if not places:
        why = f": {left[0][0]}: {left[0][1]}" if left else ""
        raise UserError(f"no face that can be used in {len(entries)} photographs{why}", where=photos.path)
    report = build(
        PortraitSource(photos, entries, places, selfie, size),
        dest,
        DataOptions(resolution=str(size), channels="3"),
        form=form,
        encoding=encoding,
        workers=workers,
        overwrite=overwrite,
    )
    return replace(report, skipped=[*left, *report.skipped])


def fetch(
    name: str, *, dest: str | Path | None = None, offline: bool | None = None, progress: Progress | None = None
) -> tuple[Path, Public]:
    """Download a public dataset, or find it where an earlier call left it.

    Args:
        name: see `organza.data.catalogue.PUBLIC`.
        dest: folder; by default in the cache.
        offline: never use the network.
        progress: called as ``progress(bytes, total)`` for each file.

    Returns:
        What ``--data`` takes, and what is known about the set.

    Raises:
        UserError: no such set, not reachable, or not what it should be.
    """
    about = public(name)
    folder = (cache_root() / "public" / name) if dest is None else user_path(dest)
    for file in about.files:
        download(file.url, folder / file.file_name, sha256=file.sha256, offline=offline, progress=progress)
    return (folder / about.files[0].file_name if len(about.files) == 1 else folder), about
