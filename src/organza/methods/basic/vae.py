"""The variational autoencoder.

Diederik P. Kingma, Max Welling: Auto-Encoding Variational Bayes. ICLR 2014, arXiv 1312.6114.

An encoder gives each picture x a Gaussian q(z|x) over codes, a decoder turns codes into pictures; both maximise a
lower bound of log p(x), equation (3), through the reparameterised sample of equation (4). There is no adversary: one
player learns both networks. Organza's networks are DCGAN's pyramids, and p(x|z) is a Gaussian of fixed width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from organza.contract.data import Batch, DataSpec, Layout
from organza.contract.method import Adam, Method, Nets, Phase, Player, Result
from organza.core.ranges import Count, PositiveOrZero, Range
from organza.nn.latent import plain_latents
from organza.nn.pyramid import Decoder, Encoder, first_of_decoder


@dataclass(frozen=True)
class VAE:
    """Settings of the variational autoencoder."""

    takes_labels: ClassVar[bool] = False
    layout: ClassVar[Layout] = "images"
    z_dim: Count = 64
    """Length of the code."""
    width: Count = 32
    """Feature maps at full resolution; doubled at each halving."""
    sigma: Annotated[float, Range(least=0.001)] = 0.2
    """Standard deviation of the decoder's Gaussian, for pictures in [-1, 1]: smaller is sharper, larger is smoother."""
    lr: PositiveOrZero = 0.0005
    """Learning rate."""

    def resolve(self, spec: DataSpec, batch: int) -> VAE:
        """Nothing depends on the data."""
        return self

    def like(self, other: VAE, spec: DataSpec) -> VAE:
        """These settings with the architecture of ``other``."""
        return replace(self, z_dim=other.z_dim, width=other.width)

    def toy(self) -> VAE:
        """Tiny networks, for tests."""
        return replace(self, z_dim=8, width=4)

    def build(self, spec: DataSpec) -> Method:
        """The networks and their one phase."""
        encoder = Encoder(2 * self.z_dim, spec.resolution, spec.channels, self.width, nn.BatchNorm2d)
        decoder = Decoder(self.z_dim, spec.resolution, spec.channels, self.width, nn.BatchNorm2d)

        def bound(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            mean, log_variance = nets["encoder"](batch.images).chunk(2, dim=1)
            noise = torch.randn(mean.shape, generator=rng, device=mean.device)
            images = nets["decoder"](mean + noise * (0.5 * log_variance).exp())
            error = (images - batch.images).square().flatten(1).sum(1) / (2 * self.sigma**2)
            divergence = gaussian_divergence(mean, log_variance)
            loss = (error + divergence).mean() / batch.images[0].numel()
            stats = {"loss/VAE": loss, "terms/reconstruction": error.mean(), "terms/divergence": divergence.mean()}
            return Result(loss, stats)

        return Method(
            nets={"encoder": encoder, "decoder": decoder},
            players={"VAE": Player(("encoder", "decoder"), Adam(self.lr, (0.9, 0.999)))},
            phases=(Phase("VAE", "VAE", bound),),
            models={"decoder": plain_latents("decoder", self.z_dim, first=first_of_decoder)},
            ema=("decoder",),
            bf16=("training", "sampling"),
        )


def gaussian_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of N(mean, exp(log_variance)) from N(0, 1), summed over ``[N, z_dim]``: ``[N]``, appendix B.

    Example:
        >>> gaussian_divergence(torch.zeros(2, 3), torch.zeros(2, 3))
        tensor([0., 0.])
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)
