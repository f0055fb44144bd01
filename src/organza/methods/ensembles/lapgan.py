"""LAPGAN.

Emily Denton, Soumith Chintala, Arthur Szlam, Rob Fergus: Deep Generative Image Models using a Laplacian Pyramid of
Adversarial Networks. NeurIPS 2015, arXiv 1506.05751.

An image is a small version of itself and, for each doubling of the size, what the doubled one leaves out. A GAN of its
own makes each part: the smallest image from a vector, each residual from a plane of noise and the coarse image (section
3). The GANs never meet while they learn, because every one is shown real coarse images; sampling goes from coarse to
fine. Here they learn side by side: their gradients do not touch, so that is the same as one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from organza.contract.data import Batch, DataSpec, Layout
from organza.contract.method import SGD, Adam, Clock, Method, Nets, Phase, Player, Result, Schedule
from organza.core.errors import UserError
from organza.core.ranges import Count, PositiveOrZero, Range
from organza.nn.joined import joined_latents, joined_mapping
from organza.nn.laplacian import doubled, pyramid
from organza.nn.losses import logistic_d, logistic_g


@dataclass(frozen=True)
class LAPGAN:
    """Settings of LAPGAN; networks are those of the authors' code for CIFAR-10, rates the paper's."""

    takes_labels: ClassVar[bool] = True
    layout: ClassVar[Layout] = "images"
    smallest: Annotated[int, Range(least=5)] = 8
    """Images are halved until their short side would be below this."""
    z_dim: Count = 100
    """Length of the vector that the smallest image is made of; each residual is made of a plane of noise. All of these
    numbers are uniform between -1 and 1."""
    hidden: Count = 8000
    """Units of the hidden layers of the generator of smallest images."""
    hidden_d: Count = 1600
    """Units of the hidden layers of its discriminator."""
    width: Count = 64
    """Feature maps of the generators of residuals."""
    width_d: Count = 64
    """Feature maps of their discriminators."""
    dropout: Annotated[float, Range(least=0, below=1)] = 0.5
    """Share of features that discriminators drop."""
    lr: PositiveOrZero = 0.02
    """Learning rate of all networks; it is divided by 1 + 4e-5 at each epoch."""
    momentum: Annotated[float, Range(least=0, below=1)] = 0.5
    """Momentum of all networks; Adam's first beta."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """sgd, as in the paper; adam is far quicker on a small budget, with --lr 0.0002."""

    def resolve(self, spec: DataSpec, batch: int) -> LAPGAN:
        """Nothing depends on the data."""
        return self

    def like(self, other: LAPGAN, spec: DataSpec) -> LAPGAN:
        """These settings with the architecture of ``other``."""
        kept = ("smallest", "z_dim", "hidden", "hidden_d", "width", "width_d")
        return replace(self, **{name: getattr(other, name) for name in kept})

    def toy(self) -> LAPGAN:
        """Tiny networks, for tests."""
        return replace(self, z_dim=8, hidden=16, hidden_d=16, width=4, width_d=4)

    def build(self, spec: DataSpec) -> Method:
        """The networks, all sizes of a kind in one, and their two phases.

        Raises:
            UserError: the images can't be halved.
        """
        sizes = sizes_of(spec.resolution, self.smallest)
        G, D = Generators(spec, sizes, self), Discriminators(spec, sizes, self)
        doublings = len(sizes) - 1

        def pairs(nets: Nets, batch: Batch, rng: torch.Generator) -> tuple[list[Tensor], list[Tensor]]:
            """Real images of each size, and generated ones: all but the smallest begin with real coarse images."""
            small, levels = pyramid(batch.images, doublings)
            G = nets["G"]
            assert isinstance(G, Generators)
            z = torch.randn([len(batch), G.length], generator=rng, device=batch.images.device)
            first, *noise = G.parts(joined_mapping(G, z, batch.labels)[:, 0])
            fakes = [G.small(first)]
            for level, plane, refine in zip(levels, noise, G.levels, strict=True):
                fakes.append(level.coarse + refine(plane, level.coarse, batch.labels))
            return [small, *(level.fine for level in levels)], fakes

        def d_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            with torch.no_grad():
                reals, fakes = pairs(nets, batch, rng)
            losses, D = {}, nets["D"]
            assert isinstance(D, Discriminators)
            for critic, real, fake in zip(D.each, reals, fakes, strict=True):
                # Half: the mean over as many real as generated images.
                loss = 0.5 * logistic_d(critic(real, batch.labels), critic(fake, batch.labels)).mean()
                losses[f"loss/D{real.shape[2]}"] = loss
            return Result(torch.stack([*losses.values()]).sum(), {**losses})

        def g_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            _, fakes = pairs(nets, batch, rng)
            D = nets["D"]
            assert isinstance(D, Discriminators)
            losses = [logistic_g(critic(fake, batch.labels)).mean() for critic, fake in zip(D.each, fakes, strict=True)]
            stats = {f"loss/G{fake.shape[2]}": loss.detach() for fake, loss in zip(fakes, losses, strict=True)}
            return Result(torch.stack(losses).sum(), stats)

        def every_size(nets: Nets, batch: Batch, rng: torch.Generator) -> Mapping[str, Tensor]:
            """The way from coarse to fine, all enlarged to the full size."""
            G = nets["G"]
            assert isinstance(G, Generators)
            *coarse, samples = G.all(joined_mapping(G, batch.carry["z"], batch.labels)[:, 0])
            shown = {f"{x.shape[2]}x{x.shape[3]}": F.interpolate(x, spec.resolution, mode="nearest") for x in coarse}
            return {**shown, "samples": samples}

        chosen = SGD(self.lr, self.momentum) if self.optimizer == "sgd" else Adam(self.lr, (self.momentum, 0.999))
        return Method(
            nets={"G": G, "D": D},
            players={"D": Player(("D",), chosen), "G": Player(("G",), chosen)},
            phases=(Phase("D", "D", d_loss), Phase("G", "G", g_loss)),
            models={"G": joined_latents("G", G.length, spec.label_dim, "D")},
            ema=("G",),
            preview=every_size,
            schedule=slower,
        )


def slower(clock: Clock) -> Schedule:
    """The rate falls by 1 + 4e-5 at each epoch (section 4)."""
    return Schedule(rate=(1 + 4e-5) ** -clock.epoch)


def sizes_of(resolution: tuple[int, int], smallest: int) -> list[tuple[int, int]]:
    """Height and width of the images of each size, the smallest first.

    Raises:
        UserError: there is but one.

    Example:
        >>> sizes_of((32, 48), 8), sizes_of((28, 28), 7)
        ([(8, 12), (16, 24), (32, 48)], [(7, 7), (14, 14), (28, 28)])
    """
    sizes = [resolution]
    while all(side % 2 == 0 for side in sizes[0]) and min(sizes[0]) // 2 >= smallest:
        sizes.insert(0, (sizes[0][0] // 2, sizes[0][1] // 2))
    if len(sizes) == 1:
        raise UserError(
            f"{resolution[0]}x{resolution[1]} can't be halved to {smallest} pixels or more: a pyramid needs two sizes",
            hint="take a --resolution such as 32 or 64, or a lower --smallest (5 at least)",
        )
    return sizes


class Generators(nn.Module):
    """The generator of smallest images and those of residuals.

    Its input is one vector: a code for the smallest image, a plane of noise for each larger size, and labels.
    """

    def __init__(self, spec: DataSpec, sizes: list[tuple[int, int]], config: LAPGAN) -> None:
        super().__init__()
        (height, width), *larger = sizes
        self.label_dim, self.planes = spec.label_dim, larger
        self.cuts = [config.z_dim, *(h * w for h, w in larger)]
        self.small = nn.Sequential(
            *(nn.Linear(config.z_dim + spec.label_dim, config.hidden), nn.ReLU()),
            *(nn.Linear(config.hidden, config.hidden), nn.Sigmoid()),
            *(
                nn.Linear(config.hidden, spec.channels * height * width),
                nn.Unflatten(1, (spec.channels, height, width)),
            ),
        )
        self.levels = nn.ModuleList(Refiner(spec, size, config.width) for size in larger)
        normal(self.small, 0.05)

    @property
    def length(self) -> int:
        """How many random numbers make an image."""
        return sum(self.cuts)

    def parts(self, codes: Tensor) -> list[Tensor]:
        """``[N, length + label_dim]`` -> the first network's input ``[N, z_dim + label_dim]``, ``[N, 1, H, W]`` ..."""
        labels = codes[:, self.length :]
        first, *noise = torch.split(codes[:, : self.length], self.cuts, 1)
        planes = [plane.reshape(-1, 1, *size) for plane, size in zip(noise, self.planes, strict=True)]
        return [torch.cat([first, labels], 1), *planes]

    def all(self, codes: Tensor) -> list[Tensor]:
        """Images of every size, the smallest first: algorithm of section 3.1."""
        first, *noise = self.parts(codes)
        found, labels = [self.small(first)], codes[:, self.length :]
        for plane, refine in zip(noise, self.levels, strict=True):
            coarse = doubled(found[-1])
            found.append(coarse + refine(plane, coarse, labels))
        return found

    def forward(self, codes: Tensor) -> Tensor:
        """``[N, length + label_dim]`` -> ``[N, C, H, W]``."""
        return self.all(codes)[-1]


class Refiner(nn.Module):
    """Noise and a coarse image to what that leaves out: three convolutions that keep the size."""

    def __init__(self, spec: DataSpec, size: tuple[int, int], width: int) -> None:
        super().__init__()
        self.plane = LabelPlane(spec.label_dim, size)
        self.layers = nn.Sequential(
            *(nn.Conv2d(1 + self.plane.channels + spec.channels, width, 7, 1, 3), nn.ReLU()),
            *(nn.Conv2d(width, width, 7, 1, 3), nn.ReLU()),
            nn.Conv2d(width, spec.channels, 5, 1, 2),
        )

    def forward(self, noise: Tensor, coarse: Tensor, labels: Tensor) -> Tensor:
        """``[N, 1, H, W]``, ``[N, C, H, W]``, ``[N, L]`` -> the residual ``[N, C, H, W]``."""
        residual: Tensor = self.layers(torch.cat([noise, *self.plane(labels), coarse], 1))
        return residual


class Discriminators(nn.Module):
    """A discriminator for each size, the smallest first."""

    def __init__(self, spec: DataSpec, sizes: list[tuple[int, int]], config: LAPGAN) -> None:
        super().__init__()
        smallest, *larger = sizes
        self.each = nn.ModuleList(
            [SmallCritic(spec, smallest, config), *(LevelCritic(spec, size, config) for size in larger)]
        )

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """``[N, C, H, W]`` of full size -> ``[N, 1]``: the last one's logit."""
        logits: Tensor = self.each[-1](images, labels)
        return logits


class SmallCritic(nn.Module):
    """The discriminator of smallest images: three linear layers."""

    def __init__(self, spec: DataSpec, size: tuple[int, int], config: LAPGAN) -> None:
        super().__init__()
        inputs = spec.channels * size[0] * size[1] + spec.label_dim
        self.layers = nn.Sequential(
            *(nn.Linear(inputs, config.hidden_d), nn.ReLU(), nn.Dropout(config.dropout)),
            *(nn.Linear(config.hidden_d, config.hidden_d), nn.ReLU(), nn.Dropout(config.dropout)),
            nn.Linear(config.hidden_d, 1),
        )
        normal(self.layers, 0.005)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """``[N, C, H, W]``, ``[N, L]`` -> ``[N, 1]``."""
        logits: Tensor = self.layers(torch.cat([images.flatten(1), labels], 1))
        return logits


class LevelCritic(nn.Module):
    """The discriminator of a larger size. It is shown the image, residual and coarse image together."""

    def __init__(self, spec: DataSpec, size: tuple[int, int], config: LAPGAN) -> None:
        super().__init__()
        self.plane = LabelPlane(spec.label_dim, size)
        height, width = ((side - 9) // 2 + 1 for side in size)
        self.layers = nn.Sequential(
            *(nn.Conv2d(spec.channels + self.plane.channels, config.width_d, 5), nn.ReLU()),
            *(nn.Conv2d(config.width_d, config.width_d, 5, 2), nn.ReLU(), nn.Flatten()),
            *(nn.Dropout(config.dropout), nn.Linear(config.width_d * height * width, 1)),
        )

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """``[N, C, H, W]``, ``[N, L]`` -> ``[N, 1]``."""
        logits: Tensor = self.layers(torch.cat([images, *self.plane(labels)], 1))
        return logits


class LabelPlane(nn.Module):
    """Labels as one more channel of an image; none where there are no labels."""

    def __init__(self, label_dim: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.channels, self.size = min(label_dim, 1), size
        self.layer = nn.Linear(label_dim, size[0] * size[1]) if label_dim else None

    def forward(self, labels: Tensor) -> list[Tensor]:
        """``[N, L]`` -> one plane ``[N, 1, H, W]``, or nothing."""
        return [] if self.layer is None else [self.layer(labels).relu().unflatten(1, (1, *self.size))]


def normal(net: nn.Module, std: float) -> None:
    """Start linear layers with weights from N(0, std) and biases of 0."""
    for layer in net.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, std)
            nn.init.zeros_(layer.bias)
