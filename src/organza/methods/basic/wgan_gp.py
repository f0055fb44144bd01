"""WGAN-GP.

Ishaan Gulrajani, Faruk Ahmed, Martin Arjovsky, Vincent Dumoulin, Aaron Courville: Improved Training of Wasserstein
GANs. NeurIPS 2017, arXiv 1704.00028.

What it changed: the critic's Lipschitz constraint is a penalty on its gradient's norm at points between real and
generated images (equation 3) instead of weight clipping. The critic takes five steps for each of the generator's
(algorithm 1) and has no batch normalisation, whose mixing of images would void the penalty (section 4); layer
normalisation takes its place. Labels are named by the critic, as in AC-GAN (section 5.4). The networks are DCGAN's
otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from organza.core.ranges import Count, PositiveOrZero
from organza.methods.basic.dcgan import DCGAN
from organza.methods.basic.game import Beta, Penalty
from organza.nn.critic import LabelD
from organza.nn.losses import GameLoss


@dataclass(frozen=True)
class WGANGP(DCGAN):
    """Settings of WGAN-GP; the defaults are algorithm 1's."""

    z_dim: Count = 128
    """Length of the latent vector."""
    latent: Literal["uniform", "normal"] = field(default="normal")
    """Distribution of the latent vector's numbers."""
    loss: GameLoss = "wasserstein"
    """What D and G minimise."""
    penalty: Penalty = "wgan-gp"
    """A penalty on the gradient of D's score; see `organza.methods.basic.game.Game`."""
    critic_steps: Count = 5
    """Steps of the critic for each step of the generator (n_critic)."""
    lr: PositiveOrZero = 0.0001
    """Learning rate of both networks."""
    beta1: Beta = 0.0
    """Adam's first beta."""
    beta2: Beta = 0.9
    """Adam's second beta."""
    label_d: LabelD = "auxiliary"
    """How the critic learns of labels, where the data has any: join, auxiliary or projection."""
