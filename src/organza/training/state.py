"""Everything of a training that changes while it runs: made, saved and brought back here."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from organza.core.errors import UserError
from organza.core.method import Method
from organza.training import checkpoint
from organza.training.checkpoint import Position
from organza.training.optimizers import Learner, build


@dataclass
class State:
    """A method while it trains: its averaged networks, its learners, and how far it is."""

    method: Method
    ema: Mapping[str, nn.Module]
    learners: Mapping[str, Learner]
    position: Position = field(default_factory=Position)

    @classmethod
    def fresh(cls, method: Method, device: torch.device) -> State:
        """Move a newly built method to ``device`` and make it ready to train."""
        for net in method.nets.values():
            net.to(device).train()
        for tensor in method.state.values():
            tensor.data = tensor.to(device)  # in place: the phases hold these very tensors
        ema = {name: copy.deepcopy(method.nets[name]).eval().requires_grad_(False) for name in method.ema}
        return cls(method, ema, build(method))

    def enter(self, stage: int) -> None:
        """Let the optimizers begin anew when a method's schedule has come to another stage."""
        if stage != self.position.stage:
            for learner in self.learners.values():
                learner.restart()

    def save(self, folder: Path, config: Mapping[str, Any], keep: int) -> Path:
        """Write a checkpoint; see `checkpoint.save`."""
        resume = {
            "position": {f.name: getattr(self.position, f.name) for f in fields(Position)},
            "optimizers": {name: learner.adam.state_dict() for name, learner in self.learners.items()},
            "state": {name: tensor.cpu() for name, tensor in self.method.state.items()},
        }
        return checkpoint.save(folder, config, self.ema, self.method.nets, resume, seen=self.position.seen, keep=keep)

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
                learner.adam.load_state_dict(resume["optimizers"][name])
            for name, tensor in self.method.state.items():
                tensor.copy_(resume["state"][name])
            self.position = Position(**resume["position"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"does not fit this training ({error})", where=path / "resume.pt") from error

    def finite(self) -> bool:
        """Whether every weight is a finite number."""
        sums = [p.detach().sum() for learner in self.learners.values() for p in learner.parameters]
        return bool(torch.stack(sums).isfinite().all())
