"""Adaptive layer-instance normalisation: a learned mixture of two normalisations, for each feature map.

Junho Kim, Minjae Kim, Hyeonwoo Kang, Kwanghee Lee: U-GAT-IT: Unsupervised Generative Attentional Networks with Adaptive
Layer-Instance Normalization for Image-to-Image Translation. ICLR 2020, arXiv 1907.10830, equation 1.

``rho`` is the share of instance normalisation. It is a parameter like any other, and must be brought back into [0, 1]
after each step: see `clip_rho`. Variances are unbiased, as in the code of the published results. `SoftAdaLIN` is the
form of minivision's photo2cartoon.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

EPS = 1e-5
"""Added to variances."""


class AdaLIN(nn.Module):
    """Normalisation whose gain and bias come with the features, as a style.

    Args:
        maps: feature maps.

    Attributes:
        rho: ``[maps]``; it starts at 0.9, near instance normalisation.

    Example:
        >>> x, style = torch.randn(2, 3, 4, 5), torch.ones(2, 3)
        >>> AdaLIN(3)(x, gain=style, bias=style).shape
        torch.Size([2, 3, 4, 5])
    """

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.full([maps], 0.9))

    def forward(self, x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
        """``[N, maps, H, W]``, at least two pixels, with gain and bias ``[N, maps]`` -> the same shape."""
        y = mixed(x, self.rho) * gain[:, :, None, None] + bias[:, :, None, None]
        return y.to(x.dtype)


class LIN(nn.Module):
    """The same with a gain and a bias of its own for each map.

    Attributes:
        rho, gain, bias: ``[maps]``; rho starts at 0, which is layer normalisation.
    """

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.zeros(maps))
        self.gain = nn.Parameter(torch.ones(maps))
        self.bias = nn.Parameter(torch.zeros(maps))

    def forward(self, x: Tensor) -> Tensor:
        """``[N, maps, H, W]``, at least two pixels -> the same shape."""
        y = mixed(x, self.rho) * self.gain[:, None, None] + self.bias[:, None, None]
        return y.to(x.dtype)


class SoftAdaLIN(AdaLIN):
    """AdaLIN whose gain and bias mix what the image's content asks for with what the style asks for.

    As in minivision's photo2cartoon: ``gain = (1 - w) style + w content`` for each map, the same for the bias, each
    with weights of its own. They start at 0, all style, and must be kept in [0, 1]: see `clip_w`.

    Args:
        maps: feature maps, and length of both vectors.

    Attributes:
        w_gain, w_bias: ``[maps]``, the content's share.

    Example:
        >>> layer, vector = SoftAdaLIN(3), torch.ones(2, 3)
        >>> layer(torch.randn(2, 3, 4, 5), content=vector, style=vector).shape
        torch.Size([2, 3, 4, 5])
    """

    def __init__(self, maps: int) -> None:
        super().__init__(maps)
        self.w_gain, self.w_bias = nn.Parameter(torch.zeros(maps)), nn.Parameter(torch.zeros(maps))
        self.content_gain, self.content_bias = (
            nn.Sequential(nn.Linear(maps, maps), nn.ReLU(), nn.Linear(maps, maps)) for _ in range(2)
        )
        self.style_gain, self.style_bias = nn.Linear(maps, maps), nn.Linear(maps, maps)

    def forward(self, x: Tensor, content: Tensor, style: Tensor) -> Tensor:
        """``[N, maps, H, W]``, at least two pixels, with two vectors ``[N, maps]`` -> the same shape."""
        gain = torch.lerp(self.style_gain(style), self.content_gain(content), self.w_gain)
        bias = torch.lerp(self.style_bias(style), self.content_bias(content), self.w_bias)
        return super().forward(x, gain, bias)


def mixed(x: Tensor, rho: Tensor) -> Tensor:
    """``rho`` parts normalised over each map, ``1 - rho`` over each image: equation 1 without gain and bias.

    Args:
        x: ``[N, maps, H, W]``.
        rho: ``[maps]``.

    Returns:
        ``[N, maps, H, W]``, float32.
    """
    x, share = x.float(), rho[:, None, None]
    return share * _normal(x, (2, 3)) + (1 - share) * _normal(x, (1, 2, 3))


def _normal(x: Tensor, over: tuple[int, ...]) -> Tensor:
    variance, mean = torch.var_mean(x, over, correction=1, keepdim=True)
    return (x - mean) * (variance + EPS).rsqrt()


@torch.no_grad()
def clip_rho(net: nn.Module) -> None:
    """Bring every rho of a network back into [0, 1], in place: after each optimizer step (section 2.1.1)."""
    for layer in net.modules():
        if isinstance(layer, (AdaLIN, LIN)):
            layer.rho.clamp_(0, 1)


@torch.no_grad()
def clip_w(net: nn.Module) -> None:
    """Bring the shares of every `SoftAdaLIN` back into [0, 1], in place: after each optimizer step."""
    for layer in net.modules():
        if isinstance(layer, SoftAdaLIN):
            layer.w_gain.clamp_(0, 1)
            layer.w_bias.clamp_(0, 1)
