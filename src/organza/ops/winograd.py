"""3x3 convolution in fewer products: 36 for each 4x4 pixels instead of 144, at the price of sums.

Fast Algorithms for Convolutional Neural Networks. Andrew Lavin, Scott Gray. CVPR 2016, arXiv 1509.09308, section 4:
F(4x4, 3x3), whose names of matrices are used here. Along each axis, 4 pixels are found by 6 products: the polynomials
that stand for 6 pixels of input and for the kernel are multiplied at 6 points. The usual points are 0, 1, -1, 2, -2 and
infinity; ours are 0, 2/3, -2/3, 3/2, -3/2 and infinity, which lose less than half as much to rounding (Barabasz,
Anderson, Soodhalter, Gregg 2020, arXiv 1803.10986, study such choices).

Sums are taken in at least float32, in pieces that fit the processor's caches; between them stand matrix products in the
format of the image. A layer's result and its gradients are off by 1e-6 to 3e-6 of their deviation in float32, more
with more channels, and by 1.4% in bf16, where the plain way is off by 0.2%; docs/performance.md shows that training
allows it. It pays where channels are many.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from organza.core.device import cpu_features

FEWEST: dict[torch.dtype, int] = {} if "amx_bf16" in cpu_features() else {torch.float32: 128, torch.bfloat16: 192}
"""Channels from which it is faster, for each format; with AMX it gains too little (docs/performance.md). It depends on
the processor's features alone and not on a measurement: a run that is continued must take the same way."""
BAND = 1024
"""Tiles that meet a kernel in one matrix product."""
PIECE = 1 << 15
"""Tiles times channels that go through the sums at a time."""

_P, _Q = 2 / 3, 3 / 2  # points; their product is 1, which spares a factor here and there
_POINTS = (0, _P, -_P, _Q, -_Q)
_KERNELS = 32
"""Output channels of a kernel that are transformed at a time."""


def pays(x: Tensor, weight_shape: torch.Size, *, padding: int = 1, fixed: bool = False) -> bool:
    """Whether this way is faster for ``x [N, I, H, W]`` and a kernel ``[O, I, 3, 3]``.

    Args:
        x: the input.
        weight_shape: of the kernel.
        padding: of the convolution, 0 or 1; of its adjoint, 1.
        fixed: the kernel does not change: it is transformed once for many calls.
    """
    outputs, inputs, *kernel = weight_shape
    if kernel != [3, 3] or padding > 1 or x.device.type != "cpu":
        return False
    sides = [side + 2 * padding - 2 for side in x.shape[2:]]
    whole = all(side % 4 == 0 for side in sides) and min(sides) >= 16
    worth = fixed or 2 * x.numel() >= weight_shape.numel()
    return whole and worth and min(inputs, outputs) >= FEWEST.get(x.dtype, math.inf)


def transform(weight: Tensor, dtype: torch.dtype | None = None, *, flip: bool = False) -> Tensor:
    """A kernel ``[O, I, 3, 3]`` as `convolve` wants it: ``[36, O, I]``.

    Args:
        weight: the kernel.
        dtype: of the result; the kernel's own if None.
        flip: turn it by 180 degrees first, as gradients of inputs want it.
    """
    outputs, inputs = weight.shape[:2]
    scaled = _KERNEL * _SCALE
    both = torch.kron(scaled, scaled).to(weight.device, _precise(weight.dtype))
    both = both.flip(1) if flip else both
    taps = weight.to(both.dtype).permute(0, 2, 3, 1).reshape(outputs, 9, inputs)
    result = weight.new_empty((36, outputs, inputs), dtype=dtype)
    for some in _pieces(outputs, _KERNELS):
        result[:, some] = torch.matmul(both, taps[some]).transpose(0, 1)
    return result


def convolve(x: Tensor, transformed: Tensor, styles: Tensor | None = None, padding: int = 1) -> Tensor:
    """Correlate ``x [N, I, H, W]``.

    Args:
        x: the input.
        transformed: the kernel ``[36, O, I]`` from `transform`; or a flipped one with its last two axes exchanged, and
            ``x`` a gradient: then the result is the gradient of the input.
        styles: ``[N, I]``, factors on the channels of ``x``.
        padding: zeros around ``x``. It is fastest where that gives sides that are multiples of 4.

    Returns:
        ``[N, O, H + 2 padding - 2, W + 2 padding - 2]`` in the dtype of ``x``, channels last.

    Example:
        >>> x, w = torch.ones(1, 2, 4, 4), torch.ones(3, 2, 3, 3)
        >>> (convolve(x, transform(w)) - torch.conv2d(x, w, padding=1)).abs().max().item() < 1e-5
        True
    """
    n, outputs = len(x), transformed.shape[1]
    sides = [side + 2 * padding - 2 for side in x.shape[2:]]
    down, across = (-(-side // 4) for side in sides)
    shape = (n, outputs, 4 * down, 4 * across)
    result = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    padded, pixels = _padded(x, styles, padding, shape[2:]), result.permute(0, 2, 3, 1)
    for band in _bands((n, down, across), BAND):
        tiles = _input_tiles(padded, band)
        products = torch.bmm(tiles.flatten(2, 4).flatten(0, 1), transformed.transpose(1, 2))
        _draw(products.reshape(*tiles.shape[:-1], outputs), pixels, band)
    return result if list(shape[2:]) == sides else result[:, :, : sides[0], : sides[1]]


def weight_gradient(x: Tensor, grad: Tensor, padding: int = 1) -> Tensor:
    """What `convolve` does to ``x [N, I, H, W]``, differentiated by the kernel: ``[O, I, 3, 3]``.

    Products are in the format of ``x``; what bands give is added, and returned, in at least float32.

    Args:
        x: the input.
        grad: ``[N, O, h, w]``, the gradient of the result, whose sides are multiples of 4.
        padding: zeros around ``x``.

    Example:
        >>> weight_gradient(torch.ones(1, 2, 4, 4), torch.ones(1, 3, 4, 4))[0, 0, 1].round(decimals=3)
        tensor([12., 16., 12.])
    """
    inputs = x.shape[1]
    n, outputs, height, width = grad.shape
    padded, pixels = _padded(x, None, padding, grad.shape[2:]), grad.permute(0, 2, 3, 1)
    total = torch.zeros((36, outputs, inputs), dtype=_precise(x.dtype), device=x.device)
    for band in _bands((n, height // 4, width // 4), BAND):
        tiles = _input_tiles(padded, band).flatten(2, 4).flatten(0, 1)
        slopes = _slope_tiles(pixels, band).flatten(2, 4).flatten(0, 1)
        total += torch.bmm(slopes.transpose(1, 2), tiles)
    taps = torch.kron(_KERNEL, _KERNEL).t().to(total) @ total.reshape(36, -1)
    return taps.reshape(3, 3, outputs, inputs).permute(2, 3, 0, 1).contiguous(memory_format=torch.channels_last)


# --- pieces ----------------------------------------------------------------------------------------------------------

Band = tuple[slice, slice]
"""Which images, and which rows of tiles."""


def _bands(grid: tuple[int, int, int], size: int) -> Iterator[Band]:
    """Bands of about ``size`` tiles in ``grid``: images, rows of tiles, tiles in a row."""
    n, down, across = grid
    for pictures in _pieces(n, max(1, size // (down * across))):
        for rows in _pieces(down, max(1, size // across)):
            yield pictures, rows


def _pieces(whole: int, size: int) -> Iterator[slice]:
    for start, stop in pairwise([*range(0, whole, size), whole]):
        yield slice(start, stop)


def _within(grid: tuple[int, int, int], band: Band, channels: int) -> Iterator[tuple[Band, slice, slice]]:
    """Pieces of a band; each with its images and its rows of pixels, counted over the whole batch."""
    first, top = band[0].start, band[1].start
    for some, rows in _bands(grid, PIECE // channels):
        pictures = slice(first + some.start, first + some.stop)
        yield (some, rows), pictures, slice(4 * (top + rows.start), 4 * (top + rows.stop))


def _precise(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _padded(x: Tensor, styles: Tensor | None, padding: int, sides: Sequence[int]) -> Tensor:
    """``[N, C, H, W] -> [N, h + 2, w + 2, C]`` for a result of ``sides`` h, w: zeros before ``x``, and behind it."""
    n, c, height, width = x.shape
    pixels = x.permute(0, 2, 3, 1)
    high, wide = (side + 2 for side in sides)
    if (high, wide) == (height, width) and styles is None:
        return pixels
    out = x.new_empty((n, high, wide, c))
    for axis, inner, whole in ((1, height, high), (2, width, wide)):
        out.narrow(axis, 0, padding).zero_()
        out.narrow(axis, padding + inner, whole - padding - inner).zero_()
    middle = out[:, padding : padding + height, padding : padding + width]
    if styles is None:
        middle.copy_(pixels)
    else:
        torch.mul(pixels, styles.to(x.dtype)[:, None, None], out=middle)
    return out


def _grid(band: Band, width: int) -> tuple[int, int, int]:
    """Images, rows of tiles, tiles in a row, where images are ``width`` wide."""
    (n, rows) = (part.stop - part.start for part in band)
    return n, rows, width // 4


def _input_tiles(padded: Tensor, band: Band) -> Tensor:
    """Overlapping tiles of 6x6 pixels, transformed: ``[N, H + 2, W + 2, C] -> [6, 6, P, h, w, C]``."""
    width, c = padded.shape[2:]
    grid = _grid(band, width - 2)
    tiles = padded.new_empty((6, 6, *grid, c))
    for (some, rows), pictures, lines in _within(grid, band, c):
        part = padded[pictures, lines.start : lines.stop + 2]
        tiles[:, :, some, rows] = _spread_both(part.to(_precise(part.dtype))).permute(2, 3, 0, 1, 4, 5)
    return tiles


def _draw(products: Tensor, pixels: Tensor, band: Band) -> None:
    """Products ``[6, 6, P, h, w, C]`` to ``pixels [N, H, W, C]``."""
    width, c = pixels.shape[2:]
    for (some, rows), pictures, lines in _within(_grid(band, width), band, c):
        part = products[:, :, some, rows].permute(2, 3, 0, 1, 4, 5)
        target = pixels[pictures, lines]
        target = target.view(len(target), -1, 4, width // 4, 4, c).transpose(3, 4)
        precise = _precise(part.dtype)
        target.copy_(_gather(_gather(part.to(precise, memory_format=torch.contiguous_format), 2), 3))


def _slope_tiles(pixels: Tensor, band: Band) -> Tensor:
    """The adjoint of `_draw`: ``[N, H, W, C] -> [6, 6, P, h, w, C]``."""
    width, c = pixels.shape[2:]
    grid = _grid(band, width)
    slopes = pixels.new_empty((6, 6, *grid, c))
    for (some, rows), pictures, lines in _within(grid, band, c):
        part = pixels[pictures, lines]
        slopes[:, :, some, rows] = _scatter_both(part.to(_precise(part.dtype))).permute(2, 3, 0, 1, 4, 5)
    return slopes


# What a piece needs on its way is given back before the next one, which so finds memory that the caches still hold.


def _spread_both(part: Tensor) -> Tensor:
    """``[P, 4 h + 2, 4 w + 2, C] -> [P, h, 6, 6, w, C]``."""
    halves = _spread([part[:, k : part.shape[1] - 5 + k : 4] for k in range(6)], 2)
    return _spread([halves[:, :, :, k : part.shape[2] - 5 + k : 4] for k in range(6)], 3)


def _scatter_both(part: Tensor) -> Tensor:
    """``[P, 4 h, 4 w, C] -> [P, h, 6, 6, w, C]``."""
    halves = _scatter([part[:, k::4] for k in range(4)], 2)
    return _scatter([halves[:, :, :, k::4] for k in range(4)], 3)


# --- one axis --------------------------------------------------------------------------------------------------------


def _kernel() -> Tensor:
    """G ``[6, 3]``: the kernel's polynomial at each point, over the product of the point's distances to the others."""
    rows = [[p**k / math.prod(p - q for q in _POINTS if q != p) for k in range(3)] for p in _POINTS]
    return torch.tensor([*rows, [0.0, 0.0, 1.0]], dtype=torch.float64)


_KERNEL = _kernel()
_SCALE = torch.tensor([1, _P, _P, _Q, _Q, 1], dtype=torch.float64)[:, None]
"""Factors on the rows of G by which `_gather` needs fewer sums."""


def _new(like: Tensor, count: int, axis: int) -> tuple[Tensor, tuple[Tensor, ...]]:
    shape = list(like.shape)
    out = like.new_empty((*shape[:axis], count, *shape[axis:]))
    return out, out.unbind(axis)


def _spread(d: Sequence[Tensor], axis: int) -> Tensor:
    """B^T: 6 neighbours, a tensor each, to as many along a new axis."""
    whole, out = _new(d[0], 6, axis)
    for own, other, k in ((_P, _Q, 1), (_Q, _P, 3)):
        even, odd = torch.sub(d[4], d[2], alpha=other**2), torch.sub(d[3], d[1], alpha=other**2)
        torch.add(even, odd, alpha=own, out=out[k])
        torch.sub(even, odd, alpha=own, out=out[k + 1])
    for k, first in ((0, 0), (5, 1)):
        torch.sub(d[first + 4], d[first + 2], alpha=_P**2 + _Q**2, out=out[k]).add_(d[first])
    return whole


def _gather(products: Tensor, axis: int) -> Tensor:
    """A^T: 6 products along an axis, of a kernel times `_SCALE`, to 4 results."""
    m = products.unbind(axis)
    whole, out = _new(m[0], 4, axis)
    even_p, odd_p, even_q, odd_q = m[1] + m[2], m[1] - m[2], m[3] + m[4], m[3] - m[4]
    torch.add(m[0], even_p, alpha=1 / _P, out=out[0]).add_(even_q, alpha=1 / _Q)
    torch.add(odd_p, odd_q, out=out[1])
    torch.mul(even_p, _P, out=out[2]).add_(even_q, alpha=_Q)
    torch.add(m[5], odd_p, alpha=_P**2, out=out[3]).add_(odd_q, alpha=_Q**2)
    return whole


def _scatter(d: Sequence[Tensor], axis: int) -> Tensor:
    """A: 4 gradients, a tensor each, to 6 along a new axis."""
    whole, out = _new(d[0], 6, axis)
    out[0].copy_(d[0])
    for point, k in ((_P, 1), (_Q, 3)):
        even, odd = torch.add(d[0], d[2], alpha=point**2), torch.add(d[1], d[3], alpha=point**2)
        torch.add(even, odd, alpha=point, out=out[k])
        torch.sub(even, odd, alpha=point, out=out[k + 1])
    out[5].copy_(d[3])
    return whole
