"""Hourglasses: down to a few pixels and up again, with a skip at each size.

Alejandro Newell, Kaiyu Yang, Jia Deng: Stacked Hourglass Networks for Human Pose Estimation. ECCV 2016, arXiv
1603.06937, figure 3, with the blocks of Adrian Bulat, Georgios Tzimiropoulos: Binarized Convolutional Landmark
Localizers (ICCV 2017, arXiv 1703.00862), as minivision's photo2cartoon puts them around its translator. An image comes
out of each: it is turned back into features and added, or is the result.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from organza.nn.norms import InstanceNorm2d
from organza.nn.pyramid import Conv2d
from organza.nn.resnet import same_size


class Hourglass(nn.Module):
    """Features ``[N, maps, H, W]`` to the same shape, or to an image.

    Args:
        maps: feature maps, a multiple of 4.
        colours: channels of the image inside.
        levels: halvings. Sides are multiples of ``2**levels``, and at least twice that.
        last: give the image.

    Example:
        >>> x = torch.randn(2, 4, 8, 12)
        >>> Hourglass(4, 3, levels=2)(x).shape, Hourglass(4, 3, levels=2, last=True)(x).shape
        (torch.Size([2, 4, 8, 12]), torch.Size([2, 3, 8, 12]))
    """

    def __init__(self, maps: int, colours: int, levels: int = 4, last: bool = False) -> None:
        super().__init__()
        self.glass, self.block = Glass(maps, levels), SplitBlock(maps)
        self.conv, self.norm = Conv2d(maps, maps, 1, bias=False), InstanceNorm2d(maps)
        self.to_image = Conv2d(maps, colours, 1)
        self.keep = None if last else Conv2d(maps, maps, 1)
        self.from_image = None if last else Conv2d(colours, maps, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, maps, H, W]`` -> the same shape, or ``[N, colours, H, W]``."""
        inner = torch.relu(self.norm(self.conv(self.block(self.glass(x)))))
        image: Tensor = self.to_image(inner)
        if self.keep is None or self.from_image is None:
            return image
        features: Tensor = x + self.keep(inner) + self.from_image(image)
        return features


class Glass(nn.Module):
    """``levels`` halvings by averages, and as many doublings; what is there before each is added after."""

    def __init__(self, maps: int, levels: int) -> None:
        super().__init__()
        self.skips, self.downs, self.ups = (nn.ModuleList(SplitBlock(maps) for _ in range(levels)) for _ in range(3))
        self.center = SplitBlock(maps)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, maps, H, W]`` -> the same shape."""
        aside = []
        for skip, down in zip(self.skips, self.downs, strict=True):
            aside.append(skip(x))
            x = down(F.avg_pool2d(x, 2))
        x = self.center(x)
        for up, kept in zip(self.ups, reversed(aside), strict=True):
            x = kept + F.interpolate(up(x), scale_factor=2.0, mode="nearest")
        return x


class SplitBlock(nn.Module):
    """A residual block of three convolutions in a chain, whose results stand side by side: half, a quarter, a quarter.

    Each convolution follows its normalisation and activation.
    """

    def __init__(self, maps: int) -> None:
        super().__init__()
        inputs, outputs = (maps, maps // 2, maps // 4), (maps // 2, maps // 4, maps // 4)
        self.norms = nn.ModuleList(InstanceNorm2d(count) for count in inputs)
        self.convs = nn.ModuleList(
            same_size(before, after, 3, "reflect", bias=False) for before, after in zip(inputs, outputs, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """``[N, maps, H, W]``, at least 2x2 -> the same shape."""
        parts, inner = list[Tensor](), x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            inner = conv(torch.relu(norm(inner)))
            parts.append(inner)
        return x + torch.cat(parts, 1)
