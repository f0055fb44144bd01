"""What runs of tests leave out, as it takes longer than all their steps."""

from __future__ import annotations

import os
from typing import Any

import pytest

PLOTTING = ("organza.training.monitor.plot_log", "organza.runs.train.plot_log")


def hurry(patch: pytest.MonkeyPatch) -> None:
    """No run plots its log, none weighs networks whose memory is known from another, and nothing waits until the disk
    has it, which matters where power fails.
    """
    for where in PLOTTING:
        patch.setattr(where, lambda records, path: path)
    _weigh_once(patch)
    patch.setattr(os, "fsync", lambda handle: None)


def _weigh_once(patch: pytest.MonkeyPatch) -> None:
    from organza.core import distributed
    from organza.runs import plan

    weigh, known = plan._weigh, dict[Any, Any]()

    def again(run: Any, spec: Any, place: Any) -> Any:
        training = run.training
        sizes = training.batch, training.micro_batch, training.precision, distributed.world()
        key = run.method, spec, place, sizes
        if key not in known:
            known[key] = weigh(run, spec, place)
        return known[key]

    patch.setattr(plan, "_weigh", again)
