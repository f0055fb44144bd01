"""The conditional GAN.

Mehdi Mirza, Simon Osindero: Conditional Generative Adversarial Nets. 2014, arXiv 1411.1784.

What it changed: generator and discriminator are both told a label y (equation 2), so an image of a class can be asked
for. The networks are section 4.1's for MNIST: z and y have a hidden layer each before a common one; the discriminator
has maxout layers for x and y, and one for both, with dropout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from organza.contract.data import DataSpec, Layout
from organza.contract.method import Method
from organza.core.errors import UserError
from organza.core.ranges import Count, PositiveOrZero, Range
from organza.methods.basic.game import Game, Penalty, game
from organza.nn.critic import Critic, label_vector
from organza.nn.latent import plain_latents, uniform_mapping


@dataclass(frozen=True)
class CGAN(Game):
    """Settings of the conditional GAN; the networks' sizes are the paper's for MNIST."""

    takes_labels: ClassVar[bool] = True
    layout: ClassVar[Layout] = "images"
    z_dim: Count = 100
    """Length of the latent code, uniform between -1 and 1."""
    width_z: Count = 200
    """Units of the generator's hidden layer for z."""
    width_y: Count = 1000
    """Units of its hidden layer for the label."""
    width: Count = 1200
    """Units of its hidden layer for both."""
    maxout_x: Count = 240
    """Units of the discriminator's maxout layers for the image, of 5 pieces, and for both, of 4."""
    maxout_y: Count = 50
    """Units of its maxout layer for the label, of 5 pieces."""
    dropout: Annotated[float, Range(least=0, below=1)] = 0.0
    """Share of the discriminator's hidden units that are dropped; the paper has 0.5 and no penalty."""
    dropout_g: Annotated[float, Range(least=0, below=1)] = 0.0
    """The same of the generator's, in training alone; the paper has 0.5, and then z hardly matters."""
    penalty: Penalty = "r1"
    """A penalty on the gradient of D's score, as of `Game`; the paper has none, and labels are learnt late without."""
    gp_weight: PositiveOrZero = 10.0
    """Weight of the penalty: gamma."""
    lr: PositiveOrZero = 0.0004
    """Learning rate of both networks."""

    def resolve(self, spec: DataSpec, batch: int) -> CGAN:
        """Nothing depends on the data.

        Raises:
            UserError: the data has no labels.
        """
        _need_labels(spec)
        return self

    def like(self, other: CGAN, spec: DataSpec) -> CGAN:
        """These settings with the architecture of ``other``."""
        names = ("z_dim", "width_z", "width_y", "width", "maxout_x", "maxout_y", "label_d")
        return replace(self, **{name: getattr(other, name) for name in names})

    def toy(self) -> CGAN:
        """Tiny networks, for tests."""
        return replace(self, z_dim=8, width_z=8, width_y=8, width=16, maxout_x=8, maxout_y=4)

    def build(self, spec: DataSpec) -> Method:
        """The networks and their two phases.

        Raises:
            UserError: the data has no labels.
        """
        _need_labels(spec)
        generator = ConditionalGenerator(self, spec)

        def encoder(more: int, outputs: int) -> MaxoutEncoder:
            return MaxoutEncoder(self, spec.channels * math.prod(spec.resolution), more, outputs)

        critic = Critic(spec, self.label_d, encoder, join=label_vector)
        latents = plain_latents("G", self.z_dim, "D", uniform_mapping, label_dim=spec.label_dim)
        return game(self, spec, generator, critic, latents)


def _need_labels(spec: DataSpec) -> None:
    if not spec.label_dim:
        raise UserError("a conditional GAN needs labels", hint="say where they are: --labels auto looks by itself")


class ConditionalGenerator(nn.Module):
    """A code and its label ``[N, z_dim + L]`` to an image ``[N, C, H, W]`` in [-1, 1]."""

    def __init__(self, settings: CGAN, spec: DataSpec) -> None:
        super().__init__()
        self.z_dim, self.shape = settings.z_dim, (spec.channels, *spec.resolution)
        self.of_z = nn.Linear(settings.z_dim, settings.width_z)
        self.of_y = nn.Linear(spec.label_dim, settings.width_y)
        self.of_both = nn.Linear(settings.width_z + settings.width_y, settings.width)
        self.out = nn.Linear(settings.width, math.prod(self.shape))
        self.drop = nn.Dropout(settings.dropout_g)
        # PyTorch's own start shrinks what comes through each layer by half: the image would hardly depend on z.
        for layer in (self.of_z, self.of_y, self.of_both, self.out):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear" if layer is self.out else "relu")
            nn.init.zeros_(layer.bias)

    def forward(self, w: Tensor) -> Tensor:
        """``[N, z_dim + L]`` -> ``[N, C, H, W]``."""
        z, y = w[:, : self.z_dim], w[:, self.z_dim :]
        both = torch.cat([self.of_z(z).relu(), self.of_y(y).relu()], dim=1)
        hidden = self.drop(self.of_both(self.drop(both)).relu())
        return torch.tanh(self.out(hidden)).reshape(w.shape[0], *self.shape)


class Maxout(nn.Module):
    """The largest of several linear maps, unit by unit: Goodfellow et al. 2013, arXiv 1302.4389."""

    def __init__(self, inputs: int, units: int, pieces: int) -> None:
        super().__init__()
        self.units, self.pieces = units, pieces
        self.linear = nn.Linear(inputs, units * pieces)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, inputs]`` -> ``[N, units]``."""
        pieces: Tensor = self.linear(x)
        return pieces.reshape(x.shape[0], self.units, self.pieces).amax(2)


class MaxoutEncoder(nn.Module):
    """Pixels, and a label after them where it is joined, ``[N, pixels + more]`` to ``[N, outputs]``."""

    def __init__(self, settings: CGAN, pixels: int, more: int, outputs: int) -> None:
        super().__init__()
        self.pixels = pixels
        self.of_x = Maxout(pixels, settings.maxout_x, 5)
        self.of_y = Maxout(more, settings.maxout_y, 5) if more else None
        both = settings.maxout_x + (settings.maxout_y if more else 0)
        self.of_both, self.out = Maxout(both, settings.maxout_x, 4), nn.Linear(settings.maxout_x, outputs)
        self.drop = nn.Dropout(settings.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, pixels + more]`` -> ``[N, outputs]``."""
        x = x.flatten(1)
        parts = [self.of_x(x[:, : self.pixels])]
        if self.of_y is not None:
            parts.append(self.of_y(x[:, self.pixels :]))
        hidden = self.drop(self.of_both(self.drop(torch.cat(parts, dim=1))))
        vectors: Tensor = self.out(hidden)
        return vectors.float()
