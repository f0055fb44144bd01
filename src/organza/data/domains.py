"""Two kinds of pictures: pairs that belong together, or two sets that don't.

Both are two ordinary data sets. Pairs have equal length and order, so that two loaders with one seed walk them in step
and mirror both pictures or neither; unpaired sets are walked by two loaders with different seeds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from organza.core.errors import UserError
from organza.data.dataset import Dataset, open_dataset
from organza.data.decode import open_picture
from organza.data.opening import open_source
from organza.data.options import DataOptions
from organza.data.readers.part import Half, PartSource
from organza.data.source import BadPicture, Entry, Source

if TYPE_CHECKING:
    from organza.data.prepare import Progress

Direction = Literal["AtoB", "BtoA"]


@dataclass(frozen=True)
class Domains:
    """Source and target pictures of a translation.

    Attributes:
        source: what a translator is given.
        target: what it shall make of it.
        paired: whether ``source`` and ``target`` belong together, picture by picture.
    """

    source: Dataset
    target: Dataset
    paired: bool


def open_domains(
    path: str | Path,
    options: DataOptions | None = None,
    *,
    split: str = "train",
    direction: Direction = "AtoB",
    cache_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> Domains:
    """Open pairs or two sets, told apart by how they lie there.

    | layout | what it is |
    |---|---|
    | ``trainA/ trainB/ testA/ testB/`` | two sets; pairs if the file names are the same |
    | ``A/ B/``, ``A/train/ B/train/`` | pairs by equal names (else two sets) |
    | pictures about twice as wide as high, perhaps in ``train/ val/ test/`` | pairs side by side, A left |

    Args:
        path: whatever `open_dataset` takes.
        options: size, channels ... of both.
        split: which part, where the set has parts.
        direction: "BtoA" swaps source and target.
        cache_dir, progress: as for `open_dataset`.

    Raises:
        UserError: it is none of these, or the split does not exist.
    """
    options = options or DataOptions()
    whole = open_source(path)
    a, b, halves = _sides(whole, split)
    first = open_dataset(a, options, cache_dir=cache_dir, progress=progress)
    height, width = first.resolution
    second = open_dataset(
        b,
        DataOptions(**{**vars(options), "resolution": f"{height}x{width}"}),
        cache_dir=cache_dir,
        progress=progress,
    )
    pairs = _pairs(first.names, second.names, a.prefix, b.prefix)
    paired = halves or len(pairs) == min(len(first), len(second)) > 0
    if paired:
        first, second = first.select([i for i, _ in pairs]), second.select([j for _, j in pairs])
    return Domains(first, second, paired) if direction == "AtoB" else Domains(second, first, paired)


def _sides(whole: Source, split: str) -> tuple[PartSource, PartSource, bool]:
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
        hint = "give trainA/ and trainB/, A/ and B/, or pictures twice as wide as high"
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


def _shape(part: Source, entry: Entry) -> tuple[int, int] | None:
    try:
        image = open_picture(part.read(entry))
    except BadPicture:
        return None
    return image.height, image.width


def _pairs(a: Sequence[str], b: Sequence[str], prefix_a: str, prefix_b: str) -> list[tuple[int, int]]:
    """Numbers of the pictures with equal names (without folder prefix and extension)."""

    def key(name: str, prefix: str) -> str:
        return re.sub(r"\.[^./]+$", "", name[len(prefix) :])

    places = {key(name, prefix_b): j for j, name in enumerate(b)}
    return [(i, places[key(name, prefix_a)]) for i, name in enumerate(a) if key(name, prefix_a) in places]
