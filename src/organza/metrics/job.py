"""What all metrics of one evaluation share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from organza.metrics.names import Metric
from organza.metrics.pictures import Pictures, Shown
from organza.metrics.reference import Reference
from organza.metrics.team import Team

Progress = Callable[[str, int, int], None]
"""Called with what is being done, and the numbers done and wanted."""
Classifier = Callable[[Tensor], Tensor]
"""Images uint8 ``[N, H, W, C]`` to probabilities of attributes ``[N, A]``."""


@dataclass
class Job:
    """What is evaluated, against what, and how; warnings are collected in ``notes``."""

    pictures: Pictures
    real: Shown | None
    distance: str | None
    classifier: Classifier | None
    device: torch.device | None
    seed: int
    batch: int
    intervals: bool
    team: Team
    progress: Progress
    reference: Reference | None = None
    face_id: Path | None = None
    notes: list[str] = field(default_factory=list)

    def reals(self) -> Shown:
        """The real images, for metrics that can't do without."""
        assert self.real is not None  # evaluate has seen to it
        return self.real

    def real_count(self, metric: Metric) -> int:
        """Against how many real images."""
        return self.reals().limit if metric.full else min(metric.count, self.reals().limit)

    def on(self, what: str) -> Callable[[int, int], None]:
        """Progress on one part of the work."""
        return lambda done, total: self.progress(what, done, total)
