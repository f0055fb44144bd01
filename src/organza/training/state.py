"""Everything of a training that changes while it runs: made, saved and brought back here."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from organza.contract.method import Method
from organza.core.errors import UserError
from organza.training import checkpoint
from organza.training.checkpoint import Position, Resume
from organza.training.optimizers import Learner, build


@dataclass
class State:
    """A method while it trains: its averaged networks, its learners, how far it is, and its frozen helpers."""

    method: Method
    ema: Mapping[str, nn.Module]
    learners: Mapping[str, Learner]
    position: Position = field(default_factory=Position)
    frozen: Mapping[str, nn.Module] = field(default_factory=dict)

    @classmethod
    def fresh(cls, method: Method, device: torch.device) -> State:
        """Move a newly built method to ``device`` and make it ready to train."""
        for net in method.nets.values():
            net.to(device).train()
        frozen = {name: net if isinstance(net, nn.Module) else net() for name, net in method.frozen.items()}
        for net in frozen.values():
            net.to(device).eval().requires_grad_(False)
        for tensor in method.state.values():
            tensor.data = tensor.to(device)  # in place: the phases hold these very tensors
        ema = {name: copy.deepcopy(method.nets[name]).eval().requires_grad_(False) for name in method.ema}
        return cls(method, ema, build(method), frozen=frozen)

    @property
    def nets(self) -> dict[str, nn.Module]:
        """All networks as losses see them: those that learn and the frozen helpers."""
        return {**self.method.nets, **self.frozen}

    @property
    def averaged(self) -> dict[str, nn.Module]:
        """The same with averages in the place of networks that have one."""
        return {**self.nets, **self.ema}

    def enter(self, stage: int) -> None:
        """Let the optimizers begin anew when a method's schedule has come to another stage."""
        if stage != self.position.stage:
            for learner in self.learners.values():
                learner.restart()

    def move(self, position: Position) -> None:
        """Note how far it is now."""
        self.position = position

    def save(self, folder: Path, config: Mapping[str, Any], keep: int) -> Path:
        """Write a checkpoint; see `checkpoint.save`."""
        optimizers = {name: learner.optimizer.state_dict()["state"] for name, learner in self.learners.items()}
        resume = Resume(self.position, optimizers, self.method.state)
        return checkpoint.save(folder, config, self.ema, self.method.nets, resume, keep=keep)

    def load(self, path: Path) -> None:
        """Continue from a checkpoint: after this, training goes on as if it had never stopped.

        Raises:
            UserError: the checkpoint is broken or belongs to other networks. The state may be half loaded.
        """
        nets, ema = checkpoint.read_nets(path, "nets"), checkpoint.read_nets(path, "ema")
        resume = checkpoint.read_resume(path)
        checkpoint.unflatten(self.method.nets, nets, path)
        checkpoint.unflatten(self.ema, ema, path)
        try:
            for name, learner in self.learners.items():
                learner.load(resume.optimizers.get(name, {}))
            for name, tensor in self.method.state.items():
                tensor.copy_(resume.state[name])
        except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"does not fit this training ({error})", where=path) from error
        self.position = resume.position

    def finite(self) -> bool:
        """Whether everything that a checkpoint would hold is a finite number."""
        tensors = [*self.method.state.values()]
        for net in (*self.method.nets.values(), *self.ema.values()):
            tensors += net.state_dict().values()
        for learner in self.learners.values():
            for moments in learner.optimizer.state.values():
                tensors += [value for value in moments.values() if isinstance(value, Tensor)]
        return checkpoint.finite(tensors)
