"""For generators without an intermediate latent space: w is z, one for the whole network, and its mean is zero."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def identity_mapping(net: nn.Module, z: Tensor, labels: Tensor) -> Tensor:
    """``[N, z_dim]`` -> ``[N, 1, z_dim]``."""
    return z.unsqueeze(1)


def plain_synthesis(net: nn.Module, ws: Tensor, noise: str, rng: torch.Generator | None) -> Tensor:
    """``[N, 1, z_dim]`` -> ``[N, C, H, W]``; the network has no noise inputs."""
    images: Tensor = net(ws[:, 0])
    return images.float()


def origin(z_dim: int) -> Callable[[nn.Module], Tensor]:
    """The centre of a standard normal z: ``[z_dim]`` zeros."""
    return lambda net: torch.zeros(z_dim, device=next(net.parameters()).device)
