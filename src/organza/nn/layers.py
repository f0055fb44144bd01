"""Layers with equalised learning rates (Karras et al. 2018, arXiv 1710.10196, section 4.1).

Weights are stored with unit variance and scaled by He's constant at each use, so that Adam moves all layers alike.
Weights are float32; activations come in any format and keep it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from organza.ops import ACTIVATIONS, bias_act, conv2d, conv2d_resample, conv_transpose2d, inferring


class EqualLinear(nn.Module):
    """A fully connected layer ``[N, inputs] -> [N, outputs]``.

    Args:
        inputs: features in.
        outputs: features out.
        act: a name in `organza.ops.ACTIVATIONS`.
        bias_init: initial value of every bias.
        lr_multiplier: factor on the effective learning rate.
        gain_first: give the activation's gain to the weight (ProGAN, StyleGAN) instead of to the activation
            (StyleGAN2): then it does not reach the bias.
        share_bias: so many neighbouring features have one bias.

    Example:
        >>> EqualLinear(4, 2)(torch.zeros(3, 4)).shape
        torch.Size([3, 2])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        act: str = "linear",
        bias_init: float = 0.0,
        lr_multiplier: float = 1.0,
        gain_first: bool = False,
        share_bias: int = 1,
    ) -> None:
        super().__init__()
        self.act, self.share_bias = act, share_bias
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((outputs // share_bias,), bias_init / lr_multiplier))
        early, self.gain = _share(act, gain_first)
        self.weight_gain = early * lr_multiplier / inputs**0.5
        self.bias_gain = lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        """``[N, inputs] -> [N, outputs]``."""
        bias = self.bias * self.bias_gain if self.bias_gain != 1 else self.bias
        bias = bias.repeat_interleave(self.share_bias) if self.share_bias > 1 else bias
        if inferring():  # no scaled copy of the weight
            product = torch.addmm(bias, x, self.weight.t(), alpha=self.weight_gain)
            return bias_act(product, None, self.act, gain=self.gain)
        return bias_act(x @ (self.weight * self.weight_gain).t(), bias, self.act, gain=self.gain)


class EqualConv2d(nn.Module):
    """A convolution that may enlarge or shrink, with its activation.

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: its side.
        act: a name in `organza.ops.ACTIVATIONS`.
        bias: whether a bias is added.
        up: enlargement, see `organza.ops.conv2d_resample`.
        down: reduction.
        clamp: limit on activations.
        gain_first: as for `EqualLinear`.

    Example:
        >>> EqualConv2d(4, 2, 3)(torch.zeros(3, 4, 8, 8)).shape
        torch.Size([3, 2, 8, 8])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        act: str = "linear",
        bias: bool = True,
        up: int = 1,
        down: int = 1,
        clamp: float | None = None,
        gain_first: bool = False,
    ) -> None:
        super().__init__()
        self.act, self.up, self.down, self.clamp = act, up, down, clamp
        self.weight = nn.Parameter(conv_weight(outputs, inputs, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        early, self.gain = _share(act, gain_first)
        self.weight_gain = early * (inputs * kernel**2) ** -0.5

    def forward(self, x: Tensor, resample_filter: Tensor | None = None, gain: float = 1.0) -> Tensor:
        """``[N, inputs, H, W] -> [N, outputs, H * up // down, W * up // down]``; ``gain`` scales result and clamp."""
        return conv2d_resample(
            x,
            self.weight * self.weight_gain,
            resample_filter,
            self.up,
            self.down,
            padding=self.weight.shape[2] // 2,
            bias=self.bias,
            act=self.act,
            gain=self.gain * gain,
            clamp=None if self.clamp is None else self.clamp * gain,
        )


def _share(act: str, gain_first: bool) -> tuple[float, float]:
    """How much of an activation's gain goes to the weight, and how much to the activation."""
    gain = ACTIVATIONS[act].gain
    return (gain, 1.0) if gain_first else (1.0, gain)


def conv_weight(outputs: int, inputs: int, kernel: int) -> Tensor:
    """A standard normal kernel ``[outputs, inputs, kernel, kernel]``, laid out channels last for fast convolutions.

    Example:
        >>> conv_weight(4, 2, 3).is_contiguous(memory_format=torch.channels_last)
        True
    """
    return torch.randn(outputs, inputs, kernel, kernel).to(memory_format=torch.channels_last)


def conv_up(x: Tensor, w: Tensor) -> Tensor:
    """Enlarge twice by repeating pixels, then convolve with a 3x3 kernel, as one transposed convolution.

    Args:
        x: ``[N, I, H, W]``.
        w: ``[O, I, 3, 3]``.

    Returns:
        ``[N, O, 2 H, 2 W]``.

    Example:
        >>> x, w = torch.randn(1, 2, 4, 4), torch.randn(3, 2, 3, 3)
        >>> plain = F.conv2d(F.interpolate(x, scale_factor=2), w, padding=1)
        >>> torch.allclose(conv_up(x, w), plain, atol=1e-5)
        True
    """
    return conv_transpose2d(x, _smear(w.flip((2, 3))).transpose(0, 1), stride=2, padding=1)


def conv_down(x: Tensor, w: Tensor) -> Tensor:
    """Convolve with a 3x3 kernel, then average 2x2 pixels, as one convolution with stride.

    Args:
        x: ``[N, I, H, W]``.
        w: ``[O, I, 3, 3]``.

    Returns:
        ``[N, O, H / 2, W / 2]``.

    Example:
        >>> x, w = torch.randn(1, 2, 4, 4), torch.randn(3, 2, 3, 3)
        >>> torch.allclose(conv_down(x, w), F.avg_pool2d(F.conv2d(x, w, padding=1), 2), atol=1e-5)
        True
    """
    return conv2d(x, _smear(w) / 4, stride=2, padding=1)


def _smear(w: Tensor) -> Tensor:
    """A 3x3 kernel summed with itself, moved by one pixel to the right, down, and both: 4x4."""
    w = F.pad(w, (0, 1)) + F.pad(w, (1, 0))
    return F.pad(w, (0, 0, 0, 1)) + F.pad(w, (0, 0, 1, 0))


def minibatch_stddev(x: Tensor, group: int, eps: float = 1e-8, channels: int = 1) -> Tensor:
    """Append channels with the mean standard deviation over groups of samples (Karras et al. 2018, section 3).

    Args:
        x: ``[N, C, H, W]``. Sample ``i`` is in a group with ``i + N / g``, ``i + 2 N / g`` ...
        group: largest group size ``g``; the greatest divisor of N up to it is used.
        eps: added to the variance.
        channels: so many are appended, each the mean over its share of C; the paper has one.

    Returns:
        ``[N, C + channels, H, W]``.

    Example:
        >>> minibatch_stddev(torch.zeros(6, 2, 4, 4), group=4).shape
        torch.Size([6, 3, 4, 4])
    """
    n, _, h, w = x.shape
    size = next(g for g in range(min(group, n), 0, -1) if n % g == 0)
    y = x.float().reshape(size, n // size, *x.shape[1:])
    y = (y - y.mean(0)).square().mean(0)
    y = (y + eps).sqrt().reshape(n // size, channels, -1).mean(2)
    extra = y.repeat(size, 1)[:, :, None, None].expand(n, channels, h, w)
    return torch.cat([x, extra.to(x.dtype, memory_format=torch.channels_last)], 1)
