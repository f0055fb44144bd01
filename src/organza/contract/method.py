"""The contract between a published method and the training loop.

A method is a value: networks, who learns (`Player`), and what each optimizer step does (`Phase`). The loop knows
nothing else about it. Everything random in a loss comes from the generator that it is handed, and everything that
outlives a phase leaves through its `Result`; so a run is a pure function of its seed and the count of images seen,
and resume and data parallelism are exact for every method alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn

from organza.contract.data import Batch, DataSpec, Layout
from organza.contract.model import Model
from organza.core.ranges import PositiveOrZero

Nets = Mapping[str, nn.Module]
Stats = dict[str, Tensor]
Carry = Mapping[str, Tensor]


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015, arXiv 1412.6980) with the rates that a paper states, before lazy correction.

    ``weight_decay`` is an L2 term in the gradient, as in the paper's time, not AdamW's.
    """

    lr: PositiveOrZero = 0.001
    betas: tuple[float, float] = (0.0, 0.99)
    eps: float = 1e-8
    weight_decay: float = 0.0


@dataclass(frozen=True)
class RMSprop:
    """RMSprop (Tieleman & Hinton 2012, lecture 6.5): ``alpha`` is the decay of the mean square."""

    lr: PositiveOrZero = 0.00005
    alpha: float = 0.99
    eps: float = 1e-8
    weight_decay: float = 0.0


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent with momentum."""

    lr: PositiveOrZero = 0.01
    momentum: float = 0.0
    weight_decay: float = 0.0


Optimizer = Adam | RMSprop | SGD


def nothing(stage: int) -> tuple[str, ...]:
    """No network's name: in every stage all networks of a player learn."""
    return ()


@dataclass(frozen=True)
class Player:
    """Who learns: one or several networks under one optimizer.

    Attributes:
        nets: their names in ``Method.nets``.
        optimizer: how.
        fixed: stage -> names of those that stay as they are meanwhile: networks, or parts of one (``"G.coarse"``).
    """

    nets: tuple[str, ...]
    optimizer: Optimizer
    fixed: Callable[[int], tuple[str, ...]] = nothing


@dataclass(frozen=True)
class Result:
    """What a loss found.

    Attributes:
        loss: the scalar to minimise, a mean over the batch.
        stats: means over the batch, too: scalars, or tensors of a shape that `Phase.shapes` states. The loop averages
            each over micro-batches and processes, and logs the scalars.
        carry: what belongs to single images, ``[N, ...]``: the loop puts the parts of all micro-batches and processes
            together, for `Phase.after` and for the phases that follow in the same step (`Batch.carry`).
    """

    loss: Tensor
    stats: Stats = field(default_factory=dict)
    carry: Carry = field(default_factory=dict)


Loss = Callable[[Nets, Batch, torch.Generator], Result]
"""``(nets, batch, rng) -> Result``; ``nets`` holds `Method.frozen` as well."""

After = Callable[[Nets, Result, torch.Generator], Carry | None]
"""``(nets, result of the whole batch, rng) -> what later phases find in place of its carry``; None leaves that.

It may add to the statistics."""


@dataclass(frozen=True)
class Phase:
    """One optimizer step, as a value.

    Attributes:
        name: for the log, unique within the method.
        player: whose weights move; all others are frozen meanwhile.
        loss: see `Loss`.
        every: run on each ``every``-th step.
        gain: factor on the loss (a lazy regulariser has ``gain == every``).
        after: called once after the optimizer step, alike on every process: weight clipping, running means, pools.
        shapes: of the statistics that are not scalars. The loop refuses any other: it averages over parts of the batch,
            and must not take a number for each image for a mean.
        active: stage -> whether the phase runs in it.
        skip: don't run on each ``skip``-th step, which is another phase's alone; 0 skips none.
        frames: of videos, the first so many of each sequence are looked at; 0: all that there are.
    """

    name: str
    player: str
    loss: Loss
    every: int = 1
    gain: float = 1.0
    after: After | None = None
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    active: Callable[[int], bool] = lambda stage: True
    skip: int = 0
    frames: int = 0

    def due(self, step: int) -> bool:
        """Whether it runs on this step, counted from 0."""
        return step % self.every == 0 and not (self.skip and step % self.skip == 0)


@dataclass(frozen=True)
class Clock:
    """How far a training is.

    Attributes:
        seen: training images shown so far.
        total: images at the training's end.
        count: images in an epoch; 0 where nobody knows.

    Example:
        >>> Clock(seen=1500, total=4000, count=500).epoch
        3.0
    """

    seen: int
    total: int = 0
    count: int = 0

    @property
    def epoch(self) -> float:
        """Epochs so far; 0 where nobody knows how long one is."""
        return self.seen / self.count if self.count else 0.0


@dataclass(frozen=True)
class Schedule:
    """What may change while a method trains.

    Attributes:
        batch: images per step; None keeps the run's own.
        rate: factor on every learning rate.
        rates: factors for single players, beside `rate`.
        stage: when it differs from the step before, optimizers forget their running means and begin anew.
    """

    batch: int | None = None
    rate: float = 1.0
    rates: Mapping[str, float] = field(default_factory=dict)
    stage: int = 0


def constant(clock: Clock) -> Schedule:
    """The schedule of methods that do not change while they train."""
    return Schedule()


Preview = Callable[[Nets, Batch, torch.Generator], Mapping[str, Tensor]]
"""``(averaged nets, batch, rng) -> images [N, C, H, W] by name``: one of each, side by side, make a row of the grid."""

Use = Literal["training", "sampling"]

Helper = nn.Module | Callable[[], nn.Module]
"""A network that never learns, or what opens it where a training begins: its file need not be there in use."""


@dataclass(frozen=True)
class Method:
    """A published method, built for some data: what the loop trains and what `organza.load` gives back.

    Attributes:
        nets: every network that learns, by name.
        players: who learns, by name.
        phases: the optimizer steps of one iteration, in order.
        models: what comes of it, by name; the first is what `organza.load` takes unless told otherwise.
        ema: names of the networks that are averaged (and that models use).
        frozen: helper networks that never learn, by name: opened where a training begins, moved along, in evaluation
            mode, never saved.
        preview: what the sample grid shows, in its own order; None: of a translator source, output and target, of a
            generator its samples. A generator's finds the ``z`` of the grid's seeds in `Batch.carry`, and calls the
            images that it samples in the end ``samples``.
        augment: ``(images [N, C, H, W], rng)`` -> what the critic is shown in their place; None: the images.
        state: tensors, changed in place by `Phase.after`, that a checkpoint must hold beside the networks.
        schedule: see `Schedule`.
        convergence: name of a statistic that falls as images become better, by which ``--metrics convergence`` finds
            the best checkpoint; None where there is none.
        bf16: what ``--precision auto`` does in bf16, where the processor multiplies it natively: training only where
            the gradients of every phase stay those of float32, sampling only where images do, both by
            ``tests/methods/test_precision.py``.
    """

    nets: dict[str, nn.Module]
    players: dict[str, Player]
    phases: tuple[Phase, ...]
    models: Mapping[str, Model]
    ema: tuple[str, ...] = ()
    frozen: Mapping[str, Helper] = field(default_factory=dict)
    preview: Preview | None = None
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None
    state: dict[str, Tensor] = field(default_factory=dict)
    schedule: Callable[[Clock], Schedule] = constant
    convergence: str | None = None
    bf16: tuple[Use, ...] = ()

    @property
    def model(self) -> Model:
        """The first of its models."""
        return next(iter(self.models.values()))


class MethodConfig(Protocol):
    """What every method file defines: a frozen dataclass of settings that builds the method.

    Settings that are None mean "what the authors would take for this data"; `resolve` fills them in.

    Attributes:
        takes_labels: whether the networks use labels; `organza train` refuses ``--labels`` of those that don't.
        layout: how the images must lie in the dataset.
    """

    takes_labels: ClassVar[bool]
    layout: ClassVar[Layout]

    def resolve(self, spec: DataSpec, batch: int) -> MethodConfig:
        """The same settings with nothing left open, for images of ``spec`` and ``batch`` images a step."""
        ...

    def like(self, other: Any, spec: DataSpec) -> MethodConfig:
        """These settings with the architecture of ``other``, settings of the same method for images of ``spec``."""
        ...

    def toy(self) -> MethodConfig:
        """The same method with tiny networks, which take a step in well under a second: for tests."""
        ...

    def build(self, spec: DataSpec) -> Method:
        """The networks, freshly initialised from torch's default generator, and the phases. Needs resolved settings.

        Raises:
            UserError: the method can't make images of this size.
        """
        ...
