"""Progressive growing (Karras et al. 2018, arXiv 1710.10196, section 2).

Networks are built at full size and used up to a level. One number says how far: its whole part counts the levels above
the smallest image, its fraction is the alpha with which the next one fades in. A progress of 2.3 on networks that
begin at 4x4 means 32x32 images, 30% of them from the new layers and 70% from the 16x16 ones, enlarged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Growth:
    """When each level comes.

    Attributes:
        start: the level to begin with.
        end: the last one.
        fade_kimg: a new level fades in over so many thousand images.
        stable_kimg: and trains for so many before the next one comes.

    Example:
        >>> growth = Growth(start=0, end=2, fade_kimg=600, stable_kimg=600)
        >>> [growth.progress(1000 * kimg) for kimg in (0, 600, 900, 1200, 2100, 99999)]
        [0.0, 0.0, 0.5, 1.0, 1.5, 2.0]
    """

    start: int
    end: int
    fade_kimg: float
    stable_kimg: float

    def progress(self, seen: int) -> float:
        """How far the networks have grown after ``seen`` images."""
        done, within = self._split(seen)
        if done >= self.end - self.start:
            return float(self.end)
        return self.start + done + max(0.0, (within - self.stable_kimg) / self.fade_kimg if self.fade_kimg else 0.0)

    def stage(self, seen: int) -> int:
        """Counts the moments at which a level began or ceased to fade in; optimizers begin anew at each.

        Example:
            >>> growth = Growth(start=0, end=2, fade_kimg=600, stable_kimg=600)
            >>> [growth.stage(1000 * kimg) for kimg in (0, 600, 900, 1200, 2100, 99999)]
            [0, 1, 1, 2, 3, 4]
        """
        done, within = self._split(seen)
        return 2 * (self.end - self.start) if done >= self.end - self.start else 2 * done + (within >= self.stable_kimg)

    def _split(self, seen: int) -> tuple[int, float]:
        period = self.fade_kimg + self.stable_kimg
        done = int(min(seen / 1000 // period, self.end)) if period > 0 else self.end
        return done, seen / 1000 - done * period


def level_and_alpha(progress: float) -> tuple[int, float]:
    """The level in use and how much of the image is its own; the rest is the level before's.

    Example:
        >>> level_and_alpha(2.0), level_and_alpha(2.25)
        ((2, 1.0), (3, 0.25))
    """
    progress = round(progress, 4)  # as a float32 it may have strayed a little
    level = math.ceil(progress)
    return level, 1 - (level - progress)


def shrink(images: Tensor, times: int) -> Tensor:
    """Halve ``[N, C, H, W]`` by averaging, so many times.

    Example:
        >>> shrink(torch.ones(1, 3, 16, 16), 2).shape
        torch.Size([1, 3, 4, 4])
    """
    return F.avg_pool2d(images, 2**times) if times else images


def enlarge(images: Tensor, times: int) -> Tensor:
    """Double ``[N, C, H, W]`` by repeating pixels, so many times.

    Example:
        >>> enlarge(torch.ones(1, 3, 4, 4), 2).shape
        torch.Size([1, 3, 16, 16])
    """
    return F.interpolate(images, scale_factor=2**times) if times else images


def faded(images: Tensor, progress: float, end: int) -> Tensor:
    """Real images as the discriminator sees them at ``progress``: as small, and with as much detail.

    Args:
        images: ``[N, C, H, W]`` at full size, which is level ``end``.
        progress: how far the networks have grown.
        end: the last level.

    Example:
        >>> faded(torch.ones(1, 3, 16, 16), progress=0.5, end=2).shape
        torch.Size([1, 3, 8, 8])
    """
    level, alpha = level_and_alpha(progress)
    images = shrink(images, end - level)
    return images if alpha == 1 else enlarge(shrink(images, 1), 1).lerp(images, alpha)


class Growing(nn.Module):
    """A network that remembers how far it has grown, for when nobody says: after loading."""

    grown: Tensor

    def __init__(self, start: float) -> None:
        super().__init__()
        self.register_buffer("grown", torch.tensor(float(start)))

    def progress(self) -> float:
        """How far this network has grown."""
        return float(self.grown)


def at_size(table: tuple[tuple[int, float], ...], size: int) -> float | None:
    """The entry of the greatest size up to ``size`` in a table of sizes and numbers; None where there is none.

    Example:
        >>> at_size(((4, 16), (256, 14)), 128), at_size((), 128)
        (16, None)
    """
    found = [value for first, value in sorted(table) if first <= size]
    return found[-1] if found else None
