"""Sequences of frames for a training: stretches of videos without a cut in them, with the motion between frames.

The number of a sequence says where it begins; so a loader's stream of numbers, a pure function of the position, is one
of sequences, and no more is to be remembered for a resume. Frames are read from the cache of decoded images as they are
asked for.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from organza.contract.data import Batch
from organza.core.cache import cache_root
from organza.core.errors import UserError
from organza.core.files import atomic_write
from organza.data.loader import Loader, crops, flips
from organza.data.motion import known_flow, reference_flow
from organza.data.videos import in_sequences
from organza.media.flow import is_cut
from organza.media.images import to_tensor

if TYPE_CHECKING:
    from organza.core.progress import Progress
    from organza.data.dataset import Dataset
    from organza.data.domains import Domains

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Sequences:
    """Where sequences of equal length begin.

    Attributes:
        domains: sources and targets, frame by frame.
        length: frames of each sequence.
        runs: numbers of frames that follow each other without a cut, each at least as long.
        videos: how many there are.
        cuts: scenes that end where another begins.
        short: frames of scenes that are shorter, which are not shown.
        flow: the exact motion of targets, see `organza.data.motion`, or None.
        flow_rows: for each frame, its number there; -1 without.
    """

    domains: Domains
    length: int
    runs: tuple[Rows, ...]
    videos: int
    cuts: int
    short: int
    flow: Dataset | None = None
    flow_rows: Rows | None = None

    def __len__(self) -> int:
        return sum(len(run) - self.length + 1 for run in self.runs)

    @property
    def about(self) -> str:
        """In words."""
        frames = sum(map(len, self.runs))
        many = "video" if self.videos == 1 else "videos"
        cuts = f", {self.cuts} cut{'' if self.cuts == 1 else 's'}" if self.cuts else ""
        motion = "exact motion" if self.flow is not None else "motion by DIS"
        return f"{frames} frames of {self.videos} {many}{cuts}, in sequences of {self.length}, {motion}"

    def frames(self, numbers: Rows) -> Rows:
        """The frames of sequences: ``[N]`` -> ``[N, length]``.

        Raises:
            IndexError: a number is out of range.
        """
        ends = np.cumsum([len(run) - self.length + 1 for run in self.runs])
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < len(self):
            raise IndexError(f"there are {len(self)} sequences")
        owners = np.searchsorted(ends, numbers, side="right")
        found = np.empty((len(numbers), self.length), np.int64)
        for row, (number, owner) in enumerate(zip(numbers.tolist(), owners.tolist(), strict=True)):
            start = number - (int(ends[owner - 1]) if owner else 0)
            found[row] = self.runs[owner][start : start + self.length]
        return found

    def motion(self, frames: Rows) -> NDArray[np.float32]:
        """The motion of targets that follow each other, whole: ``[T]`` -> ``[T - 1, 3, H, W]``, see `Batch.flow`.

        Raises:
            UserError: it is not stored, and OpenCV is missing.
        """
        if self.flow is None or self.flow_rows is None:
            return reference_flow(self.domains.target.fetch(frames)[0])
        return known_flow(self.flow.fetch(self.flow_rows[frames[1:]])[0])

    def examples(self, count: int, size: tuple[int, int]) -> Batch:
        """``count`` sequences (again and again, if there are fewer): the middle of each frame."""
        order = np.resize(np.random.RandomState(0).permutation(len(self)), count)
        rows = self.frames(order)
        shown = []
        for side in (self.domains.target, self.domains.source):
            pixels = side.fetch(rows.reshape(-1))[0]
            top, left = (pixels.shape[1] - size[0]) // 2, (pixels.shape[2] - size[1]) // 2
            pixels = pixels[:, top : top + size[0], left : left + size[1]]
            shown.append(_grouped(pixels, rows.shape))
        return Batch(shown[0], torch.zeros(count, 0), source=shown[1])


def find_sequences(
    domains: Domains,
    length: int,
    places: dict[str, int],
    prefix: str,
    *,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Sequences:
    """Sequences of ``length`` frames, or of as many as the longest scene has.

    Args:
        domains: sources and targets, frame by frame.
        length: frames of each, at most.
        places: of all frames of the target's videos, the number in the video: what is missing there was unusable.
        prefix: with which the names of targets begin.
        progress: called as ``progress(done, total)`` while cuts are looked for.
        say: told what the user should know.

    Raises:
        UserError: no two frames follow each other.
    """
    videos = in_sequences(domains.target.names, prefix)
    cuts = _cuts(domains, videos, progress)
    names, runs, found = domains.target.names, list[Rows](), 0
    for rows in videos.values():
        run: list[int] = []
        for row in rows:
            if run and (row in cuts or places[names[row]] != places[names[run[-1]]] + 1):
                found += row in cuts
                runs.append(np.array(run, np.int64))
                run = []
            run.append(row)
        runs.append(np.array(run, np.int64))
    longest = max(map(len, runs), default=0)
    if longest < 2:
        what = "there is one frame alone" if len(names) == 1 else "no frame follows another: each is a scene of its own"
        raise UserError(f"{domains.target.name}: {what}", hint="a video has two frames at least")
    if longest < length:
        say(f"the longest scene has {longest} frames, so sequences have no more")
    length = min(length, longest)
    kept = tuple(run for run in runs if len(run) >= length)
    short = len(names) - sum(map(len, kept))
    if short:
        say(f"{short} of {len(names)} frames are in scenes shorter than {length} frames, and are not shown: --frames")
    return Sequences(domains, length, kept, len(videos), found, short)


def _cuts(domains: Domains, videos: dict[str, list[int]], progress: Progress | None) -> set[int]:
    """Frames with which a scene begins, not being the first: where both sides change. Remembered in the cache."""
    file = cache_root() / "cuts" / f"{domains.source.key}-{domains.target.key}.json"
    try:
        return set(map(int, json.loads(file.read_text())))
    except (OSError, ValueError, TypeError):
        pass
    found, done = [], 0
    for rows in videos.values():
        before = None
        for row in rows:
            here = [side.fetch([row])[0][0] for side in (domains.source, domains.target)]
            if before is not None and all(map(is_cut, here, before)):
                found.append(row)
            before, done = here, done + 1
            if progress is not None:
                progress(done, len(domains.target))
    try:
        with atomic_write(file) as temporary:
            temporary.write_text(json.dumps(found))
    except (UserError, OSError):
        pass  # they are looked for again
    return set(found)


def _grouped(pixels: NDArray[np.uint8], shape: tuple[int, ...]) -> Tensor:
    """``[N * T, H, W, C]`` -> ``[N, T, C, H, W]`` in [-1, 1]."""
    images = to_tensor(pixels)
    return images.reshape(*shape, *images.shape[1:])


class SequenceLoader(Loader):
    """Batches of sequences by position, cropped and mirrored as a whole, with the motion of their targets.

    Args:
        sequences: what to show.
        settings: as for `Loader`.
    """

    def __init__(self, sequences: Sequences, **settings: Any) -> None:
        super().__init__(sequences.domains.target, **settings)
        self.sequences = sequences
        self.count = self.length = len(sequences)

    def _read(self, seen: int, size: int) -> Callable[[], Batch]:
        positions = self.positions(seen, size)
        rows = self.sequences.frames(self.indices(positions))
        flipped = flips(positions, self.seed) if self.dataset.mirror else np.zeros(len(positions), bool)
        shown = []
        for side in (self.sequences.domains.target, self.sequences.domains.source):
            pixels = self._whole(side.originals(rows.reshape(-1))[0], positions, rows.shape)
            pixels[flipped] = pixels[flipped, :, :, ::-1]
            flat = pixels.reshape(-1, *pixels.shape[2:])
            # Each frame has a position of its own, for what is random in it.
            each = (positions[:, None] * np.int64(1 << 20) + np.arange(rows.shape[1])).reshape(-1)
            flat = side.shown(flat, each, self.seed)
            shown.append(flat.reshape(*rows.shape, *flat.shape[1:]))
        flow = torch.from_numpy(self._flow(shown[0], rows, positions, flipped))
        targets, sources = (_grouped(x.reshape(-1, *x.shape[2:]), rows.shape) for x in shown)
        done = Batch(targets, torch.zeros(len(rows), 0), seen, sources, flow=flow)
        if self.device.type == "cpu":
            return lambda: done
        return lambda: replace(
            done,
            images=targets.to(self.device, non_blocking=True),
            labels=done.labels.to(self.device),
            source=sources.to(self.device, non_blocking=True),
            flow=flow.to(self.device, non_blocking=True),
        )

    def _whole(self, pixels: NDArray[np.uint8], positions: Rows, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """The same part of all frames of a sequence: ``[N * T, H, W, C]`` -> ``[N, T, h, w, C]``."""
        if self.crop is not None:
            pixels = crops(pixels, np.repeat(positions, shape[1]), self.seed, self.crop)
        return pixels.reshape(*shape, *pixels.shape[1:])

    def _flow(
        self, targets: NDArray[np.uint8], rows: Rows, positions: Rows, flipped: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """``[N, T - 1, 3, H, W]``: see `Batch.flow`."""
        sequences, later = self.sequences, rows[:, 1:]
        if sequences.flow is None or sequences.flow_rows is None:
            return np.stack([reference_flow(frames) for frames in targets])
        stored = sequences.flow.fetch(sequences.flow_rows[later].reshape(-1))[0]
        found = known_flow(self._whole(stored, positions, later.shape))
        found[flipped] = found[flipped][..., ::-1]
        found[flipped, :, 0] *= -1
        return found
