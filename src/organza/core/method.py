"""The contract between a published method and the training loop.

A method is a value: networks, who learns (`Player`), and what each optimizer step does (`Phase`). The loop knows
nothing else about it. Everything random in a loss comes from the generator that it is handed, and every number that
outlives a step leaves through its statistics; so a run is a pure function of its seed and the count of images seen,
and resume and data parallelism are exact for every method alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from organza.core.ranges import Count, CountOrZero, PositiveOrZero

Nets = Mapping[str, nn.Module]
Stats = dict[str, Tensor]


@dataclass(frozen=True)
class DataSpec:
    """What a network must know of the pictures it is built for.

    Attributes:
        resolution: height and width in pixels.
        channels: 1 (grey), 3 (RGB) or 4 (RGBA).
        label_dim: length of a label vector; 0 without labels.

    Example:
        >>> DataSpec(resolution=(64, 64), channels=3).label_dim
        0
    """

    resolution: tuple[Count, Count]
    channels: Count = 3
    label_dim: CountOrZero = 0


@dataclass(frozen=True)
class Batch:
    """Real pictures for one step.

    Attributes:
        images: float32 ``[N, C, H, W]`` in ``[-1, 1]``.
        labels: float32 ``[N, label_dim]``; ``label_dim`` may be 0.
        seen: training images consumed before this step, over all processes. Schedules (growing, annealing) read it.
        target: for translation, as many pictures of the other domain: partners in pairs, or strangers.
    """

    images: Tensor
    labels: Tensor
    seen: int = 0
    target: Batch | None = None

    def __len__(self) -> int:
        return len(self.images)

    def part(self, start: int, stop: int) -> Batch:
        """The micro-batch of pictures ``start`` to ``stop``."""
        target = None if self.target is None else self.target.part(start, stop)
        return replace(self, images=self.images[start:stop], labels=self.labels[start:stop], target=target)


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

The scalar is a mean over the batch. Statistics are detached tensors of any shape; the loop averages each over
micro-batches and processes and logs the scalars."""


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
    """

    name: str
    player: str
    loss: Loss
    every: int = 1
    gain: float = 1.0
    after: Callable[[Nets, Stats], None] | None = None


@dataclass(frozen=True)
class Latents:
    """How pictures come out of a trained method: a latent code, its intermediate form, a picture.

    Methods without an intermediate space have ``w == z`` and one w for all layers.

    Attributes:
        net: name of the network in ``Method.nets`` that draws.
        z_dim, w_dim, num_ws, label_dim: sizes.
        mapping: ``(net, z [N, z_dim], labels [N, label_dim]) -> ws [N, num_ws, w_dim]``, without truncation.
        synthesis: ``(net, ws, noise "const" | "random" | "none", rng) -> images [N, C, H, W]``, float32.
        center: the mean w ``[w_dim]``, towards which truncation pulls.
        placed: ``(net, (right, down), degrees) -> net`` with its pictures moved, as a share of their longer side, and
            turned counterclockwise; None where a network can't.
    """

    net: str
    z_dim: int
    w_dim: int
    num_ws: int
    label_dim: int
    mapping: Callable[[nn.Module, Tensor, Tensor], Tensor]
    synthesis: Callable[[nn.Module, Tensor, str, torch.Generator | None], Tensor]
    center: Callable[[nn.Module], Tensor]
    placed: Callable[[nn.Module, tuple[float, float], float], nn.Module] | None = None


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


class MethodConfig(Protocol):
    """What every method file defines: a frozen dataclass of settings that builds the method.

    Settings that are None mean "what the authors would take for this data"; `resolve` fills them in.
    """

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
