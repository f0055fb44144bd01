"""What a training will need, measured on a few pictures before it starts."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from organza.core import distributed
from organza.core.device import computing
from organza.core.method import Batch, Phase
from organza.training.loop import advance
from organza.training.settings import Training
from organza.training.state import State


@dataclass(frozen=True)
class Estimate:
    """Bytes at the peak in each process, and seconds for a thousand images over all processes."""

    memory: int
    seconds_per_kimg: float


def estimate(state: State, batch: Batch, settings: Training, dtype: torch.dtype) -> Estimate:
    """Run each phase on ``batch`` twice, weigh what autograd keeps, and scale both to the real batch.

    Networks that grow are measured as they are at the end.
    The networks take two steps, so ``state`` is of no use for training afterwards. Time per image usually falls a
    little as batches grow; the estimate errs on the high side.
    """
    assert settings.batch is not None
    last = round(settings.kimg * 1000) - 1
    batch, size = replace(batch, seen=last), state.method.schedule(last).batch or settings.batch
    share = max(1, size // distributed.world())
    small = replace(settings, micro_batch=len(batch))
    kept, seconds = 0.0, 0.0
    with computing(dtype):
        for phase in state.method.phases:
            kept = max(kept, _kept(state, phase, batch, small) / len(batch))
            started = time.perf_counter()
            advance(state, phase, batch, small)
            if batch.images.is_cuda:
                torch.cuda.synchronize()
            seconds += (time.perf_counter() - started) / len(batch) / phase.every
    held = [*state.method.nets.values(), *state.ema.values()]
    weights = sum(4 * tensor.numel() for net in held for tensor in net.state_dict().values())
    learning = sum(3 * 4 * learner.flat.numel() for learner in state.learners.values())
    memory = round(weights + learning + kept * min(settings.micro_batch or share, share))
    return Estimate(memory, 1000 * seconds / distributed.world())


def _kept(state: State, phase: Phase, batch: Batch, settings: Training) -> int:
    storages: dict[int, int] = {}

    def weigh(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(weigh, lambda tensor: tensor):
        advance(state, phase, batch, settings)
    return sum(storages.values())
