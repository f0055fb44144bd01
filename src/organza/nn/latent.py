"""How z becomes images: by styles (a w for each layer), or without an intermediate space (w is z, its mean zero)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from organza.contract.data import DataSpec
from organza.contract.model import Latents, NoiseInput, StyleAccess

Part = Callable[[nn.Module], nn.Module]
"""``net -> a part of it``, or the network itself."""


class StyledLayer(Protocol):
    """A convolution that a w styles."""

    affine: nn.Module
    noise_const: Tensor | None
    noise_strength: nn.Parameter | None


class StyledBlock(Protocol):
    """The layers of one size. The smallest may have one less."""

    conv0: StyledLayer | None
    conv1: StyledLayer


class Styled(Protocol):
    """A generator with a mapping network, a w for each layer, and a block for each size, the smallest first."""

    num_ws: int
    w_avg: Tensor
    mapping: Callable[[Tensor, Tensor], Tensor]
    synthesis: Callable[[Tensor, str, torch.Generator | None], Tensor]
    blocks: Iterable[StyledBlock]


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
    first: Callable[[nn.Module], Tensor] | None = None,
    label_dim: int = 0,
) -> Latents:
    """The model of a generator without an intermediate space and noise.

    Args:
        net, critic, first: see `Latents`.
        z_dim: length of the latent code.
        mapping: of it, without labels.
        label_dim: of labels, which follow the code: w is both, ``[N, 1, z_dim + label_dim]``.
    """

    def joined(net: nn.Module, z: Tensor, labels: Tensor) -> Tensor:
        return torch.cat([mapping(net, z, labels), labels[:, None]], dim=2)

    w_dim = z_dim + label_dim
    return Latents(
        net,
        z_dim,
        w_dim,
        1,
        label_dim,
        joined if label_dim else mapping,
        plain_synthesis,
        origin(w_dim),
        critic=critic,
        first=first,
        label_tail=label_dim,
    )


def style_latents(z_dim: int, w_dim: int, num_ws: int, spec: DataSpec) -> Latents:
    """The model of a `Styled` generator G with a discriminator D."""
    return Latents(
        net="G",
        z_dim=z_dim,
        w_dim=w_dim,
        num_ws=num_ws,
        label_dim=spec.label_dim,
        mapping=style_mapping,
        synthesis=style_synthesis,
        center=style_center,
        critic="D",
        styles=style_access(),
        sizes=block_sizes(max(spec.resolution)),
    )


# --- what tools may reach --------------------------------------------------------------------------------------------


def itself(net: nn.Module) -> nn.Module:
    """``net``: where a part is asked for, all of it."""
    return net


def style_access(part: Part = itself) -> StyleAccess:
    """The insides of a network whose ``part`` is `Styled`."""

    def layers(net: nn.Module) -> Iterator[StyledLayer]:
        for block in cast(Styled, part(net)).blocks:
            for layer in (block.conv0, block.conv1):
                if layer is not None:
                    yield layer

    def noise(net: nn.Module) -> list[NoiseInput]:
        return [
            NoiseInput(cast(nn.Module, layer), "noise_const", layer.noise_strength)
            for layer in layers(net)
            if layer.noise_strength is not None
        ]

    return StyleAccess(
        mapping=lambda net: part(net).get_submodule("mapping"),
        affine=lambda net: [layer.affine.get_parameter("weight") for layer in layers(net)],
        noise=noise,
    )


def block_sizes(largest: int, part: Part = itself) -> Callable[[nn.Module], dict[str, int]]:
    """`Latents.sizes` of a network whose ``part`` has ``blocks``, each for twice the size of the one before.

    Args:
        largest: the longer side in pixels of the last.
        part: where they are.

    Example:
        >>> net = nn.Module()
        >>> net.blocks = nn.ModuleList([nn.Conv2d(3, 3, 1, bias=False), nn.PReLU()])
        >>> block_sizes(64)(net)
        {'blocks.0.weight': 32, 'blocks.1.weight': 64}
    """

    def sizes(net: nn.Module) -> dict[str, int]:
        blocks = part(net).get_submodule("blocks")
        path = next(name for name, module in net.named_modules() if module is blocks)
        level = {name: int(name.partition(".")[0]) for name in blocks.state_dict()}
        top = max(level.values())
        return {f"{path}.{name}": largest >> (top - number) for name, number in level.items()}

    return sizes
