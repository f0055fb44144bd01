"""Attention by class activation maps: which features tell two domains apart.

Bolei Zhou et al.: Learning Deep Features for Discriminative Localization. CVPR 2016, arXiv 1512.04150; as U-GAT-IT has
it (Kim et al. 2020, arXiv 1907.10830, section 2.1.1 and figure 1): an auxiliary classifier looks at the mean and at the
maximum of each feature map, and its weights say how much each map matters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from organza.nn.pyramid import Conv2d
from organza.nn.spectral import SpectralLinear


class Attended(NamedTuple):
    """What `Attention` gives.

    Attributes:
        features: ``[N, maps, h, w]``, weighed.
        logits: float32 ``[N, 2]`` of the auxiliary classifier, from means and from maxima.
        heat: float32 ``[N, 1, h, w]``: where the weighed features are strong, in their own unit.
    """

    features: Tensor
    logits: Tensor
    heat: Tensor


class Attention(nn.Module):
    """Features weighed by what an auxiliary classifier makes of them.

    With ``spectral``, logits come from weights that are divided by their largest singular value; but features are
    weighed by the parameters as they are. So it is in the code of the published results.

    Args:
        maps: feature maps.
        act: activation of the 1x1 convolution that brings both sets of weighed features together.
        spectral: spectral normalisation of the classifier.
        bias: whether its logits have a bias, as in Photo2Cartoon's generators.

    Example:
        >>> found = Attention(4, torch.relu)(torch.randn(2, 4, 3, 5))
        >>> found.features.shape, found.logits.shape, found.heat.shape
        (torch.Size([2, 4, 3, 5]), torch.Size([2, 2]), torch.Size([2, 1, 3, 5]))
    """

    def __init__(self, maps: int, act: Callable[[Tensor], Tensor], spectral: bool = False, bias: bool = False) -> None:
        super().__init__()
        self.of_mean, self.of_max = (
            SpectralLinear(maps, 1) if spectral else nn.Linear(maps, 1, bias=bias) for _ in range(2)
        )
        self.join = Conv2d(2 * maps, maps, 1)
        self.act = act

    def forward(self, x: Tensor) -> Attended:
        """``[N, maps, h, w]`` -> see `Attended`."""
        means, greatest = x.float().mean((2, 3)), x.float().amax((2, 3))
        logits = torch.cat([self.of_mean(means), self.of_max(greatest)], 1)
        weighed = [x * layer.weight[:, :, None, None].to(x.dtype) for layer in (self.of_mean, self.of_max)]
        features = self.act(self.join(torch.cat(weighed, 1)))
        return Attended(features, logits, features.float().sum(1, keepdim=True))
