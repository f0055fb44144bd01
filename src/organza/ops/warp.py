"""Moving the pixels of images: exactly (flips, quarter turns, whole pixels), or by any affine map in one resampling.

Coordinates are pixels from the image's centre, x to the right and y down. A map is given as its inverse: where each
pixel of the result comes from. Beyond the edges the image goes on as its mirror image about the outermost pixels.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from organza.ops.twins import apply

# The low-pass filter of the least asymmetric orthogonal wavelet with six vanishing moments (Daubechies 1992).
SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)
_CENTRE = sum(k * tap for k, tap in enumerate(SYM6)) / sum(SYM6)


def shuffle(x: Tensor, inverse: Tensor, offset: Tensor) -> Tensor:
    """Move whole pixels: a map of flips, quarter turns and whole steps, without any arithmetic on the pixels.

    Args:
        x: ``[N, C, H, W]``.
        inverse: ``[N, 2, 2]``, entries -1, 0 and 1.
        offset: ``[N, 2]`` whole numbers: a pixel at ``v`` comes from ``inverse @ v + offset``.

    Returns:
        Shape of ``x``. (Quarter turns of images with an even and an odd side are half a pixel off.)

    Example:
        >>> x = torch.tensor([[[[1.0, 2.0, 3.0]]]])
        >>> shuffle(x, torch.tensor([[[-1.0, 0.0], [0.0, 1.0]]]), torch.zeros(1, 2)).flatten().tolist()
        [3.0, 2.0, 1.0]
    """
    n, c, h, w = x.shape
    rows, columns = _line(h, x.device), _line(w, x.device)
    from_x, from_y = _source(inverse.float(), offset.float(), rows, columns, (h, w))
    index = _fold((from_y + 0.5).floor(), h) * w + _fold((from_x + 0.5).floor(), w)
    index = index.long().reshape(n, 1, h * w).expand(n, c, h * w)
    return x.flatten(2).gather(2, index).reshape(x.shape)


def warp(x: Tensor, inverse: Tensor, offset: Tensor) -> Tensor:
    """Resample images under affine maps, with the wavelet sym6 against aliasing.

    Enlarged to twice the size with the wavelet's low-pass filter, sampled bilinearly, reduced with the same filter
    (Karras et al. 2020, arXiv 2006.06676, appendix B.1). The filter is orthogonal to its even shifts, so moves by whole
    pixels are exact up to rounding, away from the edges.

    Args:
        x: ``[N, C, H, W]`` of floats. The result can be differentiated with respect to it, any number of times.
        inverse: ``[N, 2, 2]``.
        offset: ``[N, 2]``: a pixel at ``v`` comes from ``inverse @ v + offset``.

    Returns:
        Shape of ``x``.

    Example:
        >>> x = torch.randn(1, 3, 32, 32)
        >>> y = warp(x, torch.eye(2)[None], torch.tensor([[2.0, 0.0]]))
        >>> torch.allclose(y[..., 8:24, 8:24], x[..., 8:24, 10:26], atol=1e-5)
        True
    """
    h, w = x.shape[2:]
    fine = _enlarge(h, x.dtype, x.device) @ x @ _enlarge(w, x.dtype, x.device).T
    rows, columns = _line(h, x.device, finer=True), _line(w, x.device, finer=True)
    from_x, from_y = _source(inverse.float(), offset.float(), rows, columns, (h, w))
    # `grid_sample` counts from -1 to 1 between the first sample and the last.
    places = torch.stack([_sample(from_x, w) * (2 / _last(w)) - 1, _sample(from_y, h) * (2 / _last(h)) - 1], -1)
    fine = apply(_Sample, fine, places.to(x.dtype))
    return _reduce(h, x.dtype, x.device) @ fine @ _reduce(w, x.dtype, x.device).T


def stretch(x: Tensor, factor: Tensor, offset: Tensor) -> Tensor:
    """`warp` for maps that don't turn, as two products of matrices: several times faster.

    Args:
        x: ``[N, C, H, W]``.
        factor: ``[N, 2]``, of x and y.
        offset: ``[N, 2]``: a pixel at ``v`` comes from ``factor * v + offset``.

    Example:
        >>> x, factor, offset = torch.randn(1, 3, 16, 16), torch.tensor([[1.2, -0.9]]), torch.tensor([[0.7, 3.0]])
        >>> torch.allclose(stretch(x, factor, offset), warp(x, torch.diag_embed(factor), offset), atol=1e-4)
        True
    """
    columns, rows = (
        _matrix(factor[:, axis].float(), offset[:, axis].float(), x.shape[3 - axis], x.dtype) for axis in (0, 1)
    )
    return rows[:, None] @ x @ columns[:, None].mT


def _matrix(factor: Tensor, offset: Tensor, n: int, dtype: torch.dtype) -> Tensor:
    """``[N, n, n]``: one side enlarged, sampled, reduced."""
    device = factor.device
    places = factor[:, None] * _line(n, device, finer=True) + (offset[:, None] + (n - 1) / 2)
    where = _sample(places, n)
    before = where.floor().clamp(0, _last(n) - 1)
    share, index = (where - before).to(dtype)[:, :, None], before.long()
    fine = _enlarge(n, dtype, device)
    return _reduce(n, dtype, device) @ torch.lerp(fine[index], fine[index + 1], share)


def _line(n: int, device: torch.device, *, finer: bool = False) -> Tensor:
    """The pixels of a side of ``n``, from its centre; or the ``2n + 10`` samples that the filter reduces to them."""
    steps = torch.arange(2 * n - 2 + len(SYM6) if finer else n, device=device, dtype=torch.float32)
    return ((steps - _CENTRE) / 2 if finer else steps) - (n - 1) / 2


def _source(
    inverse: Tensor, offset: Tensor, rows: Tensor, columns: Tensor, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """The x and y ``[N, rows, columns]`` where pixels come from, counted from the first pixel."""
    centre = torch.tensor([(size[1] - 1) / 2, (size[0] - 1) / 2]).to(offset.device)
    start = (offset + centre)[:, :, None, None]
    found = inverse[:, :, 0, None, None] * columns + (inverse[:, :, 1, None, None] * rows[:, None] + start)
    return found[:, 0], found[:, 1]


def _fold(place: Tensor, n: int) -> Tensor:
    """Places mirrored into ``[0, n - 1]``."""
    last = n - 1
    return last - (place.remainder(2 * last) - last).abs() if last else torch.zeros_like(place)


def _last(n: int) -> int:
    """The number of the last sample of the finer grid."""
    return 2 * n - 3 + len(SYM6)


def _sample(place: Tensor, n: int) -> Tensor:
    """Places -> samples of the finer grid, mirrored if they are outside."""
    fine = 2 * place + _CENTRE
    outside = (fine < 0) | (fine > _last(n))
    return torch.where(outside, 2 * _fold(place, n) + _CENTRE, fine)


@lru_cache(maxsize=64)
def _enlarge(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """``[2n + 10, n]``: zeros between the pixels, then the filter; the mirror images beyond the ends take part."""
    matrix = np.zeros([2 * n - 2 + len(SYM6), n])
    for row in range(len(matrix)):
        for k, tap in enumerate(SYM6):
            if (row - k) % 2 == 0:
                matrix[row, mirrored((row - k) // 2, n)] += 2**0.5 * tap
    return torch.from_numpy(matrix).to(device, dtype)


@lru_cache(maxsize=64)
def _reduce(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """``[n, 2n + 10]``: the filter, then every other sample."""
    matrix = np.zeros([n, 2 * n - 2 + len(SYM6)])
    for row in range(n):
        matrix[row, 2 * row : 2 * row + len(SYM6)] = np.array(SYM6) / 2**0.5
    return torch.from_numpy(matrix).to(device, dtype)


def mirrored(i: int, n: int) -> int:
    """Pixel ``i`` of a side of ``n`` that goes on as its mirror image.

    Example:
        >>> [mirrored(i, 4) for i in range(-3, 8)]
        [3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1]
    """
    last = n - 1
    return last - abs(i % (2 * last) - last) if last else 0


class _Sample(torch.autograd.Function):
    """Bilinear sampling: linear in the image, with `_Spread` as its adjoint. (PyTorch's has no second derivative.)"""

    @staticmethod
    def forward(x: Tensor, places: Tensor) -> Tensor:
        return F.grid_sample(x, places, mode="bilinear", padding_mode="border", align_corners=True)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, places = inputs
        ctx.size = x.shape
        ctx.save_for_backward(places)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (places,) = ctx.saved_tensors
        return apply(_Spread, grad, places, ctx.size), None


class _Spread(torch.autograd.Function):
    """The adjoint of `_Sample`."""

    @staticmethod
    def forward(grad: Tensor, places: Tensor, size: torch.Size) -> Tensor:
        # The image itself matters only for the gradient of the places, which is not asked for.
        blank = grad.new_zeros(()).expand(size)
        found: Tensor = torch.ops.aten.grid_sampler_2d_backward(grad, blank, places, 0, 1, True, [True, False])[0]
        return found

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, places, _ = inputs
        ctx.save_for_backward(places)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (places,) = ctx.saved_tensors
        return apply(_Sample, grad, places), None, None
