"""What a training will need: memory, found without taking any, and time, measured on a few images."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from organza.contract.data import Batch, DataSpec
from organza.contract.method import Clock, MethodConfig, Phase
from organza.core import distributed
from organza.core.device import computing, free_memory, total_memory
from organza.core.errors import UserError
from organza.ops.recomputed import weighed
from organza.training.loop import advance
from organza.training.settings import Training
from organza.training.state import State

META = torch.device("meta")
PASSING = 1.25
"""Real peaks over what is kept, for gradients on their way: 0.97 to 1.5, measured with six presets on a processor."""
LONG = 10.0
"""Seconds after which what a first run does beside its work no longer counts."""
SPARE = 1.3
"""The estimate may be off by so much: what needs more than that of the whole machine can't fit."""


@dataclass(frozen=True)
class Memory:
    """Bytes that each process needs at its peak.

    Attributes:
        weights: networks, their averages, gradients and the optimizers' running means.
        activations: what the largest step keeps of one micro-batch until its gradients are known.
        micro_batch: how many images that is.
    """

    weights: int
    activations: int
    micro_batch: int

    @property
    def total(self) -> int:
        """All of it, and what passes through."""
        return round(PASSING * (self.weights + self.activations))

    def largest_micro_batch(self, room: int) -> int | None:
        """The largest divisor of the micro-batch with which it all fits into ``room`` bytes; None where none does.

        Example:
            >>> Memory(weights=100, activations=80, micro_batch=8).largest_micro_batch(200)
            4
        """
        each = max(1, self.activations // self.micro_batch)
        most = min(self.micro_batch, int((room / PASSING - self.weights) // each))
        return next((n for n in range(most, 0, -1) if self.micro_batch % n == 0), None)


def on_meta(config: MethodConfig, spec: DataSpec) -> State:
    """A method as it would be trained, with tensors that have shapes and hold no numbers: however large, it is free.

    Args:
        config: resolved settings.
        spec: the images.

    Raises:
        UserError: what ``config.build`` raises, or sizes beyond counting.

    Example:
        >>> from organza.methods.basic.dcgan import DCGAN
        >>> state = on_meta(DCGAN(z_dim=10**8), DataSpec((64, 64)))
        >>> sum(p.numel() for p in state.method.nets["G"].parameters()) > 10**11
        True
    """
    with _countable(), META:
        return State.fresh(config.build(spec), META)


def memory(state: State, spec: DataSpec, settings: Training, dtype: torch.dtype) -> Memory:
    """What ``state`` (of `on_meta`) would need to train with resolved ``settings``.

    Networks that grow are weighed at their full size, and with each batch that their schedule comes to; of stages the
    last one, in which everything takes part.

    Raises:
        UserError: sizes beyond counting.
    """
    assert settings.batch is not None
    held = [*state.nets.values(), *state.ema.values()]
    weights = sum(t.numel() * t.element_size() for net in held for t in net.state_dict().values())
    learning = sum(3 * 4 * learner.flat.numel() for learner in state.learners.values())
    found, end = Memory(weights + learning, 0, 1), max(1, round(settings.kimg * 1000))
    last = state.method.schedule(Clock(end, end, spec.count)).stage
    for seen, size in _batches(state, settings).items():
        share = max(1, size // distributed.world())
        micro = min(settings.micro_batch or share, share)
        with _countable(), computing(dtype):
            batch, kept = blank(spec, micro, seen), 0
            for phase in state.method.phases:
                if not phase.active(last):
                    continue
                needed, batch = _kept(state, phase, batch)
                kept = max(kept, needed)
        if kept > found.activations:
            found = replace(found, activations=kept, micro_batch=micro)
    return found


def blank(spec: DataSpec, count: int, seen: int = 0) -> Batch:
    """A batch that has shapes and holds no numbers."""
    each = (count, spec.frames) if spec.frames else (count,)
    images, labels = (
        torch.empty(*each, spec.channels, *spec.resolution, device=META),
        torch.empty(count, spec.label_dim, device=META),
    )
    source = torch.empty(*each, spec.source, *spec.resolution, device=META) if spec.source else None
    flow = torch.empty(count, spec.frames - 1, 3, *spec.resolution, device=META) if spec.frames else None
    text = None
    if spec.words or spec.embedding_dim:
        text = torch.empty(count, spec.embedding_dim, device=META)
    if spec.words:
        text = torch.empty(count, spec.text_length, dtype=torch.int64, device=META)
    return Batch(images, labels, seen, source, text=text, flow=flow)


def room(device: torch.device) -> tuple[int | None, int | None]:
    """Bytes of ``device`` for each process: what is free, and what it would have alone; None where nobody says."""
    sharing = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if device.type == "cpu" else 1
    free, total = free_memory(device), total_memory(device)
    return free and free // sharing, total and total // sharing


def check_memory(needs: Memory, free: int | None, total: int | None) -> str:
    """How much of the `room` a training takes, as text; with a warning where that is more than is free.

    Raises:
        UserError: there is not as much, by far.

    Example:
        >>> check_memory(Memory(10**9, 10**9, 8), free=8 * 10**9, total=16 * 10**9)
        'about 2.5 GB of memory, of 8.0 GB free'
    """
    need = f"about {_gigabytes(needs.total)} of memory"
    if free is None or total is None or needs.total <= free:
        return need + ("" if free is None else f", of {_gigabytes(free)} free")
    smaller = needs.largest_micro_batch(free)
    advice = f"try --micro-batch {smaller}" if smaller else "take smaller images (--resolution) or fewer feature maps"
    if needs.total > SPARE * total:
        raise UserError(f"this training needs {need}, and there are {_gigabytes(total)}", hint=advice)
    return f"{need}, but only {_gigabytes(free)} are free: it may not fit; {advice}"


def seconds_per_kimg(
    state: State, batch: Batch, settings: Training, dtype: torch.dtype, images_in_epoch: int = 0
) -> float:
    """Run each phase on ``batch`` twice and time the second (if the first takes no longer than `LONG`): seconds for a
    thousand images over all processes.

    A phase of some stages counts for its part of the training.
    Networks that grow are measured as they are at the end. The networks take two steps, so ``state`` is of no use for
    training afterwards. Time per image usually falls a little as batches grow; the estimate errs on the high side.
    """
    batch = replace(batch, seen=round(settings.kimg * 1000) - 1)
    small = replace(settings, micro_batch=len(batch))
    seconds, end = 0.0, round(settings.kimg * 1000)
    clocks = [Clock(end * i // 100, end, images_in_epoch) for i in range(100)]
    stages = [state.method.schedule(clock).stage for clock in clocks]
    with computing(dtype):
        for phase in state.method.phases:
            for _ in range(2):
                started = time.perf_counter()
                left = advance(state, phase, batch, small).carry
                if batch.images.is_cuda:
                    torch.cuda.synchronize()
                elapsed = time.perf_counter() - started
                if elapsed > LONG:
                    break
            share = (1 - 1 / phase.skip if phase.skip else 1) / phase.every
            share *= sum(map(phase.active, stages)) / len(stages)
            seconds += elapsed / len(batch) * share
            batch = batch.leaving(left)
    return 1000 * seconds / distributed.world()


@contextmanager
def _countable() -> Iterator[None]:
    """PyTorch counts bytes in 63 bits, and says so where it can't."""
    try:
        yield
    except (RuntimeError, OverflowError, TypeError) as error:
        if "overflow" not in str(error).lower():
            raise
        raise UserError("a training of this size fits no machine", hint="take smaller networks or batches") from error


def _batches(state: State, settings: Training) -> dict[int, int]:
    """Images seen before the last step of each batch size -> the size."""
    assert settings.batch is not None
    last = max(0, round(settings.kimg * 1000) - 1)
    times = [Clock(last * i // 100, last + 1) for i in range(101)]
    sizes = {clock.seen: state.method.schedule(clock).batch or settings.batch for clock in times}
    latest = {size: seen for seen, size in sizes.items()}
    return {seen: size for size, seen in latest.items()}


def _kept(state: State, phase: Phase, batch: Batch) -> tuple[int, Batch]:
    storages: dict[int, torch.UntypedStorage] = {}

    def weigh(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage._cdata] = storage
        return tensor

    for name, net in state.method.nets.items():
        net.requires_grad_(name in state.method.players[phase.player].nets)
    with torch.autograd.graph.saved_tensors_hooks(weigh, lambda tensor: tensor), weighed() as parts:
        carry = phase.loss(state.nets, batch, torch.Generator()).carry
    kept = sum(storage.nbytes() for storage in (storages | parts.inputs).values())
    return kept + parts.largest, batch.leaving(carry)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB"
