"""The contract between a published method and the training loop.

A method is a value: networks, who learns (`Player`), and what each optimizer step does (`Phase`). The loop knows
nothing else about it. Everything random in a loss comes from the generator that it is handed, and every number that
outlives a step leaves through its statistics; so a run is a pure function of its seed and the count of images seen,
and resume and data parallelism are exact for every method alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn

from organza.contract.data import Batch, DataSpec
from organza.contract.model import Latents
from organza.core.ranges import PositiveOrZero

Nets = Mapping[str, nn.Module]
Stats = dict[str, Tensor]


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015, arXiv 1412.6980) with the rates that a paper states, before lazy correction."""

    lr: PositiveOrZero = 0.001
    betas: tuple[float, float] = (0.0, 0.99)
    eps: float = 1e-8


@dataclass(frozen=True)
class Player:
    """Who learns: one or several networks under one optimizer."""

    nets: tuple[str, ...]
    optimizer: Adam


Loss = Callable[[Nets, Batch, torch.Generator], tuple[Tensor, Stats]]
"""``(nets, batch, rng) -> (scalar to minimise, statistics)``.

The scalar is a mean over the batch. Statistics are detached means, too: scalars, or tensors of a shape that
`Phase.shapes` states. The loop averages each over micro-batches and processes, and logs the scalars."""


@dataclass(frozen=True)
class Phase:
    """One optimizer step, as a value.

    Attributes:
        name: for the log, unique within the method.
        player: whose weights move; all others are frozen meanwhile.
        loss: see `Loss`.
        every: run on each ``every``-th step.
        gain: factor on the loss (a lazy regulariser has ``gain == every``).
        after: called once after the optimizer step with the averaged statistics: weight clipping, running means.
        shapes: of the statistics that are not scalars. The loop refuses any other: it averages over parts of the batch,
            and must not take a number for each image for a mean.
    """

    name: str
    player: str
    loss: Loss
    every: int = 1
    gain: float = 1.0
    after: Callable[[Nets, Stats], None] | None = None
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Schedule:
    """What may change while a method trains.

    Attributes:
        batch: images per step; None keeps the run's own.
        rate: factor on every learning rate.
        stage: when it differs from the step before, optimizers forget their running means and begin anew.
    """

    batch: int | None = None
    rate: float = 1.0
    stage: int = 0


def constant(seen: int) -> Schedule:
    """The schedule of methods that do not change while they train."""
    return Schedule()


Use = Literal["training", "sampling"]


@dataclass(frozen=True)
class Method:
    """A published method, built for some data: what the loop trains and what `organza.load` gives back.

    Attributes:
        nets: every network by name.
        players: who learns, by name.
        phases: the optimizer steps of one iteration, in order.
        latents: how to draw pictures.
        ema: names of the networks that are averaged (and that generators use).
        critic: name of the discriminator or None. Called as ``net(images, labels) -> [N, 1]``.
        augment: ``(images [N, C, H, W], rng)`` -> what the critic is shown in their place; None: the pictures.
        state: tensors, changed in place by `Phase.after`, that a checkpoint must hold beside the networks.
        schedule: images seen -> `Schedule`.
        bf16: what ``--precision auto`` does in bf16, where the processor multiplies it natively: training only where
            the gradients of every phase stay those of float32, sampling only where images do, both by
            ``tests/methods/test_precision.py``.
    """

    nets: dict[str, nn.Module]
    players: dict[str, Player]
    phases: tuple[Phase, ...]
    latents: Latents
    ema: tuple[str, ...]
    critic: str | None = None
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None
    state: dict[str, Tensor] = field(default_factory=dict)
    schedule: Callable[[int], Schedule] = constant
    bf16: tuple[Use, ...] = ()


class MethodConfig(Protocol):
    """What every method file defines: a frozen dataclass of settings that builds the method.

    Settings that are None mean "what the authors would take for this data"; `resolve` fills them in.

    Attributes:
        takes_labels: whether the networks use labels; `organza train` refuses ``--labels`` of those that don't.
    """

    takes_labels: ClassVar[bool]

    def resolve(self, spec: DataSpec, batch: int) -> MethodConfig:
        """The same settings with nothing left open, for pictures of ``spec`` and ``batch`` images a step."""
        ...

    def toy(self) -> MethodConfig:
        """The same method with tiny networks, which take a step in well under a second: for tests."""
        ...

    def build(self, spec: DataSpec) -> Method:
        """The networks, freshly initialised from torch's default generator, and the phases. Needs resolved settings.

        Raises:
            UserError: the method can't draw pictures of this size.
        """
        ...
