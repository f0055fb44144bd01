"""The games that are compared: the very losses of the methods, on whatever networks a world gives.

Every game gets the same networks, batch and number of generator steps. Optimizers are those of the papers, with a
higher rate: perceptrons for points can take it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from organza.contract.method import Adam, Optimizer, RMSprop
from organza.nn.ensembles import gman_d, gman_g, mad_d, mad_g, mixed
from organza.nn.losses import (
    least_squares_d,
    least_squares_g,
    logistic_d,
    logistic_g,
    wasserstein_d,
    wasserstein_g,
)
from organza.nn.penalties import interpolate, wgan_gp
from organza.runs.modes.worlds import SAMPLES, Coverage, World, seeds_of
from organza.training.optimizers import make

Critics = list[nn.Module]
ADAM = Adam(0.001, (0.5, 0.999))


@dataclass(frozen=True)
class Game:
    """Who plays, and for what. Samples are ``[S, N, ...]`` of S trainings side by side, which must not touch.

    Attributes:
        d: ``(critics, real, fake, rng) -> [S]``, what the critics minimise.
        g: ``(critics, fake) -> [S]``, what the generators minimise.
        optimizer: of both sides.
        critics, outputs: how many critics, and the numbers that each gives.
        generators: how many.
        critic_steps: steps of the critics for each of the generators.
        clip: the critics' weights are kept within; 0 lets them be.
        bounded: critics must look at each sample by itself.
    """

    d: Callable[[Critics, Tensor, Tensor, torch.Generator], Tensor]
    g: Callable[[Critics, Tensor], Tensor]
    optimizer: Optimizer = ADAM
    critics: int = 1
    outputs: int = 1
    generators: int = 1
    critic_steps: int = 1
    clip: float = 0.0
    bounded: bool = False


def _each(losses: Tensor) -> Tensor:
    """Losses ``[S, N, 1]`` to the mean of each training ``[S]``."""
    return losses.flatten(1).mean(1)


def _plain(d: Callable[[Tensor, Tensor], Tensor], g: Callable[[Tensor], Tensor], **more: Any) -> Game:
    """A game of two."""
    return Game(
        lambda critics, real, fake, rng: _each(d(critics[0](real), critics[0](fake))),
        lambda critics, fake: _each(g(critics[0](fake))),
        **more,
    )


def _penalised(critics: Critics, real: Tensor, fake: Tensor, rng: torch.Generator, one_sided: bool = False) -> Tensor:
    """WGAN-GP's critic, with the paper's lambda of 10."""
    between = interpolate(real.flatten(0, 1), fake.flatten(0, 1), rng)
    penalty = wgan_gp(lambda x: critics[0](x.reshape(real.shape)), between, one_sided).reshape(real.shape[:2])
    return _each(wasserstein_d(critics[0](real), critics[0](fake))) + 10 * penalty.mean(1)


def _gman_d(critics: Critics, real: Tensor, fake: Tensor, rng: torch.Generator) -> Tensor:
    """Each critic learns from a part of its own."""
    parts = zip(critics, real.tensor_split(len(critics), 1), fake.tensor_split(len(critics), 1), strict=True)
    return torch.stack([_each(gman_d(critic(x), critic(y))) for critic, x, y in parts]).sum(0)


def _gman_g(critics: Critics, fake: Tensor) -> Tensor:
    parts = zip(critics, fake.tensor_split(len(critics), 1), strict=True)
    losses = torch.stack([_each(gman_g(critic(part))) for critic, part in parts], 1)
    return torch.stack([mixed(own, 1.0) for own in losses])


def _mad_d(critics: Critics, real: Tensor, fake: Tensor, rng: torch.Generator) -> Tensor:
    pairs = zip(critics[0](real), critics[0](fake), strict=True)
    return torch.stack([mad_d(own_real, own_fake).mean() for own_real, own_fake in pairs])


def _mad_g(critics: Critics, fake: Tensor) -> Tensor:
    return torch.stack([mad_g(own).mean() for own in critics[0](fake)])


GAMES: dict[str, Game] = {
    "gan": _plain(logistic_d, logistic_g),
    "lsgan": _plain(least_squares_d, least_squares_g),
    # The paper clips at 0.01. Perceptrons of this size then pass on next to no gradient.
    "wgan": _plain(wasserstein_d, wasserstein_g, optimizer=RMSprop(0.0005), critic_steps=5, clip=0.1),
    "wgan-gp": Game(
        _penalised,
        lambda critics, fake: _each(wasserstein_g(critics[0](fake))),
        Adam(0.001, (0.0, 0.9)),
        critic_steps=5,
        bounded=True,
    ),
    # WGAN-LP: only slopes above 1 are punished (Petzka et al. 2018).
    "wgan-lp": Game(
        lambda critics, real, fake, rng: _penalised(critics, real, fake, rng, one_sided=True),
        lambda critics, fake: _each(wasserstein_g(critics[0](fake))),
        Adam(0.001, (0.0, 0.9)),
        critic_steps=5,
        bounded=True,
    ),
    "gman": Game(_gman_d, _gman_g, critics=3),
    "mad-gan": Game(_mad_d, _mad_g, outputs=5, generators=4),
}
"""By the presets' names. GMAN has three critics with lambda 1, MAD-GAN four generators."""


@dataclass(frozen=True)
class Played:
    """What came of one training.

    Attributes:
        history: steps of the generator, and the coverage there.
        samples: some in the end, as networks see data.
    """

    history: list[tuple[int, Coverage]]
    samples: Tensor


def play(
    game: Game,
    world: World,
    seeds: Sequence[int],
    *,
    steps: int,
    batch: int = 128,
    looks: int = 20,
    progress: Callable[[int], None] = lambda step: None,
) -> list[Played]:
    """Train generators, one for each seed.

    Args:
        game, world: what is played, for which data.
        seeds: of weights and of everything that is drawn.
        steps: of the generators.
        batch: real samples at a step, and generated ones of each generator.
        looks: how often samples are measured.
        progress: called with the steps done.

    Example:
        >>> from organza.runs.modes.worlds import ring
        >>> (played,) = play(GAMES["gan"], ring(), [0], steps=4, batch=8, looks=2)
        >>> [step for step, coverage in played.history], played.samples.shape
        ([2, 4], torch.Size([2500, 2]))
    """
    assert world.together or len(seeds) == 1
    rngs = [torch.Generator().manual_seed(seed) for seed in seeds]
    torch.manual_seed(seeds[0])
    G = world.generator(seeds, game.generators)
    critics = [world.critic(seeds_of(seeds, 7 + n), game.outputs, game.bounded) for n in range(game.critics)]
    weights = [p for critic in critics for p in critic.parameters()]
    g_optimizer, d_optimizer = make(game.optimizer, [*G.parameters()]), make(game.optimizer, weights)

    def fakes(count: int) -> Tensor:
        made: Tensor = G(torch.stack([torch.randn([count, world.z_dim], generator=rng) for rng in rngs]))
        return made

    histories: list[list[tuple[int, Coverage]]] = [[] for _ in seeds]
    found = torch.zeros(0)
    for step in range(1, steps + 1):
        for _ in range(game.critic_steps):
            with torch.no_grad():
                real, fake = torch.stack([world.draw(batch, rng) for rng in rngs]), fakes(batch)
            d_optimizer.zero_grad()
            game.d(critics, real, fake, rngs[0]).sum().backward()  # type: ignore[no-untyped-call]
            d_optimizer.step()
            if game.clip:
                with torch.no_grad():
                    for weight in weights:
                        weight.clamp_(-game.clip, game.clip)
        for critic in critics:
            critic.requires_grad_(False)
        g_optimizer.zero_grad()
        game.g(critics, fakes(batch)).sum().backward()  # type: ignore[no-untyped-call]
        g_optimizer.step()
        for critic in critics:
            critic.requires_grad_(True)
        progress(step)
        if step * looks // steps > (step - 1) * looks // steps:
            found = _samples(G, fakes, SAMPLES // game.generators)
            for history, own in zip(histories, found, strict=True):
                history.append((step, world.covered(own)))
    return [Played(history, own) for history, own in zip(histories, found, strict=True)]


def _samples(G: nn.Module, fakes: Callable[[int], Tensor], count: int) -> Tensor:
    """``[S, generators * count, ...]``, a few at a time."""
    G.eval()
    with torch.no_grad():
        found = torch.cat([fakes(min(500, left)) for left in range(count, 0, -500)], 1)
    G.train()
    return found
