"""3x3 convolution in 16 products for each 2x2 pixels instead of 36.

Fast Algorithms for Convolutional Neural Networks. Andrew Lavin, Scott Gray. CVPR 2016, arXiv 1509.09308, section 4.1:
F(2x2, 3x3). The transforms of picture and result are sums, done in bands of rows small enough for the processor's
caches; between them stand 16 matrix products. It pays where channels are many.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

BAND = 512  # tiles of 2x2 pixels at a time


FEWEST = {torch.float32: 128, torch.bfloat16: 256}
"""Channels from which it is faster, for each format that it is for."""
train_in = {torch.float32}
"""Formats in which networks are trained this way as well. Sums round too: in bf16 that is four times the error of the
plain way, and nobody has shown yet that training bears it. In float32 the error stays about 1e-6."""


def pays(x: Tensor, weight_shape: torch.Size, *, fixed: bool = False) -> bool:
    """Whether this way is faster for ``x [N, I, H, W]`` and a kernel ``[O, I, 3, 3]``, padded by 1.

    Args:
        x: the input.
        weight_shape: of the kernel.
        fixed: the kernel does not change: it is transformed once for many calls.
    """
    outputs, inputs, *kernel = weight_shape
    if kernel != [3, 3] or x.device.type != "cpu" or x.dtype not in FEWEST:
        return False
    worth = fixed or (x.dtype in train_in and 2 * x.numel() >= weight_shape.numel())
    sides = x.shape[2] % 2 == x.shape[3] % 2 == 0 and min(x.shape[2:]) >= 16
    return worth and sides and min(inputs, outputs) >= FEWEST[x.dtype] * (1 if fixed else 2)


_KERNEL = torch.tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])  # G in the paper


def transform(weight: Tensor) -> Tensor:
    """A kernel ``[O, I, 3, 3]`` as `convolve` wants it: ``[16, I, O]``, in at least float32."""
    outputs, inputs = weight.shape[:2]
    taps = weight.to(_precise(weight)).permute(2, 3, 1, 0).reshape(9, inputs * outputs)
    return (torch.kron(_KERNEL, _KERNEL).to(taps) @ taps).reshape(16, inputs, outputs)


def convolve(x: Tensor, transformed: Tensor) -> Tensor:
    """Correlate ``x [N, I, H, W]``, of even sides and padded by 1, with a kernel that went through `transform`.

    Returns:
        ``[N, O, H, W]`` in the dtype of ``x``, channels last.

    Example:
        >>> x, w = torch.ones(1, 2, 4, 4), torch.ones(3, 2, 3, 3)
        >>> (convolve(x, transform(w)) - F.conv2d(x, w, padding=1)).abs().max().item() < 1e-5
        True
    """
    n, _, height, width = x.shape
    outputs = transformed.shape[2]
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    result = torch.empty((n, outputs, height, width), dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    pixels = result.permute(0, 2, 3, 1)
    for pictures, rows in _bands(n, height // 2, width // 2):
        tiles = _input_tiles(padded[pictures, 2 * rows.start : 2 * rows.stop + 2])
        products = torch.bmm(tiles.flatten(2, 4).flatten(0, 1), transformed).reshape(*tiles.shape[:-1], outputs)
        halves = products.new_empty((2, *products.shape[1:]))
        _gather(list(products), list(halves))
        drawn = pixels[pictures, 2 * rows.start : 2 * rows.stop]
        target = drawn.view(len(drawn), -1, 2, width // 2, 2, outputs).permute(4, 2, 0, 1, 3, 5)
        _gather(list(halves.unbind(1)), list(target))
    return result


def weight_gradient(x: Tensor, grad: Tensor) -> Tensor:
    """What `convolve` does to ``x [N, I, H, W]``, differentiated by the kernel: ``[O, I, 3, 3]``, summed in float32.

    Args:
        x: the input.
        grad: ``[N, O, H, W]``, the gradient of the result.

    Example:
        >>> weight_gradient(torch.ones(1, 2, 4, 4), torch.ones(1, 3, 4, 4))[0, 0, 1]
        tensor([12., 16., 12.])
    """
    n, inputs, height, width = x.shape
    outputs = grad.shape[1]
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    grad = grad.permute(0, 2, 3, 1)
    total = torch.zeros((16, inputs, outputs), dtype=_precise(x), device=x.device)
    for pictures, rows in _bands(n, height // 2, width // 2, 4 * BAND):
        tiles = _input_tiles(padded[pictures, 2 * rows.start : 2 * rows.stop + 2])
        part = grad[pictures, 2 * rows.start : 2 * rows.stop]
        halves = _scatter([part[:, k::2] for k in range(2)])
        products = _scatter([halves[:, :, :, k::2] for k in range(2)])  # [4 columns, 4 rows, ...]
        products = products.transpose(0, 1).reshape(16, -1, outputs)
        total += torch.bmm(tiles.flatten(2, 4).flatten(0, 1).transpose(1, 2), products)
    taps = torch.kron(_KERNEL, _KERNEL).t().to(total) @ total.reshape(16, -1)
    taps = taps.reshape(3, 3, inputs, outputs).permute(3, 2, 0, 1)
    return taps.contiguous(memory_format=torch.channels_last)


def _precise(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _bands(n: int, down: int, across: int, size: int | None = None) -> Iterator[tuple[slice, slice]]:
    """Pieces of about ``size`` tiles: which pictures, and which rows of tiles."""
    size = BAND if size is None else size
    rows = max(1, min(down, size // across))
    pictures = max(1, size // (down * across))
    for first in range(0, n, pictures):
        for row in range(0, down, rows):
            yield slice(first, min(n, first + pictures)), slice(row, min(down, row + rows))


def _input_tiles(band: Tensor) -> Tensor:
    """Overlapping tiles of 4x4 pixels, transformed: ``[P, 2h + 2, 2w + 2, C] -> [4, 4, P, h, w, C]``."""
    p, height, width, c = band.shape
    h, w = height // 2 - 1, width // 2 - 1
    rows = band.new_empty((4, p, h, width, c))
    _spread([band[:, k : k + 2 * h - 1 : 2] for k in range(4)], list(rows))
    tiles = band.new_empty((4, 4, p, h, w, c))
    _spread([rows[:, :, :, k : k + 2 * w - 1 : 2] for k in range(4)], list(tiles.unbind(1)))
    return tiles


def _spread(d: list[Tensor], out: list[Tensor]) -> None:
    """The transform of four neighbours along one axis."""
    torch.sub(d[0], d[2], out=out[0])
    torch.add(d[1], d[2], out=out[1])
    torch.sub(d[2], d[1], out=out[2])
    torch.sub(d[1], d[3], out=out[3])


def _gather(m: list[Tensor], out: list[Tensor]) -> None:
    """From four products along one axis to two results."""
    torch.add(m[1], m[2], out=out[0])
    torch.sub(m[1], m[2], out=out[1])
    out[0].add_(m[0])
    out[1].sub_(m[3])


def _scatter(d: list[Tensor]) -> Tensor:
    """The adjoint of `_gather`: two gradients along one axis to four, in a new first axis."""
    out = d[0].new_empty((4, *d[0].shape))
    out[0] = d[0]
    torch.add(d[0], d[1], out=out[1])
    torch.sub(d[0], d[1], out=out[2])
    torch.neg(d[1], out=out[3])
    return out
