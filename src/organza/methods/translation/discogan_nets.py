"""DiscoGAN's networks (arXiv 1703.05192), as in the authors' code: halvings, then doublings, without skips.

The authors' images are in [0, 1] and leave through a sigmoid; these networks take and give [-1, 1] and map to that
inside, so that they compute what the authors' do. Weights start as PyTorch starts them.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from organza.core.device import to_compute
from organza.nn.pyramid import Conv2d, ConvTranspose2d
from organza.nn.sides import check_sides


class DiscoGenerator(nn.Module):
    """An image ``[N, in_channels, H, W]`` to an image ``[N, out_channels, H, W]``, both in [-1, 1].

    Args:
        in_channels: of the input.
        out_channels: of the output.
        depth: halvings.
        width: feature maps after the first; doubled at each, up to ``8 * width``.
        core: size of the innermost map in training.
        bottleneck: maps of a single pixel in the middle; 0 leaves it out.

    Example:
        >>> DiscoGenerator(1, 3, depth=2, width=4, core=(4, 4), bottleneck=5)(torch.zeros(2, 1, 16, 16)).shape
        torch.Size([2, 3, 16, 16])
    """

    def __init__(
        self, in_channels: int, out_channels: int, depth: int, width: int, core: tuple[int, int], bottleneck: int = 0
    ) -> None:
        super().__init__()
        maps = _maps(width, depth)
        self.multiple = 2**depth
        self.least = max(core) * self.multiple if bottleneck else 1
        self.downs = nn.ModuleList(
            _layer(Conv2d(outer, inner, 4, 2, 1, bias=False), inner if level else 0)
            for level, (outer, inner) in enumerate(itertools.pairwise([in_channels, *maps]))
        )
        self.inner = nn.ModuleList()
        if bottleneck:
            self.inner.append(_layer(Conv2d(maps[-1], bottleneck, core, bias=False), bottleneck))
            self.inner.append(_layer(ConvTranspose2d(bottleneck, maps[-1], core, bias=False), maps[-1], nn.ReLU()))
        self.ups = nn.ModuleList(
            _layer(ConvTranspose2d(inner, outer, 4, 2, 1, bias=False), outer, nn.ReLU())
            for inner, outer in itertools.pairwise(maps[::-1])
        )
        self.head = ConvTranspose2d(maps[0], out_channels, 4, 2, 1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """``[N, in_channels, H, W]`` -> ``[N, out_channels, H, W]``, float32, in [-1, 1].

        Raises:
            UserError: a side is not a multiple of ``2**depth``, or too short.
        """
        check_sides(images, self.multiple, self.least)
        x = to_compute((images + 1) / 2)
        for layer in (*self.downs, *self.inner, *self.ups):
            x = layer(x)
        return 2 * torch.sigmoid(self.head(x.float())) - 1


class DiscoDiscriminator(nn.Module):
    """Images ``[N, in_channels, H, W]`` in [-1, 1] to logits ``[N, 1, h, w]``: one, at the size in training.

    Args:
        in_channels: of the images.
        core: size of the innermost map in training.
        depth, width: as of `DiscoGenerator`.

    Example:
        >>> logits, features = DiscoDiscriminator(3, (4, 4), depth=2, width=4).features(torch.zeros(2, 3, 16, 16))
        >>> logits.shape, [tuple(feature.shape) for feature in features]
        (torch.Size([2, 1, 1, 1]), [(2, 8, 4, 4)])
    """

    def __init__(self, in_channels: int, core: tuple[int, int], depth: int, width: int) -> None:
        super().__init__()
        maps = _maps(width, depth)
        self.least = max(core) << depth
        self.downs = nn.ModuleList(
            _layer(Conv2d(outer, inner, 4, 2, 1, bias=False), inner if level else 0)
            for level, (outer, inner) in enumerate(itertools.pairwise([in_channels, *maps]))
        )
        self.head = Conv2d(maps[-1], 1, core, bias=False)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """``[N, in_channels, H, W]`` -> logits, float32; there is no condition.

        Raises:
            UserError: a side is too short.
        """
        return self.features(images)[0]

    def features(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits, and the features of all layers but the first and the last, ``[N, maps, h, w]``, float32."""
        check_sides(images, least=self.least)
        x, found = to_compute((images + 1) / 2), []
        for layer in self.downs:
            x = layer(x)
            found.append(x.float())
        logits: Tensor = self.head(x.float())
        return logits, found[1:] or found


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation that takes its running statistics where the batch has a single value for each map.

    A bottleneck of one image has; PyTorch refuses that in training.
    """

    def forward(self, x: Tensor) -> Tensor:
        """``[N, maps, h, w]`` -> the same shape."""
        if x.numel() > x.shape[1] or self.running_mean is None:
            return super().forward(x)
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)


def _maps(width: int, depth: int) -> list[int]:
    return [width * min(2**level, 8) for level in range(depth)]


def _layer(conv: nn.Module, normed: int, act: nn.Module | None = None) -> nn.Module:
    norm = BatchNorm(normed) if normed else nn.Identity()
    return nn.Sequential(OrderedDict(conv=conv, norm=norm, act=act or nn.LeakyReLU(0.2)))
