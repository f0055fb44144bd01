"""Heat maps laid over images."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def overlay(images: Tensor, heat: Tensor, share: float = 0.5) -> Tensor:
    """Images with a heat map over each: blue where it is coldest, through green to red where it is hottest.

    Args:
        images: ``[N, C, H, W]`` in [-1, 1], of 1, 3 or 4 channels; transparency is left out.
        heat: ``[N, 1, h, w]`` in any unit; each map is stretched to its own range.
        share: how much of a pixel's colour is the map's.

    Returns:
        float32 ``[N, 3, H, W]`` in [-1, 1].

    Example:
        >>> overlay(torch.zeros(2, 1, 8, 6), torch.rand(2, 1, 4, 3)).shape
        torch.Size([2, 3, 8, 6])
    """
    heat = heat.float()
    low, high = heat.amin((2, 3), keepdim=True), heat.amax((2, 3), keepdim=True)
    warm = (heat - low) / (high - low).clamp(min=1e-12)
    warm = F.interpolate(warm, images.shape[2:], mode="bilinear", align_corners=False)
    colours = torch.cat([(1.5 - (4 * warm - place).abs()).clamp(0, 1) for place in (3, 2, 1)], 1)
    shown = images[:, :3].float().expand(-1, 3, -1, -1) if images.shape[1] == 1 else images[:, :3].float()
    return torch.lerp(shown, 2 * colours - 1, share)
