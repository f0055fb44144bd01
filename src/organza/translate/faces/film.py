"""Videos of cartoon faces: each face is followed from frame to frame, and its landmarks and mask do not tremble."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from organza.core.errors import UserError
from organza.core.progress import Progress
from organza.data.photo import Photo
from organza.data.source import BadPicture
from organza.media.clip import open_clip
from organza.media.flow import Smoother, check_flow, is_cut
from organza.media.images import Pixels
from organza.translate.faces.person import Mask
from organza.translate.faces.pipeline import Cartoonist, Portrait, Wanted, chosen
from organza.translate.video import Filmed, translate_video
from organza.vision.mtcnn import Face

F = NDArray[np.float64]
EVERY = 10
"""New faces are looked for in every so many frames, and whenever one is lost."""
OVERLAP = 0.3
"""Intersection over union of boxes that are of one face."""
PATIENCE = 5
"""Frames for which a face that is not seen stays where it was."""
MEASURED = 8
"""Where nothing is smoothed, flicker is measured in one pair of so many frames: motion takes longer than the rest."""
STEADY = 0.5
"""Share of the mask of the frame before."""


class OneEuro:
    """A low-pass filter that lets go when its input moves fast: little trembling at rest, little delay in motion.

    Casiez, Roussel, Vogel: 1 Euro Filter: A Simple Speed-based Low-pass Filter for Noisy Input in Interactive Systems.
    CHI 2012.

    Args:
        rate: values a second.
        least: cut-off frequency at rest, in Hz.
        slope: how much it rises with speed, in Hz for each unit a second.
        speed: cut-off frequency of the speed, in Hz.

    Example:
        >>> steady = OneEuro(25.0)
        >>> [round(float(steady(np.array(x))), 2) for x in (0.0, 1.0, 1.0, 1.0)]
        [0.0, 0.43, 0.7, 0.84]
    """

    def __init__(self, rate: float, least: float = 1.5, slope: float = 0.3, speed: float = 1.0) -> None:
        self.rate, self.least, self.slope, self.speed = rate, least, slope, speed
        self._value: F | None = None
        self._moving: F | None = None

    def __call__(self, value: F) -> F:
        """The next value, smoothed; of any shape, but always the same."""
        if self._value is None or self._moving is None:
            self._value, self._moving = value, np.zeros_like(value)
            return value
        moving = (value - self._value) * self.rate
        self._moving = self._moving + self._share(np.array(self.speed)) * (moving - self._moving)
        share = self._share(self.least + self.slope * np.abs(self._moving))
        self._value = self._value + share * (value - self._value)
        return self._value

    def _share(self, frequency: F) -> F:
        return np.asarray(1 / (1 + self.rate / (2 * np.pi * frequency)))


@dataclass
class Track:
    """One face on its way through the video.

    Attributes:
        face: where it was seen last.
        steady: the same with smoothed landmarks.
        unit: the distance of its eyes at first, in pixels: near and far faces are smoothed alike.
        missed: for how many frames it was not seen.
        age: for how many frames it has been translated.
    """

    face: Face
    steady: Face
    unit: float
    filter: OneEuro
    smoother: Smoother | None
    mask: Mask | None = None
    missed: int = 0
    age: int = 0

    def see(self, face: Face) -> None:
        """Where it is now."""
        self.face, self.missed = face, 0
        self.steady = replace(face, points=self.filter(face.points / self.unit) * self.unit)


@dataclass
class Watched:
    """What happened in a video.

    Attributes:
        tracks: faces that were followed.
        empty: frames without a face.
        cuts: where tracks began anew.
        raw, smooth: flicker of the cartoons between neighbouring frames, before and after smoothing; empty without
            OpenCV.
    """

    tracks: int = 0
    empty: int = 0
    cuts: int = 0
    raw: list[float] = field(default_factory=list)
    smooth: list[float] = field(default_factory=list)

    @property
    def flicker(self) -> tuple[float, float] | None:
        """Mean warping error in levels of 255, without and with smoothing; None where it was not measured."""
        return (float(np.mean(self.raw)), float(np.mean(self.smooth))) if self.raw else None

    def lines(self) -> list[str]:
        """For people."""
        empty = f", {self.empty} frames without a face" if self.empty else ""
        lines = [f"{self.tracks} faces followed, {self.cuts} cuts{empty}"]
        if self.flicker is not None:
            before, after = self.flicker
            smoothed = f"{before:.2f} -> {after:.2f}" if self.raw != self.smooth else f"{before:.2f}"
            lines.append(f"flicker of the cartoons {smoothed} levels of 255 along the motion")
        else:
            lines.append("flicker was not measured: that needs organza[flow]")
        return lines


class Tracker:
    """Frames of a video to faces that stay the same ones.

    Args:
        C: the stages.
        wanted: which faces: all, the largest, or so many of the largest.
        rate: frames a second.
        smooth: strength of `Smoother` for the cartoons of each face; None: OpenCV is not there.
    """

    def __init__(self, C: Cartoonist, wanted: Wanted, rate: float, smooth: float | None = None) -> None:
        self.C, self.wanted, self.rate, self.smooth = C, wanted, rate, smooth
        self.tracks: list[Track] = []
        self.seen = Watched()
        self._before: Pixels | None = None
        self._number = 0

    def __call__(self, frame: Pixels) -> list[Track]:
        """The faces of the next frame, those seen first before others."""
        if self._before is not None and is_cut(frame, self._before):
            self.seen.cuts += 1
            self.end()
        self._before = frame
        lost = not self.tracks
        for track in self.tracks:
            with self.C.on("find"):
                found = None if self.C.follow is None else self.C.follow(frame, track.face)
            if found is None:
                track.missed += 1
                lost = True
            else:
                track.see(found)
        if lost or self._number % EVERY == 0:
            self._look(frame)
        self._number += 1
        self.end(PATIENCE)
        self.seen.empty += not self.tracks
        return self.tracks

    def end(self, patience: int = -1) -> None:
        """Drop the tracks that were missed for longer, and add up what they leave."""
        for track in self.tracks:
            if track.missed > patience and track.smoother is not None:
                self.seen.raw += track.smoother.raw
                self.seen.smooth += track.smoother.smooth
        self.tracks = [track for track in self.tracks if track.missed <= patience]

    def _look(self, frame: Pixels) -> None:
        faces = chosen(self.C.faces(frame), self.wanted)
        free = [track for track in self.tracks if track.missed]
        known = [track for track in self.tracks if not track.missed]
        for face in faces:
            if any(overlap(face, track.face) > OVERLAP for track in known):
                continue
            near = max(free, key=lambda track: overlap(face, track.face), default=None)
            if near is not None and overlap(face, near.face) > OVERLAP:
                near.see(face)
                free.remove(near)
                known.append(near)
            elif self.wanted == "all" or len(self.tracks) < (1 if self.wanted == "largest" else self.wanted):
                smoother = None if self.smooth is None else Smoother(self.smooth)
                unit = float(np.hypot(*(face.points[1] - face.points[0]))) + 1e-9
                track = Track(face, face, unit, OneEuro(self.rate), smoother)
                track.see(face)
                self.tracks.append(track)
                known.append(track)
                self.seen.tracks += 1


def overlap(one: Face, other: Face) -> float:
    """Intersection over union of two faces' boxes.

    Example:
        >>> a, b = (Face(1.0, np.array(box), np.zeros([5, 2])) for box in ([0.0, 0, 2, 2], [1.0, 0, 3, 2]))
        >>> round(overlap(a, b), 3)
        0.333
    """
    low, high = np.maximum(one.box[:2], other.box[:2]), np.minimum(one.box[2:], other.box[2:])
    shared = float(np.prod(np.maximum(high - low, 0)))
    whole = sum(float(np.prod(face.box[2:] - face.box[:2])) for face in (one, other)) - shared
    return shared / whole if whole > 0 else 0.0


def cartoon_video(
    C: Cartoonist,
    source: str | Path,
    output: str | Path,
    *,
    faces: Wanted = "all",
    match_colours: bool = False,
    smooth: float = 0.0,
    progress: Progress | None = None,
) -> tuple[Filmed, Watched]:
    """A video with cartoons in place of its faces; times, rate and sound stay, see `translate_video`.

    Args:
        C: the stages.
        source: the video.
        output: ``.mp4``, ``.mov`` or ``.mkv``.
        faces: which faces of each frame.
        match_colours: cartoons have the colours of their frames.
        smooth: take flicker out of each face's cartoon along its motion, by this strength, see `Smoother`.
        progress: called with frames done and expected.

    Returns:
        What was written, and what was seen. An interrupt leaves a file that can be played.

    Raises:
        UserError: as `translate_video`; smoothing without OpenCV.
    """
    chosen([], faces)
    tracker = Tracker(C, faces, float(open_clip(source).fps), _strength(smooth))

    def translate(frame: Pixels) -> Photo:
        tracks = tracker(frame)
        portraits = []
        for track in tracks:
            others = [other.steady for other in tracks if other is not track]
            try:
                portraits.append(portrait(C, track, frame, others))
            except BadPicture:
                continue
        return Photo(C.pasted(frame, portraits, match_colours=match_colours))

    done = translate_video(source, output, translate, progress=progress)
    tracker.end()
    return done, tracker.seen


def portrait(C: Cartoonist, track: Track, frame: Pixels, others: Sequence[Face]) -> Portrait:
    """A face's cartoon in one frame, with the mask and the cartoon of the frame before in it."""
    seen = C.seen(frame, track.steady, others)
    if track.mask is not None:
        seen = replace(seen, mask=STEADY * track.mask + (1 - STEADY) * seen.mask)
    track.mask = seen.mask
    made = C.translated(seen)
    smoother, track.age = track.smoother, track.age + 1
    if smoother is None or (not smoother.strength and track.age % MEASURED > 1):
        return made
    if not smoother.strength and track.age % MEASURED == 0:
        smoother.forget()
    with C.on("smooth"):
        return replace(made, translated=smoother(made.cutout, made.translated))


def _strength(smooth: float) -> float | None:
    """What `Smoother` gets; None without OpenCV, which only measures where nothing is to be smoothed."""
    try:
        check_flow()
    except UserError:
        if smooth:
            raise
        return None
    return smooth
