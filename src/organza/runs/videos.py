"""Videos as a dataset: what `organza dataset info` says of them, and what translators are tried on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from organza.core.errors import UserError
from organza.core.files import user_path
from organza.data.decode import decode, open_picture
from organza.data.domains import sides
from organza.data.inspect import About, contact_sheet
from organza.data.readers.clips import ClipsSource, clips_under
from organza.data.source import BadPicture, Source
from organza.data.videos import check_pairs, in_sequences, open_frames
from organza.media.clip import is_clip, open_clip
from organza.media.flow import is_cut
from organza.media.images import save_picture
from organza.metrics.opened import open_labelled, open_source_and_target, open_videos

if TYPE_CHECKING:
    from organza.core.progress import Progress
    from organza.data.dataset import Dataset
    from organza.data.domains import Domains
    from organza.data.sequences import Sequences
    from organza.media.images import Pixels
    from organza.metrics.names import Metric
    from organza.models.translator import Translator


@dataclass(frozen=True)
class Video:
    """One video, or a folder of frames.

    Attributes:
        name: of it in the dataset.
        frames: how many can be read.
        sizes: (height, width) that occur.
        fps: frames a second; None of a folder.
        cuts: frames with which a new scene begins, counted from 0.
        bad: frames that can't be read.
    """

    name: str
    frames: int
    sizes: tuple[tuple[int, int], ...]
    fps: float | None
    cuts: tuple[int, ...]
    bad: int

    @property
    def line(self) -> str:
        """For people."""
        sizes = " and ".join("{}x{}".format(*size) for size in self.sizes)
        rate = "" if self.fps is None else f", {self.fps:.4g} fps"
        places = f" at {', '.join(map(str, self.cuts[:8]))}{' ...' if len(self.cuts) > 8 else ''}" if self.cuts else ""
        cuts = f"{len(self.cuts)} cut{'' if len(self.cuts) == 1 else 's'}{places}"
        bad = f", {self.bad} can't be read" if self.bad else ""
        return f"{self.name or '(here)'}: {self.frames} frames {sizes}{rate}, {cuts}{bad}"


@dataclass(frozen=True)
class VideoInfo:
    """What `video_info` found.

    Attributes:
        path, kind: where, and of which form.
        videos: each.
        pairs: which belong together, or why none do, in words.
        others: (name, what it is) of what lies beside them.
        sheet: the contact sheet, if one was wanted.
    """

    path: Path
    kind: str
    videos: list[Video]
    pairs: str
    others: list[tuple[str, str]]
    sheet: Path | None = None

    def lines(self, most: int = 10) -> list[str]:
        """For people: one fact a line, long lists cut after ``most``."""
        frames = sum(video.frames for video in self.videos)
        many = "video" if len(self.videos) == 1 else "videos"
        out = [f"{self.path}: {len(self.videos)} {many}, {frames:,} frames", f"  pairs           {self.pairs}"]
        out += [f"  {video.line}" for video in self.videos[:most]]
        out += [f"  and {len(self.videos) - most:,} more"] if len(self.videos) > most else []
        out += [f"  other files     {len(self.others):,}"] if self.others else []
        return out if self.sheet is None else [*out, f"  contact sheet   {self.sheet}"]


def holds_videos(path: str | Path) -> bool:
    """Whether there is a video file, or a folder with some in it."""
    place = user_path(path)
    return (place.is_file() and is_clip(place)) or (place.is_dir() and bool(clips_under(place)))


def tried_on(
    path: str | Path,
    T: Translator,
    metrics: Sequence[Metric],
    progress: Progress | None = None,
    *,
    part: str | None = None,
    **changes: Any,
) -> Domains | Dataset | Sequences:
    """What a translator is evaluated on: labelled images, videos by scenes, or source and target.

    Args:
        path: the images or videos.
        T: the translator.
        metrics: what will be computed.
        progress, part, changes: as for `organza.metrics.opened.open_source_and_target`.

    Raises:
        UserError: unusable data, or no such part.
    """
    if T.model.label_dim:
        return open_labelled(path, T, progress, **changes)
    flicker = any(metric.compared == "flicker" for metric in metrics)
    if flicker or T.model.follow is not None or holds_videos(path):
        return open_videos(path, T, progress, part=part, **changes)
    return open_source_and_target(path, T, progress, part=part, **changes)


def video_info(path: str | Path, *, sheet: str | Path | None = None, progress: Progress | None = None) -> VideoInfo:
    """Look at every frame of some videos, or of folders of frames.

    Args:
        path: what `organza train` takes for vid2vid.
        sheet: where to write a contact sheet, if anywhere.
        progress: called as ``progress(done, total)``.

    Raises:
        UserError: there is nothing that can be read.
    """
    source = open_frames(path)
    entries = source.entries()
    videos, done = [], 0
    for name, rows in in_sequences([entry.name for entry in entries]).items():
        if name.split("/")[0] == "flow":
            continue
        videos.append(_video(source, name, rows, progress, len(entries), done))
        done += len(rows)
    if not any(video.frames for video in videos):
        raise UserError("not one frame can be read" if entries else "there are no frames", where=source.path)
    if sheet is not None:
        save_picture(contact_sheet(source, [About(None)] * len(entries)), sheet)
    place = None if sheet is None else user_path(sheet)
    return VideoInfo(source.path, source.kind, videos, _pairs(source), list(source.contents().others), place)


def _video(source: Source, name: str, rows: list[int], told: Progress | None, whole: int, done: int) -> Video:
    entries, before, cuts, bad = source.entries(), None, list[int](), 0
    sizes: dict[tuple[int, int], None] = {}
    for number, row in enumerate(rows):
        try:
            here: Pixels = np.asarray(decode(open_picture(source.read(entries[row]))).convert("RGB"))
        except BadPicture:
            bad += 1
            continue
        sizes[here.shape[0], here.shape[1]] = None
        if before is not None and is_cut(here, before):
            cuts.append(number)
        before = here
        if told is not None:
            told(done + number + 1, whole)
    clips = source.clips if isinstance(source, ClipsSource) else {}
    fps = float(open_clip(clips[name]).fps) if name in clips else None
    return Video(name, len(rows) - bad, tuple(sizes), fps, tuple(cuts), bad)


def _pairs(source: Source) -> str:
    try:
        a, b, halves = sides(source, "train")
        if halves:
            return "side by side"
        check_pairs(a, b, (a.prefix, b.prefix))
        ours, theirs = (in_sequences([e.name for e in part.entries()], part.prefix) for part in (a, b))
    except UserError as error:
        return f"none: {error.what}"
    common = ours.keys() & theirs.keys()
    return f"{len(common)}, {a.prefix} -> {b.prefix}" if common else "none: no names in common"
