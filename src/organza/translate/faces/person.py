"""Which pixels of a portrait show its person, and not the neighbour."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from organza.media.images import Pixels, to_tensor
from organza.vision.segment import PersonSegmenter

F = NDArray[np.float64]
Mask = NDArray[np.float32]
"""``[S, S]`` from 0 (background) to 1 (person)."""
Segment = Callable[[Pixels], Mask]
"""A crop uint8 ``[S, S, 3]`` to where people are in it."""


def segmenting(net: PersonSegmenter) -> Segment:
    """The stage that asks the network."""

    def segment(crop: Pixels) -> Mask:
        with torch.no_grad():
            found: Mask = net(to_tensor(crop[None]))[0, 0].numpy()
        return found

    return segment


def person_mask(people: Mask, points: F, others: Sequence[F] = ()) -> Mask:
    """Where the person is to whom a face belongs.

    What is connected with the face stays. Where two people touch, a pixel belongs to the face that is nearer, in parts of
    each face's size.

    Args:
        people: probability of any person, ``[S, S]``.
        points: the face's five landmarks ``[5, 2]``, in pixels of the crop.
        others: landmarks of the other faces of the photograph, in pixels of the crop, also beyond it.

    Returns:
        ``[S, S]``; zero everywhere where no person is seen at the face.
    """
    size = people.shape[0]
    own = np.ones(people.shape, np.bool_)
    rows, columns = np.mgrid[:size, :size]
    here = _distance(points, rows, columns)
    for other in others:
        own &= here <= _distance(other, rows, columns)
    solid = (people > 0.5) & own
    inside = np.zeros_like(solid)
    low, high = np.floor(points.min(0)).astype(int), np.ceil(points.max(0)).astype(int)
    inside[max(0, low[1]) : high[1] + 1, max(0, low[0]) : high[0] + 1] = True
    body = connected(solid, inside)
    # The soft edge lies outside of what is more likely a person than not.
    for _ in range(max(1, size // 64)):
        body = _wider(body)
    return np.where(body & own, people, 0).astype(np.float32)


def _distance(points: F, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> F:
    """How far each pixel is from a face, in sizes of that face."""
    x, y = points.mean(0)
    size = np.hypot(*(points[[0, 1]].mean(0) - points[[3, 4]].mean(0))) + 1e-9
    return np.asarray(np.hypot(columns - x, rows - y) / size)


def connected(solid: NDArray[np.bool_], seeds: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of ``solid`` that hang together with one of ``seeds``, over their edges.

    Example:
        >>> solid = np.array([[1, 1, 0, 1], [0, 1, 0, 1]], bool)
        >>> connected(solid, np.array([[1, 0, 0, 0], [0, 0, 0, 0]], bool)).astype(int).tolist()
        [[1, 1, 0, 0], [0, 1, 0, 0]]
    """
    found = solid & seeds
    while True:
        grown = _along(solid, found)
        grown = _along(solid.T, grown.T).T
        if grown.sum() == found.sum():
            return grown
        found = grown


def _along(solid: NDArray[np.bool_], found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Each run of a row that holds a found pixel is found whole."""
    before = np.zeros_like(solid)
    before[:, 1:] = solid[:, :-1]
    runs = np.cumsum(solid & ~before).reshape(solid.shape)
    hit = np.zeros(runs.max(initial=0) + 1, np.bool_)
    hit[runs[found]] = True
    return solid & hit[runs]


def _wider(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A pixel more to each side."""
    out = mask.copy()
    out[1:] |= mask[:-1]
    out[:-1] |= mask[1:]
    out[:, 1:] |= mask[:, :-1]
    out[:, :-1] |= mask[:, 1:]
    return out
