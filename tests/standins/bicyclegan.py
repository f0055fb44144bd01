"""BicycleGAN's networks, with instance normalisation or none; neither has tensors."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn


def norms(kind: str, maps: int) -> list[nn.Module]:
    return [nn.InstanceNorm2d(maps)] if kind == "instance" else []


class Level(nn.Module):
    """One level of a U-Net that takes the code beside its input."""

    def __init__(
        self, inputs: int, outer: int, inner: int, inside: nn.Module | None, norm: str, outermost: bool = False
    ) -> None:
        super().__init__()
        self.outermost = outermost
        down: list[nn.Module] = [] if self.outermost else [nn.LeakyReLU(0.2, True)]
        down += [nn.Conv2d(inputs, inner, 4, 2, 1)]
        up = [nn.ReLU(True), nn.ConvTranspose2d(inner if inside is None else 2 * inner, outer, 4, 2, 1)]
        middle = [] if inside is None else [inside]
        if inside is not None and not self.outermost:
            down += norms(norm, inner)
        up += [nn.Tanh()] if self.outermost else norms(norm, outer)
        self.model = nn.Sequential(*down, *middle, *up)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x) if self.outermost else torch.cat([self.model(x), x], 1)


class UNet(nn.Module):
    """``depth`` halvings of ``channels`` with a code of ``z_dim`` to three channels."""

    def __init__(self, channels: int, z_dim: int, depth: int, width: int, norm: str) -> None:
        super().__init__()
        maps, net = [width * min(2**k, 8) for k in range(depth)], None
        for k in range(depth - 1, 0, -1):
            net = Level(maps[k - 1], maps[k - 1], maps[k], net, norm)
        self.model = Level(channels + z_dim, 3, width, net, norm, outermost=True)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.model(torch.cat([x, z[:, :, None, None].expand(-1, -1, *x.shape[2:])], 1))


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, norm: str) -> None:
        super().__init__()
        half = nn.Sequential(nn.Conv2d(inputs, outputs, 3, 1, 1), nn.AvgPool2d(2))
        first = [*norms(norm, inputs), nn.LeakyReLU(0.2, True), nn.Conv2d(inputs, inputs, 3, 1, 1)]
        self.conv = nn.Sequential(*first, *norms(norm, inputs), nn.LeakyReLU(0.2, True), half)
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + self.shortcut(x)


class Encoder(nn.Module):
    """Of residual blocks; ``variance`` False is that of trainings without a variational part."""

    def __init__(self, z_dim: int, halvings: int, width: int, norm: str, *, variance: bool = True) -> None:
        super().__init__()
        maps = [width * min(4, k) for k in range(1, halvings + 1)]
        blocks = [Block(outer, inner, norm) for outer, inner in itertools.pairwise(maps)]
        self.conv = nn.Sequential(nn.Conv2d(3, width, 4, 2, 1), *blocks, nn.LeakyReLU(0.2, True), nn.AvgPool2d(8))
        self.fc = nn.Sequential(nn.Linear(maps[-1], z_dim))
        if variance:
            self.fcVar = nn.Sequential(nn.Linear(maps[-1], z_dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).flatten(1))


class Critic(nn.Module):
    """Of one size."""

    def __init__(self, channels: int, halvings: int, width: int, norm: str) -> None:
        super().__init__()
        layers, maps = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)], width
        for k in range(1, halvings + 1):
            more = width * min(2**k, 8)
            layers += [nn.Conv2d(maps, more, 4, 1 + (k < halvings), 1), *norms(norm, more), nn.LeakyReLU(0.2)]
            maps = more
        self.model = nn.Sequential(*layers, nn.Conv2d(maps, 1, 4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)
