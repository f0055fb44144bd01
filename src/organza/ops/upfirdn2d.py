"""Upsample, filter and downsample images in one operation, and its usual special cases.

The name is the classic one of signal processing: insert zeros, apply a finite impulse response, drop samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from organza.core.errors import UserError
from organza.ops import kernels
from organza.ops.twins import apply, reference

Padding = int | Sequence[int]


def setup_filter(taps: Sequence[float], *, normalize: bool = True) -> Tensor:
    """The 2-D filter ``[K, K]`` whose rows and columns are ``taps``, float32; it sums to 1 if ``normalize``.

    Raises:
        UserError: ``normalize`` something that sums to 0.

    Example:
        >>> setup_filter([1, 1])
        tensor([[0.2500, 0.2500],
                [0.2500, 0.2500]])
    """
    if normalize and not sum(taps):
        raise UserError(f"a filter with the taps {list(taps)} lets nothing through", hint="take such as 1 3 3 1")
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
        padding: of the upsampled image, in pixels: one number, (x, y), or (left, right, top, bottom); negative crops.
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
    (n, _, h, w), c = x.shape, int(x.shape[1])  # maps are a plain number also where sizes are traced for export
    x = x.reshape(n, c, h, 1, w, 1)
    x = F.pad(x, (0, up - 1, 0, 0, 0, up - 1)).reshape(n, c, h * up, w * up)
    x = F.pad(x, pad)
    f = f.to(x.dtype) * gain
    f = f if flip else f.flip((0, 1))
    x = F.conv2d(x, f.expand(c, 1, *f.shape), groups=c)
    return x[:, :, ::down, ::down]


def _fast(x: Tensor, f: Tensor, up: int, down: int, pad: tuple[int, int, int, int], flip: bool, gain: float) -> Tensor:
    """Depthwise convolutions that compute neither on inserted zeros nor, where only shrinking, what is dropped."""
    left, right, top, bottom = pad
    kernel = (f.flip((0, 1)) if flip else f) * gain
    if up > 1:
        out = _enlarge(x, kernel, up, pad)
        return out[:, :, ::down, ::down] if down > 1 else out
    if left != right or top != bottom or left < 0 or top < 0:
        x = F.pad(x, pad)
        left = top = 0
    return _depthwise(x, kernel, down, (top, left))


def _depthwise(x: Tensor, kernel: Tensor, stride: int, padding: tuple[int, int]) -> Tensor:
    c = x.shape[1]
    weights = kernel.flip((0, 1)).to(x.dtype).expand(c, 1, *kernel.shape)
    return F.conv2d(x, weights, stride=stride, padding=padding, groups=c)


def _enlarge(x: Tensor, kernel: Tensor, up: int, pad: tuple[int, int, int, int]) -> Tensor:
    """Polyphase filtering: each of the ``up * up`` interleaved images is ``x`` filtered with its share of the taps.

    (The obvious transposed depthwise convolution is twenty times slower in bf16.)
    """
    (n, c, h, w), (fh, fw) = x.shape, kernel.shape
    left, right, top, bottom = pad
    size = (h * up + top + bottom - fh + 1, w * up + left + right - fw + 1)
    rows = [_Share(first, up, h, size[0], fh, top) for first in range(up)]
    columns = [_Share(first, up, w, size[1], fw, left) for first in range(up)]
    channels_last = x.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    out = torch.empty((n, c, *size), dtype=x.dtype, device=x.device, memory_format=layout)
    if not all(share.complete for share in rows + columns):
        out.zero_()
    for row in rows:
        for column in columns:
            taps = kernel[row.taps, column.taps]
            if taps.numel():
                full = _depthwise(x, taps, 1, (taps.shape[0] - 1, taps.shape[1] - 1))
                out[:, :, row.target, column.target] = full[:, :, row.source, column.source]
    return out


class _Share:
    """One axis of one of the interleaved images: which taps make it, and which of its pixels go where."""

    def __init__(self, first: int, up: int, length: int, size: int, taps: int, before: int) -> None:
        start = first + taps - 1 - before  # of the result, counted from the first pixel that any tap reaches
        self.taps = slice(start % up, None, up)
        reached = length + len(range(taps)[self.taps]) - 1
        wanted = len(range(first, size, up))
        low, high = max(0, -(start // up)), min(wanted, reached - start // up)
        self.complete = low == 0 and high == wanted
        high = max(low, high)
        self.source = slice(start // up + low, start // up + high)
        self.target = slice(first + low * up, first + high * up, up)


class _Upfirdn(torch.autograd.Function):
    """Linear in ``x``; its adjoint is of its own kind with ``up`` and ``down`` exchanged and the filter flipped."""

    @staticmethod
    def forward(
        x: Tensor, f: Tensor, up: int, down: int, pad: tuple[int, int, int, int], flip: bool, gain: float
    ) -> Tensor:
        done = kernels.upfirdn(x, f, up, down, pad, flip, gain)
        return _fast(x, f, up, down, pad, flip, gain) if done is None else done

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
