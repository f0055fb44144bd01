"""Spectral normalisation: a layer whose weight is divided by its largest singular value.

Takeru Miyato, Toshiki Kataoka, Masanori Koyama, Yuichi Yoshida: Spectral Normalization for Generative Adversarial
Networks. ICLR 2018, arXiv 1802.05957, section 2.1 and algorithm 1.

The singular vectors are buffers: each forward pass in training moves them by one power iteration, in evaluation they
stay. So a checkpoint holds them, and as every part of a batch begins with the same vectors and the same weight, all
parts come to the same new ones.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from organza.ops import conv2d

EPS = 1e-12
"""Vectors shorter than this are not stretched to length 1."""


class _Spectral(nn.Module):
    """What the layers share; a subclass has a ``weight`` before `_begin` is called.

    Attributes:
        weight: the parameter, not divided.
        u, v: estimates of the singular vectors ``[outputs]`` and ``[inputs]`` of the weight as a matrix.
    """

    weight: nn.Parameter
    u: Tensor
    v: Tensor

    def _begin(self) -> None:
        matrix = self.weight.flatten(1)
        self.register_buffer("u", _unit(torch.randn(matrix.shape[0])))
        self.register_buffer("v", _unit(torch.randn(matrix.shape[1])))

    def normal_weight(self) -> Tensor:
        """The weight over its largest singular value; in training, after one more power iteration (algorithm 1)."""
        matrix = self.weight.flatten(1)
        if self.training:
            with torch.no_grad():
                self.v.copy_(F.normalize(matrix.t() @ self.u, dim=0, eps=EPS))
                self.u.copy_(F.normalize(matrix @ self.v, dim=0, eps=EPS))
        u, v = self.u.clone(), self.v.clone()  # a later pass changes the buffers, which this one's gradient needs
        return self.weight / (u @ (matrix @ v))


class SpectralConv2d(_Spectral):
    """A convolution ``[N, I, H, W] -> [N, O, ...]`` without padding.

    Example:
        >>> layer = SpectralConv2d(3, 4, kernel=4, stride=2).train()
        >>> layer(torch.zeros(2, 3, 10, 8)).shape
        torch.Size([2, 4, 4, 3])
        >>> sorted(layer.state_dict())
        ['bias', 'u', 'v', 'weight']
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, bias: bool = True) -> None:
        super().__init__()
        plain = nn.Conv2d(inputs, outputs, kernel, bias=bias)  # for how it starts
        self.weight, self.bias, self.stride = nn.Parameter(plain.weight), plain.bias, stride
        self._begin()

    def forward(self, x: Tensor) -> Tensor:
        """``[N, inputs, H, W]`` -> ``[N, outputs, (H - kernel) // stride + 1, ...]``."""
        return conv2d(x, self.normal_weight(), self.bias, self.stride, 0)


class SpectralLinear(_Spectral):
    """A linear layer ``[N, inputs] -> [N, outputs]`` without bias."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.Linear(inputs, outputs, bias=False).weight)
        self._begin()

    def forward(self, x: Tensor) -> Tensor:
        """``[N, inputs]`` -> ``[N, outputs]``."""
        return x @ self.normal_weight().t()


def _unit(x: Tensor) -> Tensor:
    return x / x.square().sum().sqrt()
