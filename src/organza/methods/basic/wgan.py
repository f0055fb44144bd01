"""WGAN.

Martin Arjovsky, Soumith Chintala, Léon Bottou: Wasserstein GAN. ICML 2017, arXiv 1701.07875.

What it changed: D is a critic whose scores have no bound, and the difference of their means estimates the Wasserstein
distance between real and generated images (equation 2), which has a gradient even where the two don't overlap. That
holds for critics with bounded slope, so weights are clipped (algorithm 1). The critic takes five steps for each of the
generator's; RMSprop, because momentum made the critic's loss unstable (section 4). The networks are DCGAN's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from organza.core.ranges import Count, PositiveOrZero
from organza.methods.basic.dcgan import DCGAN
from organza.nn.losses import GameLoss


@dataclass(frozen=True)
class WGAN(DCGAN):
    """Settings of WGAN on DCGAN's networks; the defaults are algorithm 1's, the codes normal as in the authors'
    code."""

    latent: Literal["uniform", "normal"] = field(default="normal")
    """Distribution of the latent vector's numbers."""
    loss: GameLoss = "wasserstein"
    """What D and G minimise."""
    clip: PositiveOrZero = 0.01
    """Cut D's weights off at this bound after each of its steps (c); 0 leaves them."""
    critic_steps: Count = 5
    """Steps of the critic for each step of the generator (n_critic)."""
    optimizer: Literal["adam", "rmsprop"] = "rmsprop"
    """Of both networks."""
    lr: PositiveOrZero = 0.00005
    """Learning rate of both networks (alpha)."""
