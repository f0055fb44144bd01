"""How long a training on videos will take where a single step takes minutes: found from shapes and a small step.

What a stage computes is counted on a few frames that have shapes and hold no numbers; how fast this machine computes is
measured on the same networks with few small frames. It is an estimate: larger frames may be computed faster or slower.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from organza.contract.data import Batch, DataSpec
from organza.contract.method import Clock, Method, MethodConfig, Phase
from organza.contract.model import Translation
from organza.core import distributed
from organza.core.device import computing
from organza.core.errors import UserError
from organza.training.estimate import META, blank, on_meta
from organza.training.settings import Training
from organza.training.state import State

FEW = 3
"""Frames of what is counted and measured: the first, one with a frame before it, and one of a moment of three."""
SIDE = 32
"""Height and width of the frames that are measured, unless networks need more."""
SHORT = 2.0
"""Seconds after which what a first run does beside its work no longer counts."""
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
    small, shapes = _smaller(config, few, state)
    rate, learning = _speed(config, small, dtype, device, shapes)
    mean = sum(each[stage] for stage in numbers) / len(numbers)
    about = f"estimated: {mean / 1e9:,.0f} GFLOP a sequence forward, by shapes; {small.frames} frames of "
    about += f"{small.resolution[1]}x{small.resolution[0]} were measured"
    seconds = mean * rate + learning / (settings.batch or 1)
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


def _freeze(method: Method, phase: Phase, stage: int) -> None:
    """Let only those weights learn that do so in a stage."""
    player = method.players[phase.player]
    for name, net in method.nets.items():
        net.requires_grad_(name in player.nets)
    for owner, _, inner in (held.partition(".") for held in player.fixed(stage)):
        method.nets[owner].get_submodule(inner).requires_grad_(False)


def _smaller(config: MethodConfig, spec: DataSpec, state: State) -> tuple[DataSpec, State]:
    """The smallest square frames, from `SIDE` on, that the networks take; no larger than the frames themselves."""
    model = state.method.model
    assert isinstance(model, Translation)
    side = -(-max(SIDE, model.least) // model.multiple) * model.multiple
    while side < min(spec.resolution):
        small = replace(spec, resolution=(side, side))
        try:
            return small, on_meta(config, small)
        except UserError:
            side *= 2
    return spec, on_meta(config, spec)


def _speed(
    config: MethodConfig, spec: DataSpec, dtype: torch.dtype, device: torch.device, shapes: State
) -> tuple[float, float]:
    """Seconds of an operation, and of the steps of all optimizers by themselves."""
    end = Clock(1, 1, 1)
    stage = shapes.method.schedule(end).stage
    with computing(dtype):
        with META:
            operations = _counted(shapes, stage, blank(spec, 1))
        state = State.fresh(config.build(spec), device)
        method, learning, elapsed = state.method, 0.0, 0.0
        shown = {name: x for name, x in vars(blank(spec, 1)).items() if isinstance(x, torch.Tensor)}
        noise: dict[str, Any] = {name: torch.rand(x.shape, device=device) for name, x in shown.items()}
        batch = Batch(**noise)
        for phase in _active(method, stage):
            _freeze(method, phase, stage)
            for _ in range(2):  # the first one also prepares
                state.learners[phase.player].zero(())
                started = time.perf_counter()
                found = phase.loss(state.nets, batch, torch.Generator(device))
                found.loss.backward()  # type: ignore[no-untyped-call]
                if device.type == "cuda":
                    torch.cuda.synchronize()
                took = time.perf_counter() - started
                if took > SHORT:
                    break
            elapsed += took
            started = time.perf_counter()
            state.learners[phase.player].step(1.0)
            learning += time.perf_counter() - started
            batch = batch.leaving({name: value.detach() for name, value in found.carry.items()})
    return elapsed / operations, learning
