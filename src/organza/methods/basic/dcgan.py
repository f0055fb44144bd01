"""DCGAN.

Alec Radford, Luke Metz, Soumith Chintala: Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks. ICLR 2016, arXiv 1511.06434.

What it changed: strided convolutions instead of pooling, batch normalisation in both networks except the generator's
output and the discriminator's input, no hidden fully connected layers, ReLU in the generator, LeakyReLU in the
discriminator, Adam with rate 0.0002 and beta1 0.5 (section 4). The game is Goodfellow's (2014, arXiv 1406.2661) with
the non-saturating generator loss of its section 3.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from torch import nn

from organza.contract.data import DataSpec, Layout
from organza.contract.method import Method
from organza.core.errors import UserError
from organza.core.ranges import Count
from organza.methods.basic.game import Game, game
from organza.nn.critic import Critic
from organza.nn.latent import identity_mapping, plain_latents, uniform_mapping
from organza.nn.pyramid import Decoder, Encoder, Norm, first_of_decoder, layer_norm

NormD = Literal["batch", "layer", "none"]
_NORMS: dict[NormD, Norm] = {"batch": nn.BatchNorm2d, "layer": layer_norm, "none": lambda maps: nn.Identity()}


@dataclass(frozen=True)
class DCGAN(Game):
    """Settings of DCGAN; the defaults are the paper's."""

    takes_labels: ClassVar[bool] = True
    layout: ClassVar[Layout] = "images"
    z_dim: Count = 100
    """Length of the latent vector."""
    latent: Literal["uniform", "normal"] = field(default="uniform", metadata={"absent": "normal"})
    """Its numbers are uniform between -1 and 1 (section 4), or standard normal. Seeds are always standard normal: their
    place in that distribution is their place in the uniform one."""
    width: Count = 64
    """Feature maps at the outermost level (128 in the paper's figure 1, 64 in its code); doubled at each halving."""
    norm_d: NormD | None = None
    """Normalisation of D. None: batch; with a penalty layer, because batch normalisation mixes images."""

    def resolve(self, spec: DataSpec, batch: int) -> DCGAN:
        """Nothing depends on the data."""
        return self

    def like(self, other: DCGAN, spec: DataSpec) -> DCGAN:
        """These settings with the architecture of ``other``."""
        names = ("z_dim", "latent", "width", "label_d")
        norm_d: NormD | None = other._norm_d()
        if norm_d == "batch" and self.penalty != "none":
            norm_d = None  # such a discriminator can't go on
        return replace(self, norm_d=norm_d, **{name: getattr(other, name) for name in names})

    def toy(self) -> DCGAN:
        """Tiny networks, for tests."""
        return replace(self, z_dim=8, width=4)

    def _norm_d(self) -> NormD:
        if self.norm_d == "batch" and self.penalty != "none":
            what = f"--penalty {self.penalty} is for single images, and batch normalisation mixes images"
            raise UserError(what, hint="leave --norm-d out, or say --norm-d layer")
        return self.norm_d or ("batch" if self.penalty == "none" else "layer")

    def build(self, spec: DataSpec) -> Method:
        """The networks and their two phases.

        Raises:
            UserError: images of this size can't be halved down to a few pixels, or a penalty with batch normalisation.
        """
        norm_d, labels = _NORMS[self._norm_d()], spec.label_dim

        def encoder(more: int, outputs: int) -> Encoder:
            return Encoder(outputs, spec.resolution, spec.channels + more, self.width, norm_d)

        generator = Decoder(self.z_dim + labels, spec.resolution, spec.channels, self.width, nn.BatchNorm2d)
        critic = Critic(spec, self.label_d, encoder)
        mapping = uniform_mapping if self.latent == "uniform" else identity_mapping
        latents = plain_latents("G", self.z_dim, "D", mapping, first_of_decoder, labels)
        return game(self, spec, generator, critic, latents, bf16=("training", "sampling"))
