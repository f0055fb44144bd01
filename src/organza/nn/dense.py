"""Fully connected networks between images and vectors, as in the first GAN and the first VAE."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

Activation = Callable[[], nn.Module]


def leaky() -> nn.Module:
    """LeakyReLU with slope 0.2."""
    return nn.LeakyReLU(0.2)


def chain(sizes: tuple[int, ...], act: Activation) -> nn.Sequential:
    """Linear layers of these sizes with an activation between them.

    Example:
        >>> [type(layer).__name__ for layer in chain((4, 8, 1), nn.ReLU)]
        ['Linear', 'ReLU', 'Linear']
    """
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), act()]
    return nn.Sequential(*layers[:-1])


class DenseDecoder(nn.Module):
    """A vector ``[N, inputs]`` to an image ``[N, C, H, W]`` in [-1, 1], by tanh.

    Args:
        inputs: length of the vector.
        resolution: height and width of the image.
        channels: of the image.
        hidden: units of the layers between.
        act: their activation.

    Example:
        >>> DenseDecoder(8, (28, 28), 1, (16,))(torch.zeros(2, 8)).shape
        torch.Size([2, 1, 28, 28])
    """

    def __init__(
        self,
        inputs: int,
        resolution: tuple[int, int],
        channels: int,
        hidden: tuple[int, ...],
        act: Activation = nn.ReLU,
    ) -> None:
        super().__init__()
        self.shape = (channels, *resolution)
        self.layers = chain((inputs, *hidden, math.prod(self.shape)), act)

    def logits(self, z: Tensor) -> Tensor:
        """The image before tanh ``[N, C, H, W]``, float32."""
        images: Tensor = self.layers(z)
        return images.float().reshape(z.shape[0], *self.shape)

    def forward(self, z: Tensor) -> Tensor:
        """``[N, inputs]`` -> ``[N, C, H, W]``."""
        return torch.tanh(self.logits(z))


def first_of_dense(net: nn.Module) -> Tensor:
    """The weights ``[features, inputs]`` with which a `DenseDecoder` reads its vector."""
    return net.get_parameter("layers.0.weight")


class DenseEncoder(nn.Module):
    """An image, or what else flattens to ``inputs`` numbers, to a vector ``[N, outputs]``.

    Args:
        inputs: numbers of an image, and of what is joined to them.
        outputs: length of the vector.
        hidden: units of the layers between.
        act: their activation.
    """

    def __init__(self, inputs: int, outputs: int, hidden: tuple[int, ...], act: Activation = leaky) -> None:
        super().__init__()
        self.layers = chain((inputs, *hidden, outputs), act)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, ...]`` -> ``[N, outputs]``."""
        vectors: Tensor = self.layers(x.flatten(1))
        return vectors.float()
