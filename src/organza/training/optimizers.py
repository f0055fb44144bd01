"""Optimizers made from players, with the correction for lazy regularisation, and gradients in one flat buffer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version

from organza.contract.method import Method, Phase


@dataclass(frozen=True)
class Learner:
    """A player ready to learn: its parameters, their gradients as views of ``flat``, and its optimizer."""

    parameters: list[nn.Parameter]
    flat: Tensor
    adam: torch.optim.Adam
    rate: float

    def zero(self) -> None:
        """Clear the gradients. They stay zero, not None, where a loss does not reach, so that all ranks agree."""
        self.flat.zero_()
        for parameter, grad in zip(self.parameters, self._views(), strict=True):
            parameter.grad = grad

    def step(self, rate: float) -> None:
        """One step of Adam with the learning rate scaled by ``rate``."""
        for group in self.adam.param_groups:
            group["lr"] = self.rate * rate
        self.adam.step()
        for parameter in self.parameters:  # PyTorch's fused step does not say that it changes them
            increment_version(parameter)

    def restart(self) -> None:
        """Forget the running means: the next step is as the first one."""
        self.adam.state.clear()

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
        self.adam.load_state_dict({**self.adam.state_dict(), "state": loaded})

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
    first of those; another is lazy when its gain makes up for its rarity.

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
    return 1 / (1 + sum(main.every / p.every for p in mine if p is not main and p.gain == p.every))


def build(method: Method) -> Mapping[str, Learner]:
    """A `Learner` for each player of ``method``, on the device where its networks are."""
    learners = {}
    for name, player in method.players.items():
        parameters = [p for net in player.nets for p in method.nets[net].parameters()]
        ratio = lazy_ratio(method.phases, name)
        adam = player.optimizer
        optimizer = torch.optim.Adam(
            parameters,
            lr=adam.lr * ratio,
            betas=(adam.betas[0] ** ratio, adam.betas[1] ** ratio),
            eps=adam.eps,
            fused=True,
        )
        flat = torch.zeros(sum(p.numel() for p in parameters), device=parameters[0].device)
        learners[name] = Learner(parameters, flat, optimizer, adam.lr * ratio)
    return learners
