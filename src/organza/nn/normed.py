"""Linear layers whose weights have length 1: weight normalisation (Salimans & Kingma 2016, arXiv 1602.07868)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NormedLinear(nn.Linear):
    """A linear layer of which each output reads its inputs by a unit vector (times a number that is learnt).

    Args:
        inputs, outputs: features.
        scaled: whether there is such a number for each output; it starts at 1.

    Example:
        >>> layer = NormedLinear(4, 2)
        >>> before = layer(torch.ones(1, 4))
        >>> _ = layer.weight.data.mul_(7)
        >>> torch.allclose(before, layer(torch.ones(1, 4)))
        True
    """

    def __init__(self, inputs: int, outputs: int, scaled: bool = False) -> None:
        super().__init__(inputs, outputs)
        self.scale = nn.Parameter(torch.ones(outputs)) if scaled else None
        nn.init.normal_(self.weight, 0.0, 0.1)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, inputs]`` -> ``[N, outputs]``."""
        weight = F.normalize(self.weight, dim=1)
        return F.linear(x, weight if self.scale is None else weight * self.scale[:, None], self.bias)
