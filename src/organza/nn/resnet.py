"""The residual generator of CycleGAN.

Jun-Yan Zhu, Taesung Park, Phillip Isola, Alexei A. Efros: Unpaired Image-to-Image Translation using Cycle-Consistent
Adversarial Networks. ICCV 2017, arXiv 1703.10593, appendix 7.2. The network is Johnson et al. 2016 (arXiv 1603.08155):
two halvings, residual blocks, two doublings. With four halvings it is the global generator of pix2pixHD (Wang et al.
2018, arXiv 1711.11585, section 3.2); with blurs it is CUT's (Park et al. 2020, arXiv 2007.15651).
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from organza.core.device import to_compute
from organza.nn.blur import BlurDown, BlurUp
from organza.nn.initial import init_normal
from organza.nn.norms import Norm, conv_bias, norm_layer
from organza.nn.pyramid import Conv2d, ConvTranspose2d
from organza.nn.sides import check_sides

Padding = Literal["reflect", "zero"]
"""What lies beyond an image's border: the image mirrored, without its outermost pixels twice, or zeros."""


class ResNetGenerator(nn.Module):
    """An image ``[N, in_channels, H, W]`` to an image ``[N, out_channels, H, W]`` in [-1, 1].

    Both sides of an image must be multiples of 4 (of ``2**halvings``), and at least 8 (twice that).

    Args:
        in_channels: of the input.
        out_channels: of the output.
        blocks: residual blocks; the paper takes 6 for images of 128 pixels, 9 from 256 pixels on.
        width: feature maps at full size; doubled at each halving.
        norm: normalisation of all layers but the last.
        dropout: drop half of the features in the middle of each residual block.
        padding: of the first layer, the residual blocks and the last layer; the resampling ones have zeros.
        halvings: how often the image is halved before the blocks, and doubled after them.
        blur_down, blur_up: halve and double with a blur (`organza.nn.blur`) beside a convolution of stride 1.

    Attributes:
        multiple: ``2**halvings``.
        places: feature maps at each place of the encoder: see `features`.

    Example:
        >>> ResNetGenerator(3, 1, blocks=1, width=4)(torch.zeros(1, 3, 16, 20)).shape
        torch.Size([1, 1, 16, 20])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        blocks: int = 9,
        width: int = 64,
        norm: Norm = "instance",
        dropout: bool = False,
        padding: Padding = "reflect",
        halvings: int = 2,
        blur_down: bool = False,
        blur_up: bool = False,
    ) -> None:
        super().__init__()
        self.multiple, self.padding = 2**halvings, padding
        bias = conv_bias(norm)
        maps = [width * 2**level for level in range(halvings + 1)]

        def layer(conv: nn.Module, outputs: int, *, blur: bool = False) -> nn.Sequential:
            parts = OrderedDict(conv=conv, norm=norm_layer(norm, outputs), act=nn.ReLU(inplace=True))
            return nn.Sequential(parts | {"blur": BlurDown()} if blur else parts)

        def down(outer: int, inner: int) -> nn.Sequential:
            return layer(Conv2d(outer, inner, 3, 1 if blur_down else 2, 1, bias=bias), inner, blur=blur_down)

        def up(inner: int, outer: int) -> nn.Sequential:
            if not blur_up:
                return layer(ConvTranspose2d(inner, outer, 3, 2, 1, output_padding=1, bias=bias), outer)
            later = layer(Conv2d(inner, outer, 3, 1, 1, bias=bias), outer)
            return nn.Sequential(OrderedDict(blur=BlurUp()) | dict(later.named_children()))

        self.stem = layer(same_size(in_channels, width, 7, padding, bias), width)
        self.downs = nn.ModuleList(down(outer, inner) for outer, inner in itertools.pairwise(maps))
        self.blocks = nn.ModuleList(ResidualBlock(maps[-1], norm, dropout, padding) for _ in range(blocks))
        self.ups = nn.ModuleList(up(inner, outer) for inner, outer in itertools.pairwise(maps[::-1]))
        each = 4 if blur_down else 3
        self.places = [in_channels, *[width] * 3, *(m for m in maps[1:] for _ in range(each)), *[maps[-1]] * blocks]
        self.head = same_size(width, out_channels, 7, padding, bias=True)
        self.apply(init_normal)

    def forward(self, images: Tensor) -> Tensor:
        """``[N, in_channels, H, W]`` -> ``[N, out_channels, H, W]``, float32, in [-1, 1].

        Raises:
            UserError: a side is not a multiple of `multiple`, or too short.
        """
        return torch.tanh(self.head(self.trunk(images).float()))

    def trunk(self, images: Tensor) -> Tensor:
        """What the last layer reads: ``[N, in_channels, H, W]`` -> ``[N, width, H, W]``, in the format of activations.

        Raises:
            UserError: as `forward`.
        """
        check_sides(images, self.multiple, least=max(2 * self.multiple, 4))
        x: Tensor = self.stem(to_compute(images))
        for layer in (*self.downs, *self.blocks, *self.ups):
            x = layer(x)
        return x

    def features(self, images: Tensor, places: Sequence[int]) -> list[Tensor]:
        """What the encoder makes of images, at some of its places.

        Place 0 is the image with the border that the first convolution sees. Then each convolution, norm, activation
        and blur counts, and each residual block: CUT's numbers. Activations work in place, so the place of a norm holds
        what has been rectified.

        Args:
            images: ``[N, in_channels, H, W]``.
            places: in rising order, below ``len(self.places)``.

        Returns:
            ``[N, maps, h, w]`` for each, in the format of activations.

        Raises:
            UserError: as `forward`.
        """
        check_sides(images, self.multiple, least=max(2 * self.multiple, 4))
        x, found = to_compute(images), []
        if 0 in places:
            found.append(F.pad(x, [3] * 4, mode="reflect" if self.padding == "reflect" else "constant"))
        chain = [part for layer in (self.stem, *self.downs) for part in layer] + [*self.blocks]
        for place, part in enumerate(chain[: max(places)], 1):
            x = part(x)
            if place in places:
                found.append(x)
        return found


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions whose result is added to their input (He et al. 2016, arXiv 1512.03385).

    There is no activation after the sum (Johnson et al. 2016, supplementary material).

    Args:
        maps: feature maps of input and output.
        norm: normalisation after each convolution.
        dropout: drop half of the features between them.
        padding: of both.
        bias: of both; None, as usual with ``norm``.
    """

    def __init__(
        self, maps: int, norm: Norm, dropout: bool = False, padding: Padding = "reflect", bias: bool | None = None
    ) -> None:
        super().__init__()
        bias = conv_bias(norm) if bias is None else bias
        self.conv1 = same_size(maps, maps, 3, padding, bias)
        self.norm1 = norm_layer(norm, maps)
        self.dropout = nn.Dropout(0.5) if dropout else nn.Identity()
        self.conv2 = same_size(maps, maps, 3, padding, bias)
        self.norm2 = norm_layer(norm, maps)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, maps, H, W]`` -> the same shape."""
        inner = self.dropout(torch.relu(self.norm1(self.conv1(x))))
        changed: Tensor = self.norm2(self.conv2(inner))
        return x + changed


def same_size(inputs: int, outputs: int, kernel: int, padding: Padding, bias: bool) -> Conv2d:
    """A convolution with an odd ``kernel`` that keeps the size of its input."""
    mode: Literal["reflect", "zeros"] = "reflect" if padding == "reflect" else "zeros"
    return Conv2d(inputs, outputs, kernel, 1, kernel // 2, bias=bias, padding_mode=mode)
