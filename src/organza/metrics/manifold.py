"""Fidelity and variety apart: how much of each set lies within the other's manifold.

A set's manifold is the union of balls around its features, each reaching to the k-th nearest neighbour.

* Improved precision and recall: Kynkäänniemi et al. 2019, arXiv 1904.06991, equations 1 to 3.
* Density and coverage: Naeem et al. 2020, arXiv 2002.09797, equations 3 and 5.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from organza.metrics.moments import Rows, rows

TILE = 4096
"""Rows of the distance matrix that are held at a time."""


@dataclass(frozen=True)
class Manifold:
    """What lies within what; each figure is a mean over images, kept one by one for confidence intervals.

    Attributes:
        precision: 1 for each generated image that lies in the real manifold, ``[M]``.
        recall: 1 for each real image that lies in the generated manifold, ``[N]``.
        density: for each generated image the number of real balls around it, over k, ``[M]``; may exceed 1.
        coverage: 1 for each real image with a generated one in its ball, ``[N]``.
    """

    precision: Tensor
    recall: Tensor
    density: Tensor
    coverage: Tensor


def precision_recall(real: Rows, generated: Rows, k: int = 3) -> tuple[float, float]:
    """Improved precision and recall of ``generated`` ``[M, D]`` against ``real`` ``[N, D]``.

    Raises:
        ValueError: no more than k features on a side.

    Example:
        >>> import numpy as np
        >>> x = np.random.RandomState(0).randn(100, 4)
        >>> precision_recall(x, x)
        (1.0, 1.0)
        >>> precision_recall(x, x + 100)
        (0.0, 0.0)
    """
    found = manifold(real, generated, k)
    return float(found.precision.mean()), float(found.recall.mean())


def density_coverage(real: Rows, generated: Rows, k: int = 5) -> tuple[float, float]:
    """Density and coverage of ``generated`` ``[M, D]`` against ``real`` ``[N, D]``.

    Raises:
        ValueError: no more than k features on a side.

    Example:
        >>> import numpy as np
        >>> x = np.random.RandomState(0).randn(100, 4)
        >>> density_coverage(x, x + 100)
        (0.0, 0.0)
    """
    found = manifold(real, generated, k)
    return float(found.density.mean()), float(found.coverage.mean())


def manifold(real: Rows, generated: Rows, k: int) -> Manifold:
    """All four figures, image by image.

    Raises:
        ValueError: tables of different width, or no more than k features on a side.
    """
    x, y = rows(real), rows(generated)
    y = y.to(x.device)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"features of {x.shape[1]} and of {y.shape[1]} numbers can't be compared")
    if k < 1 or min(len(x), len(y)) <= k:
        raise ValueError(f"{k} neighbours can't be found among {min(len(x), len(y))} images")
    # Distances do not change when both sets move, and are exacter near the origin.
    center = x.mean(0)
    x, y = x - center, y - center
    radius_x, radius_y = _radii(x, k), _radii(y, k)
    inside, density, recall, coverage = [], [], [], []
    for start in range(0, len(y), TILE):
        squared = _squared(y[start : start + TILE], x)
        balls = (squared <= radius_x).sum(1)
        inside.append(balls > 0)
        # The paper's balls are open; `precision` counts the border.
        density.append((squared < radius_x).sum(1) / k)
    for start in range(0, len(x), TILE):
        squared = _squared(x[start : start + TILE], y)
        recall.append((squared <= radius_y).any(1))
        coverage.append(squared.min(1).values < radius_x[start : start + TILE])
    one, two, three, four = (torch.cat(parts).double().cpu() for parts in (inside, recall, density, coverage))
    return Manifold(one, two, three, four)


def _radii(x: Tensor, k: int) -> Tensor:
    """The squared distance of each row to its k-th nearest other row, ``[N]``."""
    found = []
    for start in range(0, len(x), TILE):
        squared = _squared(x[start : start + TILE], x)
        here = torch.arange(start, min(start + TILE, len(x)), device=x.device)
        squared[here - start, here] = -1  # itself, whatever rounding says
        found.append(squared.topk(k + 1, dim=1, largest=False).values[:, -1])
    return torch.cat(found)


def _squared(x: Tensor, y: Tensor) -> Tensor:
    """Squared distances ``[N, M]``."""
    product = x @ y.T
    return product.mul_(-2).add_(x.square().sum(1)[:, None]).add_(y.square().sum(1)).clamp_(min=0)
