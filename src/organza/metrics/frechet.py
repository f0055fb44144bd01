"""The Fréchet distance between two sets of features (FID: Heusel et al. 2017, arXiv 1706.08500, equation 6).

Both sets are taken as Gaussians: ``|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))``. The trace of the square root is the
sum of the square roots of the eigenvalues of ``L^T S1 L`` with ``S2 = L L^T``, which is symmetric: real numbers all the
way, and many times faster than a general matrix root.
"""

from __future__ import annotations

import torch
from torch import Tensor

from organza.metrics.moments import Moments, Rows, rows


def frechet_distance(features_a: Rows | Moments, features_b: Rows | Moments) -> float:
    """The squared Fréchet distance between two tables of features ``[N, D]`` and ``[M, D]``, or between their moments.

    It is biased upwards when there are few features: compare only at equal numbers.

    Raises:
        ValueError: tables of different width.

    Example:
        >>> round(frechet_distance([[0.0, 0.0], [1.0, 0.0]], [[3.0, 4.0], [4.0, 4.0]]), 6)
        25.0
    """
    return distance_of(moments_of(features_a), moments_of(features_b))


def moments_of(features: Rows | Moments) -> Moments:
    """The moments of a table, or moments as they are."""
    return features if isinstance(features, Moments) else Moments.of(features)


def distance_of(a: Moments, b: Moments) -> float:
    """`frechet_distance` of two sets of moments."""
    _check(a, b)
    product = _product(a.covariance, _root(b.covariance))
    roots = torch.linalg.eigvalsh(product).clamp(min=0).sqrt().sum()
    return _sum(a, b, roots)


def influence(a: Moments, b: Moments, sample: Rows) -> tuple[float, Tensor]:
    """The distance of a from b, and how much each feature vector of a contributes to its error.

    The distance is linear in small changes of a's mean and covariance, so an image more or less moves it by its
    influence divided by the number of images. The variance of the estimate is the variance of the influence over the
    number (the infinitesimal jackknife: what a bootstrap over features tends to, without its resampling).

    Args:
        a, b: moments of both sets.
        sample: some of a's feature vectors ``[K, D]``.

    Returns:
        The distance, and the influence of each of the sample ``[K]``.
    """
    _check(a, b)
    root = _root(b.covariance)
    values, vectors = torch.linalg.eigh(_product(a.covariance, root))
    values = values.clamp(min=0)
    distance = _sum(a, b, values.sqrt().sum())
    shifted = rows(sample).to(a.mean.device) - a.mean
    inside = values > values.max() * a.dim * torch.finfo(values.dtype).eps
    # d tr(S1 S2)^(1/2) / d S1 = L (L^T S1 L)^(-1/2) L^T / 2
    turned = (shifted @ root @ vectors[:, inside]) / values[inside] ** 0.25
    pull = 2 * shifted @ (a.mean - b.mean) + shifted.square().sum(1) - turned.square().sum(1)
    return distance, pull - pull.mean()


def _check(a: Moments, b: Moments) -> None:
    if a.dim != b.dim:
        raise ValueError(f"features of {a.dim} and of {b.dim} numbers can't be compared")
    if a.count < 2 or b.count < 2:
        raise ValueError("a Fréchet distance needs at least two images on each side")


def _root(covariance: Tensor) -> Tensor:
    """A matrix L ``[D, R]`` with ``L L^T`` = covariance."""
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if not bool(failed):
        return torch.as_tensor(factor)
    values, vectors = torch.linalg.eigh(covariance)  # fewer images than dimensions, or a feature that never changes
    inside = values > values.max().clamp(min=1e-300) * len(values) * torch.finfo(values.dtype).eps
    root: Tensor = vectors[:, inside] * values[inside].sqrt()
    return root if root.shape[1] else torch.zeros_like(covariance[:, :1])


def _product(covariance: Tensor, root: Tensor) -> Tensor:
    product = root.T @ covariance @ root
    even: Tensor = (product + product.T) / 2
    return even


def _sum(a: Moments, b: Moments, roots: Tensor) -> float:
    spread = a.covariance.trace() + b.covariance.trace()
    # Rounding may leave a hair below zero for two equal sets.
    return max(float((a.mean - b.mean).square().sum() + spread - 2 * roots), 0.0)
