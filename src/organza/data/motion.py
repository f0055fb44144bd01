"""The motion that a training compares with: exact, as it was stored beside drawn sequences, or found by dense inverse
search.

Stored motion is an RGB image for each frame but the first, which holds two numbers of 12 bits: how far a pixel was to
the right and down in the frame before, in 32nds of a pixel, from -63.97 to 63.97; 0 stands for "not there before".
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from organza.core.errors import UserError
from organza.media.flow import Flow, check_flow, flow_between, trust
from organza.media.images import Pixels

STEPS, MIDDLE = 32, 2048
"""Steps in a pixel, and the number that stands for no motion."""


def reference_flow(frames: Pixels) -> NDArray[np.float32]:
    """The motion between neighbours of ``[T, H, W, C]``, by dense inverse search; known where it explains a frame.

    Returns:
        float32 ``[T - 1, 3, H, W]``, see `Batch.flow`.

    Raises:
        UserError: OpenCV is missing.
    """
    check_flow()
    found = np.empty((len(frames) - 1, 3, *frames.shape[1:3]), np.float32)
    for row, (before, here) in enumerate(itertools.pairwise(frames)):
        flow = flow_between(here, before)
        found[row, :2] = flow.transpose(2, 0, 1)
        found[row, 2] = trust(here, before, flow) > 0.5
    return found


def stored_flow(flow: Flow, known: NDArray[np.bool_]) -> Pixels:
    """Motion ``[H, W, 2]`` as an image ``[H, W, 3]``.

    Raises:
        UserError: it is farther than can be written.
    """
    numbers = np.rint(flow * STEPS).astype(np.int64) + MIDDLE
    if known.any() and not 1 <= numbers[known].min() <= numbers[known].max() < 2 * MIDDLE:
        raise UserError(f"frames move by more than {MIDDLE // STEPS} pixels", hint="make more frames, or smaller ones")
    x, y = np.where(known[..., None], numbers, 0).transpose(2, 0, 1)
    return np.stack([x >> 4, (x & 15) << 4 | y >> 8, y & 255], -1).astype(np.uint8)


def known_flow(stored: Pixels) -> NDArray[np.float32]:
    """Images of motion ``[..., H, W, 3]`` -> ``[..., 3, H, W]``, see `Batch.flow`.

    Example:
        >>> flow = np.array([[[1.5, -2.25], [9, 9]]], np.float32)
        >>> known_flow(stored_flow(flow, np.array([[True, False]])))[:, 0].tolist()
        [[1.5, 0.0], [-2.25, 0.0], [1.0, 0.0]]
    """
    parts = np.moveaxis(stored.astype(np.int64), -1, 0)
    x, y = parts[0] << 4 | parts[1] >> 4, (parts[1] & 15) << 8 | parts[2]
    known = x > 0
    flow = [np.where(known, (number - MIDDLE) / STEPS, 0) for number in (x, y)]
    return np.stack([*flow, known], -3).astype(np.float32)
