"""What runs of tests leave out, as it takes longer than all their steps."""

from __future__ import annotations

import pytest

PLOTTING = ("organza.training.monitor.plot_log", "organza.runs.train.plot_log")


def unplotted(patch: pytest.MonkeyPatch) -> None:
    """No run plots its log."""
    for where in PLOTTING:
        patch.setattr(where, lambda records, path: path)
