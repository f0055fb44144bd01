"""Edges of images, and images whose edges are smoothed.

John Canny: A Computational Approach to Edge Detection. IEEE PAMI 8(6), 1986. In the form of OpenCV, whose edges the
authors of CartoonGAN take (Chen et al. 2018, section 3.2.1): gradients by a Sobel filter of 3x3, their length as the
sum of both magnitudes, thinned along four directions, and two thresholds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

TAPS = np.array([1, 4, 6, 4, 1], np.float64) / 16
"""A Gaussian of five pixels, as OpenCV has it."""


def grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey levels ``[..., H, W]`` of ``[..., H, W, C]``, C being 1, 3 or 4 (ITU-R 601, cut to whole numbers,
    as OpenCV reads a PNG).

    Example:
        >>> grey(np.array([[[255, 255, 255], [255, 0, 0]]], np.uint8))
        array([[255,  76]], dtype=uint8)
    """
    if pixels.shape[-1] == 1:
        return pixels[..., 0]
    levels = pixels[..., :3].astype(np.int64) @ np.array([9798, 19235, 3735])
    return np.asarray(levels >> 15, np.uint8)


def canny(image: NDArray[np.uint8], low: int = 100, high: int = 200) -> NDArray[np.bool_]:
    """Edges of a grey image ``[H, W]``: ``[H, W]``.

    Args:
        image: uint8.
        low: what may go on with an edge has a gradient above this.
        high: what begins one has a gradient above this.

    Example:
        >>> step = np.zeros([5, 6], np.uint8)
        >>> step[:, 3:] = 200
        >>> canny(step).any(0).tolist()
        [False, False, True, False, False, False]
    """
    x, y = _sobel(image)
    across, down = np.abs(x), np.abs(y)
    length = across + down
    kept = (length > low) & _is_ridge(length, x, y, across, down)
    return _reached(kept & (length > high), kept)


def dilate(mask: NDArray[np.bool_], radius: int = 2) -> NDArray[np.bool_]:
    """``[H, W]`` with all pixels in a square of ``2 * radius + 1`` around each."""
    height, width = mask.shape
    padded = np.pad(mask, radius)
    rows = np.any([padded[:, k : k + width] for k in range(2 * radius + 1)], 0)
    found: NDArray[np.bool_] = np.any([rows[k : k + height] for k in range(2 * radius + 1)], 0)
    return found


def blurred(pixels: NDArray[Any]) -> NDArray[np.float64]:
    """``[H, W, C]`` under `TAPS` in both directions; the border is mirrored."""
    height, width = pixels.shape[:2]
    around, values = ((2, 2), (2, 2), (0, 0)), pixels.astype(np.float64)
    padded = np.pad(values, around, "reflect") if min(height, width) > 2 else np.pad(values, around, "edge")
    rows = sum(tap * padded[:, k : k + width] for k, tap in enumerate(TAPS))
    found: NDArray[np.float64] = sum(tap * rows[k : k + height] for k, tap in enumerate(TAPS))
    return found


def edge_smoothed(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image ``[H, W, C]`` that is blurred around its edges, and there alone (CartoonGAN, section 3.2.1).

    Example:
        >>> edge_smoothed(np.full([8, 8, 3], 7, np.uint8)).max()
        np.uint8(7)
    """
    mask = dilate(canny(grey(pixels)))
    return np.where(mask[..., None], blurred(pixels).astype(np.uint8), pixels)


def _sobel(image: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Derivatives along rows and along columns; beyond the border, its pixels are repeated."""
    p = np.pad(image.astype(np.int64), 1, mode="edge")
    smooth_down = p[:-2] + 2 * p[1:-1] + p[2:]
    smooth_across = p[:, :-2] + 2 * p[:, 1:-1] + p[:, 2:]
    return smooth_down[:, 2:] - smooth_down[:, :-2], smooth_across[2:] - smooth_across[:-2]


def _is_ridge(
    length: NDArray[np.int64],
    x: NDArray[np.int64],
    y: NDArray[np.int64],
    across: NDArray[np.int64],
    down: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Whether a gradient is longer than those before and behind it, in its own direction."""
    p = np.pad(length, 1)
    height, width = length.shape

    def beside(dy: int, dx: int) -> NDArray[np.int64]:
        return p[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]

    tan22 = across * 13573  # tan 22.5 degrees in 15 bits
    steep = down << 15
    flat, upright = steep < tan22, steep > tan22 + (across << 16)
    same = (x ^ y) >= 0
    sideways = (length > beside(0, -1)) & (length >= beside(0, 1))
    downwards = (length > beside(-1, 0)) & (length >= beside(1, 0))
    falling = (length > beside(-1, -1)) & (length > beside(1, 1))
    rising = (length > beside(-1, 1)) & (length > beside(1, -1))
    diagonal = np.where(same, falling, rising)
    return np.where(flat, sideways, np.where(upright, downwards, diagonal))


def _reached(seeds: NDArray[np.bool_], within: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of ``within`` that hang together with ``seeds``, also by corners."""
    height, width = within.shape
    found = np.pad(seeds, 1).ravel()
    free = np.pad(within, 1).ravel() & ~found
    row = width + 2
    steps = np.array([-row - 1, -row, -row + 1, -1, 1, row - 1, row, row + 1])
    front = np.flatnonzero(found)
    while len(front):
        near = (front[:, None] + steps).ravel()
        front = np.unique(near[free[near]])
        found[front], free[front] = True, False
    return found.reshape(height + 2, row)[1:-1, 1:-1]
