"""Generators that read labels beside the latent code: both in one vector, the uniform code first."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from organza.contract.model import Latents
from organza.nn.latent import origin, plain_synthesis, uniform_mapping


def joined_mapping(net: nn.Module, z: Tensor, labels: Tensor) -> Tensor:
    """Standard normal ``[N, z_dim]`` and labels ``[N, L]`` -> ``[N, 1, z_dim + L]``: see `uniform_mapping`.

    Example:
        >>> joined_mapping(nn.Identity(), torch.zeros(1, 2), torch.ones(1, 1))
        tensor([[[0., 0., 1.]]])
    """
    return torch.cat([uniform_mapping(net, z, labels), labels[:, None]], dim=2)


def joined_latents(
    net: str, z_dim: int, label_dim: int, critic: str | None = None, classifier: str | None = None
) -> Latents:
    """The model of a generator called as ``net([code, labels])``: see `joined_mapping`."""
    length = z_dim + label_dim
    return Latents(
        *(net, z_dim, length, 1, label_dim),
        *(joined_mapping, plain_synthesis, origin(length)),
        critic=critic,
        classifier=classifier,
    )
