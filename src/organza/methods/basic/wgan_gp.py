"""WGAN-GP.

Ishaan Gulrajani, Faruk Ahmed, Martin Arjovsky, Vincent Dumoulin, Aaron Courville: Improved Training of Wasserstein
GANs. NeurIPS 2017, arXiv 1704.00028.

What it changed: the critic's Lipschitz constraint is a penalty on its gradient's norm at points between real and
generated pictures (equation 3) instead of weight clipping. The critic takes five steps for each of the generator's
(algorithm 1) and has no batch normalisation, whose mixing of pictures would void the penalty (section 4); layer
normalisation takes its place. The networks are DCGAN's otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import nn

from organza.contract.data import Batch, DataSpec, Layout
from organza.contract.method import Adam, Method, Nets, Phase, Player, Result
from organza.core.ranges import Count, PositiveOrZero
from organza.methods.basic.dcgan import Critic, standard_normal
from organza.nn.augmenter import Augmented, Augmenter
from organza.nn.latent import plain_latents
from organza.nn.losses import wasserstein_d, wasserstein_g
from organza.nn.penalties import interpolate, wgan_gp
from organza.nn.pyramid import Decoder, first_of_decoder, layer_norm


@dataclass(frozen=True)
class WGANGP(Augmented):
    """Settings of WGAN-GP; the defaults are algorithm 1's."""

    takes_labels: ClassVar[bool] = False
    layout: ClassVar[Layout] = "images"
    z_dim: Count = 128
    """Length of the latent vector."""
    width: Count = 64
    """Feature maps at the outermost level; doubled at each halving."""
    critic_steps: Count = 5
    """Steps of the critic for each step of the generator."""
    gp_weight: PositiveOrZero = 10.0
    """Weight of the gradient penalty (lambda)."""
    lr: PositiveOrZero = 0.0001
    """Learning rate of both networks."""

    def resolve(self, spec: DataSpec, batch: int) -> WGANGP:
        """Nothing depends on the data."""
        return self

    def like(self, other: WGANGP, spec: DataSpec) -> WGANGP:
        """These settings with the architecture of ``other``."""
        return replace(self, z_dim=other.z_dim, width=other.width)

    def toy(self) -> WGANGP:
        """Tiny networks, for tests."""
        return replace(self, z_dim=8, width=4)

    def build(self, spec: DataSpec) -> Method:
        """The networks and their two phases."""
        generator = Decoder(self.z_dim, spec.resolution, spec.channels, self.width, nn.BatchNorm2d)
        critic = Critic(spec, self.width, layer_norm)
        augmenter = Augmenter(self)

        def d_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            with torch.no_grad():
                fakes = augmenter(nets["G"](standard_normal(batch, self.z_dim, rng)), rng)
                reals = augmenter(batch.images, rng)
            real, fake = nets["D"](reals), nets["D"](fakes)
            penalty = wgan_gp(nets["D"], interpolate(reals, fakes, rng)).mean()
            distance = -wasserstein_d(real, fake).mean()
            loss = self.gp_weight * penalty - distance
            stats = {
                "loss/D": loss,
                "scores/real": real.mean(),
                "scores/fake": fake.mean(),
                "scores/distance": distance,
                "penalty/gradient": penalty,
            }
            stats |= augmenter.measure(batch, (real - fake).sign())  # a critic's scores have no zero
            return Result(loss, stats)

        def g_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            fakes = nets["G"](standard_normal(batch, self.z_dim, rng))
            loss = wasserstein_g(nets["D"](augmenter(fakes, rng))).mean()
            return Result(loss, {"loss/G": loss.detach()})

        adam = Adam(self.lr, (0.0, 0.9))
        return Method(
            nets={"G": generator, "D": critic},
            players={"D": Player(("D",), adam), "G": Player(("G",), adam)},
            phases=(
                Phase("D", "D", d_loss, after=augmenter.after, shapes=augmenter.shapes),
                Phase("G", "G", g_loss, every=self.critic_steps),
            ),
            models={"G": plain_latents("G", self.z_dim, "D", first=first_of_decoder)},
            ema=("G",),
            augment=augmenter if self.augment != "none" else None,
            state=augmenter.state,
            bf16=("training", "sampling"),
        )
