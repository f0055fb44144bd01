"""Sliced Wasserstein distance between patches at each scale (ProGAN, arXiv 1710.10196, section 5)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

PATCH, PATCHES = 7, 128
SMALLEST = 16
REPEATS, DIRECTIONS = 4, 128
_TAPS = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16


def pyramid(images: Tensor) -> list[Tensor]:
    """The Laplacian pyramid of ``[N, C, H, W]``: halves while both sides are at least 32, so that the last has 16.

    Each level but the last holds what is lost when it is halved (Burt and Adelson 1983); borders are mirrored.

    Example:
        >>> [list(level.shape[2:]) for level in pyramid(torch.rand(1, 3, 64, 64))]
        [[64, 64], [32, 32], [16, 16]]
    """
    levels = [images]
    while min(levels[-1].shape[2:]) >= 2 * SMALLEST:
        smaller = _blur(levels[-1])[:, :, ::2, ::2]
        levels[-1] = levels[-1] - _enlarge(smaller, levels[-1].shape[2:])
        levels.append(smaller)
    return levels


def patches(level: Tensor, rng: torch.Generator, count: int = PATCHES) -> Tensor:
    """``count`` random 7x7 patches of each image ``[N, C, H, W]``: ``[N * count, C, 7, 7]``."""
    number, _, height, width = level.shape
    top = torch.randint(0, height - PATCH + 1, (number, count), generator=rng)
    left = torch.randint(0, width - PATCH + 1, (number, count), generator=rng)
    step = torch.arange(PATCH)
    y = (top[:, :, None, None] + step[:, None]).to(level.device)
    x = (left[:, :, None, None] + step).to(level.device)
    which = torch.arange(number, device=level.device)[:, None, None, None]
    return level[which, :, y, x].permute(0, 1, 4, 2, 3).flatten(0, 1)


def normalise(found: Tensor) -> Tensor:
    """Patches ``[P, C, 7, 7]`` with mean 0 and deviation 1 in each channel, as rows ``[P, C * 49]``."""
    deviation, mean = torch.std_mean(found, (0, 2, 3), keepdim=True, correction=0)
    return ((found - mean) / deviation.clamp(min=1e-12)).flatten(1)


def sliced_wasserstein(a: Tensor, b: Tensor, seed: int = 0) -> list[float]:
    """The mean distance between sorted projections of two equally long tables ``[P, D]``, for each repeat.

    Args:
        a, b: rows, as from `normalise`.
        seed: of the directions: four times 128, each normalised.

    Raises:
        ValueError: tables of different shape.

    Example:
        >>> x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
        >>> sliced_wasserstein(x, x)
        [0.0, 0.0, 0.0, 0.0]
    """
    if a.shape != b.shape:
        raise ValueError(f"tables {list(a.shape)} and {list(b.shape)} can't be compared row by row")
    rng = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(REPEATS):
        directions = torch.randn(a.shape[1], DIRECTIONS, generator=rng)
        directions = (directions / directions.norm(dim=0)).to(a)
        total = 0.0
        for some in directions.split(16, dim=1):  # a few at a time: the projections are as large as the tables
            total += float(((a @ some).sort(dim=0).values - (b.to(a) @ some).sort(dim=0).values).abs().double().sum())
        found.append(total / (len(a) * DIRECTIONS))
    return found


def swd(real: Sequence[Tensor], generated: Sequence[Tensor], seed: int = 0) -> list[list[float]]:
    """Distances times 1000 (as the paper prints them) between two lists of levels of patches ``[P, C, 7, 7]``.

    Returns:
        For each level, one figure for each repeat.
    """
    return [
        [1000 * d for d in sliced_wasserstein(normalise(x), normalise(y), seed)]
        for x, y in zip(real, generated, strict=True)
    ]


def _blur(images: Tensor, gain: float = 1.0) -> Tensor:
    taps = _TAPS.to(images) * gain**0.5
    channels = images.shape[1]
    padded = F.pad(images, (2, 2, 2, 2), mode="reflect")
    padded = F.conv2d(padded, taps.reshape(1, 1, 5, 1).expand(channels, 1, 5, 1), groups=channels)
    return F.conv2d(padded, taps.reshape(1, 1, 1, 5).expand(channels, 1, 1, 5), groups=channels)


def _enlarge(images: Tensor, size: Sequence[int]) -> Tensor:
    wide = images.new_zeros(*images.shape[:2], *size)
    wide[:, :, ::2, ::2] = images
    return _blur(wide, gain=4.0)
