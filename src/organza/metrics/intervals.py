"""How sure a figure is: 95% confidence intervals."""

from __future__ import annotations

import numpy as np
import torch

from organza.metrics.moments import Rows

RESAMPLES = 1000
Interval = tuple[float, float]


def bootstrap_mean(values: Rows, seed: int = 0) -> Interval:
    """The interval of a mean over images, from means of images drawn again with replacement (Efron 1979).

    Example:
        >>> low, high = bootstrap_mean(torch.arange(100.0))
        >>> low < 49.5 < high
        True
    """
    table = np.asarray(torch.as_tensor(values).double().cpu())
    rng = np.random.default_rng(seed)
    # Weights instead of copies of the images; multinomial counts are what drawing with replacement gives.
    means = [
        float((rng.multinomial(len(table), np.full(len(table), 1 / len(table))) * table).sum() / len(table))
        for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def normal(value: float, error: float, *, positive: bool = True) -> Interval:
    """The interval of a figure with a known standard error.

    Example:
        >>> normal(10.0, 1.0), normal(0.5, 1.0)[0]
        ((8.04, 11.96), 0.0)
    """
    low, high = value - 1.96 * error, value + 1.96 * error
    return (max(low, 0.0) if positive else low), high
