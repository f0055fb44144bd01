"""GMAN.

Ishan Durugkar, Ian Gemp, Sridhar Mahadevan: Generative Multi-Adversarial Networks. ICLR 2017, arXiv 1611.01673.

One generator against several discriminators. Each of these learns alone, from images of its own; the generator faces a
mean of what all of them say, which a number lambda moves from the plain mean (0) towards the harshest (section 4). In
GMAN* the generator chooses lambda itself (section 4.3). Discriminators differ by their weights and by their dropout.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from organza.contract.data import Batch, DataSpec, Layout
from organza.contract.method import Adam, Method, Nets, Phase, Player, Result
from organza.core.errors import UserError
from organza.core.ranges import Count, PositiveOrZero, Range
from organza.methods.basic.game import standard_normal
from organza.nn.ensembles import Mean, gman_d, gman_g, mixed
from organza.nn.initial import init_normal
from organza.nn.latent import plain_latents, uniform_mapping
from organza.nn.pyramid import Decoder, first_of_decoder


@dataclass(frozen=True)
class GMAN:
    """Settings of GMAN; the defaults are those of the authors' code."""

    takes_labels: ClassVar[bool] = False
    layout: ClassVar[Layout] = "images"
    discriminators: Annotated[int, Range(least=1, most=100)] = 5
    """How many; a batch is dealt out to them, so that each learns from images of its own."""
    mean: Mean = "arithmetic"
    """How their losses become the generator's."""
    strength: PositiveOrZero = 1.0
    """Lambda: 0 for the plain mean of their losses; the larger, the more the harshest counts alone."""
    learn_strength: bool = False
    """GMAN*: the generator learns lambda, from softplus(-2) on; --strength is left aside."""
    strength_reward: PositiveOrZero = 0.001
    """What the generator is given for a large lambda, so that it does not choose the softest critics (section 4.3)."""
    objective: Literal["original", "modified"] = "original"
    """The generator's loss: log(1 - D), or -log D, which does not saturate."""
    z_dim: Count = 100
    """Length of the latent vector, of numbers uniform between -1 and 1."""
    width: Count = 128
    """The generator's feature maps at the outermost level; doubled at each level inwards."""
    width_d: Annotated[int, Range(least=4, most=2**16)] = 256
    """Feature maps of each discriminator's last layer."""
    lr: PositiveOrZero = 0.0002
    """Learning rate of all networks."""
    beta1: Annotated[float, Range(least=0, below=1)] = 0.5
    """Adam's first beta."""

    def resolve(self, spec: DataSpec, batch: int) -> GMAN:
        """Nothing depends on the data; see that there are images for each discriminator.

        Raises:
            UserError: fewer images in a batch than discriminators.
        """
        _enough(batch, self.discriminators)
        return self

    def like(self, other: GMAN, spec: DataSpec) -> GMAN:
        """These settings with the architecture of ``other``."""
        return replace(
            self,
            discriminators=other.discriminators,
            learn_strength=other.learn_strength,
            z_dim=other.z_dim,
            width=other.width,
            width_d=other.width_d,
        )

    def toy(self) -> GMAN:
        """Tiny networks, for tests."""
        return replace(self, discriminators=2, z_dim=8, width=4, width_d=8)

    def build(self, spec: DataSpec) -> Method:
        """The networks and their two phases."""
        generator = Decoder(self.z_dim, spec.resolution, spec.channels, self.width, nn.BatchNorm2d)
        nets: dict[str, nn.Module] = {"G": generator, "D": Critics(spec, self.discriminators, self.width_d)}
        if self.learn_strength:
            nets["strength"] = Strength()

        def fakes(nets: Nets, batch: Batch, rng: torch.Generator) -> Tensor:
            z = standard_normal(batch, self.z_dim, rng)
            images: Tensor = nets["G"](uniform_mapping(nets["G"], z, batch.labels)[:, 0])
            return images

        def d_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            with torch.no_grad():
                generated = fakes(nets, batch, rng)
            real, fake = dealt(nets["D"], batch.images), dealt(nets["D"], generated)
            each = torch.stack([gman_d(r, f).mean() for r, f in zip(real, fake, strict=True)])
            stats = {
                "loss/D": each.mean(),
                "scores/real": torch.cat(real).mean(),
                "scores/fake": torch.cat(fake).mean(),
            }
            return Result(each.sum(), stats)

        def g_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            said = dealt(nets["D"], fakes(nets, batch, rng))
            losses = torch.stack([gman_g(logits, self.objective).mean() for logits in said])
            strength = nets["strength"]() if self.learn_strength else torch.tensor(self.strength, device=losses.device)
            loss = mixed(losses, strength, self.mean)
            stats = {"loss/G": loss.detach(), "critics/softest": losses.detach().min()}
            stats |= {"critics/harshest": losses.detach().max(), "critics/lambda": strength.detach()}
            if self.learn_strength:
                loss = loss - self.strength_reward * strength
            return Result(loss, stats)

        adam = Adam(self.lr, (self.beta1, 0.999))
        return Method(
            nets=nets,
            players={"D": Player(("D",), adam), "G": Player(tuple(name for name in nets if name != "D"), adam)},
            phases=(Phase("D", "D", d_loss), Phase("G", "G", g_loss)),
            models={"G": plain_latents("G", self.z_dim, "D", uniform_mapping, first_of_decoder)},
            ema=("G",),
        )


class Critics(nn.Module):
    """Several discriminators side by side, each with its own weights and its own share of dropout."""

    def __init__(self, spec: DataSpec, count: int, width: int) -> None:
        super().__init__()
        self.each = nn.ModuleList(
            # They keep 0.42 to 0.5 of their features where there are five: the share grows from one to the next.
            Critic(spec, width, dropout=0.6 - 0.1 * (number + 1) / count)
            for number in range(count)
        )

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """``[N, C, H, W]`` -> ``[N, 1]``: the mean of what all of them say of the same images."""
        return torch.stack([critic(images) for critic in self.each]).mean(0)


class Critic(nn.Module):
    """One discriminator: two strided convolutions with dropout, one that keeps the size, and a linear layer."""

    def __init__(self, spec: DataSpec, width: int, dropout: float) -> None:
        super().__init__()
        height, breadth = (-(-side // 4) for side in spec.resolution)
        self.layers = nn.Sequential(
            *(nn.Conv2d(spec.channels, width // 4, 3, 2, 1), nn.LeakyReLU(0.2), nn.Dropout(dropout)),
            *(nn.Conv2d(width // 4, width // 2, 3, 2, 1), nn.LeakyReLU(0.2), nn.Dropout(dropout)),
            *(nn.Conv2d(width // 2, width, 3, 1, 1), nn.LeakyReLU(0.2)),
            *(nn.Flatten(), nn.Linear(width * height * breadth, 1)),
        )
        self.apply(init_normal)

    def forward(self, images: Tensor) -> Tensor:
        """``[N, C, H, W]`` -> logits ``[N, 1]``."""
        logits: Tensor = self.layers(images)
        return logits


class Strength(nn.Module):
    """Lambda as a thing that is learnt: softplus keeps it above 0."""

    def __init__(self) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.full((), -2.0))

    def forward(self) -> Tensor:
        """A scalar."""
        return F.softplus(self.raw)


def dealt(critics: nn.Module, images: Tensor) -> list[Tensor]:
    """Each discriminator's logits for its own part of ``images``, as equal in size as they can be.

    Raises:
        UserError: fewer images than discriminators.
    """
    assert isinstance(critics, Critics)
    _enough(len(images), len(critics.each))
    parts = images.tensor_split(len(critics.each))
    return [critic(part) for critic, part in zip(critics.each, parts, strict=True)]


def _enough(images: int, critics: int) -> None:
    if images < critics:
        raise UserError(
            f"{images} images can't be dealt out to {critics} discriminators",
            hint="take a larger --batch or --micro-batch, or fewer --discriminators",
        )
