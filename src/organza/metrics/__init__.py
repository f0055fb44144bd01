"""Figures of quality: how good, how varied and how smooth what a network generates is.

The functions here work on arrays of features; `evaluate` on networks, folders and datasets. Names are imported on
first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from organza.metrics.class_score import inception_score
    from organza.metrics.evaluation import evaluate
    from organza.metrics.frechet import frechet_distance
    from organza.metrics.kernel import kernel_distance
    from organza.metrics.linear import separability
    from organza.metrics.manifold import density_coverage, precision_recall
    from organza.metrics.moments import Moments
    from organza.metrics.report import Figure, Report
    from organza.metrics.similarity import ms_ssim
    from organza.metrics.sliced import sliced_wasserstein

_HOMES = {
    "Figure": "report",
    "Moments": "moments",
    "Report": "report",
    "density_coverage": "manifold",
    "evaluate": "evaluation",
    "frechet_distance": "frechet",
    "inception_score": "class_score",
    "kernel_distance": "kernel",
    "ms_ssim": "similarity",
    "precision_recall": "manifold",
    "separability": "linear",
    "sliced_wasserstein": "sliced",
}

__all__ = [
    "Figure",
    "Moments",
    "Report",
    "density_coverage",
    "evaluate",
    "frechet_distance",
    "inception_score",
    "kernel_distance",
    "ms_ssim",
    "precision_recall",
    "separability",
    "sliced_wasserstein",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"organza.metrics.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
