"""The networks of AnimeGANv2 (TachibanaYoshino; the generator's names follow bryandlee's PyTorch).

The generator is small: inverted residual blocks (Sandler et al. 2018, arXiv 1801.04381), layer normalisation over a
whole image, mirrored borders. A halving mirrors to the right and below only.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from organza.core.device import to_compute
from organza.nn.pyramid import Conv2d, layer_norm
from organza.nn.sides import check_sides
from organza.nn.spectral import SpectralConv2d

WIDTHS = (32, 64, 128, 256)
"""Feature maps at full size, a half and a quarter, and inside the residual blocks."""
BLOCKS = 4


class NormedConv(nn.Module):
    """A convolution of mirrored borders, layer normalisation, and LeakyReLU(0.2)."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, *, groups: int = 1, bias: bool = False
    ) -> None:
        super().__init__()
        far = kernel // 2
        near = far if stride == 1 else 0
        self.edges = [near, far, near, far]
        plain = nn.Conv2d if groups > 1 else Conv2d
        self.conv = plain(inputs, outputs, kernel, stride, 0, groups=groups, bias=bias)
        self.norm = layer_norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, inputs, H, W]`` -> ``[N, outputs, H, W]``, or half of the size, rounded up."""
        if any(self.edges):
            x = F.pad(x, self.edges, mode="reflect")
        if self.conv.groups > 1:
            x = F.conv2d(
                x, self.conv.weight.to(x.dtype), _as(self.conv.bias, x), self.conv.stride, groups=self.conv.groups
            )
        else:
            x = self.conv(x)
        return F.leaky_relu(_normed(self.norm, x), 0.2)


class InvertedBlock(nn.Module):
    """1x1 to twice the maps, 3x3 of each map by itself, 1x1 back; added to the input where maps agree."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        inside = 2 * inputs
        self.wide = NormedConv(inputs, inside, 1)
        self.apart = NormedConv(inside, inside, 3, groups=inside, bias=True)
        self.narrow, self.norm = Conv2d(inside, outputs, 1, bias=False), layer_norm(outputs)
        self.added = inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """``[N, inputs, H, W]`` -> ``[N, outputs, H, W]``."""
        y = _normed(self.norm, self.narrow(self.apart(self.wide(x))))
        return x + y if self.added else y


class AnimeGenerator(nn.Module):
    """A photograph ``[N, inputs, H, W]`` to ``[N, outputs, H, W]`` in [-1, 1].

    Args:
        inputs, outputs: channels.
        widths: see `WIDTHS`.
        align_corners: enlarge back to the sizes that there were, corners on corners: any size of at least 8 does. Else
            double: sides are multiples of 4.
    """

    least = 8

    def __init__(self, inputs: int, outputs: int, widths: Sequence[int] = WIDTHS, align_corners: bool = True) -> None:
        super().__init__()
        full, half, quarter, inner = widths
        self.align_corners = align_corners
        self.multiple = 1 if align_corners else 4
        self.a = nn.ModuleList([NormedConv(inputs, full, 7), NormedConv(full, half, 3, 2), NormedConv(half, half)])
        self.b = nn.ModuleList([NormedConv(half, quarter, 3, 2), NormedConv(quarter, quarter)])
        blocks = [InvertedBlock(inner if k else quarter, inner) for k in range(BLOCKS)]
        self.c = nn.ModuleList([NormedConv(quarter, quarter), *blocks, NormedConv(inner, quarter)])
        self.d = nn.ModuleList([NormedConv(quarter, quarter), NormedConv(quarter, quarter)])
        self.e = nn.ModuleList([NormedConv(quarter, half), NormedConv(half, half), NormedConv(half, full, 7)])
        self.head = Conv2d(full, outputs, 1, bias=False)
        self.apply(_init)

    def forward(self, images: Tensor) -> Tensor:
        """See above; float32.

        Raises:
            UserError: a side does not fit.
        """
        check_sides(images, self.multiple, self.least)
        x = _through(self.a, to_compute(images))
        half = x.shape[2:]
        x = self._larger(_through(self.c, _through(self.b, x)), half)
        x = self._larger(_through(self.d, x), images.shape[2:])
        return torch.tanh(self.head(_through(self.e, x).float()))

    def _larger(self, x: Tensor, size: torch.Size) -> Tensor:
        if self.align_corners:
            return F.interpolate(x, size=size, mode="bilinear", align_corners=True)
        return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class AnimeCritic(nn.Module):
    """Images ``[N, C, H, W]`` to logits ``[N, 1, h, w]``, with spectral and layer normalisation.

    Args:
        channels: of the images.
        width: feature maps of the first layer.
        halvings: how often the image is halved.
    """

    def __init__(self, channels: int, width: int = 32, halvings: int = 2) -> None:
        super().__init__()
        self.least = 2 << halvings
        self.first = SpectralConv2d(channels, width, 3, bias=False)
        downs, flats, norms, inputs = [], [], [], width
        for k in range(halvings):
            downs.append(SpectralConv2d(inputs, width << (k + 1), 3, 2, bias=False))
            flats.append(SpectralConv2d(width << (k + 1), width << (k + 2), 3, bias=False))
            norms.append(layer_norm(width << (k + 2)))
            inputs = width << (k + 2)
        last = width << (halvings + 1)
        flats.append(SpectralConv2d(inputs, last, 3, bias=False))
        norms.append(layer_norm(last))
        self.downs, self.flats, self.norms = nn.ModuleList(downs), nn.ModuleList(flats), nn.ModuleList(norms)
        self.head = SpectralConv2d(last, 1, 3, bias=False)
        self.apply(_init)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """See above; float32. There is no condition.

        Raises:
            UserError: a side is too short.
        """
        check_sides(images, least=self.least)
        x = F.leaky_relu(self.first(F.pad(images, [1] * 4)), 0.2)
        for number, (flat, norm) in enumerate(zip(self.flats, self.norms, strict=True)):
            if number < len(self.downs):  # zeros to the left and above only
                x = F.leaky_relu(self.downs[number](F.pad(x, [1, 0, 1, 0])), 0.2)
            x = F.leaky_relu(norm(flat(F.pad(x, [1] * 4))), 0.2)
        logits: Tensor = self.head(F.pad(x, [1] * 4))
        return logits


def _through(layers: nn.ModuleList, x: Tensor) -> Tensor:
    for layer in layers:
        x = layer(x)
    return x


def _normed(norm: nn.Module, x: Tensor) -> Tensor:
    """Layer normalisation, whose sums over a whole image are too long for bf16."""
    found: Tensor = norm(x.float())
    return found.to(x.dtype)


def _as(bias: Tensor | None, like: Tensor) -> Tensor | None:
    return None if bias is None else bias.to(like.dtype)


def _init(module: nn.Module) -> None:
    """Convolutions start from N(0, 0.02), also those with spectral normalisation."""
    if isinstance(module, (nn.Conv2d, SpectralConv2d)):
        nn.init.normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
