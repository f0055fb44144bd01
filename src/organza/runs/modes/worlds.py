"""Data whose modes are known, so that one can count how many a generator finds.

Points from Gaussians: 25 on a grid and 8 on a ring (Metz et al. 2017, arXiv 1611.02163; Srivastava et al. 2017, arXiv
1705.07761), and five on a line that differ in width and distance (MAD-GAN, arXiv 1704.02906, section 5.1). Images:
stacked MNIST, a digit in each colour channel, a thousand modes (`stacked`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

SAMPLES = 2500
"""Points by which modes are counted."""
NEAR = 3.0
"""A point is good within so many standard deviations of a mode."""


@dataclass(frozen=True)
class Coverage:
    """What samples are like.

    Attributes:
        modes: how many are found.
        good: share of samples that belong to one.
    """

    modes: int
    good: float


class World(Protocol):
    """Data with modes, and the networks for it.

    Several trainings of other seeds run side by side: tensors are ``[S, N, ...]``, and networks are stacks of S.
    """

    @property
    def name(self) -> str:
        """Short."""
        ...

    @property
    def modes(self) -> int:
        """How many there are."""
        ...

    @property
    def z_dim(self) -> int:
        """Length of a latent code."""
        ...

    @property
    def together(self) -> bool:
        """Whether its networks can be stacks of more than one."""
        ...

    def draw(self, count: int, rng: torch.Generator) -> Tensor:
        """Real data ``[count, ...]``, as networks see it."""
        ...

    def generator(self, seeds: Sequence[int], heads: int) -> nn.Module:
        """``[S, N, z_dim]`` -> ``[S, heads * N, ...]``: generators one after the other, with first layers in common."""
        ...

    def critic(self, seeds: Sequence[int], outputs: int, bounded: bool) -> nn.Module:
        """``[S, N, ...]`` -> ``[S, N, outputs]``; ``bounded``: without what mixes the samples of a batch."""
        ...

    def covered(self, samples: Tensor) -> Coverage:
        """What generated data ``[N, ...]`` is like."""
        ...


class Dense(nn.Module):
    """Linear layers side by side, ``[S, N, inputs]`` -> ``[S, N, outputs]``: small ones cost little more than one."""

    def __init__(self, seeds: Sequence[int], inputs: int, outputs: int) -> None:
        super().__init__()
        alone = []
        for seed in seeds:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed * 1000003 + inputs * 1009 + outputs)
                alone.append(nn.Linear(inputs, outputs))
        self.weight = nn.Parameter(torch.stack([layer.weight.detach().t() for layer in alone]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in alone])[:, None])

    def forward(self, x: Tensor) -> Tensor:
        """``[S, N, inputs]`` -> ``[S, N, outputs]``."""
        return torch.baddbmm(self.bias, x, self.weight)


class Heads(nn.Module):
    """Generators that share a trunk."""

    def __init__(self, trunk: nn.Module, heads: Sequence[nn.Module]) -> None:
        super().__init__()
        self.trunk, self.heads = trunk, nn.ModuleList(heads)

    def forward(self, z: Tensor) -> Tensor:
        """``[S, N, z_dim]`` -> ``[S, heads * N, ...]``."""
        features = self.trunk(z)
        return torch.cat([head(features) for head in self.heads], 1)


@dataclass(frozen=True)
class Mixture:
    """Gaussians in equal shares. Networks see them centred and scaled to a deviation of 1.

    Attributes:
        name: short.
        centres: ``[modes, dim]``.
        stds: ``[modes]``, the same in every direction.
        width: units of the networks' hidden layers.
        z_dim: length of a latent code.
        together: see `World`.
    """

    name: str
    centres: Tensor
    stds: Tensor
    width: int = 64
    z_dim: int = 8
    together: bool = True

    @property
    def modes(self) -> int:
        """How many Gaussians."""
        return len(self.centres)

    @property
    def scale(self) -> Tensor:
        """Deviation of all data, a scalar: the root of the mean square distance from the centre in each direction."""
        spread = self.centres - self.centres.mean(0)
        return (spread.square().mean() + self.stds.square().mean()).sqrt()

    def draw(self, count: int, rng: torch.Generator) -> Tensor:
        """``[count, dim]``."""
        which = torch.randint(self.modes, [count], generator=rng)
        noise = torch.randn([count, self.centres.shape[1]], generator=rng)
        return (self.centres[which] + self.stds[which, None] * noise - self.centres.mean(0)) / self.scale

    def places(self, samples: Tensor) -> Tensor:
        """Samples where the Gaussians are, out of what networks see."""
        return samples * self.scale + self.centres.mean(0)

    def covered(self, samples: Tensor) -> Coverage:
        """A sample belongs to the nearest mode if it is `NEAR`; a mode is found if it has a tenth of its share.

        Example:
            >>> world = ring()
            >>> world.covered(world.draw(1000, torch.Generator().manual_seed(0))).modes
            8
        """
        distances = torch.cdist(self.places(samples), self.centres) / self.stds
        nearest, which = distances.min(1)
        good = nearest <= NEAR
        counts = torch.bincount(which[good], minlength=self.modes)
        return Coverage(int((counts >= len(samples) / self.modes / 10).sum()), float(good.float().mean()))

    def generator(self, seeds: Sequence[int], heads: int) -> nn.Module:
        """Perceptrons of two hidden layers; the first is shared by all generators."""
        dim, width = self.centres.shape[1], self.width
        own = [
            nn.Sequential(
                Dense(seeds_of(seeds, head), width, width), nn.ReLU(), Dense(seeds_of(seeds, head), width, dim)
            )
            for head in range(heads)
        ]
        return Heads(nn.Sequential(Dense(seeds, self.z_dim, width), nn.ReLU()), own)

    def critic(self, seeds: Sequence[int], outputs: int, bounded: bool) -> nn.Module:
        """Perceptrons of two hidden layers."""
        return nn.Sequential(
            *(Dense(seeds, self.centres.shape[1], self.width), nn.LeakyReLU(0.2)),
            *(Dense(seeds, self.width, self.width), nn.LeakyReLU(0.2)),
            Dense(seeds, self.width, outputs),
        )


def seeds_of(seeds: Sequence[int], number: int) -> list[int]:
    """Other seeds for another network of the same training."""
    return [seed * 101 + number for seed in seeds]


def grid() -> Mixture:
    """25 Gaussians of deviation 0.05 on a grid of 5x5, 2 apart."""
    places = torch.arange(-4.0, 5.0, 2.0)
    return Mixture("grid", torch.cartesian_prod(places, places), torch.full([25], 0.05))


def ring() -> Mixture:
    """8 Gaussians of deviation 0.02 on a circle of radius 2."""
    angles = torch.arange(8) * (2 * math.pi / 8)
    return Mixture("ring", 2 * torch.stack([angles.cos(), angles.sin()], 1), torch.full([8], 0.02))


def line() -> Mixture:
    """Five Gaussians on a line, as in MAD-GAN's code."""
    centres, stds = torch.tensor([10.0, 20.0, 60.0, 80.0, 110.0]), torch.tensor([3.0, 3.0, 2.0, 2.0, 1.0])
    return Mixture("line", centres[:, None], stds)


WORLDS: dict[str, Callable[[], Mixture]] = {"grid": grid, "ring": ring, "line": line}
"""Those that need no data."""
