"""Which pixels of a portrait show its person, and not the neighbour."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from organza.media.images import Pixels, to_tensor
from organza.translate.faces.frame import MEAN_SIDE, portrait_quad, side_of
from organza.vision.segment import PersonSegmenter

F = NDArray[np.float64]
Mask = NDArray[np.float32]
"""``[S, S]`` from 0 (background) to 1 (person)."""
HEAD, HEAD_ABOVE = (1.4, 1.75), 0.35
"""Half the width and height of a head with its hair, and how far its middle is above that of the landmarks, in
distances of the mean face's eyes."""
Segment = Callable[[Pixels], Mask]
"""A crop uint8 ``[S, S, 3]`` to where people are in it."""


def segmenting(net: PersonSegmenter) -> Segment:
    """The stage that asks the network."""

    def segment(crop: Pixels) -> Mask:
        with torch.no_grad():
            found: Mask = net(to_tensor(crop[None]))[0, 0].numpy()
        return found

    return segment


def person_mask(people: Mask, points: F, others: Sequence[F] = ()) -> Mask | None:
    """Where the person is to whom a face belongs.

    What is connected with the face stays, without holes. Where two people touch, a pixel belongs to the face that is
    nearer, in parts of each face's size.

    Args:
        people: probability of any person, ``[S, S]``.
        points: the face's five landmarks ``[5, 2]``, in pixels of the crop.
        others: landmarks of the other faces of the photograph, in pixels of the crop, also beyond it.

    Returns:
        ``[S, S]``; None where most of the face is taken for background.
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
    inside[max(0, low[1]) : max(0, high[1] + 1), max(0, low[0]) : max(0, high[0] + 1)] = True
    if not solid[inside].sum() > inside.sum() / 2:
        return None
    body = connected(solid, inside)
    border = np.ones_like(solid)
    border[1:-1, 1:-1] = False
    holes = ~body & ~connected(~body, border) & own
    # The soft edge lies outside of what is more likely a person than not.
    for _ in range(max(1, size // 64)):
        body = _wider(body)
    return np.where(holes, 1, np.where(body & own, people, 0)).astype(np.float32)


def head_oval(points: F, size: int) -> Mask:
    """A soft oval ``[size, size]`` about as large as the head of a face with hair: where no person was found.

    Args:
        points: five landmarks ``[5, 2]``, in pixels of the crop, level.
        size: side of the crop.
    """
    eyes = side_of(portrait_quad(points)) / MEAN_SIDE
    x, y = points.mean(0) - [0, HEAD_ABOVE * eyes]
    rows, columns = np.mgrid[:size, :size]
    away = np.hypot((columns - x) / (HEAD[0] * eyes), (rows - y) / (HEAD[1] * eyes))
    return np.asarray(np.clip((1 - away) * HEAD[0] * eyes / max(1, size / 64) + 0.5, 0, 1), np.float32)


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
            return np.asarray(grown)
        found = grown


def _along(solid: NDArray[np.bool_], found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Each run of a row that holds a found pixel is found whole."""
    before = np.zeros_like(solid)
    before[:, 1:] = solid[:, :-1]
    runs = np.cumsum(solid & ~before).reshape(solid.shape)
    hit = np.zeros(runs.max(initial=0) + 1, np.bool_)
    hit[runs[found]] = True
    return np.asarray(solid & hit[runs])


def _wider(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A pixel more to each side."""
    out: NDArray[np.bool_] = mask.copy()
    out[1:] |= mask[:-1]
    out[:-1] |= mask[1:]
    out[:, 1:] |= mask[:, :-1]
    out[:, :-1] |= mask[:, 1:]
    return out
