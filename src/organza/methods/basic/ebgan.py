"""EBGAN.

Junbo Zhao, Michael Mathieu, Yann LeCun: Energy-based Generative Adversarial Network. ICLR 2017, arXiv 1609.03126.

What it changed: the discriminator gives images an energy instead of a probability, and is an autoencoder: the energy is
the error of its reconstruction (equation 4). Real images get low energies, generated ones are raised up to a margin
(equation 1), and the generator lowers its images' energies (equation 2). EBGAN-PT adds a pull-away term to the
generator's loss, which keeps the codes of a batch's images apart (equation 5). The generator is DCGAN's; the
discriminator's encoder and decoder are those of appendix D.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from organza.contract.data import Batch, DataSpec, Layout
from organza.contract.method import Adam, Clock, Method, Nets, Phase, Player, Result, Schedule
from organza.core.ranges import Count, KimgOrZero, Positive, PositiveOrZero
from organza.methods.basic.game import Beta, standard_normal
from organza.nn.energy import energy, energy_d, energy_g, pull_away
from organza.nn.initial import init_normal
from organza.nn.latent import plain_latents
from organza.nn.pyramid import Conv2d, ConvTranspose2d, Decoder, first_of_decoder, levels


@dataclass(frozen=True)
class EBGAN:
    """Settings of EBGAN."""

    takes_labels: ClassVar[bool] = False
    layout: ClassVar[Layout] = "images"
    z_dim: Count = 100
    """Length of the latent code."""
    width: Count = 64
    """Feature maps at the outermost level of both networks; doubled at each halving."""
    margin: Positive = 1.0
    """Energy up to which D raises generated images (m), as a mean square of pixels in [-1, 1]."""
    pt_weight: PositiveOrZero = 0.0
    """Weight of the pull-away term in G's loss; EBGAN-PT has 0.1."""
    pretrain_kimg: KimgOrZero = 0.0
    """Train D as an autoencoder of real images for so many thousand images, before the game begins."""
    lr: PositiveOrZero = 0.0002
    """Learning rate of both networks."""
    beta1: Beta = 0.5
    """Adam's first beta."""

    def resolve(self, spec: DataSpec, batch: int) -> EBGAN:
        """Nothing depends on the data."""
        return self

    def like(self, other: EBGAN, spec: DataSpec) -> EBGAN:
        """These settings with the architecture of ``other``."""
        return replace(self, z_dim=other.z_dim, width=other.width)

    def toy(self) -> EBGAN:
        """Tiny networks, for tests."""
        return replace(self, z_dim=8, width=4)

    def build(self, spec: DataSpec) -> Method:
        """The networks and their phases.

        Raises:
            UserError: images of this size can't be halved down to a few pixels.
        """
        generator = Decoder(self.z_dim, spec.resolution, spec.channels, self.width, nn.BatchNorm2d)

        def d_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            with torch.no_grad():
                fakes = nets["G"](standard_normal(batch, self.z_dim, rng))
            real, fake = -nets["D"](batch.images)[:, 0], -nets["D"](fakes)[:, 0]
            loss = energy_d(real, fake, self.margin).mean()
            return Result(loss, {"loss/D": loss, "terms/energy/real": real.mean(), "terms/energy/fake": fake.mean()})

        def g_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            fakes = nets["G"](standard_normal(batch, self.z_dim, rng))
            critic = nets["D"]
            assert isinstance(critic, EnergyAutoencoder)
            codes = critic.encoder(fakes)
            loss, stats = energy_g(energy(fakes, critic.decoder(codes))).mean(), {}
            if self.pt_weight:
                stats["terms/pull-away"] = pull_away(codes.flatten(1))
                loss = loss + self.pt_weight * stats["terms/pull-away"]
            return Result(loss, {"loss/G": loss.detach(), **stats})

        def pretraining(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            loss = -nets["D"](batch.images).mean()
            return Result(loss, {"loss/D/pretraining": loss})

        before: tuple[Phase, ...] = ()
        if self.pretrain_kimg:
            before = (Phase("D/pretraining", "D", pretraining, active=lambda stage: stage == 0),)
        adam = Adam(self.lr, (self.beta1, 0.999))
        return Method(
            nets={"G": generator, "D": EnergyAutoencoder(spec, self.width)},
            players={"D": Player(("D",), adam), "G": Player(("G",), adam)},
            phases=(
                *before,
                Phase("D", "D", d_loss, active=bool),
                Phase("G", "G", g_loss, active=bool),
            ),
            models={"G": plain_latents("G", self.z_dim, "D", first=first_of_decoder)},
            ema=("G",),
            schedule=lambda clock: Schedule(stage=self._stage(clock)),
        )

    def _stage(self, clock: Clock) -> int:
        """0 while D is an autoencoder of real images alone, then 1."""
        return int(clock.seen >= self.pretrain_kimg * 1000)


class EnergyAutoencoder(nn.Module):
    """An image to minus its energy, through codes of up to three halvings: 4x4 kernels, as in appendix D.

    Args:
        spec: of the images.
        width: feature maps at the outermost level; doubled at each halving.
    """

    def __init__(self, spec: DataSpec, width: int) -> None:
        super().__init__()
        maps = [width << level for level in range(min(3, levels(spec.resolution)))]
        down: list[nn.Module] = [Conv2d(spec.channels, maps[0], 4, 2, 1), nn.LeakyReLU(0.2)]
        for outer, inner in itertools.pairwise(maps):
            down += [Conv2d(outer, inner, 4, 2, 1, bias=False), nn.BatchNorm2d(inner), nn.LeakyReLU(0.2)]
        up: list[nn.Module] = []
        for inner, outer in itertools.pairwise(maps[::-1]):
            up += [ConvTranspose2d(inner, outer, 4, 2, 1, bias=False), nn.BatchNorm2d(outer), nn.LeakyReLU(0.2)]
        self.encoder = nn.Sequential(*down)
        self.decoder = nn.Sequential(*up, ConvTranspose2d(maps[0], spec.channels, 4, 2, 1))
        self.apply(init_normal)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """``[N, C, H, W]`` -> ``[N, 1]``, higher for what looks real."""
        return -energy(images, self.decoder(self.encoder(images)))[:, None]
