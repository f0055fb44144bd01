"""How long a training on videos will take where a single step takes minutes: found from shapes.

What a stage computes is counted on a few frames that have shapes and hold no numbers, and multiplied by its frames; how
fast this machine computes is measured on one convolution. It is an estimate, of convolutions alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from organza.contract.data import Batch, DataSpec
from organza.contract.method import Clock, Method, MethodConfig, Phase
from organza.core import distributed
from organza.core.device import computing
from organza.training.estimate import META, blank, on_meta
from organza.training.settings import Training
from organza.training.state import State

FEW = 3
"""Frames of what is counted: the first, one with a frame before it, and one of a moment of three."""
SIDE = 64
"""Height and width of the maps by which the speed is measured."""
LONG = 3e11
"""Operations of a step, forward, from which on it is not simply tried."""


class Operations:
    """Counts products and sums of the convolutions of some networks, forward, while it is entered."""

    def __init__(self, nets: Iterable[nn.Module]) -> None:
        self.total = 0
        self._layers = {layer for net in nets for layer in net.modules() if isinstance(layer, _ConvNd)}

    def __enter__(self) -> Operations:
        self._hooks = [layer.register_forward_hook(self._add) for layer in self._layers]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _add(self, layer: nn.Module, given: tuple[Tensor, ...], found: Tensor) -> None:
        weight = layer.weight
        assert isinstance(weight, Tensor)
        turned = isinstance(layer, nn.ConvTranspose2d)  # each pixel that goes in is spread, not each that comes out
        places = given[0] if turned else found
        self.total += 2 * len(places) * places[0, 0].numel() * weight.numel()


@dataclass(frozen=True)
class Estimate:
    """What was found.

    Attributes:
        seconds: for a thousand sequences, over all processes.
        about: how, in words.
    """

    seconds: float
    about: str


def pace_of_videos(
    config: MethodConfig, spec: DataSpec, settings: Training, dtype: torch.dtype, device: torch.device
) -> Estimate | None:
    """An estimate for sequences; None where a step is short enough to be tried.

    Args:
        config: resolved settings.
        spec: the sequences.

    Raises:
        UserError: what ``config.build`` raises.
    """
    few = replace(spec, frames=min(spec.frames, FEW))
    state = on_meta(config, spec)
    method = state.method
    end = max(1, round(settings.kimg * 1000))
    numbers = [method.schedule(Clock(end * i // 100, end, spec.count)).stage for i in range(100)]
    lengths = {stage: _length(method, stage, spec.frames) / few.frames for stage in set(numbers)}
    with computing(dtype), META:
        blanks = blank(few, 1)
        last = _counted(state, numbers[-1], blanks) * lengths[numbers[-1]]
        if last < LONG:
            return None
        each = {stage: _counted(state, stage, blanks) * lengths[stage] for stage in set(numbers)}
    mean = sum(each[stage] for stage in numbers) / len(numbers)
    again = 4 / 3 if getattr(config, "recompute", False) else 1.0  # what is inside the networks is made twice
    seconds = mean * again * seconds_of_an_operation(dtype, device)
    about = f"estimated: {mean / 1e9:,.0f} GFLOP a sequence forward, by the speed of one convolution"
    return Estimate(1000 * seconds / distributed.world(), about)


def _length(method: Method, stage: int, frames: int) -> int:
    return max(phase.frames or 0 for phase in _active(method, stage)) or frames


def _active(method: Method, stage: int) -> list[Phase]:
    return [phase for phase in method.phases if phase.active(stage)]


def _counted(state: State, stage: int, batch: Batch) -> int:
    """Operations of a step in a stage, forward; what goes back is as much again for the same networks."""
    total = 0
    with torch.no_grad():
        for phase in _active(state.method, stage):
            with Operations(state.nets.values()) as operations:
                found = phase.loss(state.nets, batch, torch.Generator())
            total += operations.total
            batch = batch.leaving(found.carry)
    return total


def seconds_of_an_operation(dtype: torch.dtype, device: torch.device) -> float:
    """Of a convolution of 128 maps of 64x64, there and back, for each of its operations forward."""
    layer = nn.Conv2d(128, 128, 3, padding=1).to(device)
    x = torch.rand(1, 128, SIDE, SIDE, device=device)
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32), Operations([layer]) as operations:
        took = []
        for _ in range(3):  # the first one also prepares
            started = time.perf_counter()
            layer(x.requires_grad_()).sum().backward()
            if device.type == "cuda":
                torch.cuda.synchronize()
            took.append(time.perf_counter() - started)
    return min(took) / (operations.total / len(took))
