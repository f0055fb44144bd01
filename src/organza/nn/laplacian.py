"""The Laplacian pyramid of an image: a small version, and what each doubling of the size leaves out.

Peter J. Burt, Edward H. Adelson: The Laplacian Pyramid as a Compact Image Code. IEEE Trans. Communications 1983. The
filters are those of LAPGAN's authors (arXiv 1506.05751): halving averages 2x2 pixels, doubling interpolates linearly
between aligned corners.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


def halved(images: Tensor) -> Tensor:
    """``[N, C, H, W]`` -> ``[N, C, H/2, W/2]``; both sides must be even."""
    return F.avg_pool2d(images, 2)


def doubled(images: Tensor) -> Tensor:
    """``[N, C, H, W]`` -> ``[N, C, 2H, 2W]``."""
    size = (2 * images.shape[2], 2 * images.shape[3])
    return F.interpolate(images, size, mode="bilinear", align_corners=True)


@dataclass(frozen=True)
class Level:
    """One doubling of the size.

    Attributes:
        fine: the image ``[N, C, H, W]`` (I_k in the paper).
        coarse: its smaller version, doubled (l_k).
        residual: what that leaves out (h_k, eq. 3).
    """

    fine: Tensor
    coarse: Tensor
    residual: Tensor


def pyramid(images: Tensor, doublings: int) -> tuple[Tensor, list[Level]]:
    """The smallest image and the levels above it, the coarsest first: eq. 2 and 3 of LAPGAN.

    Args:
        images: ``[N, C, H, W]`` whose sides are multiples of ``2 ** doublings``.
        doublings: how many levels.

    Example:
        >>> import torch
        >>> images = torch.rand(1, 3, 32, 32)
        >>> small, levels = pyramid(images, 2)
        >>> [tuple(small.shape[2:]), *(tuple(level.fine.shape[2:]) for level in levels)]
        [(8, 8), (16, 16), (32, 32)]
        >>> torch.allclose(rebuilt(small, [level.residual for level in levels])[-1], images, atol=1e-6)
        True
    """
    levels: list[Level] = []
    for _ in range(doublings):
        small = halved(images)
        coarse = doubled(small)
        levels.insert(0, Level(images, coarse, images - coarse))
        images = small
    return images, levels


def rebuilt(small: Tensor, residuals: list[Tensor]) -> list[Tensor]:
    """The images of all sizes, from the smallest and the residuals above it: eq. 4 of LAPGAN."""
    found = [small]
    for residual in residuals:
        found.append(doubled(found[-1]) + residual)
    return found
