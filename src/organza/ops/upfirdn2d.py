"""Upsample, filter and downsample pictures in one operation, and its usual special cases.

The name is the classic one of signal processing: insert zeros, apply a finite impulse response, drop samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from organza.ops.twins import apply, reference

Padding = int | Sequence[int]


def setup_filter(taps: Sequence[float], *, normalize: bool = True) -> Tensor:
    """The 2-D filter ``[K, K]`` whose rows and columns are ``taps``, float32; it sums to 1 if ``normalize``.

    Example:
        >>> setup_filter([1, 1])
        tensor([[0.2500, 0.2500],
                [0.2500, 0.2500]])
    """
    line = torch.tensor(taps, dtype=torch.float32)
    plane = line[:, None] * line[None, :]
    return plane / plane.sum() if normalize else plane


def _four(padding: Padding) -> tuple[int, int, int, int]:
    """Padding as (left, right, top, bottom)."""
    if isinstance(padding, int):
        return padding, padding, padding, padding
    if len(padding) == 2:
        x, y = padding
        return x, x, y, y
    left, right, top, bottom = padding
    return left, right, top, bottom


def upfirdn2d(
    x: Tensor,
    f: Tensor,
    up: int = 1,
    down: int = 1,
    padding: Padding = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """Insert ``up - 1`` zeros after each pixel, pad, convolve each channel with ``f``, keep each ``down``-th pixel.

    Args:
        x: ``[N, C, H, W]``.
        f: ``[fh, fw]``, see `setup_filter`.
        up: upsampling factor of both axes.
        down: downsampling factor of both axes.
        padding: of the upsampled picture, in pixels: one number, (x, y), or (left, right, top, bottom); negative crops.
        flip_filter: correlate instead of convolve.
        gain: factor on the result.

    Returns:
        ``[N, C, (H * up + top + bottom - fh) // down + 1, ...]`` in the dtype of ``x``.

    Example:
        >>> upfirdn2d(torch.ones(1, 1, 2, 2), torch.ones(1, 1), up=2)[0, 0, 0].tolist()
        [1.0, 0.0, 1.0, 0.0]
    """
    pad = _four(padding)
    if reference():
        return _reference(x, f, up, down, pad, flip_filter, gain)
    return apply(_Upfirdn, x, f.detach(), up, down, pad, flip_filter, gain)


def filter2d(x: Tensor, f: Tensor, padding: Padding = 0, gain: float = 1.0) -> Tensor:
    """Filter without changing the size (for a ``padding`` of 0).

    Example:
        >>> filter2d(torch.ones(1, 1, 4, 4), setup_filter([1, 2, 1])).shape
        torch.Size([1, 1, 4, 4])
    """
    left, right, top, bottom = _four(padding)
    fh, fw = f.shape
    pad = (left + fw // 2, right + (fw - 1) // 2, top + fh // 2, bottom + (fh - 1) // 2)
    return upfirdn2d(x, f, padding=pad, gain=gain)


def upsample2d(x: Tensor, f: Tensor, up: int = 2) -> Tensor:
    """Enlarge ``up`` times, keeping brightness: ``[N, C, H, W] -> [N, C, H * up, W * up]``.

    Example:
        >>> upsample2d(torch.ones(1, 1, 8, 8), setup_filter([1, 3, 3, 1]))[0, 0, 7, 7].item()
        1.0
    """
    fh, fw = f.shape
    pad = ((fw + up - 1) // 2, (fw - up) // 2, (fh + up - 1) // 2, (fh - up) // 2)
    return upfirdn2d(x, f, up=up, padding=pad, gain=up * up)


def downsample2d(x: Tensor, f: Tensor, down: int = 2) -> Tensor:
    """Shrink ``down`` times: ``[N, C, H, W] -> [N, C, H // down, W // down]``.

    Example:
        >>> downsample2d(torch.ones(1, 1, 8, 8), setup_filter([1, 3, 3, 1])).shape
        torch.Size([1, 1, 4, 4])
    """
    fh, fw = f.shape
    pad = ((fw - down + 1) // 2, (fw - down) // 2, (fh - down + 1) // 2, (fh - down) // 2)
    return upfirdn2d(x, f, down=down, padding=pad)


def _reference(
    x: Tensor, f: Tensor, up: int, down: int, pad: tuple[int, int, int, int], flip: bool, gain: float
) -> Tensor:
    n, c, h, w = x.shape
    x = x.reshape(n, c, h, 1, w, 1)
    x = F.pad(x, (0, up - 1, 0, 0, 0, up - 1)).reshape(n, c, h * up, w * up)
    x = F.pad(x, pad)
    f = f.to(x.dtype) * gain
    f = f if flip else f.flip((0, 1))
    x = F.conv2d(x, f.expand(c, 1, *f.shape), groups=c)
    return x[:, :, ::down, ::down]


def _fast(x: Tensor, f: Tensor, up: int, down: int, pad: tuple[int, int, int, int], flip: bool, gain: float) -> Tensor:
    """Depthwise convolution: strided to shrink, transposed to enlarge, so that no zero or dropped pixel is computed."""
    c = x.shape[1]
    fh, fw = f.shape
    left, right, top, bottom = pad
    kernel = f.to(torch.float32) * gain if x.dtype == torch.bfloat16 else f.to(x.dtype) * gain
    if up == 1:
        kernel = kernel if flip else kernel.flip((0, 1))
        if left != right or top != bottom or left < 0 or top < 0:
            x = F.pad(x, pad)
            left = top = 0
        return F.conv2d(x, kernel.to(x.dtype).expand(c, 1, fh, fw), stride=down, padding=(top, left), groups=c)
    kernel = kernel.flip((0, 1)) if flip else kernel
    full = F.conv_transpose2d(x, kernel.to(x.dtype).expand(c, 1, fh, fw), stride=up, groups=c)
    # The full transposed convolution starts fw - 1 pixels early and ends up - 1 pixels short of the padded one.
    crop = (left - fw + 1, right - fw + up, top - fh + 1, bottom - fh + up)
    out = F.pad(full, crop) if any(crop) else full
    return out[:, :, ::down, ::down] if down > 1 else out


class _Upfirdn(torch.autograd.Function):
    """Linear in ``x``; its adjoint is of its own kind with ``up`` and ``down`` exchanged and the filter flipped."""

    @staticmethod
    def forward(
        x: Tensor, f: Tensor, up: int, down: int, pad: tuple[int, int, int, int], flip: bool, gain: float
    ) -> Tensor:
        return _fast(x, f, up, down, pad, flip, gain)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, f, ctx.up, ctx.down, (left, _, top, _), ctx.flip, ctx.gain = inputs
        ctx.save_for_backward(f)
        (h, w), (oh, ow), (fh, fw) = x.shape[2:], output.shape[2:], f.shape
        ctx.pad = (
            fw - 1 - left,
            w * ctx.up - ow * ctx.down + left - ctx.up + 1,
            fh - 1 - top,
            h * ctx.up - oh * ctx.down + top - ctx.up + 1,
        )

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (f,) = ctx.saved_tensors
        dx = apply(_Upfirdn, grad, f, ctx.down, ctx.up, ctx.pad, not ctx.flip, ctx.gain)
        return dx, None, None, None, None, None, None
