"""The networks of U-GAT-IT: a generator and a discriminator with attention.

Junho Kim, Minjae Kim, Hyeonwoo Kang, Kwanghee Lee: U-GAT-IT: Unsupervised Generative Attentional Networks with Adaptive
Layer-Instance Normalization for Image-to-Image Translation. ICLR 2020, arXiv 1907.10830, section 2.1, figure 1 and
appendix B. Weights start as PyTorch starts them.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from organza.core.device import to_compute
from organza.core.errors import UserError
from organza.nn.adalin import LIN, AdaLIN
from organza.nn.cam import Attended, Attention
from organza.nn.norms import Norm, norm_layer
from organza.nn.pyramid import Conv2d
from organza.nn.resnet import ResidualBlock, same_size
from organza.nn.sides import check_sides
from organza.nn.spectral import SpectralConv2d

MULTIPLE, LEAST = 4, 8


class AttentionGenerator(nn.Module):
    """An image ``[N, in_channels, H, W]`` to an image ``[N, out_channels, H, W]`` in [-1, 1].

    Two halvings and residual blocks, then attention. What attention gives becomes a style, which sets the gain and the
    bias of all residual blocks that follow; then two doublings. Sides are multiples of 4, and at least 8.

    Args:
        in_channels: of the input.
        out_channels: of the output.
        blocks: residual blocks before the attention, and as many after it.
        width: feature maps at full size; doubled at each halving.
        size: height and width of all images that it takes: the style comes from every single feature. None, the light
            version: the style comes from the mean of each map, and images have any size.
        norm: of all layers up to the attention.

    Example:
        >>> net = AttentionGenerator(3, 1, blocks=1, width=4)
        >>> net(torch.zeros(1, 3, 16, 20)).shape, net.attend(torch.zeros(1, 3, 16, 20)).heat.shape
        (torch.Size([1, 1, 16, 20]), torch.Size([1, 1, 4, 5]))
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        blocks: int = 4,
        width: int = 64,
        size: tuple[int, int] | None = None,
        norm: Norm = "instance",
    ) -> None:
        super().__init__()
        self.size, maps = size, 4 * width
        self.stem = _layer(same_size(in_channels, width, 7, "reflect", bias=False), norm_layer(norm, width))
        self.downs = nn.ModuleList(
            _layer(Conv2d(n, 2 * n, 3, 2, 1, bias=False, padding_mode="reflect"), norm_layer(norm, 2 * n))
            for n in (width, 2 * width)
        )
        self.blocks = nn.ModuleList(ResidualBlock(maps, norm, bias=False) for _ in range(blocks))
        self.attention = Attention(maps, torch.relu)
        inputs = maps if size is None else maps * (size[0] // MULTIPLE) * (size[1] // MULTIPLE)
        self.style = nn.Sequential(
            nn.Linear(inputs, maps, bias=False), nn.ReLU(), nn.Linear(maps, maps, bias=False), nn.ReLU()
        )
        self.gain, self.bias = nn.Linear(maps, maps, bias=False), nn.Linear(maps, maps, bias=False)
        self.styled = nn.ModuleList(StyledBlock(maps) for _ in range(blocks))
        self.ups = nn.ModuleList(
            _layer(same_size(n, n // 2, 3, "reflect", bias=False), LIN(n // 2)) for n in (maps, maps // 2)
        )
        self.head = same_size(width, out_channels, 7, "reflect", bias=False)

    def attend(self, images: Tensor) -> Attended:
        """The first half: ``[N, in_channels, H, W]`` -> features ``[N, 4 * width, H / 4, W / 4]``, logits and heat.

        Raises:
            UserError: a side does not fit.
        """
        check_sides(images, MULTIPLE, LEAST)
        if self.size is not None and tuple(images.shape[2:]) != self.size:
            (height, width), (rows, columns) = self.size, images.shape[2:]
            what = f"an image of {rows}x{columns} does not fit this network, which was made for {height}x{width} alone"
            raise UserError(what, hint="the light version takes other sizes")
        x = self.stem(to_compute(images))
        for layer in (*self.downs, *self.blocks):
            x = layer(x)
        found: Attended = self.attention(x)
        return found

    def translated(self, features: Tensor) -> Tensor:
        """The second half: the image that the features of `attend` become, float32."""
        means = features.float().mean((2, 3)) if self.size is None else features.float().flatten(1)
        style = self.style(means)
        gain, bias = self.gain(style), self.bias(style)
        x = features
        for block in self.styled:
            x = block(x, gain, bias)
        for layer in self.ups:
            x = layer(F.interpolate(x, scale_factor=2, mode="nearest"))
        return torch.tanh(self.head(x.float()))

    def forward(self, images: Tensor) -> Tensor:
        """``[N, in_channels, H, W]`` -> ``[N, out_channels, H, W]``, float32, in [-1, 1].

        Raises:
            UserError: a side does not fit.
        """
        return self.translated(self.attend(images).features)


class StyledBlock(nn.Module):
    """Two 3x3 convolutions with `AdaLIN`, whose result is added to their input."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = same_size(maps, maps, 3, "reflect", bias=False), AdaLIN(maps)
        self.conv2, self.norm2 = same_size(maps, maps, 3, "reflect", bias=False), AdaLIN(maps)

    def forward(self, x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
        """``[N, maps, H, W]``, style ``[N, maps]`` twice -> ``[N, maps, H, W]``."""
        inner = torch.relu(self.norm1(self.conv1(x), gain, bias))
        changed: Tensor = self.norm2(self.conv2(inner), gain, bias)
        return x + changed


class AttentionDiscriminator(nn.Module):
    """Images ``[N, C, H, W]`` to logits ``[N, 1, h, w]`` of patches, with spectral normalisation.

    Args:
        channels: of the images.
        halvings: 5 for the global discriminator, whose patches cover a 256x256 image, 3 for the local one.
        width: feature maps of the first layer; doubled at each layer but the last.

    Attributes:
        least: the shorter side of an image must have so many pixels.

    Example:
        >>> AttentionDiscriminator(3, halvings=3, width=2)(torch.zeros(2, 3, 64, 32)).shape
        torch.Size([2, 1, 6, 2])
    """

    def __init__(self, channels: int, halvings: int, width: int = 64) -> None:
        super().__init__()
        self.least = 3 * 2**halvings
        maps = [channels, *(width * 2**k for k in range(halvings + 1))]
        self.layers = nn.ModuleList(
            SpectralConv2d(inputs, outputs, 4, 2 if k < halvings else 1)
            for k, (inputs, outputs) in enumerate(itertools.pairwise(maps))
        )
        self.attention = Attention(maps[-1], partial(F.leaky_relu, negative_slope=0.2), spectral=True)
        self.head = SpectralConv2d(maps[-1], 1, 4, bias=False)

    def attend(self, images: Tensor) -> tuple[Tensor, Attended]:
        """``[N, C, H, W]`` -> logits of patches ``[N, 1, h, w]``, float32, and what attention found.

        Raises:
            UserError: a side is too short.
        """
        check_sides(images, least=self.least)
        x = to_compute(images)
        for layer in self.layers:
            x = F.leaky_relu(layer(_margin(x)), 0.2)
        found: Attended = self.attention(x)
        logits: Tensor = self.head(_margin(found.features.float()))
        return logits, found

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """``[N, C, H, W]`` -> logits of patches ``[N, 1, h, w]``, float32; there is no condition.

        Raises:
            UserError: a side is too short.
        """
        return self.attend(images)[0]


def _layer(conv: nn.Module, norm: nn.Module) -> nn.Module:
    return nn.Sequential(OrderedDict(conv=conv, norm=norm, act=nn.ReLU(inplace=True)))


def _margin(x: Tensor) -> Tensor:
    return F.pad(x, [1, 1, 1, 1], mode="reflect")
