"""LSGAN.

Xudong Mao, Qing Li, Haoran Xie, Raymond Y. K. Lau, Zhen Wang, Stephen Paul Smolley: Least Squares Generative
Adversarial Networks. ICCV 2017, arXiv 1611.04076.

What it changed: the distance of D's output from a target takes the place of the cross-entropy (equation 2): 1 for real
images, 0 for generated ones, and 1 for the generator (equation 9). An image that D takes for real still gets a gradient
when it lies far from the boundary, where the cross-entropy is flat. Nothing else of DCGAN changes.
"""

from __future__ import annotations

from dataclasses import dataclass

from organza.methods.basic.dcgan import DCGAN
from organza.nn.losses import GameLoss


@dataclass(frozen=True)
class LSGAN(DCGAN):
    """Settings of LSGAN on DCGAN's networks; labels are joined to the inputs, as in the paper's section 3.3.2."""

    loss: GameLoss = "least-squares"
    """What D and G minimise."""
