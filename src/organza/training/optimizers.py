"""Optimizers made from players, with the correction for lazy regularisation, and gradients in one flat buffer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version

from organza.contract.method import Adam, Method, Optimizer, Phase, RMSprop

STAGES = 8
"""The first stages of a training: phases that run together do so in one of them."""


@dataclass(frozen=True)
class Learner:
    """A player ready to learn: its parameters with their names, their gradients in ``flat``, and its optimizer."""

    names: list[str]
    parameters: list[nn.Parameter]
    flat: Tensor
    optimizer: torch.optim.Optimizer
    rate: float

    def zero(self, fixed: Collection[str] = ()) -> None:
        """Clear the gradients. They stay zero, not None, where a loss does not reach, so that all ranks agree.

        Those of the networks, and parts of networks, in ``fixed`` are None: the optimizer leaves such weights alone.
        """
        self.flat.zero_()
        for name, parameter, grad in zip(self.names, self.parameters, self._views(), strict=True):
            parameter.grad = None if any(name.startswith(f"{part}.") for part in fixed) else grad

    def step(self, rate: float) -> None:
        """One step with the learning rate scaled by ``rate``."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * rate
        self.optimizer.step()
        for parameter in self.parameters:  # PyTorch's fused step does not say that it changes them
            increment_version(parameter)

    def restart(self) -> None:
        """Forget the running means: the next step is as the first one."""
        self.optimizer.state.clear()

    def load(self, state: Mapping[int, Mapping[str, Tensor]]) -> None:
        """Go on from the optimizer's state of each parameter, by its number.

        Raises:
            IndexError, ValueError: a state without a parameter.
        """
        loaded = {}
        for number, held in state.items():
            like = self.parameters[number]
            # In the parameter's memory layout, which the fused step counts on; files hold rows.
            loaded[number] = {
                key: torch.empty_like(like, dtype=x.dtype).copy_(x) if x.shape == like.shape else x
                for key, x in held.items()
            }
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": loaded})

    def _views(self) -> list[Tensor]:
        views, start = [], 0
        for p in self.parameters:  # in the parameter's own memory layout, so that adding to them is a straight run
            views.append(self.flat.as_strided(p.shape, p.stride(), start))
            start += p.numel()
        return views


def lazy_ratio(phases: tuple[Phase, ...], player: str) -> float:
    """By how much to slow Adam of a player whose regularisers take steps of their own (StyleGAN2, appendix B).

    Adam takes ``n`` steps where a loss with the regularisers in it would take one: the main phase's, and for each lazy
    one that runs at every k-th of them, 1 / k. So the rate is multiplied by ``1 / n`` and both betas are raised to it:
    by k / (k + 1) for one regulariser, 1/2 where it runs each time. The main phase is the player's most frequent, the
    first of those; another is lazy when its gain makes up for its rarity, and it runs in a stage of the main one.

    Example:
        >>> def loss(nets, batch, rng): ...
        >>> lazy_ratio((Phase("D", "D", loss), Phase("R1", "D", loss, every=16, gain=16)), "D") == 16 / 17
        True
        >>> lazy_ratio((Phase("D", "D", loss), Phase("R1", "D", loss, every=1, gain=1)), "D")
        0.5
        >>> lazy_ratio((Phase("G", "G", loss, every=5),), "G")
        1.0
    """
    mine = [p for p in phases if p.player == player]
    main = min(mine, key=lambda p: p.every)
    beside = [p for p in mine if p is not main and any(p.active(k) and main.active(k) for k in range(STAGES))]
    return 1 / (1 + sum(main.every / p.every for p in beside if p.gain == p.every))


def build(method: Method) -> Mapping[str, Learner]:
    """A `Learner` for each player of ``method``, on the device where its networks are."""
    learners = {}
    for name, player in method.players.items():
        named = [(f"{net}.{key}", p) for net in player.nets for key, p in method.nets[net].named_parameters()]
        parameters = [p for _, p in named]
        optimizer = make(player.optimizer, parameters, lazy_ratio(method.phases, name))
        flat = torch.zeros(sum(p.numel() for p in parameters), device=parameters[0].device)
        rate = optimizer.param_groups[0]["lr"]
        learners[name] = Learner([key for key, _ in named], parameters, flat, optimizer, rate)
    return learners


def make(wanted: Optimizer, parameters: list[nn.Parameter], ratio: float = 1.0) -> torch.optim.Optimizer:
    """PyTorch's optimizer as ``wanted``, corrected for lazy regularisers by `lazy_ratio`.

    Example:
        >>> from organza.contract.method import SGD
        >>> [type(make(o, [nn.Parameter(torch.ones(1))])).__name__ for o in (Adam(), RMSprop(), SGD())]
        ['Adam', 'RMSprop', 'SGD']
    """
    lr, decay = wanted.lr * ratio, wanted.weight_decay
    if isinstance(wanted, Adam):
        betas = (wanted.betas[0] ** ratio, wanted.betas[1] ** ratio)
        return torch.optim.Adam(parameters, lr=lr, betas=betas, eps=wanted.eps, weight_decay=decay, fused=True)
    if isinstance(wanted, RMSprop):
        return torch.optim.RMSprop(parameters, lr=lr, alpha=wanted.alpha**ratio, eps=wanted.eps, weight_decay=decay)
    return torch.optim.SGD(parameters, lr=lr, momentum=wanted.momentum, weight_decay=decay)
