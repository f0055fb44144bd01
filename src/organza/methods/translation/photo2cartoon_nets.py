"""The generator of minivision's photo2cartoon: U-GAT-IT's, between hourglasses, with softer styles."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from organza.core.device import to_compute
from organza.core.errors import UserError
from organza.nn.adalin import LIN, SoftAdaLIN
from organza.nn.cam import Attended, Attention
from organza.nn.hourglass import Hourglass
from organza.nn.norms import InstanceNorm2d
from organza.nn.pyramid import Conv2d
from organza.nn.resnet import ResidualBlock, same_size
from organza.nn.sides import check_sides

HALVED = 4
"""How much smaller the images are where attention looks."""


class HourglassGenerator(nn.Module):
    """An image ``[N, in_channels, H, W]`` to an image ``[N, out_channels, H, W]`` in [-1, 1].

    Two hourglasses, two halvings, residual blocks, attention; then blocks with `SoftAdaLIN`, two doublings and two more
    hourglasses. The mean of each map behind the k-th residual block before the attention is the content of the k-th
    block from the end after it.

    Args:
        in_channels: of the input.
        out_channels: of the output.
        blocks: residual blocks before the attention, and as many after it.
        width: feature maps at full size, a multiple of 4; doubled at each halving.
        size: height and width of all images that it takes: the style comes from every single feature. None, the light
            version: the style comes from the mean of each map, and images have any size.
        levels: halvings of the hourglasses.

    Attributes:
        multiple, least: sides are multiples of the one and no smaller than the other.

    Example:
        >>> net = HourglassGenerator(3, 3, blocks=1, width=4, levels=2)
        >>> net(torch.zeros(1, 3, 16, 20)).shape, net.attend(torch.zeros(1, 3, 16, 20)).heat.shape
        (torch.Size([1, 3, 16, 20]), torch.Size([1, 1, 4, 5]))
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        blocks: int = 4,
        width: int = 32,
        size: tuple[int, int] | None = None,
        levels: int = 4,
    ) -> None:
        super().__init__()
        self.size, maps = size, 4 * width
        self.multiple, self.least = sides(levels)
        self.stem = _layer(same_size(in_channels, width, 7, "reflect", bias=False), InstanceNorm2d(width))
        self.before = nn.ModuleList(Hourglass(width, out_channels, levels) for _ in range(2))
        self.downs = nn.ModuleList(
            _layer(Conv2d(n, 2 * n, 3, 2, 1, bias=False, padding_mode="reflect"), InstanceNorm2d(2 * n))
            for n in (width, 2 * width)
        )
        self.blocks = nn.ModuleList(ResidualBlock(maps, "instance", bias=False) for _ in range(blocks))
        self.attention = Attention(maps, torch.relu, bias=True)
        inputs = maps if size is None else maps * (size[0] // HALVED) * (size[1] // HALVED)
        self.style = nn.Sequential(nn.Linear(inputs, maps), nn.ReLU(), nn.Linear(maps, maps), nn.ReLU())
        self.styled = nn.ModuleList(SoftBlock(maps) for _ in range(blocks))
        self.ups = nn.ModuleList(
            _layer(same_size(n, n // 2, 3, "reflect", bias=False), LIN(n // 2)) for n in (maps, maps // 2)
        )
        self.after = nn.ModuleList(Hourglass(width, out_channels, levels, last) for last in (False, True))
        self.head = same_size(out_channels, out_channels, 7, "reflect", bias=False)

    def encoded(self, images: Tensor) -> tuple[Attended, list[Tensor]]:
        """What attention finds, and the content ``[N, 4 * width]`` behind each residual block, float32.

        Raises:
            UserError: a side does not fit.
        """
        check_sides(images, self.multiple, self.least)
        if self.size is not None and tuple(images.shape[2:]) != self.size:
            (height, width), (rows, columns) = self.size, images.shape[2:]
            what = f"an image of {rows}x{columns} does not fit this network, which was made for {height}x{width} alone"
            raise UserError(what, hint="the light version takes other sizes")
        x, contents = self.stem(to_compute(images)), list[Tensor]()
        for layer in (*self.before, *self.downs):
            x = layer(x)
        for block in self.blocks:
            x = block(x)
            contents.append(x.float().mean((2, 3)))
        return self.attention(x), contents

    def attend(self, images: Tensor) -> Attended:
        """The first half: ``[N, in_channels, H, W]`` -> features ``[N, 4 * width, H / 4, W / 4]``, logits and heat.

        Raises:
            UserError: a side does not fit.
        """
        return self.encoded(images)[0]

    def with_logits(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """What `forward` gives, and the logits ``[N, 2]`` of the auxiliary classifier.

        Raises:
            UserError: a side does not fit.
        """
        found, contents = self.encoded(images)
        x = found.features
        style = self.style(x.float().mean((2, 3)) if self.size is None else x.float().flatten(1))
        for block, content in zip(self.styled, reversed(contents), strict=True):
            x = block(x, content, style)
        for layer in self.ups:
            x = layer(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        for glass in self.after:
            x = glass(x)
        return torch.tanh(self.head(x.float())), found.logits

    def forward(self, images: Tensor) -> Tensor:
        """``[N, in_channels, H, W]`` -> ``[N, out_channels, H, W]``, float32, in [-1, 1].

        Raises:
            UserError: a side does not fit.
        """
        return self.with_logits(images)[0]


class SoftBlock(nn.Module):
    """Two 3x3 convolutions with `SoftAdaLIN`, whose result is added to their input."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = same_size(maps, maps, 3, "reflect", bias=False), SoftAdaLIN(maps)
        self.conv2, self.norm2 = same_size(maps, maps, 3, "reflect", bias=False), SoftAdaLIN(maps)

    def forward(self, x: Tensor, content: Tensor, style: Tensor) -> Tensor:
        """``[N, maps, H, W]``, two vectors ``[N, maps]`` -> ``[N, maps, H, W]``."""
        inner = torch.relu(self.norm1(self.conv1(x), content, style))
        changed: Tensor = self.norm2(self.conv2(inner), content, style)
        return x + changed


def sides(levels: int) -> tuple[int, int]:
    """What the sides of images must be multiples of, and their least, for hourglasses of ``levels`` halvings.

    Example:
        >>> sides(4), sides(1)
        ((16, 32), (4, 8))
    """
    return max(HALVED, 2**levels), max(2 * HALVED, 2 ** (levels + 1))


def _layer(conv: nn.Module, norm: nn.Module) -> nn.Module:
    return nn.Sequential(OrderedDict(conv=conv, norm=norm, act=nn.ReLU(inplace=True)))
