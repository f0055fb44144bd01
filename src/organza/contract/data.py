"""What a method is told of the data, and what it is given at each step."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from organza.core.ranges import Count, CountOrZero


@dataclass(frozen=True)
class DataSpec:
    """What a network must know of the pictures it is built for.

    Attributes:
        resolution: height and width in pixels.
        channels: 1 (grey), 3 (RGB) or 4 (RGBA).
        label_dim: length of a label vector; 0 without labels.

    Example:
        >>> DataSpec(resolution=(64, 64), channels=3).label_dim
        0
    """

    resolution: tuple[Count, Count]
    channels: Count = 3
    label_dim: CountOrZero = 0


@dataclass(frozen=True)
class Batch:
    """Real pictures for one step.

    Attributes:
        images: float32 ``[N, C, H, W]`` in ``[-1, 1]``.
        labels: float32 ``[N, label_dim]``; ``label_dim`` may be 0.
        seen: training images consumed before this step, over all processes. Schedules (growing, annealing) read it.
        target: for translation, as many pictures of the other domain: partners in pairs, or strangers.
    """

    images: Tensor
    labels: Tensor
    seen: int = 0
    target: Batch | None = None

    def __len__(self) -> int:
        return len(self.images)

    def part(self, start: int, stop: int) -> Batch:
        """The micro-batch of pictures ``start`` to ``stop``."""
        target = None if self.target is None else self.target.part(start, stop)
        return replace(self, images=self.images[start:stop], labels=self.labels[start:stop], target=target)
