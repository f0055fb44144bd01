"""BicycleGAN's encoders: an image to the distribution of its code.

Jun-Yan Zhu et al.: Toward Multimodal Image-to-Image Translation. NeurIPS 2017, arXiv 1711.11586, section 3.5 and
appendix: residual blocks ("ResNet") or plain convolutions ("CNN"), an average over the whole image, and two linear
layers. In the authors' code the average is over 8x8, all that is left of an image of the size in training; averaging
over whatever is left takes other sizes as well.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from organza.core.device import to_compute
from organza.nn.initial import init_xavier
from organza.nn.norms import Norm, norm_layer
from organza.nn.pyramid import Conv2d
from organza.nn.sides import check_sides

Kind = Literal["resnet", "conv"]
"""Residual blocks, or plain convolutions."""


class StyleEncoder(nn.Module):
    """Images ``[N, channels, H, W]`` to ``(mu, logvar)``, each ``[N, z_dim]``: a normal distribution's mean and log
    variance.

    Args:
        channels: of the images.
        z_dim: length of the code.
        kind: see `Kind`.
        layers: halvings, the first of which is a plain convolution: 4 for images of 128 pixels, 5 for 256.
        width: feature maps after the first halving; at most four times as many further in.
        norm: normalisation, of all but the first layer.

    Attributes:
        least: the shortest side that it takes.

    Example:
        >>> import torch
        >>> mu, logvar = StyleEncoder(3, z_dim=8, layers=3, width=4)(torch.zeros(2, 3, 16, 24))
        >>> mu.shape, logvar.shape
        (torch.Size([2, 8]), torch.Size([2, 8]))
    """

    def __init__(
        self,
        channels: int,
        z_dim: int = 8,
        kind: Kind = "resnet",
        layers: int = 5,
        width: int = 64,
        norm: Norm = "instance",
    ) -> None:
        super().__init__()
        self.least = least_encoded(kind, layers, norm)
        maps = [width * min(k + 1 if kind == "resnet" else 2**k, 4) for k in range(layers)]
        self.stem = Conv2d(channels, maps[0], 4, 2, 1)
        block = _Block if kind == "resnet" else _halving
        self.blocks = nn.ModuleList(block(outer, inner, norm) for outer, inner in itertools.pairwise(maps))
        self.mu, self.logvar = nn.Linear(maps[-1], z_dim), nn.Linear(maps[-1], z_dim)
        self.apply(init_xavier)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """``[N, channels, H, W]`` -> ``(mu, logvar)``, float32 ``[N, z_dim]``.

        Raises:
            UserError: a side is too short.
        """
        check_sides(images, least=self.least)
        x = self.stem(to_compute(images))
        for block in self.blocks:
            x = block(x)
        x = F.leaky_relu(x, 0.2).float().mean((2, 3))
        return self.mu(x), self.logvar(x)


def least_encoded(kind: Kind, layers: int, norm: Norm) -> int:
    """The shortest side that a `StyleEncoder` takes.

    One value for each map can't be normalised; residual blocks normalise before they halve.

    Example:
        >>> least_encoded("resnet", 4, "instance"), least_encoded("conv", 4, "instance")
        (16, 32)
    """
    return 1 << (layers if kind == "resnet" or norm == "none" else layers + 1)


class _Block(nn.Module):
    """Normalisation, activation and convolution twice, then half the size; beside it half the size and a 1x1.

    The activation works in place in the authors' code, so what is beside sees it where there is no normalisation.
    """

    def __init__(self, inputs: int, outputs: int, norm: Norm) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm_layer(norm, inputs), norm_layer(norm, inputs)
        self.conv1, self.conv2 = Conv2d(inputs, inputs, 3, 1, 1), Conv2d(inputs, outputs, 3, 1, 1)
        self.shortcut = Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, inputs, H, W]`` -> ``[N, outputs, H // 2, W // 2]``."""
        active = F.leaky_relu(self.norm1(x), 0.2)
        x = active if isinstance(self.norm1, nn.Identity) else x
        inner = self.conv1(active)
        inner = self.conv2(F.leaky_relu(self.norm2(inner), 0.2))
        short: Tensor = self.shortcut(F.avg_pool2d(x, 2))
        return F.avg_pool2d(inner, 2) + short


def _halving(inputs: int, outputs: int, norm: Norm) -> nn.Module:
    """The activation stands before the convolution: after the last one, it is the encoder's own."""
    conv = Conv2d(inputs, outputs, 4, 2, 1)
    return nn.Sequential(OrderedDict(act=nn.LeakyReLU(0.2), conv=conv, norm=norm_layer(norm, outputs)))
