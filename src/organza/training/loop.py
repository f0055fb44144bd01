"""The training loop, for every method alike.

An iteration takes a batch and gives each due phase one optimizer step; then the averaged weights follow. Everything
that an iteration does follows from the seed and the images seen before it, so a resumed training takes the same
steps as one that was never stopped, and two processes take the same steps as one with two micro-batches.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from organza.contract.data import Batch
from organza.contract.method import Carry, Clock, Phase, Result
from organza.core import distributed
from organza.core.device import computing
from organza.core.errors import UserError
from organza.training import ema
from organza.training.checkpoint import Position
from organza.training.interrupt import interruptible
from organza.training.monitor import Monitor
from organza.training.parts import Parts
from organza.training.settings import Training, ended, lr_factor, micro_batch
from organza.training.state import State
from organza.training.threads import Threads

Evaluate = Callable[[Path], Mapping[str, float]]
ENORMOUS = 1e6  # no loss of a healthy training comes near it


class Loader(Protocol):
    """Where batches come from: a pure function of the position, so that there is nothing to resume."""

    count: int
    """Images in an epoch; 0 where nobody knows."""

    @property
    def waited(self) -> float:
        """Seconds that callers have waited for batches, in all."""
        ...

    def batch(self, seen: int, size: int) -> Batch:
        """This process's share of the ``size`` images that follow the first ``seen``."""
        ...


def train(
    state: State,
    loader: Loader,
    settings: Training,
    dtype: torch.dtype,
    monitor: Monitor,
    config: Mapping[str, Any],
    evaluate: Evaluate | None = None,
) -> bool:
    """Train as long as the settings say, or until SIGINT or SIGTERM asks to stop; both end with a checkpoint.

    Args:
        state: what to train, fresh or loaded; it is changed in place.
        loader: the data.
        settings: resolved settings (`settings.resolve`).
        dtype: format of activations.
        monitor: where statistics, samples and checkpoints go.
        config: written into every checkpoint.
        evaluate: called with each new checkpoint, but not when asked to stop; what it returns is logged.

    Returns:
        True when the training reached its end, False when it was asked to stop before.

    Raises:
        UserError: the training diverged, or a checkpoint could not be written.
    """
    assert settings.batch is not None and settings.ema_kimg is not None
    device = next(iter(state.learners.values())).flat.device
    end = round(settings.kimg * 1000)
    sums: dict[str, Tensor] = {}
    with computing(dtype), interruptible() as asked_to_stop, Threads(state, monitor.voice.say) as threads:
        if state.position.seen == 0:
            monitor.sample(state)
        finished = ended(settings, state.position.seen, state.position.seconds)
        while not finished:
            before, started = state.position, time.perf_counter()
            schedule = state.method.schedule(Clock(before.seen, end, loader.count))
            state.enter(schedule.stage)
            size = schedule.batch or settings.batch
            falling = lr_factor(settings, before.seen)
            batch = loader.batch(before.seen, size)
            threads.fit(batch.part(0, micro_batch(settings, len(batch))), schedule)
            for phase in state.method.phases:
                if phase.active(schedule.stage) and phase.due(before.step):
                    rate = falling * schedule.rate * schedule.rates.get(phase.player, 1.0)
                    result = advance(state, phase, batch, settings, rate, schedule.stage)
                    batch = batch.leaving(result.carry)
                    for name, value in result.stats.items():
                        if value.numel() == 1:
                            pair = torch.stack([value.reshape(()), torch.ones_like(value.reshape(()))])
                            sums[name] = sums[name] + pair if name in sums else pair
            keep = ema.decay(size, settings.ema_kimg, settings.ema_rampup, before.seen)
            for name, average in state.ema.items():
                ema.update(average, state.method.nets[name], keep)
            seconds = before.seconds + time.perf_counter() - started
            state.move(Position(before.seen + size, before.step + 1, seconds, schedule.stage))
            monitor.step(state.position)

            seen = state.position.seen
            stopping = distributed.any_rank(asked_to_stop.is_set(), device)
            finished = distributed.any_rank(ended(settings, seen, seconds), device)
            last = stopping or finished
            tick = last or _passed(before.seen, seen, settings.tick_kimg)
            snapshot = last or _passed(before.seen, seen, settings.snapshot_kimg)
            if tick or snapshot:
                means = {name: (pair[0] / pair[1]).item() for name, pair in sums.items()}
                _stop_if_diverged(state, means, monitor)
            if tick:
                sums.clear()
                monitor.tick(state.position, means, loader.waited)
            if snapshot:
                if not stopping:
                    monitor.sample(state)
                saved = monitor.save(state, config)
                if evaluate is not None and saved is not None and not stopping:
                    monitor.evaluated(state.position, evaluate(saved))
                distributed.barrier()
            if stopping:
                return finished
    return True


def advance(state: State, phase: Phase, batch: Batch, settings: Training, rate: float = 1.0, stage: int = 0) -> Result:
    """One optimizer step of one phase: freeze the others, accumulate micro-batches, average over processes, step.

    Returns:
        The phase's statistics, averaged over micro-batches and processes, and this process's share of what it carries.
    """
    method, nets = state.method, state.nets
    player, learner = method.players[phase.player], state.learners[phase.player]
    fixed = player.fixed(stage)
    for name, net in method.nets.items():
        net.requires_grad_(name in player.nets and name not in fixed)
    for owner, _, inner in (held.partition(".") for held in fixed):
        method.nets[owner].get_submodule(inner).requires_grad_(False)
    learner.zero(fixed)
    micro = micro_batch(settings, len(batch))
    parts = [batch.part(i, i + micro) for i in range(0, len(batch), micro)]
    found = Parts(phase, method.nets.values(), len(parts))
    for index, part in enumerate(parts):
        found.begin()
        rng = generator(
            batch.images.device, settings.seed, batch.seen, phase.name, distributed.rank() * len(parts) + index
        )
        result = phase.loss(nets, part, rng)
        (result.loss * (phase.gain / len(parts))).backward()  # type: ignore[no-untyped-call]
        found.add(result, len(part))
    distributed.average([learner.flat, *found.tensors])
    result = found.finish()
    learner.step(rate)
    carry: Carry = result.carry
    if phase.after is not None:
        rng = generator(batch.images.device, settings.seed, batch.seen, f"{phase.name}/after", 0)
        with torch.no_grad():
            left = phase.after(nets, result, rng)
        carry = carry if left is None else left
    first = distributed.rank() * len(batch)
    return replace(result, carry={name: value[first : first + len(batch)] for name, value in carry.items()})


def generator(device: torch.device, seed: int, seen: int, phase: str, part: int) -> torch.Generator:
    """The source of randomness of one micro-batch: a pure function of where it stands in the training."""
    digest = hashlib.blake2b(f"{seed}/{seen}/{phase}/{part}".encode(), digest_size=8).digest()
    number = int.from_bytes(digest, "little") >> 1
    torch.manual_seed(number)  # for layers that draw without asking, such as dropout
    return torch.Generator(device).manual_seed(number)


def _passed(before: int, now: int, kimg: float) -> bool:
    return int(before / (kimg * 1000)) < int(now / (kimg * 1000))


def _stop_if_diverged(state: State, means: Mapping[str, float], monitor: Monitor) -> None:
    """Before anything is saved: what a checkpoint holds is finite, and the one before stays."""
    # Terms may be sums over all pixels, in nats.
    limits = {name: math.inf if name.startswith("terms/") else ENORMOUS for name in means}
    odd = [f"{name} = {value:.3g}" for name, value in means.items() if not abs(value) < limits[name]]
    device = next(iter(state.learners.values())).flat.device
    if distributed.any_rank(bool(odd) or not state.finite(), device):
        raise UserError(
            f"the training diverged at {state.position.seen / 1000:.1f} kimg ({[*odd, 'a number is not finite'][0]})",
            where=monitor.folder,
            hint=f"the last good checkpoint is {monitor.last_checkpoint() or 'none'}; try a lower --lr, a larger "
            "--batch or --precision float32",
        )
