"""The networks of CartoonGAN, and what its discriminator is shown beside cartoons: the same with smoothed edges.

Chen et al. 2018, figure 2, with the borders of the PyTorch code (znxlwm): zeros. In each resampling step a second
convolution follows the first without anything between them.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from organza.core.device import to_compute
from organza.media.edges import edge_smoothed
from organza.media.images import to_pixels, to_tensor
from organza.nn.initial import init_normal
from organza.nn.norms import Norm, norm_layer
from organza.nn.pyramid import Conv2d, ConvTranspose2d
from organza.nn.resnet import ResidualBlock, same_size
from organza.nn.sides import check_sides

LAYERS_D = ((1, 1, False), (2, 2, False), (4, 1, True), (4, 2, False), (8, 1, True), (8, 1, True))
"""Feature maps, as multiples of the first layer's, stride and normalisation of the discriminator's layers."""


class CartoonGenerator(nn.Module):
    """A photograph ``[N, inputs, H, W]`` to a cartoon ``[N, outputs, H, W]`` in [-1, 1]; sides are multiples of 4.

    Args:
        inputs, outputs: channels.
        width: feature maps at full size; doubled at each of two halvings.
        blocks: residual blocks.
        norm: normalisation.
    """

    multiple, least = 4, 8

    def __init__(self, inputs: int, outputs: int, width: int = 64, blocks: int = 8, norm: Norm = "instance") -> None:
        super().__init__()

        def down(outer: int, inner: int) -> nn.Module:
            convs = Conv2d(outer, inner, 3, 2, 1), same_size(inner, inner, 3, "zero", True)
            return nn.Sequential(*convs, norm_layer(norm, inner), nn.ReLU(inplace=True))

        def up(inner: int, outer: int) -> nn.Module:
            larger = ConvTranspose2d(inner, outer, 3, 2, 1, output_padding=1)
            conv = same_size(outer, outer, 3, "zero", True)
            return nn.Sequential(larger, conv, norm_layer(norm, outer), nn.ReLU(inplace=True))

        stem = same_size(inputs, width, 7, "zero", True)
        self.stem = nn.Sequential(stem, norm_layer(norm, width), nn.ReLU(inplace=True))
        self.downs = nn.ModuleList(down(width << k, width << (k + 1)) for k in range(2))
        self.blocks = nn.ModuleList(ResidualBlock(4 * width, norm, padding="zero", bias=True) for _ in range(blocks))
        self.ups = nn.ModuleList(up(width << (k + 1), width << k) for k in (1, 0))
        self.head = same_size(width, outputs, 7, "zero", True)
        self.apply(init_normal)

    def forward(self, images: Tensor) -> Tensor:
        """See above; float32.

        Raises:
            UserError: a side is not a multiple of 4, or below 8.
        """
        check_sides(images, self.multiple, self.least)
        x = self.stem(to_compute(images))
        for layer in (*self.downs, *self.blocks, *self.ups):
            x = layer(x)
        return torch.tanh(self.head(x.float()))


class CartoonCritic(nn.Module):
    """Images ``[N, C, H, W]`` to logits ``[N, 1, H/4, W/4]``, rounded up.

    Args:
        channels: of the images.
        width: feature maps of the first layer; up to eight times as many.
        norm: normalisation of half of the layers.
    """

    def __init__(self, channels: int, width: int = 32, norm: Norm = "instance") -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = channels
        for times, stride, normal in (
            (1, 1, False),
            (2, 2, False),
            (4, 1, True),
            (4, 2, False),
            (8, 1, True),
            (8, 1, True),
        ):
            parts = [Conv2d(inputs, times * width, 3, stride, 1)]
            layers.append(
                nn.Sequential(*parts, norm_layer(norm if normal else "none", times * width), nn.LeakyReLU(0.2))
            )
            inputs = times * width
        self.layers = nn.ModuleList(layers)
        self.head = Conv2d(inputs, 1, 3, 1, 1)
        self.apply(init_normal)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """See above; float32. There is no condition.

        Raises:
            UserError: a side is below 8.
        """
        check_sides(images, least=8)
        x = to_compute(images)
        for layer in self.layers:
            x = layer(x)
        logits: Tensor = self.head(x.float())
        return logits


def with_smooth_edges(images: Tensor) -> Tensor:
    """Images ``[N, C, H, W]`` in [-1, 1], blurred around their edges: see `organza.media.edges.edge_smoothed`."""
    if images.is_meta:
        return images
    smoothed = np.stack([edge_smoothed(pixels) for pixels in to_pixels(images)])
    return to_tensor(smoothed, images.device)
