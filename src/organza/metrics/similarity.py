"""How alike two images are, scale by scale (MS-SSIM: Wang, Simoncelli and Bovik 2003).

Between pairs of generated images it tells variety: ACGAN (arXiv 1610.09585, section 4.2) and ProGAN (arXiv
1710.10196, table 1) state its mean; high means that the generator repeats itself.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the scales, from full size down, as the authors measured them."""
WINDOW, SIGMA = 11, 1.5


def ms_ssim(a: Tensor, b: Tensor) -> Tensor:
    """The multi-scale structural similarity of images ``[N, C, H, W]`` in [0, 255] with their partners: ``[N]``.

    The window of 11 pixels shrinks with scales that are smaller than it, as ProGAN's does, so that small images have
    a figure as well; each scale is the mean over its places and channels, and no less than 0.

    Raises:
        ValueError: different shapes, or sides under 16 pixels.

    Example:
        >>> x = 255 * torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        >>> [round(number, 6) for number in ms_ssim(x, x).tolist()]
        [1.0, 1.0]
    """
    if a.shape != b.shape:
        raise ValueError(f"images {list(a.shape)} and {list(b.shape)} can't be compared")
    if min(a.shape[2:]) < 2 ** (len(WEIGHTS) - 1):
        raise ValueError(f"five scales need at least 16 pixels, not {min(a.shape[2:])}")
    result = torch.ones(len(a), dtype=torch.float64, device=a.device)
    for scale, weight in enumerate(WEIGHTS):
        if scale:
            a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        likeness, contrast = _ssim(a, b)
        part = likeness if scale == len(WEIGHTS) - 1 else contrast
        result *= part.double().clamp(min=0) ** weight
    return result


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """The structural similarity at full size alone (Wang, Bovik, Sheikh and Simoncelli 2004): ``[N]``, 1 for equals.

    Images ``[N, C, H, W]`` in [0, 255]; a window of 11 pixels, the mean over places and channels.

    Raises:
        ValueError: different shapes.

    Example:
        >>> x = 255 * torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        >>> [round(number, 6) for number in ssim(x, x).tolist()]
        [1.0, 1.0]
    """
    if a.shape != b.shape:
        raise ValueError(f"images {list(a.shape)} and {list(b.shape)} can't be compared")
    return _ssim(a, b)[0]


def _ssim(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM and its contrast term alone, each ``[N]``."""
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    size = min(WINDOW, *a.shape[2:])
    place = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
    taps = (-(place**2) / (2 * (SIGMA * size / WINDOW) ** 2)).exp()
    taps = (taps / taps.sum()).to(a)
    count = a.shape[1]
    every = torch.cat([a, b, a * a, b * b, a * b], 1)
    every = F.conv2d(every, taps.reshape(1, 1, -1, 1).expand(5 * count, 1, -1, 1), groups=5 * count)
    every = F.conv2d(every, taps.reshape(1, 1, 1, -1).expand(5 * count, 1, 1, -1), groups=5 * count)
    mean_a, mean_b, square_a, square_b, both = every.chunk(5, 1)
    variances = (square_a - mean_a**2) + (square_b - mean_b**2)
    contrast = (2 * (both - mean_a * mean_b) + c2) / (variances + c2)
    likeness = contrast * (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return likeness.mean((1, 2, 3)), contrast.mean((1, 2, 3))
