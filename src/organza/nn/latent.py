"""How z becomes pictures: by styles (a w for each layer), or without an intermediate space (w is z, its mean zero)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from organza.contract.model import Latents


class Styled(Protocol):
    """A generator with a mapping network and a w for each layer."""

    num_ws: int
    w_avg: Tensor
    mapping: Callable[[Tensor, Tensor], Tensor]
    synthesis: Callable[[Tensor, str, torch.Generator | None], Tensor]


def style_mapping(net: nn.Module, z: Tensor, labels: Tensor) -> Tensor:
    """``[N, z_dim]`` -> ``[N, num_ws, w_dim]``: the same w for each layer of a `Styled` network."""
    styled = cast(Styled, net)
    return styled.mapping(z, labels)[:, None].repeat(1, styled.num_ws, 1)


def style_synthesis(net: nn.Module, ws: Tensor, noise: str, rng: torch.Generator | None) -> Tensor:
    """``[N, num_ws, w_dim]`` -> ``[N, C, H, W]``, by a `Styled` network."""
    return cast(Styled, net).synthesis(ws, noise, rng)


def style_center(net: nn.Module) -> Tensor:
    """The mean w of a `Styled` network."""
    return cast(Styled, net).w_avg


def identity_mapping(net: nn.Module, z: Tensor, labels: Tensor) -> Tensor:
    """``[N, z_dim]`` -> ``[N, 1, z_dim]``."""
    return z.unsqueeze(1)


def uniform_mapping(net: nn.Module, z: Tensor, labels: Tensor) -> Tensor:
    """Standard normal ``[N, z_dim]`` -> ``[N, 1, z_dim]``, each number where it stands in its distribution, in [-1, 1].

    Example:
        >>> uniform_mapping(nn.Identity(), torch.tensor([[0.0, 0.6745, -9.0]]), torch.zeros(1, 0)).round(decimals=3)
        tensor([[[ 0.0000,  0.5000, -1.0000]]])
    """
    return torch.erf(z / 2**0.5).unsqueeze(1)


def plain_synthesis(net: nn.Module, ws: Tensor, noise: str, rng: torch.Generator | None) -> Tensor:
    """``[N, 1, z_dim]`` -> ``[N, C, H, W]``; the network has no noise inputs."""
    images: Tensor = net(ws[:, 0])
    return images.float()


def origin(z_dim: int) -> Callable[[nn.Module], Tensor]:
    """The centre of a standard normal z: ``[z_dim]`` zeros."""
    return lambda net: torch.zeros(z_dim, device=next(net.parameters()).device)


def plain_latents(
    net: str,
    z_dim: int,
    critic: str | None = None,
    mapping: Callable[[nn.Module, Tensor, Tensor], Tensor] = identity_mapping,
) -> Latents:
    """The model of a generator without an intermediate space, labels and noise."""
    return Latents(net, z_dim, z_dim, 1, 0, mapping, plain_synthesis, origin(z_dim), critic=critic)


def style_latents(z_dim: int, w_dim: int, num_ws: int, label_dim: int) -> Latents:
    """The model of a `Styled` generator G with a discriminator D."""
    return Latents("G", z_dim, w_dim, num_ws, label_dim, style_mapping, style_synthesis, style_center, critic="D")
