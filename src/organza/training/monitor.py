"""What a person sees of a training: the progress line, the log, sample grids, plots, and where checkpoints are.

Rank 0 alone writes; on other ranks every method does nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from organza.contract.data import Batch
from organza.core import distributed
from organza.core.files import append, atomic_write
from organza.media.images import Pixels, make_grid, save_picture, to_pixels
from organza.training import checkpoint
from organza.training.board import open_board
from organza.training.checkpoint import Position
from organza.training.diagnosis import findings
from organza.training.pace import Pace
from organza.training.plots import plot_log
from organza.training.preview import gap_of, preview, sheet
from organza.training.settings import Training
from organza.training.state import State
from organza.training.voice import Voice

Record = dict[str, Any]
Measure = Callable[[int, Mapping[str, float], list[Record]], Mapping[str, float]]
"""``(images seen, the tick's statistics, the log so far) -> more statistics``."""


class Monitor:
    """Shows and records one run.

    Args:
        folder: the run's folder.
        settings: resolved training settings.
        examples: real images, one for each cell of the sample grid: a generator's samples take their labels and are
            shown beside them, a translator translates their sources.
        position: where the training starts; later entries of the log are dropped.
        voice: tells the person at the terminal.
        gauge: asked at each tick for more statistics.
        after_step: called after every iteration.
    """

    def __init__(
        self,
        folder: Path,
        settings: Training,
        examples: Batch,
        position: Position,
        voice: Voice,
        *,
        gauge: Measure | None = None,
        after_step: Callable[[], None] | None = None,
    ) -> None:
        self.folder, self.settings, self.examples, self.voice = folder, settings, examples, voice
        self.gauge, self.after_step = gauge, after_step
        self.records: list[Record] = []
        self._told: set[str] = set()
        self._main = distributed.rank() == 0
        self._mark, self._waited, self._quality, self._pace = position, 0.0, "", Pace()
        if not self._main:
            return
        self.records = [r for r in read_log(folder) if r["seen"] <= position.seen]
        with atomic_write(folder / "log.jsonl") as temporary:
            temporary.write_text("".join(json.dumps(record) + "\n" for record in self.records))
        self._board = open_board(folder / "tensorboard", position.seen)

    def step(self, position: Position) -> None:
        """Called after every iteration."""
        if self.after_step is not None:
            self.after_step()
        if self.voice.live:
            images, seconds = position.seen - self._mark.seen, position.seconds - self._mark.seconds
            pace = self._pace.seconds_per_image(images, seconds)
            record = self.records[-1] if self.records else {}
            text = _line(position, self.settings, seconds / max(images, 1), pace, record)
            self.voice.show(position.seen, text + self._quality)

    def tick(self, position: Position, means: Mapping[str, float], waited: float) -> None:
        """Record the statistics of the time since the last tick."""
        if not self._main:
            return
        if self.gauge is not None:
            means = {**means, **self.gauge(position.seen, means, self.records)}
        images = max(position.seen - self._mark.seen, 1)
        seconds = max(position.seconds - self._mark.seconds, 1e-9)
        record: Record = {
            "seen": position.seen,
            "kimg": position.seen / 1000,
            "seconds": round(position.seconds, 3),
            "images_per_second": round(images / seconds, 3),
            "sec_per_kimg": round(1000 * seconds / images, 3),
            "wait_share": round((waited - self._waited) / seconds, 5),
            "memory_gb": round(memory_gb(), 3),
            **means,
        }
        self._mark, self._waited = position, waited
        self._pace.add(images, seconds)
        self._record(record)
        if not self.voice.live:
            self.voice.say(_line(position, self.settings, seconds / images, self._pace.seconds_per_image(), record))

    def evaluated(self, position: Position, figures: Mapping[str, float]) -> None:
        """Record what an evaluation of the newest checkpoint found."""
        if self._main and figures:
            self._record({"seen": position.seen, "kimg": position.seen / 1000, **figures})
            names = [n for n in figures if n.startswith("metrics/") and n.count("/") == 1 and n != "metrics/seconds"]
            self._quality = "".join(f"  {n.removeprefix('metrics/')} {figures[n]:.4g}" for n in names[:1])

    def sample(self, state: State) -> None:
        """Write the sample grid (of a generator, with the real images beside it), and the plot so far."""
        if not self._main:
            return
        columns = int(self.settings.grid.split("x")[0])
        found = preview(state, self.examples)
        grid = sheet(found, columns)
        if self._board is not None:
            self._board.image(state.position.seen, "samples", grid)
        images = found.get("samples")
        if images is not None:
            reals = to_pixels(self.examples.images)
            white = np.full([1, 1, reals.shape[-1]], 255, np.uint8)
            between = np.broadcast_to(white, [grid.shape[0], max(4, images.shape[2] // 8), grid.shape[2]])
            grid = np.concatenate([grid, between, make_grid(reals, columns, gap=gap_of(found))], axis=1)
            self._watch_diversity(state.position, images, reals)
        elif state.position.seen:
            self._diagnose(found)
        save_picture(grid, self.folder / "samples" / f"{state.position.seen:09d}.png")
        if len(self.records) > 1:
            plot_log(self.records, self.folder / "plot.png")

    def save(self, state: State, config: Mapping[str, Any]) -> Path | None:
        """Write a checkpoint; the path, or None on ranks that don't write."""
        if not self._main:
            return None
        return state.save(self.folder / "checkpoints", config, self.settings.keep)

    def last_checkpoint(self) -> Path | None:
        """The newest whole checkpoint of the run."""
        return checkpoint.last_whole(self.folder / "checkpoints")

    def _record(self, record: Record) -> None:
        self.records.append(record)
        append(self.folder / "log.jsonl", (json.dumps(record) + "\n").encode())
        if self._board is not None:
            self._board.scalars(record["seen"], {name: value for name, value in record.items() if name != "seen"})

    def _diagnose(self, shown: Mapping[str, Pixels]) -> None:
        """Say what has gone wrong in a translation, each thing once."""
        for name, what in findings(shown, self.records):
            if name not in self._told:
                self._told.add(name)
                self.voice.say(f"warning: {what}")

    def _watch_diversity(self, position: Position, images: Pixels, reals: Pixels) -> None:
        """Mode collapse is silent in the losses, but not here: the samples become alike."""
        diversity = float(images.std(axis=0).mean() / max(reals.std(axis=0).mean(), 1e-6))
        best = max((r.get("samples/diversity", 0.0) for r in self.records), default=0.0)
        if best > 0.5 and diversity < 0.15:
            self.voice.say(
                f"warning: the samples have become alike ({diversity:.2f} of the real images' variety, {best:.2f} "
                "before): the generator may have collapsed; go back to an earlier checkpoint, or raise --r1-gamma; "
                "with the basic GANs try --penalty r1, --loss or a lower --lr"
            )
        self._record({"seen": position.seen, "kimg": position.seen / 1000, "samples/diversity": round(diversity, 4)})


def read_log(folder: Path) -> list[Record]:
    """The entries of a run's ``log.jsonl``; a last line cut short by a crash is left out."""
    records = []
    path = folder / "log.jsonl"
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return records


def memory_gb() -> float:
    """Peak memory in GB: the GPU's where there is one, else this process's; 0 where the system does not say."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    if sys.platform == "win32":
        return 0.0
    import resource  # there is none on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


def duration(seconds: float) -> str:
    """A length of time for people.

    Example:
        >>> duration(59), duration(3725), duration(200000)
        ('59s', '1h 02m', '2d 07h')
    """
    s = int(seconds)
    if s < 60:
        return f"{s}s"
    if s < 3600:
        return f"{s // 60}m {s % 60:02d}s"
    if s < 86400:
        return f"{s // 3600}h {s % 3600 // 60:02d}m"
    return f"{s // 86400}d {s % 86400 // 3600:02d}h"


def _line(position: Position, settings: Training, seconds_per_image: float, pace: float, record: Record) -> str:
    """The state of things; ``pace`` is the smoothed ``seconds_per_image``, by which the end is told."""
    left = max(settings.kimg * 1000 - position.seen, 0) * pace
    if settings.minutes is not None:
        left = min(left, max(settings.minutes * 60 - position.seconds, 0))
    losses = "  ".join(f"{k.removeprefix('loss/')} {v:.3f}" for k, v in record.items() if k.startswith("loss/"))
    return (
        f"{position.seen / 1000:.1f}/{settings.kimg:g} kimg  {1 / max(seconds_per_image, 1e-9):.1f} img/s  "
        f"{1000 * seconds_per_image:.1f} s/kimg  ETA {duration(left)}  {memory_gb():.1f} GB  {losses}"
    )
