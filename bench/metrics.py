"""How long figures take: the Frechet distance against a general matrix root, running moments, kernels, manifolds."""

from __future__ import annotations

import argparse
import time

import numpy as np
import scipy.linalg
import torch

from organza.metrics.frechet import distance_of, influence
from organza.metrics.kernel import kernel_distance
from organza.metrics.manifold import manifold
from organza.metrics.moments import Moments


def seconds(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def by_matrix_root(a: Moments, b: Moments) -> float:
    root = scipy.linalg.sqrtm(a.covariance.numpy() @ b.covariance.numpy()).real
    spread = a.covariance.trace() + b.covariance.trace()
    return float((a.mean - b.mean).square().sum() + spread - 2 * np.trace(root))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dims", type=int, nargs="+", default=[128, 2048])
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--no-scipy", action="store_true")
    options = parser.parse_args()
    if not options.no_scipy:
        seconds(lambda: by_matrix_root(Moments.of(torch.eye(3)), Moments.of(torch.eye(3))))  # it imports lazily
    for dim in options.dims:
        rng = torch.Generator().manual_seed(0)
        mix = torch.randn(dim, dim, generator=rng) / dim**0.5
        x, y = (torch.randn(options.count, dim, generator=rng) @ mix + shift for shift in (0, 0.1))
        a, b = Moments(dim), Moments(dim)
        adding = seconds(lambda: [a.add(part) for part in x.split(64)])  # noqa: B023
        b.add(y)
        ours = seconds(lambda: distance_of(a, b))  # noqa: B023
        sure = seconds(lambda: influence(a, b, x))  # noqa: B023
        print(f"{dim} features: moments of {options.count} images {adding:.2f} s, distance {ours:.3f} s", end="")
        print(f", with interval {sure:.3f} s", end="")
        if not options.no_scipy:
            theirs = seconds(lambda: by_matrix_root(a, b))  # noqa: B023
            off = abs(by_matrix_root(a, b) / distance_of(a, b) - 1) if dim <= 512 else None
            print(f"; scipy.linalg.sqrtm {theirs:.2f} s ({theirs / ours:.1f} times)", end="")
            print("" if off is None else f", relative difference {off:.1e}", end="")
        print()
        kernels = seconds(lambda: kernel_distance(x, y, subsets=10))  # noqa: B023
        balls = seconds(lambda: manifold(x, y, 3))  # noqa: B023
        print(f"    kernel distance {10 * kernels:.2f} s (100 subsets of 1000), manifolds {balls:.2f} s")


if __name__ == "__main__":
    main()
