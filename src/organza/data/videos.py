"""Videos and folders of frames as a dataset: where their frames are, and which videos belong together.

| what lies there | what it is |
|---|---|
| ``A/`` and ``B/`` with videos, or folders of frames, of the same names | pairs |
| ``A.mp4`` and ``B.mp4`` | a pair |
| ``park_distorted.mp4`` and ``park_pristine.mp4``, perhaps more with these endings | pairs |
| one video, or a folder of videos or of frames | one side; `DataOptions.pairs` makes the other |
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from organza.core.errors import UserError
from organza.core.files import user_path
from organza.data.decode import open_picture
from organza.data.opening import open_source
from organza.data.readers.clips import ClipsSource, clips_under
from organza.data.source import BadPicture, Entry, Source
from organza.media.clip import is_clip

SOURCES = (
    "a",
    "source",
    "input",
    "before",
    "distorted",
    "degraded",
    "noisy",
    "compressed",
    "low",
    "lr",
    "labels",
    "line",
)
TARGETS = ("b", "target", "output", "after", "pristine", "clean", "original", "high", "hr", "real", "photo")
"""How names of videos end that are sources, and targets, best known first; one of two endings must be among these."""


def open_frames(path: str | Path) -> Source:
    """The frames at ``path``: of a video, of a folder with videos in it, or of whatever `open_source` takes.

    Raises:
        UserError: there is nothing that can be read.

    Example:
        >>> open_frames(faces).kind
        'zip'
    """
    place = user_path(path)
    if place.is_file() and is_clip(place):
        return ClipsSource(place, {place.stem: place})
    if place.is_dir() and (clips := clips_under(place)):
        names = by_side(clips)
        return ClipsSource(place, {names[name]: file for name, file in clips.items()}, tuple(_beside(place, clips)))
    return open_source(path)


def by_side(places: Iterable[str]) -> dict[str, str]:
    """Places of videos in a folder -> their names, which begin with A/ and B/ where endings tell sources and targets.

    Example:
        >>> by_side(["A.mp4", "B.mov"])
        {'A.mp4': 'A/video', 'B.mov': 'B/video'}
        >>> by_side(["x/park_pristine.mp4", "x/park_distorted.mp4"])
        {'x/park_pristine.mp4': 'B/x/park', 'x/park_distorted.mp4': 'A/x/park'}
        >>> by_side(["park_1.mp4", "park_2.mp4"])
        {'park_1.mp4': 'park_1', 'park_2.mp4': 'park_2'}
        >>> by_side(["A/one.mp4", "B/one.avi", "C.mp4"])
        {'A/one.mp4': 'A/one', 'B/one.avi': 'B/one', 'C.mp4': 'C'}
    """
    listed = list(places)
    stems = {place: re.sub(r"\.[^./]+$", "", place) for place in listed}
    if any(count > 1 for count in Counter(stems.values()).values()):
        stems = {place: place for place in listed}
    split = {place: _ending(stem) for place, stem in stems.items()}
    endings = {ending.lower() for _, ending in split.values()}
    bases: dict[str, set[str]] = defaultdict(set)
    for base, ending in split.values():
        bases[base].add(ending.lower())
    known = not endings.isdisjoint((*SOURCES, *TARGETS))
    if not known or len(endings) != 2 or any(len(found) != 2 for found in bases.values()):
        return stems
    source = min(endings, key=_rank)
    names = {place: f"{base or 'video'}" for place, (base, _) in split.items()}
    return {place: f"{'A' if split[place][1].lower() == source else 'B'}/{names[place]}" for place in listed}


def _ending(stem: str) -> tuple[str, str]:
    """What videos that belong together have in common, and what tells them apart."""
    folder, _, name = stem.rpartition("/")
    found = re.fullmatch(r"(?:(.+)[_. -])?([^_. -]+)", name)
    base, ending = (found[1] or "", found[2]) if found else (name, "")
    return "/".join(filter(None, (folder, base))), ending


def _rank(ending: str) -> tuple[int, str]:
    """Where sources come first."""
    if ending in SOURCES:
        return SOURCES.index(ending), ""
    return (2 * len(SOURCES) - TARGETS.index(ending), "") if ending in TARGETS else (len(SOURCES), ending)


def _beside(folder: Path, clips: Iterable[str]) -> Iterable[tuple[str, str]]:
    known = set(clips)
    for file in sorted(folder.rglob("*")):
        place = file.relative_to(folder).as_posix()
        if file.is_file() and place not in known and not file.name.startswith("."):
            yield place, "beside videos"


# ---- Frames in sequences -------------------------------------------------------------------------------------------


def sequence_of(name: str, prefix: str = "") -> tuple[str, tuple[int | str, ...]]:
    """The sequence of a frame, and its place in there: numbers in names count as numbers.

    Example:
        >>> sequence_of("A/park/frame10.png", "A/")
        ('park', ('frame', 10, ''))
    """
    folder, _, last = name.removeprefix(prefix).rpartition("/")
    parts = re.split(r"(\d+)", re.sub(r"\.[^.]+$", "", last))
    return folder, tuple(int(part) if place % 2 else part for place, part in enumerate(parts))


def in_sequences(names: Sequence[str], prefix: str = "") -> dict[str, list[int]]:
    """The numbers of frames of each sequence, in the order of their time.

    Example:
        >>> in_sequences(["a/10.png", "a/9.png", "b/1.png"])
        {'a': [1, 0], 'b': [2]}
    """
    found: dict[str, list[tuple[tuple[int | str, ...], int]]] = defaultdict(list)
    for number, name in enumerate(names):
        folder, place = sequence_of(name, prefix)
        found[folder].append((place, number))
    return {folder: [number for _, number in sorted(frames)] for folder, frames in found.items()}


def check_pairs(a: Source, b: Source, prefixes: tuple[str, str]) -> None:
    """See that the sequences of two sides that have the same name have frames as many and as large.

    Raises:
        UserError: the first that have not.
    """
    sides = [
        (side, in_sequences([e.name for e in side.entries()], p)) for side, p in zip((a, b), prefixes, strict=True)
    ]
    (_, first), (_, second) = sides
    for name in sorted(first.keys() & second.keys()):
        where = f"{a.path}: {name or 'its frames'}"
        if len(first[name]) != len(second[name]):
            what = f"{len(first[name])} frames on one side and {len(second[name])} on the other"
            raise UserError(what, where=where, hint="cut both to the same frames, so that each has its partner")
        sizes = [size_of(side, side.entries()[frames[name][0]]) for side, frames in sides]
        if None not in sizes and sizes[0] != sizes[1]:
            shown = ["{1}x{0}".format(*size) for size in sizes if size]
            raise UserError(
                f"frames of {shown[0]} on one side and of {shown[1]} on the other", where=where, hint=_SCALE
            )


_SCALE = "scale one side to the other's size"


def check_sizes(source: Source, frames: dict[str, list[int]]) -> None:
    """See that all frames of each sequence have one size. Videos have, by their kind.

    Raises:
        UserError: the first frame that has another than the one before.
    """
    entries = source.entries()
    for numbers in frames.values():
        before = None
        for number in numbers:
            size = size_of(source, entries[number])
            if size is None:
                continue
            if before is not None and size != before:
                what = "{1}x{0} pixels, after frames of {3}x{2}".format(*size, *before)
                raise UserError(
                    what, where=f"{source.path}/{entries[number].name}", hint="scale all frames to one size"
                )
            before = size


def size_of(source: Source, entry: Entry) -> tuple[int, int] | None:
    """Height and width of a frame; None of one that can't be read."""
    try:
        image = open_picture(source.read(entry))
    except BadPicture:
        return None
    return image.height, image.width


def own_size(source: Source) -> tuple[int, int]:
    """Height and width at which frames are read where nothing is said: their own, down to a multiple of 8.

    Raises:
        UserError: not one frame can be read.

    Example:
        >>> own_size(open_frames(faces))
        (16, 16)
    """
    entries = source.entries()
    for entry in entries[:20]:
        if (size := size_of(source, entry)) is not None:
            return max(8, size[0] // 8 * 8), max(8, size[1] // 8 * 8)
    raise UserError("not one frame can be read" if entries else "there are no frames", where=source.path)
