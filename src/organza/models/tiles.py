"""Images larger than memory through a network: in tiles that overlap, blended where they do."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

from organza.core.errors import UserError

OVERLAP = 256
"""Pixels that neighbouring tiles share, unless said."""


def in_tiles(
    x: Tensor, function: Callable[[Tensor], Tensor], tile: int, overlap: int = OVERLAP, step: int = 1
) -> Tensor:
    """``function(x)``, tile by tile.

    Of what two tiles share, the outer three eighths of each are thrown away: there the network sees the tile's border.
    The middle quarter fades from one to the other. So the result is that of the whole image, but for rounding, where
    three eighths of the overlap are more than the network's receptive field reaches to one side, and where nothing is
    normalised over the whole image: instance normalisation takes the statistics of each tile, and its brightness and
    contrast may differ from the whole image's.

    Args:
        x: ``[1, C, H, W]``, whose sides are multiples of ``step``.
        function: ``[1, C, h, w]`` to ``[1, C', k h, k w]`` for one scale k.
        tile: height and width of a tile, in pixels; rounded down to a multiple of ``step``.
        overlap: what neighbours share; rounded up.
        step: tiles begin at its multiples, as the network's halvings want it.

    Raises:
        UserError: a tile is not larger than the overlap.

    Example:
        >>> x = torch.rand(1, 1, 40, 24)
        >>> torch.allclose(in_tiles(x, torch.sin, 16, 8, step=4), torch.sin(x), atol=1e-6)
        True
    """
    tile, overlap = check_tiles(tile, overlap, step)
    height, width = x.shape[2:]
    if height <= tile and width <= tile:
        return function(x)
    total: Tensor | None = None
    weights = torch.zeros(0)
    for (top, down), (left, across) in product(_spans(height, tile, overlap), _spans(width, tile, overlap)):
        y = function(x[:, :, top : top + down, left : left + across])
        scale = y.shape[2] // down
        if total is None:
            total = torch.zeros(1, y.shape[1], height * scale, width * scale)
            weights = torch.zeros(height * scale, width * scale)
        places = slice(top * scale, (top + down) * scale), slice(left * scale, (left + across) * scale)
        share = _share(top, down, height, overlap, scale)[:, None] * _share(left, across, width, overlap, scale)
        total[:, :, places[0], places[1]].addcmul_(y.float().cpu(), share)
        weights[places] += share
    assert total is not None
    return total.div_(weights)


def check_tiles(tile: int, overlap: int, step: int = 1, least: int = 1) -> tuple[int, int]:
    """Both as multiples of ``step``.

    Raises:
        UserError: a tile is not larger than the overlap, or smaller than ``least``.

    Example:
        >>> check_tiles(770, 250, 16)
        (768, 256)
    """
    whole, shared = tile // step * step, -(-overlap // step) * step
    if overlap < 0 or whole < max(shared + step, least):
        what = f"tiles of {tile} pixels with an overlap of {overlap}"
        raise UserError(what, hint=f"make tiles larger: --tile {max(2 * shared, shared + step, least)}")
    return whole, shared


def _spans(side: int, tile: int, overlap: int) -> list[tuple[int, int]]:
    """Where tiles begin along a side, and how long they are."""
    if side <= tile:
        return [(0, side)]
    starts = [*range(0, side - tile, tile - overlap), side - tile]
    return [(start, tile) for start in starts]


def _share(start: int, length: int, side: int, overlap: int, scale: int) -> Tensor:
    """How much each of a tile's pixels counts, along one axis: it fades towards neighbours."""
    place = torch.arange(length * scale) + 0.5
    ramp = overlap * scale / 4
    share = torch.ones(length * scale)
    if start > 0:
        share *= ((place - 1.5 * ramp) / max(ramp, 1e-9)).clamp(0, 1)
    if start + length < side:
        share *= ((length * scale - place - 1.5 * ramp) / max(ramp, 1e-9)).clamp(0, 1)
    return share
