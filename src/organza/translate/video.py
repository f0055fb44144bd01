"""Videos through a translator: frame by frame, in flat memory, with the times and the sound of the original."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from organza.core.errors import UserError
from organza.core.files import user_path
from organza.data.photo import Photo
from organza.media.clip import OUTPUT_SUFFIXES, Reading, open_clip, writing
from organza.media.flow import Smoother, check_flow
from organza.media.images import Pixels, check_suffix

if TYPE_CHECKING:
    from organza.core.progress import Progress

Translate = Callable[[Pixels], Photo]
STAGES = ("decode", "translate", "smooth", "encode")


@dataclass
class Filmed:
    """What became of a video.

    Attributes:
        path: the file.
        frames: how many it has.
        lost: those that could not be read, and are the one before again.
        missing: frames that the original says it has, and has not.
        silent: why it has no sound though the original has; None where it has.
        seconds: time spent in each of `STAGES`.
        stopped: whether it ends before the original does, by an interrupt.
        flicker: mean warping error in levels of 255, without and with smoothing; None where nothing was smoothed.
        cuts: found by the smoothing.
    """

    path: Path
    frames: int = 0
    lost: int = 0
    missing: int = 0
    silent: str | None = None
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    stopped: bool = False
    flicker: tuple[float, float] | None = None
    cuts: int = 0

    def warnings(self, source: Path) -> list[str]:
        """What went wrong with the translation of ``source``, a line each."""
        lines = []
        if self.lost:
            lines.append(f"{self.lost} frames could not be read: the one before each is shown again")
        if self.missing:
            lines.append(f"{source} is cut off: {self.missing} frames are missing at its end")
        if self.silent:
            lines.append(f"without sound: {self.silent}")
        if self.stopped:
            lines.append(f"stopped after {self.frames} frames, which are in the file")
        return lines

    def shares(self) -> str:
        """Frames a second, and what share of the time each stage took."""
        whole = sum(self.seconds.values()) or 1e-9
        parts = ", ".join(f"{name} {100 * spent / whole:.0f}%" for name, spent in self.seconds.items() if spent)
        return f"{self.frames / whole:.1f} frames/s: {parts}"


def check_film(source: Path, output: str | Path | None, outdir: str | Path) -> Path:
    """Where the translation of a video goes.

    Raises:
        UserError: no video can be written there, or it would overwrite its source.
    """
    place = user_path(outdir) / f"{source.stem}.mp4" if output is None else check_suffix(output, OUTPUT_SUFFIXES)
    if place.resolve() == source.resolve():
        raise UserError("its translation would overwrite it", where=source, hint="give another --outdir or --output")
    return place


def translate_video(
    source: str | Path,
    output: str | Path,
    translate: Translate,
    *,
    smooth: float = 0.0,
    progress: Progress | None = None,
) -> Filmed:
    """Translate a video frame by frame.

    Args:
        source: the video; frames that can't be read become the one before again.
        output: ``.mp4``, ``.mov`` or ``.mkv``, with the times of the frames and the sound of the source. Sides that
            are odd are padded by a pixel.
        translate: makes an image of a frame, uint8 ``[H, W, 3]``; all of the same size. `Translator.photo` is one.
        smooth: take flicker out along the motion of the source, by this strength, see `organza.media.flow.Smoother`.
        progress: called with frames done and expected.

    Returns:
        What was written. An interrupt (Ctrl-C) leaves a file that can be played with what was done until then.

    Raises:
        UserError: a file that is no video, has no frames, or can't be written.
        KeyboardInterrupt: before the first frame.
    """
    clip = open_clip(source)
    place = check_film(clip.path, output, ".")
    if smooth:
        check_flow()
    reading, done, smoother = Reading(clip), Filmed(place), Smoother(smooth)
    try:
        with writing(place) as film:
            clock = _Clock(done.seconds)
            for frame in clock.over("decode", reading.frames(film)):
                with clock.on("translate"):
                    made = translate(frame.pixels).eight()
                if smooth:
                    with clock.on("smooth"):
                        made = smoother(frame.pixels, made)
                with clock.on("encode"):
                    film.frame(made, frame.time)
                done.frames = film.count
                if progress is not None:
                    progress(done.frames, max(clip.expected, done.frames))
            done.silent = film.silent if clip.sound else None
    except KeyboardInterrupt:
        if not done.frames:
            raise
        done.stopped = True
    done.lost, done.cuts = reading.lost, smoother.cuts
    if smoother.raw:
        done.flicker = sum(smoother.raw) / len(smoother.raw), sum(smoother.smooth) / len(smoother.smooth)
    done.missing = 0 if done.stopped else max(clip.count - reading.shown, 0)
    return done


Item = TypeVar("Item")


class _Clock:
    """Adds up what each stage takes."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds = seconds

    @contextmanager
    def on(self, stage: str) -> Iterator[None]:
        """What is done meanwhile belongs to ``stage``."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - started

    def over(self, stage: str, items: Iterable[Item]) -> Iterator[Item]:
        """The items; the time that each takes to come belongs to ``stage``."""
        there, nothing = iter(items), object()
        while True:
            with self.on(stage):
                item = next(there, nothing)
            if item is nothing:
                return
            yield cast(Item, item)
