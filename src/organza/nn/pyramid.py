"""Plain convolution pyramids, as in DCGAN: a vector up to an image, and an image down to a vector.

Each level doubles or halves the size with a 4x4 kernel; the innermost map is ``H / 2^levels`` by ``W / 2^levels``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from organza.core.device import to_compute
from organza.core.errors import UserError
from organza.nn.initial import init_normal
from organza.ops import bias_act, conv2d, conv_transpose2d

Norm = Callable[[int], nn.Module]


def levels(resolution: tuple[int, int]) -> int:
    """How often an image is halved until its short side is 4 to 7.

    Raises:
        UserError: a side is not a multiple of the power of two that this takes.

    Example:
        >>> levels((64, 64)), levels((64, 96)), levels((28, 28))
        (4, 4, 2)
    """
    count, short = 0, min(resolution)
    while short >= 8 and short % 2 == 0:
        count, short = count + 1, short // 2
    if short > 7 or count == 0 or any(side % 2**count for side in resolution):
        raise UserError(
            f"these networks can't halve {resolution[0]}x{resolution[1]} down to a few pixels",
            hint="take a --resolution whose sides are 4 to 7 times a power of two, such as 64 or 96",
        )
    return count


class Conv2d(nn.Conv2d):
    """`torch.nn.Conv2d` of one stride and padding, in the format of its input, with fast second derivatives."""

    def forward(self, x: Tensor) -> Tensor:
        """``[N, I, H, W]`` -> ``[N, O, ...]``."""
        assert isinstance(self.padding, tuple)
        padding = self.padding[0]
        if self.padding_mode != "zeros":
            x, padding = F.pad(x, [padding] * 4, mode=self.padding_mode), 0
        return conv2d(x, self.weight, self.bias, self.stride[0], padding)


class ConvTranspose2d(nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d` in the same way; its output padding is at most its padding."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """``[N, I, H, W]`` -> ``[N, O, ...]``."""
        assert isinstance(self.padding, tuple)
        padding, more = self.padding[0], self.output_padding[0]
        assert more <= padding
        if more == 0:
            y = conv_transpose2d(x, self.weight, self.stride[0], padding)
        else:  # the whole result, less the padding; output padding is a padding that is smaller at the far ends
            y = conv_transpose2d(x, self.weight, self.stride[0])
            far = padding - more
            y = y[:, :, padding : y.shape[2] - far, padding : y.shape[3] - far]
        return bias_act(y, self.bias, overwrite=more == 0)


class Decoder(nn.Module):
    """A vector ``[N, z_dim]`` to an image ``[N, C, H, W]`` in [-1, 1] through transposed convolutions and tanh.

    Args:
        z_dim: length of the vector.
        resolution: height and width of the image.
        channels: of the image.
        width: feature maps at the outermost level; doubled at each level inwards, up to ``16 * width``.
        norm: normalisation of a number of feature maps.
    """

    def __init__(self, z_dim: int, resolution: tuple[int, int], channels: int, width: int, norm: Norm) -> None:
        super().__init__()
        depth = levels(resolution)
        maps = [min(width * 2**k, width * 16) for k in range(depth)][::-1]
        core = (resolution[0] >> depth, resolution[1] >> depth)
        layers: list[nn.Module] = [
            nn.Unflatten(1, (z_dim, 1, 1)),
            ConvTranspose2d(z_dim, maps[0], core, bias=False),
            norm(maps[0]),
            nn.ReLU(inplace=True),
        ]
        for inner, outer in itertools.pairwise(maps):
            layers += [ConvTranspose2d(inner, outer, 4, 2, 1, bias=False), norm(outer), nn.ReLU(inplace=True)]
        layers += [ConvTranspose2d(maps[-1], channels, 4, 2, 1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.apply(init_normal)

    def logits(self, z: Tensor) -> Tensor:
        """The image before tanh ``[N, C, H, W]``, float32."""
        _, *inner, _ = self.layers
        x = to_compute(z[:, :, None, None])
        for layer in inner:
            x = layer(x)
        return x.float()

    def forward(self, z: Tensor) -> Tensor:
        """``[N, z_dim]`` -> ``[N, C, H, W]``."""
        images: Tensor = self.layers[-1](self.logits(z))
        return images


def first_of_decoder(net: nn.Module) -> Tensor:
    """The weights ``[features, z_dim]`` with which a `Decoder` reads its vector."""
    assert isinstance(net, Decoder)
    # A transposed convolution keeps its inputs first.
    return net.layers[1].get_parameter("weight").flatten(1).t()


class Encoder(nn.Module):
    """An image ``[N, C, H, W]`` to a vector ``[N, outputs]`` through strided convolutions and LeakyReLU(0.2).

    Args:
        outputs: length of the vector.
        resolution: height and width of the image.
        channels: of the image.
        width: feature maps at the outermost level; doubled at each level inwards, up to ``16 * width``.
        norm: normalisation of a number of feature maps; the outermost level has none.
    """

    def __init__(self, outputs: int, resolution: tuple[int, int], channels: int, width: int, norm: Norm) -> None:
        super().__init__()
        depth = levels(resolution)
        maps = [min(width * 2**k, width * 16) for k in range(depth)]
        core = (resolution[0] >> depth, resolution[1] >> depth)
        layers: list[nn.Module] = [Conv2d(channels, maps[0], 4, 2, 1), nn.LeakyReLU(0.2)]
        for outer, inner in itertools.pairwise(maps):
            layers += [Conv2d(outer, inner, 4, 2, 1, bias=False), norm(inner), nn.LeakyReLU(0.2)]
        layers += [Conv2d(maps[-1], outputs, core), nn.Flatten()]
        self.layers = nn.Sequential(*layers)
        self.apply(init_normal)

    def forward(self, images: Tensor) -> Tensor:
        """``[N, C, H, W]`` -> ``[N, outputs]``."""
        *inner, last, flatten = self.layers
        x = to_compute(images)
        for layer in inner:
            x = layer(x)
        vectors: Tensor = flatten(last(x.float()))
        return vectors


def layer_norm(maps: int) -> nn.Module:
    """Normalisation over all of one image's features, with a gain and bias for each map."""
    return nn.GroupNorm(1, maps)
