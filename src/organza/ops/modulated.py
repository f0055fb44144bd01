"""Modulated convolution with weight demodulation (Karras et al. 2020, arXiv 1912.04958, section 2.2, eq. 1-3)."""

from __future__ import annotations

import torch
from torch import Tensor

from organza.ops.bias_act import bias_act
from organza.ops.conv import conv2d_resample
from organza.ops.folded import fits, modulated
from organza.ops.twins import reference, tracing


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    noise: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: int = 0,
    resample_filter: Tensor | None = None,
    demodulate: bool = True,
    *,
    bias: Tensor | None = None,
    act: str = "linear",
    gain: float = 1.0,
    clamp: float | None = None,
) -> Tensor:
    """Convolve each image with its own weights ``weight * styles``, scaled to unit norm if ``demodulate``.

    Args:
        x: ``[N, I, H, W]``.
        weight: ``[O, I, k, k]``, float32.
        styles: ``[N, I]``, one factor for each input channel.
        noise: added to the result; broadcastable to ``[N, 1, H * up // down, W * up // down]``.
        up: see `conv2d_resample`.
        down: see `conv2d_resample`.
        padding: see `conv2d_resample`.
        resample_filter: see `conv2d_resample`.
        demodulate: divide each filter by its norm (eq. 3).
        bias: ``[O]``; it, ``act``, ``gain`` and ``clamp`` are the layer's tail, see `bias_act`.
        act: a name in `ACTIVATIONS`.
        gain: factor on the activation.
        clamp: limit on the result.

    Returns:
        ``[N, O, H * up // down, W * up // down]`` in the dtype of ``x``.

    Example:
        >>> modulated_conv2d(torch.ones(2, 3, 4, 4), torch.ones(5, 3, 3, 3), torch.ones(2, 3), padding=1).shape
        torch.Size([2, 5, 4, 4])
    """
    if reference():
        y = _reference(x, weight, styles, up, down, padding, resample_filter, demodulate)
        return bias_act(y, bias, act, gain=gain, clamp=clamp, noise=noise)
    if weight.shape[2:] == (1, 1) and not demodulate and up == down == 1 and padding == 0:
        # A matrix product for each image, with weights small enough to modulate themselves.
        weights = (weight[:, :, 0, 0] * styles[:, None]).to(x.dtype)
        pixels = x.permute(0, 2, 3, 1).flatten(1, 2) @ weights.transpose(1, 2)
        y = pixels.reshape(len(x), *x.shape[2:], len(weight)).permute(0, 3, 1, 2)
        return bias_act(y, bias, act, gain=gain, clamp=clamp, noise=noise)
    if fits(weight, up, down, act, gain):
        return modulated(x, weight, styles, noise, up, padding, resample_filter, demodulate, bias, act, gain, clamp)
    # The sum of squares over a modulated filter is a matrix product of squared styles and squared filter norms, so
    # one convolution with shared weights serves the batch: scale what enters and what leaves it.
    scale = None
    if demodulate:
        scale = (styles.square() @ weight.square().sum((2, 3)).t() + 1e-8).rsqrt()
    x = x * styles.to(x.dtype)[:, :, None, None]
    y = conv2d_resample(x, weight, resample_filter, up, down, padding)
    return bias_act(y, bias, act, gain=gain, clamp=clamp, scale=scale, noise=noise, overwrite=True)


def _reference(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    up: int,
    down: int,
    padding: int,
    resample_filter: Tensor | None,
    demodulate: bool,
) -> Tensor:
    """As plain programs train: the images scaled instead of the weights, which are only made for their norms."""
    y = conv2d_resample(x * styles.to(x.dtype)[:, :, None, None], weight, resample_filter, up, down, padding)
    if not demodulate:
        return y
    if tracing():  # in a graph, what follows from weights alone is a constant, and small
        return y * (styles.square() @ weight.square().sum((2, 3)).t() + 1e-8).rsqrt().to(y.dtype)[:, :, None, None]
    weights = weight[None] * styles[:, None, :, None, None]
    norms = torch.rsqrt(weights.square().sum((2, 3, 4)) + 1e-8)
    return y * norms.to(y.dtype)[:, :, None, None]
