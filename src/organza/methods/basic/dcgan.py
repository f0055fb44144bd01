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
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor, nn

from organza.contract.data import Batch, DataSpec, Layout
from organza.contract.method import Adam, Method, Nets, Phase, Player, Result
from organza.core.ranges import Count, PositiveOrZero, Range
from organza.nn.augmenter import Augmented, Augmenter
from organza.nn.latent import identity_mapping, plain_latents, uniform_mapping
from organza.nn.losses import logistic_d, logistic_g
from organza.nn.pyramid import Decoder, Encoder, Norm, first_of_decoder


@dataclass(frozen=True)
class DCGAN(Augmented):
    """Settings of DCGAN; the defaults are the paper's."""

    takes_labels: ClassVar[bool] = False
    layout: ClassVar[Layout] = "images"
    z_dim: Count = 100
    """Length of the latent vector."""
    latent: Literal["uniform", "normal"] = field(default="uniform", metadata={"absent": "normal"})
    """Its numbers are uniform between -1 and 1 (section 4), or standard normal. Seeds are always standard normal: their
    place in that distribution is their place in the uniform one."""
    width: Count = 64
    """Feature maps at the outermost level (128 in the paper's figure 1, 64 in its code); doubled at each halving."""
    lr: PositiveOrZero = 0.0002
    """Learning rate of both networks."""
    beta1: Annotated[float, Range(least=0, below=1)] = 0.5
    """Adam's first beta."""

    def resolve(self, spec: DataSpec, batch: int) -> DCGAN:
        """Nothing depends on the data."""
        return self

    def like(self, other: DCGAN, spec: DataSpec) -> DCGAN:
        """These settings with the architecture of ``other``."""
        return replace(self, z_dim=other.z_dim, latent=other.latent, width=other.width)

    def toy(self) -> DCGAN:
        """Tiny networks, for tests."""
        return replace(self, z_dim=8, width=4)

    def build(self, spec: DataSpec) -> Method:
        """The networks and their two phases."""
        generator = Decoder(self.z_dim, spec.resolution, spec.channels, self.width, nn.BatchNorm2d)
        discriminator = Critic(spec, self.width)
        augmenter = Augmenter(self)
        mapping = uniform_mapping if self.latent == "uniform" else identity_mapping

        def generated(net: nn.Module, batch: Batch, rng: torch.Generator) -> Tensor:
            images: Tensor = net(mapping(net, standard_normal(batch, self.z_dim, rng), batch.labels)[:, 0])
            return images

        def d_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            with torch.no_grad():
                fakes = generated(nets["G"], batch, rng)
            real, fake = nets["D"](augmenter(batch.images, rng)), nets["D"](augmenter(fakes, rng))
            loss = logistic_d(real, fake).mean()
            stats = {"loss/D": loss, "scores/real": real.mean(), "scores/fake": fake.mean()}
            stats |= {"signs/real": real.sign().mean(), **augmenter.measure(batch, real.sign())}
            return Result(loss, stats)

        def g_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            fakes = generated(nets["G"], batch, rng)
            loss = logistic_g(nets["D"](augmenter(fakes, rng))).mean()
            return Result(loss, {"loss/G": loss.detach()})

        adam = Adam(self.lr, (self.beta1, 0.999))
        return Method(
            nets={"G": generator, "D": discriminator},
            players={"D": Player(("D",), adam), "G": Player(("G",), adam)},
            phases=(
                Phase("D", "D", d_loss, after=augmenter.after, shapes=augmenter.shapes),
                Phase("G", "G", g_loss),
            ),
            models={"G": plain_latents("G", self.z_dim, "D", mapping, first_of_decoder)},
            ema=("G",),
            augment=augmenter if self.augment != "none" else None,
            state=augmenter.state,
            bf16=("training", "sampling"),
        )


class Critic(nn.Module):
    """A picture to one logit; labels are ignored."""

    def __init__(self, spec: DataSpec, width: int, norm: Norm = nn.BatchNorm2d) -> None:
        super().__init__()
        self.encoder = Encoder(1, spec.resolution, spec.channels, width, norm)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """``[N, C, H, W]`` -> ``[N, 1]``."""
        logits: Tensor = self.encoder(images)
        return logits


def standard_normal(batch: Batch, z_dim: int, rng: torch.Generator) -> Tensor:
    """Latent vectors ``[N, z_dim]``, one for each picture of ``batch``."""
    return torch.randn([len(batch), z_dim], generator=rng, device=batch.images.device)
