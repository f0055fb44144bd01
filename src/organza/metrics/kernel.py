"""The kernel distance (KID: Bińkowski et al. 2018, arXiv 1801.01401): an unbiased squared maximum mean discrepancy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from organza.metrics.moments import Rows, rows

SUBSETS, SUBSET_SIZE = 100, 1000


@dataclass(frozen=True)
class Kernel:
    """A kernel distance.

    Attributes:
        value: mean over the subsets.
        std: standard deviation over the subsets: the figure that the paper states beside the mean.
        error_a, error_b: standard errors of ``value`` from the limited number of features on each side.
        error_subsets: standard error from drawing only so many subsets.
    """

    value: float
    std: float
    error_a: float
    error_b: float
    error_subsets: float


def kernel_distance(
    features_a: Rows,
    features_b: Rows,
    *,
    subsets: int = SUBSETS,
    subset_size: int = SUBSET_SIZE,
    seed: int = 0,
) -> Kernel:
    """The squared MMD with the kernel ``(x . y / D + 1)^3``, averaged over random subsets (the paper's section 3).

    Args:
        features_a, features_b: ``[N, D]`` and ``[M, D]``.
        subsets: how many to draw, each without replacement.
        subset_size: features of each side in a subset; no more than there are.
        seed: of the drawing.

    Raises:
        ValueError: tables of different width, or fewer than two features.

    Example:
        >>> x = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
        >>> kernel_distance(x[:100], x[100:] + 1, subsets=5).value > 0.5
        True
    """
    a, b = (rows(table) if not isinstance(table, Tensor) else table.detach() for table in (features_a, features_b))
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"features of {a.shape[1]} and of {b.shape[1]} numbers can't be compared")
    size = min(subset_size, len(a), len(b))
    if size < 2:
        raise ValueError("a kernel distance needs at least two images on each side")
    rng = np.random.default_rng(seed)
    found, spread_a, spread_b = [], [], []
    for _ in range(subsets):
        x = rows(a[torch.from_numpy(rng.choice(len(a), size, replace=False)).to(a.device)])
        y = rows(b[torch.from_numpy(rng.choice(len(b), size, replace=False)).to(b.device)]).to(x.device)
        xx, yy, xy = _kernel(x, x), _kernel(y, y), _kernel(x, y)
        own_x = (xx.sum(1) - xx.diagonal()) / (size - 1)
        own_y = (yy.sum(1) - yy.diagonal()) / (size - 1)
        found.append(float(own_x.mean() + own_y.mean() - 2 * xy.mean()))
        # The projection of the U-statistic onto single features: its variance decides the error to first order.
        spread_a.append(float((own_x - xy.mean(1)).var()))
        spread_b.append(float((own_y - xy.mean(0)).var()))
    values = np.array(found)
    overlap = 1 - size / max(len(a), len(b))
    return Kernel(
        float(values.mean()),
        float(values.std()),
        error_a=2 * float(np.mean(spread_a) / len(a)) ** 0.5,
        error_b=2 * float(np.mean(spread_b) / len(b)) ** 0.5,
        error_subsets=float(values.std() * (overlap / subsets) ** 0.5),
    )


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    """``[N, M]``, polynomial of degree 3."""
    return (x @ y.T / x.shape[1] + 1) ** 3
