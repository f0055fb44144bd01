"""What the parts of a batch leave beside gradients: statistics, carried tensors, and what forward passes write.

All of it is put together over micro-batches and processes alike; so it does not matter how a batch is cut.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from organza.contract.method import Phase, Result, Stats
from organza.core import distributed
from organza.core.errors import UserError


class Parts:
    """Collects over one phase of one step. Each part finds the networks' buffers as they were before the phase.

    Args:
        phase: whose results.
        nets: all networks; buffers are, for instance, the running means of batch normalisation.
        count: parts of this process's batch.
    """

    def __init__(self, phase: Phase, nets: Iterable[nn.Module], count: int) -> None:
        self.phase, self.count, self.loss, self.stats = phase, count, torch.zeros(()), Stats()
        self.carry: dict[str, list[Tensor]] = {}
        alone = count * distributed.world() == 1  # then the forward pass itself has made the mean
        self.buffers = [] if alone else [buffer for net in nets for buffer in net.buffers()]
        self.before = [buffer.clone() for buffer in self.buffers]
        self.moved = [torch.zeros_like(buffer, dtype=torch.float32) for buffer in self.buffers]

    def begin(self) -> None:
        """Before a part."""
        for buffer, before in zip(self.buffers, self.before, strict=True):
            buffer.copy_(before)

    def add(self, result: Result, size: int) -> None:
        """After a part of ``size`` images.

        Raises:
            UserError: a statistic has a shape that the phase does not state, or something carried is not by image.
        """
        for moved, buffer, before in zip(self.moved, self.buffers, self.before, strict=True):
            moved += (buffer - before) / self.count
        for name, value in result.stats.items():
            if tuple(value.shape) != (shape := self.phase.shapes.get(name, ())):
                raise UserError(
                    f"phase {self.phase.name!r} reports {name!r} of shape {list(value.shape)}, not {list(shape)}",
                    hint="statistics are means over the batch; state a shape that is not a scalar's in Phase.shapes",
                )
            value = value.detach().float() / self.count
            self.stats[name] = self.stats[name] + value if name in self.stats else value
        for name, value in result.carry.items():
            if value.ndim == 0 or len(value) != size:
                raise UserError(
                    f"phase {self.phase.name!r} carries {name!r} of shape {list(value.shape)}, not [{size}, ...]"
                )
            self.carry.setdefault(name, []).append(value.detach())
        self.loss = self.loss.to(result.loss.device) + result.loss.detach() / self.count

    @property
    def tensors(self) -> list[Tensor]:
        """What is still to be averaged over processes, in place."""
        return [*self.stats.values(), *self.moved]

    def finish(self) -> Result:
        """Move the buffers by the means; the result of the whole batch, with what all processes carry."""
        for moved, buffer, before in zip(self.moved, self.buffers, self.before, strict=True):
            buffer.copy_(before + (moved if buffer.is_floating_point() else moved.round()))
        carry = {name: distributed.concatenate(torch.cat(parts)) for name, parts in self.carry.items()}
        return Result(self.loss, self.stats, carry)
