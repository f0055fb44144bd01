"""Mean and covariance of features in one pass: constant memory, and parts can be merged."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

Rows = Any
"""A table of features: a tensor or whatever NumPy makes an array of, ``[N, D]``."""


def rows(table: Rows) -> Tensor:
    """``table`` as a float64 tensor ``[N, D]``.

    Raises:
        ValueError: another shape, or a number that is not finite.

    Example:
        >>> rows([[1, 2], [3, 4]]).dtype
        torch.float64
    """
    found = torch.as_tensor(table if isinstance(table, Tensor) else np.asarray(table)).detach().to(torch.float64)
    if found.ndim != 2:
        raise ValueError(f"expected features [N, D], got {list(found.shape)}")
    if not bool(found.isfinite().all()):
        raise ValueError("the features are not all finite")
    return found


class Moments:
    """Running count, mean and scatter of feature vectors, in float64.

    Parts are merged by the formulas of Chan, Golub and LeVeque (1979), which do not cancel as sums of squares do.

    Attributes:
        count: feature vectors so far.
        mean: ``[D]``.
        scatter: ``[D, D]``, the sum of ``(x - mean) (x - mean)^T``.

    Example:
        >>> moments = Moments(2)
        >>> moments.add([[0.0, 0.0], [2.0, 2.0]])
        >>> moments.add([[4.0, 4.0]])
        >>> moments.count, moments.mean.tolist(), moments.covariance.tolist()
        (3, [2.0, 2.0], [[4.0, 4.0], [4.0, 4.0]])
    """

    def __init__(self, dim: int, device: torch.device | str = "cpu") -> None:
        self.count = 0
        self.mean = torch.zeros(dim, dtype=torch.float64, device=device)
        self.scatter = torch.zeros(dim, dim, dtype=torch.float64, device=device)

    @classmethod
    def of(cls, table: Rows) -> Moments:
        """The moments of a table ``[N, D]``."""
        found = rows(table)
        moments = cls(found.shape[1], found.device)
        moments.add(found)
        return moments

    @classmethod
    def given(cls, mean: Rows, covariance: Rows) -> Moments:
        """Moments that somebody else has computed: ``[D]`` and ``[D, D]``. Of how many features is not known.

        Raises:
            ValueError: other shapes, or not finite.

        Example:
            >>> Moments.given([1.0, 2.0], [[2.0, 0.5], [0.5, 1.0]]).covariance.tolist()
            [[2.0, 0.5], [0.5, 1.0]]
        """
        table, center = rows(covariance), rows(np.asarray(mean)[None])[0]
        if table.shape != (len(center), len(center)):
            raise ValueError(f"a mean {list(center.shape)} with a covariance {list(table.shape)}")
        moments = cls(len(center))
        moments.count, moments.mean, moments.scatter = 2, center, table  # two: the covariance is the scatter over one
        return moments

    @property
    def dim(self) -> int:
        """Length of a feature vector."""
        return len(self.mean)

    @property
    def covariance(self) -> Tensor:
        """The unbiased covariance ``[D, D]`` (divided by N - 1, as Heusel et al. do)."""
        return self.scatter / max(self.count - 1, 1)

    def add(self, table: Rows) -> None:
        """Take in feature vectors ``[N, D]``."""
        found = rows(table).to(self.mean.device)
        if not len(found):
            return
        mean = found.mean(0)
        found = found - mean
        self._merge(len(found), mean, lambda: self.scatter.addmm_(found.T, found))

    def merge(self, other: Moments) -> None:
        """Take in everything that ``other`` has seen."""
        if other.count:
            self._merge(other.count, other.mean, lambda: self.scatter.add_(other.scatter))

    def _merge(self, count: int, mean: Tensor, add_scatter: Any) -> None:
        total = self.count + count
        shift = mean - self.mean
        add_scatter()
        self.scatter.addr_(shift, shift, alpha=self.count * count / total)
        self.mean = self.mean + shift * (count / total)
        self.count = total
