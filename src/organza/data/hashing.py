"""Orders and choices as pure functions of a position: hashes that are the same everywhere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]


def mix(x: U64) -> U64:
    """The SplitMix64 finaliser (Steele, Lea, Flood 2014): 64 bits -> 64 well-mixed bits, the same everywhere."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(x ^ (x >> np.uint64(31)))


def permutation(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order of ``n`` images in an epoch; independent of NumPy's version.

    Example:
        >>> sorted(permutation(5, seed=0, epoch=3).tolist())
        [0, 1, 2, 3, 4]
    """
    base = mix(mix(np.array([seed & 0xFFFFFFFFFFFFFFFF], np.uint64)) ^ np.uint64(epoch))
    return np.argsort(mix(base ^ np.arange(n, dtype=np.uint64)), kind="stable")
