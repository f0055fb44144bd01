"""Resampling that blurs, so that features move with the image.

Richard Zhang: Making Convolutional Networks Shift-Invariant Again. ICML 2019, arXiv 1904.11486. On the way
down, a blur that keeps every second pixel follows a convolution of stride 1; on the way up, an enlargement comes before
it. CUT's networks have them. Neither has tensors of its own.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class BlurDown(nn.Module):
    """Halves the size with the taps 1 2 1; the border is mirrored.

    Example:
        >>> import torch
        >>> BlurDown()(torch.tensor([[[[0.0, 4.0, 8.0]] * 3]]))[0, 0, 0]
        tensor([2., 6.])
    """

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, H, W]`` -> ``[N, C, (H + 1) // 2, (W + 1) // 2]``; sides of at least 2."""
        x = F.pad(x, [1, 1, 1, 1], mode="reflect")
        return F.avg_pool2d(F.avg_pool2d(x, 2, stride=1), 2)


class BlurUp(nn.Module):
    """Doubles the size with the taps 1 3 3 1; the border is repeated. This is bilinear enlargement.

    Example:
        >>> import torch
        >>> BlurUp()(torch.tensor([[[[0.0, 4.0]]]]))[0, 0, 0]
        tensor([0., 1., 3., 4.])
    """

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, H, W]`` -> ``[N, C, 2 H, 2 W]``."""
        return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
