"""Two kinds of images: pairs that belong together, or two sets that don't.

Both are two ordinary datasets. Pairs have equal length and order, so that two loaders with one seed walk them in step
and mirror both images or neither; unpaired sets are walked by two loaders with different seeds.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

import numpy as np

from organza.contract.data import Direction
from organza.core.errors import UserError
from organza.core.messages import logger
from organza.data.dataset import Dataset, open_dataset
from organza.data.decode import Target, decode, open_picture, render
from organza.data.held_out import split as parted
from organza.data.label_maps import WithInstances
from organza.data.opening import open_source
from organza.data.options import DataOptions, DomainOptions
from organza.data.readers.part import Half, PartSource
from organza.data.source import BadPicture, Entry, Source, check_some
from organza.data.tables.names import clean
from organza.data.techniques import Made, Technique, technique

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from organza.core.progress import Progress

log = logger(__name__)


@dataclass(frozen=True)
class Domains:
    """Source and target images of a translation.

    Attributes:
        source: what a translator is given.
        target: what it should make of it.
        paired: whether ``source`` and ``target`` belong together, image by image.
    """

    source: Dataset
    target: Dataset
    paired: bool


def open_domains(
    path: str | Path | Source,
    options: DataOptions | None = None,
    *,
    split: str = "train",
    direction: Direction = "AtoB",
    layout: Literal["auto", "pairs", "unpaired"] = "auto",
    cache_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> Domains:
    """Open pairs or two sets, told apart by how they lie there.

    | layout | what it is |
    |---|---|
    | ``trainA/ trainB/ testA/ testB/`` | two sets; pairs if the file names are the same |
    | ``A/ B/``, ``A/train/ B/train/`` | pairs by equal names (else two sets) |
    | images about twice as wide as high, perhaps in ``train/ val/ test/`` | pairs side by side, A left |

    Args:
        path: whatever `open_dataset` takes.
        options: size, channels ... of both.
        split: which part, where the set has parts.
        direction: "BtoA" swaps source and target.
        layout: "pairs" insists on pairs; "unpaired" forgets which images belong together.
        cache_dir, progress: as for `open_dataset`.

    Raises:
        UserError: it is none of these, or the split does not exist.
    """
    options = options or DataOptions()
    whole = path if isinstance(path, Source) else open_source(path)
    if (how := made_by(options)) is not None:
        return _made(whole, options, how, split, direction, layout, cache_dir=cache_dir, progress=progress)
    a, b, halves = sides(whole, split)
    (one, own), (other, theirs) = (
        _as_label_map(part, options, whole) if way == direction else (part, options)
        for part, way in ((a, "AtoB"), (b, "BtoA"))
    )
    first = open_dataset(one, own, cache_dir=cache_dir, progress=progress)
    height, width = first.resolution
    second = open_dataset(
        other,
        replace(theirs, resolution=f"{height}x{width}"),
        cache_dir=cache_dir,
        progress=progress,
    )
    pairs = _pairs(first.names, second.names, a.prefix, b.prefix)
    paired = halves or len(pairs) == min(len(first), len(second)) > 0
    if layout == "pairs" and not paired:
        counts = f"{len(first)} and {len(second)} images, {len(pairs)} names in common"
        hint = "name what belongs together alike, or take a method for unpaired sets"
        raise UserError(f"it holds two sets whose images are no pairs ({counts})", where=whole.path, hint=hint)
    paired = paired and layout != "unpaired"
    if paired:
        _tell(first, second, pairs, (a, b))
        first, second = first.select([i for i, _ in pairs]), second.select([j for _, j in pairs])
    return Domains(first, second, paired) if direction == "AtoB" else Domains(second, first, paired)


def _tell(first: Dataset, second: Dataset, pairs: Sequence[tuple[int, int]], parts: tuple[Source, Source]) -> None:
    """Warn of images without a partner, and of partners whose shapes differ, so that crops of them don't fit."""
    for dataset, used in ((first, {i for i, _ in pairs}), (second, {j for _, j in pairs})):
        if alone := [name for n, name in enumerate(dataset.names) if n not in used]:
            log.warning(f"{len(alone)} of {len(dataset)} images have no partner and are left out, such as {alone[0]}")
    if first.names == second.names:  # halves of one file
        return
    entries = [{entry.name: entry for entry in part.entries()} for part in parts]
    for i, j in pairs[:: max(1, len(pairs) // 20)]:
        names = first.names[i], second.names[j]
        one, other = (_shape(part, known[name]) for part, known, name in zip(parts, entries, names, strict=True))
        if one is not None and other is not None and abs(one[0] * other[1] / (one[1] * other[0]) - 1) > 0.05:
            sizes = f"{names[0]} has {one[1]}x{one[0]} pixels, {names[1]} {other[1]}x{other[0]}"
            log.warning(f"{sizes}: of pairs of different shapes the middles are taken, which may not belong together")
            return


def made_by(options: DataOptions) -> Technique | None:
    """The technique by which sources are made; None where both sides are in the dataset.

    Raises:
        UserError: there is no such technique.
    """
    return technique(options.pairs) if isinstance(options, DomainOptions) else None


def _made(
    whole: Source,
    options: DataOptions,
    how: Technique,
    split: str,
    direction: Direction,
    layout: str,
    *,
    cache_dir: str | Path | None,
    progress: Progress | None,
) -> Domains:
    if layout == "unpaired":
        hint = "take pix2pix, bicyclegan or pix2pixhd"
        raise UserError("--pairs makes pairs, and this method learns from two sets", hint=hint)
    if direction != "AtoB":
        raise UserError("pairs that are made go one way: from what is made to the image", hint="leave --direction out")
    assert isinstance(options, DomainOptions)
    if options.label_map != "none":
        raise UserError("--label-map and --pairs are two kinds of sources", hint="give one of them")
    part = images_of(whole, split)
    single_images(part, options.layout)
    target = open_dataset(part, options, cache_dir=cache_dir, progress=progress)
    training, held_out = parted(target, options)
    if split == HELD_OUT_PART:
        if held_out is None:
            raise UserError("no images are held out", where=whole.path, hint="say --held-out 5%")
        training = held_out
    return Domains(Made(training, how), training, True)


HELD_OUT_PART = "held-out"
"""The part of made pairs that `DataOptions.held_out` sets aside."""


def images_of(whole: Source, split: str) -> Source:
    """The images of a part of a set, whose parts lie in folders; of a set without such, all.

    Raises:
        UserError: it has other parts.
    """
    tops = {parent for entry in whole.entries() for parent in _parents(entry.name)}
    inside = sorted((t for t in tops if PurePosixPath(t).name == split), key=len)
    if inside:
        return _part(whole, inside[0])
    others = sorted({PurePosixPath(top).name for top in tops} & {*SPLITS})
    if split not in ("train", HELD_OUT_PART):
        hint = f"there are {', '.join(others)}" if others else "it has no parts"
        raise UserError(f"there is no split {split!r}", where=whole.path, hint=hint)
    return whole


def _as_label_map(part: PartSource, options: DataOptions, whole: Source) -> tuple[Source, DataOptions]:
    """The source images and how they are read: label maps without mixing colours, with their instances."""
    if not isinstance(options, DomainOptions) or options.label_map == "none":
        return part, options
    exact = replace(options, filter="nearest")
    if options.instances is None:
        return part, exact
    folder = options.instances.strip("/")
    names = {parent for entry in whole.entries() for parent in _parents(entry.name)}
    inside = next((top for top in sorted(names, key=len) if top == folder or top.endswith(f"/{folder}")), None)
    if inside is not None:
        other: Source = _part(whole, inside)
        prefix = f"{inside}/"
    else:
        other, prefix = open_source(options.instances), ""
    return WithInstances(part, other, part.prefix, prefix), replace(exact, channels="4")


@dataclass(frozen=True)
class Layout:
    """How the images of a set lie there.

    Attributes:
        kind: single images, pairs side by side in one file, or two sets A and B (paired by their names or not).
        sides: the folders of A and B, where there are such.
        splits: folders for training, validation and test that lie beside each other, and how many images each has.
    """

    kind: Literal["images", "pairs", "unpaired"]
    sides: tuple[str, str] | None = None
    splits: tuple[tuple[str, int], ...] = ()

    @property
    def about(self) -> str:
        """In words."""
        parts = ", ".join(f"{name} {count:,}" for name, count in self.splits)
        what = {"images": "single images", "pairs": "pairs side by side"}.get(self.kind)
        what = what or f"two sets, {' and '.join(self.sides or ())}"
        return f"{what}; in parts: {parts}" if parts else what


def layout_of(source: Source) -> Layout:
    """Find out how the images of a set lie there, by its folders and the shapes of some images.

    Example:
        >>> layout_of(open_source(faces)).kind
        'images'
    """
    counts = Counter(folder for entry in source.entries() for folder in _parents(entry.name))
    children: dict[str, dict[str, int]] = {}
    for folder, count in counts.items():
        above, _, name = folder.rpartition("/")
        children.setdefault(above, {})[name] = count
    splits: tuple[tuple[str, int], ...] = ()
    for above, inside in sorted(children.items(), key=lambda item: item[0].count("/")):
        prefix = f"{above}/" if above else ""
        for a, b in (("A", "B"), *((f"{split}A", f"{split}B") for split in SPLITS)):
            letters = sum(len(name) == 1 for name in inside)  # which may be classes: A, B, C ...
            if a in inside and b in inside and (a != "A" or letters == 2):
                return Layout("unpaired", (prefix + a, prefix + b), splits)
        found = tuple((prefix + name, inside[name]) for name in SPLITS if name in inside)
        splits = splits or (found if len(found) > 1 else ())
    return Layout("pairs" if _side_by_side(source) and not _panoramas(source) else "images", None, splits)


def single_images(source: Source, layout: Literal["auto", "images"] = "auto") -> str:
    """Refuse pairs and two sets where single images are wanted; ``"images"`` takes every file as one.

    Returns:
        What one should know before training on them; "" if there is nothing.

    Raises:
        UserError: they lie there as pairs or as two sets.
    """
    found = layout_of(source)
    if found.kind != "images" and layout == "auto":
        as_they_are = "--layout images takes them as they are"
        hint = as_they_are if found.sides is None else f"name one, {source.path}/{found.sides[0]}, or {as_they_are}"
        what = replace(found, splits=()).about
        raise UserError(f"it holds {what}, but this method learns single images", where=source.path, hint=hint)
    if not found.splits:
        return ""
    parts = " and ".join(f"{name}/ ({count:,})" for name, count in found.splits)
    return f"{parts} are trained on together; {source.path}/{found.splits[0][0]} names one alone"


SPLITS = ("train", "val", "valid", "validation", "test")


def sides(whole: Source, split: str) -> tuple[PartSource, PartSource, bool]:
    """The sides A and B of a set for translation, and whether they are the halves of images side by side.

    Raises:
        UserError: it is no such set, or the split does not exist.
    """
    check_some(whole)
    names = [entry.name for entry in whole.entries()]
    tops = {parent for name in names for parent in _parents(name)}
    for a, b in ((f"{split}A", f"{split}B"), (f"A/{split}", f"B/{split}"), (f"{split}/A", f"{split}/B"), ("A", "B")):
        found = [top for top in tops if top == a or top.endswith("/" + a)]
        if found:
            prefix = min(found, key=len)
            other = prefix[: len(prefix) - len(a)] + b
            if other in tops:
                return _part(whole, prefix), _part(whole, other), False
    ends = {PurePosixPath(top).name for top in tops}
    splits = sorted(
        ends & {"train", "val", "test"} | {end[:-1] for end in ends if end[:-1] + "B" in ends and end[-1] == "A"}
    )
    if splits and split not in ends:
        raise UserError(f"there is no split {split!r}", where=whole.path, hint=f"there are {', '.join(splits)}")
    inside = min((t for t in tops if PurePosixPath(t).name == split), key=len, default="")
    part = _part(whole, inside)
    if not _side_by_side(part):
        hint = "give trainA/ and trainB/, A/ and B/, or images twice as wide as high"
        if whole.kind == "video":
            hint = "give A/ and B/ with videos of the same names, or have sources made: --pairs grey"
        raise UserError("it holds no pairs and no two sets", where=whole.path, hint=hint)
    return _part(whole, inside, "left"), _part(whole, inside, "right"), True


def _parents(name: str) -> list[str]:
    return [str(parent) for parent in PurePosixPath(name).parents if str(parent) != "."]


def _part(whole: Source, prefix: str, half: Half = "whole") -> PartSource:
    return PartSource(whole, whole.path, f"{prefix}/" if prefix else "", half)


def _side_by_side(part: Source) -> bool:
    entries = part.entries()
    shapes = [_shape(part, entry) for entry in entries[:: max(1, len(entries) // 20)]]
    known = [shape for shape in shapes if shape is not None]
    return bool(known) and all(1.8 < width / height < 2.2 for height, width in known)


def _panoramas(source: Source) -> bool:
    """Whether wide images are single ones: most go on across their middle, and their halves are alike."""
    entries = source.entries()
    sample = [_small(source, entry) for entry in entries[:: max(1, len(entries) // 20)]]
    images = [pixels for pixels in sample if pixels is not None]
    return 2 * sum(map(_runs_through, images)) >= len(images) and not _halves_differ(images)


def _small(part: Source, entry: Entry) -> NDArray[np.float32] | None:
    size = Target((64, 128), 3, "stretch")
    try:
        return render(decode(open_picture(part.read(entry), size)), size).astype(np.float32)
    except BadPicture:
        return None


def _runs_through(pixels: NDArray[np.float32]) -> bool:
    """Whether an image goes on across its middle, as a panorama does and a pair does not.

    The columns left and right of the middle differ no more than neighbours elsewhere do, and they are not blank.
    """
    steps = np.abs(np.diff(pixels.mean(2), axis=1)).mean(0)
    usual, middle = float(np.median(steps)), steps[62:65]
    return usual > 0 and float(middle.max()) <= 3 * usual and float(middle.mean()) > usual / 4


def _halves_differ(images: Sequence[NDArray[np.float32]]) -> bool:
    """Whether left and right halves are of different kinds: one brighter, or more colourful, in nine of ten images."""
    if len(images) < 8:
        return False
    left, right = ([_kind(image[:, side]) for image in images] for side in (slice(64), slice(64, None)))
    signs = np.sign(np.array(left) - np.array(right)).mean(0)
    return bool((np.abs(signs) >= 0.8).any())


def _kind(half: NDArray[np.float32]) -> tuple[float, float, float]:
    return float(half.mean()), float(half.mean(2).std()), float(np.ptp(half, axis=2).mean())


def _shape(part: Source, entry: Entry) -> tuple[int, int] | None:
    try:
        image = open_picture(part.read(entry))
    except BadPicture:
        return None
    return image.height, image.width


def _pairs(a: Sequence[str], b: Sequence[str], prefix_a: str, prefix_b: str) -> list[tuple[int, int]]:
    """Numbers of the images with equal names (without folder prefix and extension)."""

    def key(name: str, prefix: str) -> str:
        return re.sub(r"\.[^./]+$", "", clean(name[len(prefix) :]))

    places = {key(name, prefix_b): j for j, name in enumerate(b)}
    return [(i, places[key(name, prefix_a)]) for i, name in enumerate(a) if key(name, prefix_a) in places]
