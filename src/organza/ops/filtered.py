"""A nonlinearity that keeps signals band-limited (Karras et al. 2021, arXiv 2106.12423, sections 2 and 3.2).

A pointwise function adds frequencies that the pixel grid can't hold, and they come back as aliasing. So the image is
enlarged first, the function applied there, and a low-pass filter brings it back to the grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from organza.ops.bias_act import bias_act
from organza.ops.twins import reference
from organza.ops.upfirdn2d import upfirdn2d


def kaiser_beta(taps: int, width: float) -> float:
    """Shape of the Kaiser window for a filter of so many taps (appendix C.1, eq. 6 and 7).

    Args:
        taps: length of the filter.
        width: of the transition band, where 1 is half the sampling rate.

    Example:
        >>> round(kaiser_beta(12, 0.75), 4)
        6.4437
    """
    attenuation = 2.285 * (taps - 1) * math.pi * width + 7.95  # in decibels
    if attenuation > 50:
        return 0.1102 * (attenuation - 8.7)
    return 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21) if attenuation > 21 else 0.0


def lowpass(taps: int, cutoff: float, half_width: float, rate: float, *, radial: bool = False) -> Tensor:
    """A windowed low-pass filter that sums to 1 (appendix C.1).

    Args:
        taps: length of the filter.
        cutoff: where its response has fallen to a half.
        half_width: half of its transition band.
        rate: sampling rate, in the unit of ``cutoff``.
        radial: a filter of the plane with the same response in all directions, a jinc instead of a sinc.

    Returns:
        float32 ``[taps]``, or ``[taps, taps]`` if ``radial``.

    Example:
        >>> lowpass(12, 2.0, 6.0, 32.0).shape, lowpass(12, 2.0, 6.0, 32.0, radial=True).shape
        (torch.Size([12]), torch.Size([12, 12]))
    """
    # On the CPU, whatever the default device is: Kaiser windows and Bessel functions are not to be had everywhere.
    beta = kaiser_beta(taps, 4 * half_width / rate)
    window = torch.kaiser_window(taps, periodic=False, beta=beta, dtype=torch.float64, device="cpu")
    place = (torch.arange(taps, dtype=torch.float64, device="cpu") - (taps - 1) / 2) / rate
    if not radial:
        line = torch.sinc(2 * cutoff * place) * window
        return (line / line.sum()).float()
    radius = torch.hypot(place[:, None], place[None, :])
    argument = 2 * math.pi * cutoff * radius
    jinc = torch.where(radius == 0, 0.5, torch.special.bessel_j1(argument) / argument)
    plane = jinc * window[:, None] * window[None, :]
    return (plane / plane.sum()).float()


def filtered_lrelu(
    x: Tensor,
    up_filter: Tensor | None,
    down_filter: Tensor | None,
    up: int,
    down: int,
    padding: Sequence[int],
    *,
    gain: float = 2**0.5,
    slope: float = 0.2,
    clamp: float | None = None,
) -> Tensor:
    """Enlarge ``up`` times, leaky ReLU, shrink ``down`` times.

    Args:
        x: ``[N, C, H, W]``.
        up_filter: low-pass filter of the enlarged image, one axis ``[taps]``; None for ``up == 1`` leaves it out.
        down_filter: the same before shrinking, or a filter of the plane ``[taps, taps]``.
        up: enlargement.
        down: reduction.
        padding: (left, right, top, bottom) of the enlarged image; negative crops.
        gain: factor on the leaky ReLU.
        slope: of its negative side.
        clamp: limit on its result.

    Returns:
        ``[N, C, (H * up + top + bottom - taps_up - taps_down + 2 - 1) // down + 1, ...]`` in the dtype of ``x``.

    Example:
        >>> taps = torch.ones(2) / 2
        >>> filtered_lrelu(torch.ones(1, 1, 4, 4), taps, taps, up=2, down=2, padding=(1, 1, 1, 1)).shape
        torch.Size([1, 1, 4, 4])
    """
    left, right, top, bottom = padding
    if reference():
        x = upfirdn2d(x, _plane(up_filter, x), up=up, padding=(left, right, top, bottom), gain=up * up)
        x = bias_act(x, None, "lrelu", alpha=slope, gain=gain, clamp=clamp)
        return upfirdn2d(x, _plane(down_filter, x), down=down)
    if up_filter is None:
        x = upfirdn2d(x, _plane(None, x), up=up, padding=(left, right, top, bottom), gain=up * up)
    else:  # rows first: the first pass is the one on the smaller image
        x = _enlarge(_enlarge(x, up_filter * up, up, top, bottom, 2), up_filter * up, up, left, right, 3)
    x = bias_act(x, None, "lrelu", alpha=slope, gain=gain, clamp=clamp, overwrite=True)
    if down_filter is None or down_filter.ndim == 2:
        return x if down_filter is None and down == 1 else upfirdn2d(x, _plane(down_filter, x), down=down)
    return _shrink(_shrink(x, down_filter, down, 3), down_filter, down, 2)


def _plane(taps: Tensor | None, x: Tensor) -> Tensor:
    """A filter of the plane from that of an axis."""
    if taps is None:
        return torch.ones(1, 1, device=x.device)
    return taps if taps.ndim == 2 else taps[:, None] * taps[None, :]


def _along(x: Tensor, taps: Tensor, axis: int, **options: Any) -> Tensor:
    """Correlate each channel with ``taps`` along an axis."""
    c = x.shape[1]
    shape = (1, 1, -1, 1) if axis == 2 else (1, 1, 1, -1)
    stride = options.pop("stride", 1)
    weight = taps.to(x.dtype).reshape(shape).expand(c, *(-1,) * 3)
    return F.conv2d(x, weight, stride=(stride, 1) if axis == 2 else (1, stride), groups=c, **options)


def _enlarge(x: Tensor, taps: Tensor, up: int, before: int, after: int, axis: int) -> Tensor:
    """Insert zeros, pad and convolve along an axis, without ever computing on the zeros.

    Pixel ``j`` of the result is the sum of ``taps[k] * x[i]`` over all ``up * i + before + taps - 1 - k - j == 0``: of
    every ``up``-th tap only. Pixels whose ``j`` leave the same rest have the same share of the taps.
    """
    length, count = x.shape[axis], taps.numel()
    size = length * up + before + after - count + 1
    parts = []
    for first in range(up):
        # The pixel `first` of the result sees the source pixels from `start` on, through the taps from `skip` on.
        reach = first - before
        start, skip = -(-reach // up), -reach % up
        share = taps.flip(0)[skip::up]
        wanted = -(-(size - first) // up)
        stop = start + wanted + share.numel() - 1
        pad = (-start, stop - length)
        source = F.pad(x, (0, 0, *pad) if axis == 2 else pad)
        parts.append(_along(source, share, axis))
    most = parts[0].shape[axis]
    whole = [F.pad(p, (0, 0, 0, most - p.shape[axis]) if axis == 2 else (0, most - p.shape[axis])) for p in parts]
    shape = list(x.shape)
    shape[axis] = most * up
    return torch.stack(whole, axis + 1).reshape(shape).narrow(axis, 0, size)


def _shrink(x: Tensor, taps: Tensor, down: int, axis: int) -> Tensor:
    """Convolve along an axis and keep every ``down``-th pixel."""
    return _along(x, taps.flip(0), axis, stride=down)
