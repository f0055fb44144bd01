"""Count what presets compute: `python tools/costs.py [NAME ...]` prints GFLOP for each image of a training, forward
and backward, all phases by how often they come, at the size that `organza.presets.facts` states. Tensors without
numbers are enough, so it needs neither time nor memory. Networks that grow are counted at their full size; of videos,
a whole sequence counts. Products and sums are two operations; only convolutions and matrix products are counted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from organza.contract.data import DataSpec, translates
from organza.contract.method import Clock
from organza.core.device import computing
from organza.presets import PRESETS, Preset
from organza.training.estimate import blank, on_meta

FRAMES = 7
LABELS = 10


class Operations(TorchDispatchMode):
    """Counts operations while it is entered."""

    total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run ``func``, and count."""
        out = func(*args, **(kwargs or {}))
        count: Callable[..., int] | None = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out


def gflop(entry: Preset) -> float:
    """GFLOP for an image of the training ``entry``."""
    config, training, layout = entry.run.method, entry.run.training, entry.run.method.layout
    if "face_weight" in vars(config):
        config = replace(config, face_weight=0.0)  # its network is a file that need not be there
    spec = DataSpec(
        entry.facts.size,
        label_dim=0 if entry.run.data.labels == "none" else LABELS,
        source=3 if translates(layout) else 0,
        count=10_000,
        words=tuple(map(str, range(40))) if layout == "captioned" else (),
        text_length=8 if layout == "captioned" else 0,
        frames=FRAMES if layout == "video" else 0,
    )
    size = training.batch or 32
    state = on_meta(config.resolve(spec, size), spec)
    end = round(training.kimg * 1000)
    stages = [state.method.schedule(Clock(end * i // 100, end, spec.count)).stage for i in range(100)]
    batch, total = blank(spec, size, end - 1), 0.0
    with computing(torch.float32):
        for phase in state.method.phases:
            mine = state.method.players[phase.player].nets
            for name, net in state.method.nets.items():
                net.requires_grad_(name in mine)
            with Operations() as operations:
                found = phase.loss(state.nets, batch, torch.Generator())
                if found.loss.requires_grad:
                    weights = [p for name in mine for p in state.nets[name].parameters()]
                    torch.autograd.grad(found.loss, weights, allow_unused=True)
            share = (1 - 1 / phase.skip if phase.skip else 1) / phase.every
            total += operations.total / size * share * sum(map(phase.active, stages)) / len(stages)
            batch = batch.leaving({name: value.detach() for name, value in found.carry.items()})
    return total / 1e9


def rounded(value: float) -> float:
    """To two digits, as `organza.presets.facts` states it.

    Example:
        >>> rounded(1537.2), rounded(0.0138)
        (1500.0, 0.014)
    """
    return float(f"{value:.2g}")


if __name__ == "__main__":
    for name in sys.argv[1:] or PRESETS:
        print(f"{name:20}{rounded(gflop(PRESETS[name])):g}", flush=True)
