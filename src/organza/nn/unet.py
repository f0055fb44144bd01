"""The U-Net generator of pix2pix, and of BicycleGAN, whose U-Net also takes a code.

Phillip Isola, Jun-Yan Zhu, Tinghui Zhou, Alexei A. Efros: Image-to-Image Translation with Conditional Adversarial
Networks. CVPR 2017, arXiv 1611.07004, section 3.2.1 and appendix 6.1.1. The shape is Ronneberger et al. 2015 (arXiv
1505.04597): each level of the decoder also sees the features of the encoder's level of the same size.

Where the paper and the code of its published PyTorch results differ, this follows the code: dropout is at the levels
next to the innermost one (in the paper, at the innermost one too). The innermost level's convolution has no
normalisation: one value for each map can't be normalised.

A code (Zhu et al. 2017, arXiv 1711.11586, section 3.5 and figure 3) is laid out over the whole of a level as feature
maps of one value each, which stand behind those that the level takes.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from organza.core.device import to_compute
from organza.nn.initial import init_normal
from organza.nn.norms import Norm, conv_bias, norm_layer
from organza.nn.pyramid import Conv2d, ConvTranspose2d
from organza.nn.sides import check_sides

Upsampling = Literal["transposed", "bilinear"]
"""How the decoder doubles: transposed convolutions, or bilinear with 3x3 convolutions after it."""
CodeInto = Literal["all", "input"]
"""Which levels of the encoder take a code: all of them, or the outermost alone."""


class UNetGenerator(nn.Module):
    """An image ``[N, in_channels, H, W]`` to an image ``[N, out_channels, H, W]`` in [-1, 1].

    Level 0 is the outermost. ``downs[k]`` halves its input, ``ups[k]`` doubles it again. Both sides of an image must be
    multiples of ``2**depth``; at exactly that size, the innermost map is one pixel.

    Args:
        in_channels: of the input.
        out_channels: of the output.
        depth: number of halvings, at least 2: 7 is the repository's ``unet_128``, 8 its ``unet_256``.
        width: feature maps at level 0; doubled at each level inwards, up to ``8 * width``.
        norm: normalisation of all levels but the outermost and, on the way down, the innermost.
        dropout: drop half of the features at the levels from 4 up to the one before the innermost.
        z_dim: length of the code; 0 for none.
        z_into: see `CodeInto`.
        upsampling: see `Upsampling`.
        bias: whether all convolutions have a bias; None: as `conv_bias` says.

    Attributes:
        multiple: ``2**depth``.

    Raises:
        ValueError: too small a depth.

    Example:
        >>> UNetGenerator(1, 3, depth=3, width=4)(torch.zeros(1, 1, 16, 24)).shape
        torch.Size([1, 3, 16, 24])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        depth: int,
        width: int = 64,
        norm: Norm = "batch",
        dropout: bool = False,
        z_dim: int = 0,
        z_into: CodeInto = "all",
        upsampling: Upsampling = "transposed",
        bias: bool | None = None,
    ) -> None:
        super().__init__()
        if depth < 2:
            raise ValueError(f"a U-Net of depth {depth} has no level to skip to")
        self.multiple = 2**depth
        self.z_dim, self.coded = z_dim, 0 if not z_dim else depth if z_into == "all" else 1
        bias = conv_bias(norm) if bias is None else bias
        maps = [width * min(2**level, 8) for level in range(depth)]
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for level in range(depth):
            outermost, innermost = level == 0, level == depth - 1
            dropping = dropout and level >= 4 and not innermost
            self.downs.append(
                _down(
                    (in_channels if outermost else maps[level - 1]) + (z_dim if level < self.coded else 0),
                    maps[level],
                    "none" if outermost or innermost else norm,
                    bias=bias,
                    act=nn.Identity() if innermost else nn.LeakyReLU(0.2, inplace=True),
                )
            )
            self.ups.append(
                _up(
                    maps[level] if innermost else 2 * maps[level],
                    out_channels if outermost else maps[level - 1],
                    "none" if outermost else norm,
                    bias=outermost or bias,
                    dropout=nn.Dropout(0.5) if dropping else nn.Identity(),
                    upsampling=upsampling,
                )
            )
        self.apply(init_normal)

    def forward(self, images: Tensor, z: Tensor | None = None) -> Tensor:
        """``[N, in_channels, H, W]``, and ``[N, z_dim]`` where there is a code -> ``[N, out_channels, H, W]``.

        The result is float32, in [-1, 1]; without a code where one is taken, it is that of zeros.

        Raises:
            UserError: a side is not a multiple of `multiple`.
        """
        check_sides(images, self.multiple)
        x = to_compute(images)
        code = (images.new_zeros(len(images), self.z_dim) if z is None else z).to(x.dtype)[:, :, None, None]
        skips: list[Tensor] = []
        for level, down in enumerate(self.downs):
            if level < self.coded:
                x = torch.cat([x, code.expand(-1, -1, *x.shape[2:])], 1)
            x = down(x)
            skips.append(x)
            if level == 0:  # inside, what a level takes goes through its activation, and the code with it
                code = F.leaky_relu(code, 0.2)
        outermost, *inner = self.ups
        x = inner[-1](skips.pop())
        for up in inner[-2::-1]:
            x = up(torch.cat([skips.pop(), x], 1))
        return torch.tanh(outermost(torch.cat([skips.pop(), x], 1).float()))


def _down(inputs: int, outputs: int, norm: Norm, *, bias: bool, act: nn.Module) -> nn.Module:
    conv = Conv2d(inputs, outputs, 4, 2, 1, bias=bias)
    return nn.Sequential(OrderedDict(conv=conv, norm=norm_layer(norm, outputs), act=act))


def _up(inputs: int, outputs: int, norm: Norm, *, bias: bool, dropout: nn.Module, upsampling: Upsampling) -> nn.Module:
    """The activation stands before the convolution: it takes the skipped features in as well."""
    layers: dict[str, nn.Module] = {"act": nn.ReLU(inplace=True)}
    if upsampling == "bilinear":
        layers["larger"] = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        layers["conv"] = Conv2d(inputs, outputs, 3, 1, 1, bias=bias, padding_mode="reflect")
    else:
        layers["conv"] = ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=bias)
    return nn.Sequential(OrderedDict(layers, norm=norm_layer(norm, outputs), dropout=dropout))
