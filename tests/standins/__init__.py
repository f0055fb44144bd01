"""Networks of other projects in plain PyTorch, built from their papers and tables of layers, at any size.

Tests save them as those projects do, and compare what Organza makes of the file with what they compute themselves.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

Net = TypeVar("Net", bound=nn.Module)


def at_random(net: Net, seed: int = 0) -> Net:
    """The same network with random numbers in all its tensors, such that signals neither grow nor fade."""
    numbers = torch.Generator().manual_seed(seed)
    for name, value in net.state_dict().items():
        if not value.is_floating_point() or name.endswith(("filt", "num_batches_tracked")):
            continue
        noise = torch.randn(value.shape, generator=numbers)
        if name.endswith("running_var"):
            value.copy_(noise.abs() + 0.5)
        elif value.dim() > 1:
            value.copy_(noise * 1.5 / value[0].numel() ** 0.5)
        else:
            value.copy_(noise / 5 + name.endswith("weight"))
    return net.eval()


def images(*shape: int, seed: int = 0) -> Tensor:
    """Numbers from -1 to 1."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1
