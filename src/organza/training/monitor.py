"""What a person sees of a training: the progress line, the log, sample grids, plots, and where checkpoints are.

Rank 0 alone writes; on other ranks every method does nothing.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from organza.contract.model import Latents
from organza.core import distributed
from organza.core.files import append, atomic_write
from organza.core.text import printable
from organza.media.images import Pixels, make_grid, save_picture, to_pixels
from organza.training import checkpoint
from organza.training.board import open_board
from organza.training.checkpoint import Position
from organza.training.pace import Pace
from organza.training.plots import plot_log
from organza.training.settings import Training
from organza.training.state import State

Record = dict[str, Any]
UNSEEN = contextlib.suppress(OSError, ValueError)
"""A terminal or a reader of our words may go away; the training goes on, and the log has it all."""


class Terminal(Console):
    """A `Console` that falls silent when its reader is gone."""

    def on_broken_pipe(self) -> None:
        """Rich would end the program."""
        self.quiet = True


class Monitor:
    """Shows and records one run.

    Args:
        folder: the run's folder.
        settings: resolved training settings.
        reals: uint8 ``[N, H, W, C]`` real pictures to show beside the samples, as many as the grid has cells.
        labels: float32 ``[N, label_dim]``, theirs; the samples take the same.
        position: where the training starts; later entries of the log are dropped.
    """

    def __init__(
        self, folder: Path, settings: Training, reals: Pixels, labels: torch.Tensor, position: Position
    ) -> None:
        self.folder, self.settings, self.reals, self.labels = folder, settings, reals, labels
        self._main = distributed.rank() == 0
        self._console = Terminal(stderr=True, soft_wrap=True)
        self._mark, self._progress, self._task = position, None, TaskID(0)
        self._waited, self._quality, self._pace = 0.0, "", Pace()
        self.after_step: Callable[[], None] | None = None
        self.gauge: Callable[[int, Mapping[str, float], list[Record]], Mapping[str, float]] | None = None
        if not self._main:
            return
        self.records = [r for r in read_log(folder) if r["seen"] <= position.seen]
        with atomic_write(folder / "log.jsonl") as temporary:
            temporary.write_text("".join(json.dumps(record) + "\n" for record in self.records))
        self._board = open_board(folder / "tensorboard", position.seen)
        if self._console.is_terminal:
            columns = (BarColumn(bar_width=24), TextColumn("{task.description}"))
            self._progress = Progress(*columns, console=self._console, refresh_per_second=4)
            self._task = self._progress.add_task("starting", total=settings.kimg * 1000, completed=position.seen)
            self._progress.start()

    def close(self) -> None:
        """Take the progress line down."""
        if self._main and self._progress is not None:
            with UNSEEN:
                self._progress.stop()

    def say(self, text: str) -> None:
        """Tell the person at the terminal something, beside the progress line."""
        if self._main:
            with UNSEEN:
                self._console.print(printable(text), markup=False, highlight=False)

    def step(self, position: Position) -> None:
        """Called after every iteration."""
        if self.after_step is not None:
            self.after_step()
        if self._progress is not None:
            images, seconds = position.seen - self._mark.seen, position.seconds - self._mark.seconds
            pace = self._pace.seconds_per_image(images, seconds)
            record = self.records[-1] if self.records else {}
            text = _line(position, self.settings.kimg, seconds / max(images, 1), pace, record)
            with UNSEEN:
                self._progress.update(self._task, completed=position.seen, description=text + self._quality)

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
        if self._progress is None:
            self.say(_line(position, self.settings.kimg, seconds / images, self._pace.seconds_per_image(), record))

    def evaluated(self, position: Position, figures: Mapping[str, float]) -> None:
        """Record what an evaluation of the newest checkpoint found."""
        if self._main and figures:
            self._record({"seen": position.seen, "kimg": position.seen / 1000, **figures})
            names = [n for n in figures if n.startswith("metrics/") and n.count("/") == 1 and n != "metrics/seconds"]
            self._quality = "".join(f"  {n.removeprefix('metrics/')} {figures[n]:.4g}" for n in names[:1])

    def sample(self, state: State) -> None:
        """Write the grid of fixed seeds, the reals beside it, and the plot so far."""
        if not self._main:
            return
        columns = int(self.settings.grid.split("x")[0])
        latents = state.method.latents
        images = draw(state.ema.get(latents.net, state.method.nets[latents.net]), latents, self.labels)
        gap = np.full([1, 1, self.reals.shape[-1]], 255, np.uint8)
        left, right = make_grid(images, columns), make_grid(self.reals, columns)
        between = np.broadcast_to(gap, [left.shape[0], max(4, images.shape[2] // 8), left.shape[2]])
        path = self.folder / "samples" / f"{state.position.seen:09d}.png"
        save_picture(np.concatenate([left, between, right], axis=1), path)
        if self._board is not None:
            self._board.image(state.position.seen, "samples", left)
        self._watch_diversity(state.position, images)
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

    def _watch_diversity(self, position: Position, images: Pixels) -> None:
        """Mode collapse is silent in the losses, but not here: the samples become alike."""
        diversity = float(images.std(axis=0).mean() / max(self.reals.std(axis=0).mean(), 1e-6))
        best = max((r.get("samples/diversity", 0.0) for r in self.records), default=0.0)
        if best > 0.5 and diversity < 0.15:
            self.say(
                f"warning: the samples have become alike ({diversity:.2f} of the real pictures' variety, {best:.2f} "
                "before): the generator may have collapsed; go back to an earlier checkpoint or raise --r1-gamma"
            )
        self._record({"seen": position.seen, "kimg": position.seen / 1000, "samples/diversity": round(diversity, 4)})


def draw(net: torch.nn.Module, latents: Latents, labels: torch.Tensor) -> Pixels:
    """Pictures uint8 ``[N, H, W, C]`` of seeds 0 to N - 1, one for each label ``[N, label_dim]``."""
    device = next(net.parameters()).device
    images = []
    with torch.no_grad():
        for start in range(0, len(labels), 16):
            part = labels[start : start + 16].to(device)
            seeds = range(start, start + len(part))
            z = np.stack([np.random.RandomState(seed).randn(latents.z_dim) for seed in seeds])
            ws = latents.mapping(net, torch.from_numpy(z).float().to(device), part)
            images.append(to_pixels(latents.synthesis(net, ws, "const", None)))
    return np.concatenate(images)


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


def _line(position: Position, kimg: float, seconds_per_image: float, pace: float, record: Record) -> str:
    """The state of things; ``pace`` is the smoothed ``seconds_per_image``, by which the end is told."""
    left = max(kimg * 1000 - position.seen, 0) * pace
    losses = "  ".join(f"{k.removeprefix('loss/')} {v:.3f}" for k, v in record.items() if k.startswith("loss/"))
    return (
        f"{position.seen / 1000:.1f}/{kimg:g} kimg  {1 / max(seconds_per_image, 1e-9):.1f} img/s  "
        f"{1000 * seconds_per_image:.1f} s/kimg  ETA {duration(left)}  {memory_gb():.1f} GB  {losses}"
    )
