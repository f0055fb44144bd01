"""The PatchGAN discriminator of pix2pix: one logit for each patch of an image.

Isola et al. 2017 (arXiv 1611.07004), section 3.2.2 and appendix 6.1.2; earlier Li & Wand 2016 (arXiv 1604.04382). The
number of layers sets the size of a patch: 0 is the PixelGAN (1x1), 1 the 16x16, 3 the 70x70, 5 the 286x286 PatchGAN.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from organza.core.device import to_compute
from organza.nn.blur import BlurDown
from organza.nn.initial import init_normal
from organza.nn.norms import Norm, conv_bias, norm_layer
from organza.nn.pyramid import Conv2d
from organza.nn.sides import check_sides


class PatchGAN(nn.Module):
    """Images ``[N, C, H, W]`` to logits ``[N, 1, h, w]``, one for each patch of `receptive_field` pixels.

    ``layers`` halvings, then two layers at that size: ``h = H // 2**layers - 2``, so the shorter side must be at least
    ``3 * 2**layers`` (24 by default). The PixelGAN (``layers=0``) takes any size and has ``h = H``.

    Args:
        in_channels: channels of the images, plus those of the condition if there is one.
        layers: number of halvings. 3, the 70x70 PatchGAN, is what pix2pix and CycleGAN report.
        width: feature maps of the first layer; doubled at each further layer, up to ``8 * width``.
        norm: normalisation of all layers but the first and the last.
        bias: whether all convolutions have a bias; None: as `conv_bias` says.
        blur: halve with a blur (`organza.nn.blur`) after a convolution of stride 1, as CUT does.
        padding: zeros beyond each border of every layer but a PixelGAN's. With 2, as in pix2pixHD, maps are a little
            larger than half (``h = H // 2 + 1`` for each halving), and the shorter side may be 2.

    Example:
        >>> PatchGAN(3, width=4)(torch.zeros(1, 3, 64, 96)).shape
        torch.Size([1, 1, 6, 10])
        >>> PatchGAN(4, layers=0, width=4)(torch.zeros(1, 3, 5, 7), condition=torch.zeros(1, 1, 5, 7)).shape
        torch.Size([1, 1, 5, 7])
    """

    def __init__(
        self,
        in_channels: int,
        layers: int = 3,
        width: int = 64,
        norm: Norm = "batch",
        bias: bool | None = None,
        blur: bool = False,
        padding: int = 1,
    ) -> None:
        super().__init__()
        self.least = least_side(layers, padding=padding)
        bias = conv_bias(norm) if bias is None else bias
        kernel, padding = (4, padding) if layers else (1, 0)
        maps = [width * min(2**k, 8) for k in range(layers + 1)] if layers else [width, 2 * width]
        self.layers = nn.ModuleList()
        for k, (inputs, outputs) in enumerate(zip([in_channels, *maps], maps, strict=False)):
            stride = 2 if k < layers and not blur else 1
            conv = Conv2d(inputs, outputs, kernel, stride, padding, bias=k == 0 or bias)
            normal = norm_layer("none" if k == 0 else norm, outputs)
            parts: OrderedDict[str, nn.Module] = OrderedDict(conv=conv, norm=normal, act=nn.LeakyReLU(0.2))
            self.layers.append(nn.Sequential(parts | {"blur": BlurDown()} if blur and k < layers else parts))
        last = Conv2d(maps[-1], 1, kernel, 1, padding, bias=bool(layers) or bias)
        self.layers.append(nn.Sequential(OrderedDict(conv=last)))
        self.apply(init_normal)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """``[N, C, H, W]`` -> logits ``[N, 1, h, w]``, float32.

        Args:
            images: real or generated.
            condition: ``[N, C', H, W]``, what they were made from; it stands before them among the channels.

        Raises:
            UserError: a side is too short.
        """
        return self.features(images, condition)[-1]

    def features(self, images: Tensor, condition: Tensor | None = None) -> list[Tensor]:
        """What each layer makes of images, the logits last; see `forward`."""
        check_sides(images, least=self.least)
        *inner, last = self.layers
        x, found = to_compute(images if condition is None else torch.cat([condition, images], 1)), []
        for layer in inner:
            x = layer(x)
            found.append(x)
        return [*found, last(x.float())]


class MultiScalePatchGAN(nn.Module):
    """Several `PatchGAN`, each of which sees the images at half the size of the one before.

    Wang et al. 2018 (arXiv 1711.11585, section 3.2); Zhu et al. 2017 (arXiv 1711.11586, section 4).

    Args:
        in_channels: channels of the images, plus those of the condition if there is one.
        scales: how many sizes.
        layers, width, norm, bias, padding: of the first `PatchGAN`.
        thinner: each smaller size has half the feature maps as well, as in BicycleGAN's code.
        wider: each smaller size has twice the feature maps instead, up to 64, as in vid2vid's code.

    Example:
        >>> [logits.shape for logits in MultiScalePatchGAN(3, layers=1, width=4)(torch.zeros(1, 3, 64, 96))]
        [torch.Size([1, 1, 30, 46]), torch.Size([1, 1, 14, 22])]
    """

    def __init__(
        self,
        in_channels: int,
        scales: int = 2,
        layers: int = 3,
        width: int = 64,
        norm: Norm = "batch",
        bias: bool | None = None,
        padding: int = 1,
        thinner: bool = True,
        wider: bool = False,
    ) -> None:
        super().__init__()
        widths = [max(1, round(width / 2**k)) if thinner else width for k in range(scales)]
        if wider:
            widths = [max(width, min(64, width << k)) for k in range(scales)]
        self.scales = nn.ModuleList(PatchGAN(in_channels, layers, each, norm, bias, padding=padding) for each in widths)
        self.least = least_side(layers, scales, padding)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> tuple[Tensor, ...]:
        """``[N, C, H, W]`` -> logits ``[N, 1, h, w]`` for each size, float32, the largest first.

        Args:
            images: real or generated.
            condition: ``[N, C', H, W]``, what they were made from.

        Raises:
            UserError: a side is too short.
        """
        return tuple(features[-1] for features in self.features(images, condition))

    def features(self, images: Tensor, condition: Tensor | None = None) -> list[list[Tensor]]:
        """What each layer makes of images at each size, the largest first, the logits last; see `forward`."""
        check_sides(images, least=self.least)
        x = images if condition is None else torch.cat([condition, images], 1)
        found = []
        for k, net in enumerate(self.scales):
            x = halved(x) if k else x
            assert isinstance(net, PatchGAN)
            found.append(net.features(x))
        return found


def halved(images: Tensor) -> Tensor:
    """Images ``[N, C, H, W]`` at half their size, rounded up: means over 3x3 pixels of those that there are.

    Example:
        >>> halved(torch.ones(1, 3, 5, 8)).shape
        torch.Size([1, 3, 3, 4])
    """
    return F.avg_pool2d(images, 3, 2, 1, count_include_pad=False)


def least_side(layers: int, scales: int = 1, padding: int = 1) -> int:
    """The shortest side that a `PatchGAN`, or a `MultiScalePatchGAN`, takes.

    Example:
        >>> least_side(3), least_side(3, scales=2), least_side(0), least_side(3, padding=2)
        (24, 48, 1, 2)
    """
    return ((3 << layers if padding < 2 else 2) if layers else 1) << (scales - 1)


def receptive_field(layers: int, blur: bool = False) -> int:
    """Pixels along each side of the patch that one logit of `PatchGAN` depends on.

    Two layers of kernel 4 see 7 of their inputs; each halving before them turns r into 2 r + 2, with a blur into
    2 r + 4: CUT's "70x70" PatchGAN sees 84x84 pixels.

    Example:
        >>> [receptive_field(layers) for layers in range(6)]
        [1, 16, 34, 70, 142, 286]
        >>> receptive_field(3, blur=True)
        84
    """
    if not layers:
        return 1
    halved = 1 << layers
    return 11 * halved - 4 if blur else 9 * halved - 2
