"""Fewer threads while other programs are busy (`organza.core.cores`), where that changes no bit of the training.

Exact resume must not depend on what else the machine does. So before the first change the gradients of every phase are
computed with both numbers of threads, and unless all their bits agree the number stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from organza.contract.data import Batch
from organza.contract.method import Phase, Schedule
from organza.core import cores, distributed
from organza.training.state import State

_ALIKE = "other programs are busy: training takes fewer threads meanwhile, which gives the same bits"
_UNLIKE = (
    "warning: other programs are busy and slow this training down. Fewer threads would be faster now, but give other "
    "last bits, so it keeps them; Ctrl-C, and the same command with OMP_NUM_THREADS=1 before it, takes one"
)


class Threads:
    """Looks after the number of threads of one training; leaving its context goes back to the number from before.

    Args:
        state: what is trained.
        say: tells the user.

    Attributes:
        number: threads of the training's steps.
    """

    def __init__(self, state: State, say: Callable[[str], None]) -> None:
        self.state, self.say = state, say
        self.number = self._before = torch.get_num_threads()
        self._alike = {self.number: True}

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, *args: object) -> None:
        torch.set_num_threads(self._before)

    def fit(self, part: Batch, schedule: Schedule) -> None:
        """Change the number where it is time to. ``part``: a micro-batch of the step that comes next."""
        # Networks that grow are another computation at every size, so one comparison would not do.
        fixed = part.images.device.type != "cpu" or distributed.world() > 1 or schedule.batch is not None
        wish = self.number if fixed else cores.wish(self.number)
        if wish != self.number:
            if wish not in self._alike:
                self._alike[wish] = same_bits(self.state, part, self.number, wish)
                self.say(_ALIKE if self._alike[wish] else _UNLIKE)
            if self._alike[wish]:
                self.number = wish
        if torch.get_num_threads() != self.number:  # an evaluation in between may have changed it
            torch.set_num_threads(self.number)


def same_bits(state: State, part: Batch, *numbers: int) -> bool:
    """Whether each of these numbers of threads gives the same losses and gradients, bit for bit. Nothing is changed."""
    usual = torch.get_num_threads()
    try:
        for phase in state.method.phases:
            same, part = _same_bits(state, phase, part, numbers)
            if not same:
                return False
        return True
    finally:
        torch.set_num_threads(usual)


def _same_bits(state: State, phase: Phase, part: Batch, numbers: Sequence[int]) -> tuple[bool, Batch]:
    """Whether it is so in this phase, and the batch as the next one finds it."""
    found = []
    for number in numbers:
        torch.set_num_threads(number)
        tensors, left = _gradients(state, phase, part)
        found.append(tensors)
    return all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True)), left


def _gradients(state: State, phase: Phase, part: Batch) -> tuple[list[Tensor], Batch]:
    """Loss and gradients of a phase, as `organza.training.loop.advance` comes to them, and the batch afterwards."""
    method = state.method
    for name, net in method.nets.items():
        net.requires_grad_(name in method.players[phase.player].nets)
    buffers = [buffer for net in method.nets.values() for buffer in net.buffers()]
    before = [buffer.clone() for buffer in buffers]
    torch.manual_seed(0)
    result = phase.loss(state.nets, part, torch.Generator(part.images.device).manual_seed(0))
    weights = [weight for weight in state.learners[phase.player].parameters if weight.requires_grad]
    found = torch.autograd.grad(result.loss, weights, allow_unused=True)
    for buffer, value in zip(buffers, before, strict=True):
        buffer.copy_(value)
    tensors = [result.loss.detach(), *(grad for grad in found if grad is not None)]
    return tensors, part.leaving({name: value.detach() for name, value in result.carry.items()})
