"""Any photographs to a dataset of portraits, all framed alike and on white: what Photo2Cartoon is trained on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from organza.core.progress import Progress
from organza.data.cache import parallel
from organza.data.decode import Target, decode, open_picture, render
from organza.data.source import BadPicture, Contents, Entry, Source
from organza.media.images import Pixels
from organza.translate.faces.finding import Finder, turned_away
from organza.translate.faces.frame import F, cut, portrait_quad, side_of, to_frame, within
from organza.translate.faces.person import person_mask, segmenting
from organza.translate.faces.pipeline import SIZE, on_white
from organza.vision.mtcnn import Detector
from organza.vision.segment import PersonSegmenter

CHUNK = 8
"""Photographs that a process looks at before it reports."""
Background = Literal["white", "keep"]


class Place(NamedTuple):
    """A face that is worth a portrait.

    Attributes:
        photo: number of its photograph.
        points: five landmarks, as lists.
        others: those of the photograph's other faces.
    """

    photo: int
    points: list[list[float]]
    others: list[list[list[float]]]


@dataclass(frozen=True)
class Wish:
    """Which faces are taken.

    Attributes:
        faces: of each photograph.
        least: side of the smallest frame, in pixels of the photograph.
        turned: take faces that are turned away as well.
    """

    faces: Literal["all", "largest"] = "largest"
    least: float = 64.0
    turned: bool = False


@dataclass(frozen=True)
class Look:
    """A job for `organza.data.cache.parallel`: photographs to places of faces, and reasons against others."""

    source: Source
    mtcnn: Path
    wish: Wish
    parent: int = field(default_factory=os.getpid)

    def __call__(self, chunk: Sequence[tuple[int, Entry]]) -> list[tuple[list[Place], list[str]]]:
        """For each photograph, the places, and what was left out and why."""
        if os.getpid() != self.parent:  # there is a process for each core
            torch.set_num_threads(1)
        finder = _finder(self.mtcnn)
        return [self._photo(finder, *each) for each in chunk]

    def _photo(self, finder: Finder, number: int, entry: Entry) -> tuple[list[Place], list[str]]:
        try:
            photo = pixels_of(self.source, entry)
        except BadPicture as error:
            return [], [str(error)] if entry.claimed else []
        faces = [face.points for face in finder(photo)]
        if not faces:
            return [], ["no face was found"]
        places, reasons = [], list[str]()
        for place, points in enumerate(faces[: 1 if self.wish.faces == "largest" else None]):
            if reason := self._against(points):
                reasons.append(reason)
                continue
            others = [other.tolist() for n, other in enumerate(faces) if n != place]
            places.append(Place(number, points.tolist(), others))
        return places, reasons

    def _against(self, points: F) -> str:
        side = side_of(portrait_quad(points))
        if side < self.wish.least:
            return f"the face is too small: its frame has {side:.0f} pixels, {self.wish.least:.0f} are wanted"
        return "the face is turned away" if turned_away(points) and not self.wish.turned else ""


def look(
    source: Source,
    entries: Sequence[Entry],
    mtcnn: Path,
    wish: Wish,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> tuple[list[Place], list[tuple[str, str]]]:
    """All faces worth a portrait, in the order of their photographs, and (name, reason) of what was left out.

    Args:
        source, entries: the photographs.
        mtcnn: folder of the detector's networks.
        wish: which faces are taken.
        workers: processes; all cores by default.
        progress: called as ``progress(done, total)``.
    """
    places, left = list[Place](), list[tuple[str, str]]()
    numbered, done = list(enumerate(entries)), 0
    for results in parallel.run(Look(source, mtcnn, wish), numbered, chunk=CHUNK, workers=workers):
        for found, reasons in results:
            places += found
            left += [(entries[done].name, reason) for reason in reasons]
            done += 1
        if progress is not None:
            progress(done, len(entries))
    return places, left


class PortraitSource(Source):
    """Portraits as a source: cut out, level, and on white, when they are read.

    Args:
        photos: where the photographs are.
        entries: of them.
        places: the faces.
        selfie: file of the segmenter; None keeps the background.
        size: side of the portraits.
    """

    kind = "portraits"

    def __init__(
        self, photos: Source, entries: Sequence[Entry], places: Sequence[Place], selfie: Path | None, size: int = SIZE
    ) -> None:
        self.photos, self.photographs, self.places, self.selfie, self.size = photos, entries, places, selfie, size
        self.path, self.parent = photos.path, os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        # Workers get what they need with each entry.
        return {**vars(self), "photographs": (), "places": ()}

    def fingerprint(self) -> str:
        """Of the photographs and the places."""
        text = json.dumps([self.photos.fingerprint(), self.places, self.size, self.selfie is None])
        return hashlib.sha256(text.encode()).hexdigest()

    def contents(self) -> Contents:
        """One for each face, called after its photograph."""
        found, taken = [], dict[str, int]()
        for place in self.places:
            photo = self.photographs[place.photo]
            stem = str(PurePosixPath(photo.name).with_suffix(""))
            taken[stem] = taken.get(stem, 0) + 1
            name = f"{stem}.png" if taken[stem] == 1 else f"{stem}_{taken[stem]}.png"
            found.append(Entry(name, photo.size, (photo, place.points, place.others)))
        return Contents(found, [])

    def read(self, entry: Entry) -> Pixels:
        """Pixels ``[size, size, 3]``.

        Raises:
            BadPicture: no person was found around the face.
        """
        if os.getpid() != self.parent:
            torch.set_num_threads(1)
        photo, points, others = entry.at
        pixels, quad, size = pixels_of(self.photos, photo), portrait_quad(np.array(points)), max(SIZE, self.size)
        crop = cut(pixels, quad, size)
        if self.selfie is not None:
            people = segmenting(_segmenter(self.selfie))(cut(pixels, quad, size, "mirror"))
            beside = [to_frame(np.array(other), quad, size) for other in others]
            mask = person_mask(people, to_frame(np.array(points), quad, size), beside)
            if mask is None:
                raise BadPicture("no person was found around the face")
            crop = on_white(crop, mask * within((pixels.shape[0], pixels.shape[1]), quad, size))
        return crop


def pixels_of(source: Source, entry: Entry) -> Pixels:
    """A photograph as displayed, uint8 ``[H, W, 3]``.

    Raises:
        BadPicture: it can't be read.
    """
    return render(decode(open_picture(source.read(entry))), Target(None, 3))


@lru_cache(1)
def _finder(mtcnn: Path) -> Finder:
    return Finder(Detector.read(mtcnn))


@lru_cache(1)
def _segmenter(selfie: Path) -> PersonSegmenter:
    return PersonSegmenter.read(selfie)


def reasons(left: Sequence[tuple[str, str]]) -> Iterator[str]:
    """How often what stood against a portrait, for people.

    Example:
        >>> list(reasons([("a", "no face was found"), ("b", "the face is too small: 3"), ("c", "no face was found")]))
        ['2 left out: no face was found', '1 left out: the face is too small']
    """
    counts = dict[str, int]()
    for _, reason in left:
        kind = reason.partition(":")[0]
        counts[kind] = counts.get(kind, 0) + 1
    for kind, count in sorted(counts.items(), key=lambda one: -one[1]):
        yield f"{count:,} left out: {kind}"
