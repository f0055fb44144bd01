"""The first GAN.

Ian J. Goodfellow, Jean Pouget-Abadie, Mehdi Mirza, Bing Xu, David Warde-Farley, Sherjil Ozair, Aaron Courville, Yoshua
Bengio: Generative Adversarial Nets. NeurIPS 2014, arXiv 1406.2661.

A generator turns noise into images, a discriminator says how likely an image is real, and each learns against the
other: the minimax game of equation 1, played by alternate gradient steps (algorithm 1 with k = 1). Early on, when D
rejects the samples with confidence, log(1 - D(G(z))) is flat; so G maximises log D(G(z)) instead (end of section 3),
which is the default here. Both networks are fully connected, for small images such as 28x28 digits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from organza.contract.data import DataSpec, Layout
from organza.contract.method import Method
from organza.core.ranges import Count, Range
from organza.methods.basic.game import Game, game
from organza.nn.critic import Critic, label_vector
from organza.nn.dense import DenseDecoder, DenseEncoder, first_of_dense
from organza.nn.latent import plain_latents


@dataclass(frozen=True)
class GAN(Game):
    """Settings of the first GAN with two hidden layers in each network."""

    takes_labels: ClassVar[bool] = True
    layout: ClassVar[Layout] = "images"
    z_dim: Count = 64
    """Length of the latent code, standard normal."""
    width: Count = 256
    """Units of the hidden layers."""
    depth: Annotated[int, Range(least=1, most=32)] = 2
    """Hidden layers of each network."""

    def resolve(self, spec: DataSpec, batch: int) -> GAN:
        """Nothing depends on the data."""
        return self

    def like(self, other: GAN, spec: DataSpec) -> GAN:
        """These settings with the architecture of ``other``."""
        return replace(self, z_dim=other.z_dim, width=other.width, depth=other.depth, label_d=other.label_d)

    def toy(self) -> GAN:
        """Tiny networks, for tests."""
        return replace(self, z_dim=8, width=16)

    def build(self, spec: DataSpec) -> Method:
        """The networks and their two phases."""
        hidden, labels = (self.width,) * self.depth, spec.label_dim
        pixels = spec.channels * math.prod(spec.resolution)

        def encoder(more: int, outputs: int) -> DenseEncoder:
            return DenseEncoder(pixels + more, outputs, hidden)

        generator = DenseDecoder(self.z_dim + labels, spec.resolution, spec.channels, hidden)
        critic = Critic(spec, self.label_d, encoder, join=label_vector)
        latents = plain_latents("G", self.z_dim, "D", first=first_of_dense, label_dim=labels)
        return game(self, spec, generator, critic, latents)
