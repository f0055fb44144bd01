"""Files and folders of images through a translator."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from organza.contract.targets import known_vector
from organza.core.errors import UserError
from organza.core.files import user_path
from organza.core.messages import logger
from organza.data.dataset import open_dataset
from organza.data.opening import open_source
from organza.data.options import DataOptions
from organza.data.photo import Photo
from organza.data.places import free_place
from organza.data.readers.part import Half, PartSource
from organza.data.source import BadPicture, Source, check_some
from organza.data.tables.labels import find_labels
from organza.data.videos import in_sequences
from organza.media.images import PICTURE_SUFFIXES, check_suffix, to_image, to_tensor
from organza.translate.report import Line, line, wanted_of, write_report

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from PIL import Image

    from organza.contract.model import NormMode
    from organza.core.progress import Progress
    from organza.models.translator import Size, Translator

log = logger(__name__)


@dataclass(frozen=True)
class Done:
    """What was made of some images.

    Attributes:
        written: the files.
        skipped: (name, reason) of what could not be used.
    """

    written: list[Path]
    skipped: list[tuple[str, str]]


def translate_files(
    T: Translator,
    source: str | Path,
    *,
    outdir: str | Path = "out",
    output: str | Path | None = None,
    format: Literal["png", "jpg", "webp"] = "png",
    side: Half = "whole",
    compare: bool = False,
    samples: int = 0,
    style: str | Path | None = None,
    clusters: Mapping[int, int] | None = None,
    figure: Callable[[Photo], Photo] | None = None,
    choose: Callable[[Photo], Translator] | None = None,
    report: str | Path | None = None,
    targets: str | Path | None = None,
    back: Translator | None = None,
    labels: ArrayLike | None = None,
    target: str | None = None,
    known: str = "none",
    every: bool = False,
    heat: bool = False,
    size: Size = "trained",
    mode: NormMode | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Done:
    """Translate an image, or all images of a folder or an archive.

    Args:
        T: from `organza.load`.
        source: an image, or whatever `organza.open_dataset` takes.
        outdir: where the files go, under the names that they have in ``source``.
        output: the one file to write instead, for one image.
        format: of the files in ``outdir``.
        side: which part of each image is translated.
        compare: lay the source beside what was made of it.
        samples: make so many results of each image, with random style codes, and lay them beside it; 0 makes one alone.
        style: an image like the wanted result, whose style code is taken.
        clusters: class -> cluster of its features, of networks that have such; see `Translator.codes_of`.
        figure: makes what is written of each image, instead of its translation.
        choose: which translator, built as ``T`` is, each image goes through; None: all through ``T``.
        report: an HTML page to write as well, with input, output, target and cycle of each image.
        targets: for the page: images, under the names of the sources, that were wanted; of halves, the other half.
        back: for the page: the translator of the other direction.
        labels, target, size, mode, seed: as for `Translator.translate`.
        known: labels that the images have, in the words of `DataOptions.labels`; what ``target`` doesn't name stays.
        every: instead of one target, a row for each image: itself, and what it becomes for each of
            `Translator.targets`.
        heat: lay a heat map of where the network looks before each result.
        progress: called as ``progress(done, total)``.

    Raises:
        UserError: nothing to translate, an unknown format, a file that would be overwritten by its own translation, or
            a full disk.
    """
    if mode is not None:
        T = T.in_mode(mode)
    path = user_path(source)
    single = path.is_file() and path.suffix.lower() in (*PICTURE_SUFFIXES, ".bmp", ".tif", ".tiff", ".gif", ".avif")
    if output is not None and not single:
        raise UserError("--output names one file, but there are many images", where=source, hint="give --outdir")
    places = _places(path, single, user_path(outdir), output, f".{format}", side)
    check_labels(T, labels=labels, target=target, known=known, every=every)
    wishes = {"compare": compare, "samples": samples, "style": style, "clusters": clusters, "heat": heat}
    wishes |= {"class": labels is not None, "target": target, "all-targets": every}
    if figure is not None and (given := [name for name, wish in wishes.items() if wish]):
        what = f"--{given[0]} is of plain translations, and --made and --hidden write figures of their own"
        raise UserError(what, hint="leave one of them out")
    rows = _known(T, places.source, path, known)
    if samples or style is not None:
        check_codes(T)
        if samples and (style is not None or clusters is not None):
            other = "--style" if clusters is None else "--clusters"
            raise UserError(f"--samples has random style codes, and {other} one", hint="leave one of them out")
    if report is not None and (compare or samples or every or heat or figure is not None):
        raise UserError("a report has a column for each image", hint="leave --compare and other figures out")
    z = None if style is None else T.encode(style)
    if clusters is not None:
        z = T.codes_of(clusters)
    common: dict[str, Any] = {"size": size, "mode": mode}

    follow = T.follow() if T.model.follow is not None and not single else None

    def shown(image: Photo, has: Any) -> Photo:
        if follow is not None:
            made = follow(image, **common)
            return _beside([_as_image(image), _as_image(made)]) if compare else made
        here = T if choose is None else choose(image)
        row = [_as_image(image)] if compare or samples or every else []
        row += [here.heat(image, size=size)] if heat else []
        if every:
            return _beside([*row, *here.domains(image, has, **common).values()])
        many = [here.photo(image, has, z, target=target, seed=seed + k, **common) for k in range(max(samples, 1))]
        return _beside([*row, *map(_as_image, many)]) if row else many[0]

    written: list[Path] = []
    skipped: list[tuple[str, str]] = []

    def translated() -> Iterator[tuple[str, Photo, Photo]]:
        folder = None
        for number, (name, image, place) in enumerate(places(T)):
            if follow is not None and folder not in (None, place.parent):
                follow.reset()  # a folder is a video
            folder = place.parent
            if isinstance(image, str):
                skipped.append((name, image))
            else:
                has = rows.get(name) if rows else labels
                made = shown(image, has) if figure is None else figure(image)
                written.append(made.write(place))
                yield name, image, made
            if progress is not None:
                progress(number + 1, places.count)

    if report is None:
        collections.deque(translated(), maxlen=0)
    else:
        wanted = wanted_of(T, path, side, targets)
        columns = ["input", "output"]
        columns += ["target"] if side != "whole" or targets is not None else []
        columns += ["cycle"] if back is not None else []
        without: list[str] = []

        def lines() -> Iterator[Line]:
            for name, image, made in translated():
                target = wanted(name)
                without.extend([name] if target is None else [])
                yield line(T, name, image, made, target, back)

        write_report(report, T, columns, lines(), title=path.name)
        if "target" in columns and without:
            where = "the other half" if targets is None else targets
            log.warning(f"no target for {without[0]} ({len(without)} of {len(written)}) in {where}")
    if not written:
        reason = f": {skipped[0][0]}: {skipped[0][1]}" if skipped else ""
        raise UserError(f"no usable images{reason}", where=source)
    return Done(written, skipped)


def calibrate_on(T: Translator, source: str | Path, most: int = 200) -> Translator:
    """``T`` with statistics over images of a folder or an archive, at most ``most``: see `Translator.calibrate`.

    Raises:
        UserError: there are no images.
    """
    height, width = T.resolution
    options = DataOptions(resolution=f"{height}x{width}", channels=str(T.model.source), max_images=most)  # type: ignore[arg-type]
    images = open_dataset(source, options)
    return T.calibrate(to_tensor(images.fetch([index])[0]) for index in range(len(images)))


def check_labels(
    T: Translator, *, labels: ArrayLike | None, target: str | None, known: str = "none", every: bool = False
) -> None:
    """See that ``T`` has labels, where something is said of labels; the arguments are those of `translate_files`.

    Raises:
        UserError: it has none.

    Example:
        >>> check_labels(T, labels=7, target=None)
        Traceback (most recent call last):
        ...
        organza.core.errors.UserError: cyclegan has no labels, so it takes no class; leave it out
    """
    given = {"class": labels is not None, "target": target is not None or every, "labels of images": known != "none"}
    if wrong := [name for name, there in given.items() if there and not T.targets]:
        raise UserError(f"{T.kind} has no labels, so it takes no {wrong[0]}", hint="leave it out")


def check_codes(T: Translator) -> None:
    """See that ``T`` makes many results of one image.

    Raises:
        UserError: it takes no style codes.

    Example:
        >>> check_codes(T)
        Traceback (most recent call last):
        ...
        organza.core.errors.UserError: cyclegan makes one result of an image, not many; train bicyclegan for many
    """
    if not T.model.z_dim:
        raise UserError(f"{T.kind} makes one result of an image, not many", hint="train bicyclegan for many")


@dataclass(frozen=True)
class _Places:
    """Each image that is to be translated, with its name and where the result goes."""

    source: Source | None
    path: Path
    folder: Path
    output: Path | None
    ending: str
    side: Half

    @property
    def count(self) -> int:
        return 1 if self.source is None else len(self.source.entries())

    def __call__(self, T: Translator) -> Iterator[tuple[str, Photo | str, Path]]:
        if self.source is None:
            target = self.output or self.folder / f"{self.path.stem}{self.ending}"
            try:
                yield self.path.name, T.read(self.path).half(self.side), target
            except BadPicture as error:
                raise UserError(f"can't be used: {error}", where=self.path) from None
            return
        taken: set[Path] = set()
        entries = self.source.entries()
        if T.model.follow is not None:
            order = in_sequences([entry.name for entry in entries])
            entries = [entries[row] for rows in order.values() for row in rows]
        for entry in entries:
            try:
                image = T.source_of(self.source.read(entry))
            except BadPicture as error:
                if entry.claimed:
                    yield entry.name, str(error), Path()
                continue
            yield entry.name, image, self.folder / free_place(entry.name, self.ending, taken)


def _places(path: Path, single: bool, folder: Path, output: str | Path | None, ending: str, side: Half) -> _Places:
    named = None if output is None else check_suffix(output, PICTURE_SUFFIXES)
    if single:
        target = named or folder / f"{path.stem}{ending}"
        if target.resolve() == path.resolve():
            raise UserError("its translation would overwrite it", where=path, hint="give another --outdir or --output")
        return _Places(None, path, folder, named, ending, side)
    whole = open_source(path)
    check_some(whole)
    inside = path.is_dir() and (folder.resolve() == path.resolve() or path.resolve() in folder.resolve().parents)
    if inside:
        raise UserError("the results would lie among the images", where=folder, hint="give an --outdir beside them")
    return _Places(whole if side == "whole" else PartSource(whole, path, "", side), path, folder, None, ending, side)


def _as_image(photo: Photo) -> Image.Image:
    """With 8 bits a channel."""
    return to_image(photo.eight())


def _beside(images: Sequence[Image.Image]) -> Photo:
    """Left to right, all at the size of the last."""
    last = images[-1]
    mode = "RGBA" if "RGBA" in {image.mode for image in images} else "RGB"
    whole = last.convert(mode).crop((0, 0, len(images) * last.width, last.height))
    for number, image in enumerate(images):
        whole.paste(image.convert(mode).resize(last.size), (number * last.width, 0))
    return Photo(np.asarray(whole))


def _known(T: Translator, source: Source | None, path: Path, wish: str) -> dict[str, list[float]]:
    """Label vectors of the images that have labels, by name."""
    if wish == "none":
        return {}
    if source is None:
        raise UserError("--labels are of a folder or an archive", where=path, hint="name what --target should change")
    entries = source.entries()
    labels = find_labels(source, entries, wish)
    if labels is None:
        return {}
    names = (*labels.names, *map(str, range(len(labels.names), labels.dim)))
    values = labels.values if labels.values.ndim == 2 else np.eye(labels.dim, dtype=np.float32)[labels.values]
    return {
        entry.name: known_vector(T.spec, names, row.tolist())
        for place, (entry, row) in enumerate(zip(entries, values, strict=True))
        if place not in labels.missing
    }
