"""The variational autoencoder.

Diederik P. Kingma, Max Welling: Auto-Encoding Variational Bayes. ICLR 2014, arXiv 1312.6114.

An encoder gives each image x a Gaussian q(z|x) over codes, a decoder turns codes into images; both maximise a lower
bound of log p(x), equation (3), through the reparameterised sample of equation (4). There is no adversary: one player
learns both networks. The bound's second term, which keeps q(z|x) near the prior, has a weight: beta (Higgins et al.
2017, beta-VAE). The networks are DCGAN's pyramids, or the paper's with one hidden layer each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from organza.contract.data import Batch, DataSpec, Layout
from organza.contract.method import Adam, Method, Nets, Phase, Player, Result
from organza.core.ranges import PositiveOrZero
from organza.methods.basic.autoencoder import Coders
from organza.nn.dense import first_of_dense
from organza.nn.latent import plain_latents
from organza.nn.likelihood import gaussian_divergence
from organza.nn.pyramid import first_of_decoder


@dataclass(frozen=True)
class VAE(Coders):
    """Settings of the variational autoencoder."""

    takes_labels: ClassVar[bool] = False
    layout: ClassVar[Layout] = "images"
    beta: PositiveOrZero = 1.0
    """Weight of the divergence from the prior: above 1 codes are simpler and images smoother."""

    def resolve(self, spec: DataSpec, batch: int) -> VAE:
        """Nothing depends on the data."""
        return self

    def like(self, other: VAE, spec: DataSpec) -> VAE:
        """These settings with the architecture of ``other``."""
        return replace(self, networks=other.networks, z_dim=other.z_dim, width=other.width, hidden=other.hidden)

    def toy(self) -> VAE:
        """Tiny networks, for tests."""
        return replace(self, z_dim=8, width=4, hidden=16)

    def build(self, spec: DataSpec) -> Method:
        """The networks and their one phase.

        Raises:
            UserError: images of this size can't be halved down to a few pixels.
        """
        dense = self.networks == "mlp"

        def bound(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            mean, log_variance = nets["encoder"](batch.images).chunk(2, dim=1)
            noise = torch.randn(mean.shape, generator=rng, device=mean.device)
            codes = mean + noise * (0.5 * log_variance).exp()
            error = self.error(nets["decoder"], codes, batch.images).mean()
            divergence = gaussian_divergence(mean, log_variance).mean()
            loss = (error + self.beta * divergence) / batch.images[0].numel()
            stats = {"loss/VAE": loss, "terms/reconstruction": error, "terms/divergence": divergence}
            return Result(loss, stats | {"terms/elbo": -error - divergence})

        latents = plain_latents("decoder", self.z_dim, first=first_of_dense if dense else first_of_decoder)
        return Method(
            nets={"encoder": self.encoder(spec, 2 * self.z_dim), "decoder": self.decoder(spec)},
            players={"VAE": Player(("encoder", "decoder"), Adam(self.lr, (0.9, 0.999)))},
            phases=(Phase("VAE", "VAE", bound),),
            models={"decoder": replace(latents, encoder="encoder", encode=_likeliest)},
            ema=("decoder",),
            bf16=() if dense else ("training", "sampling"),
        )


def _likeliest(encoder: nn.Module, images: Tensor) -> Tensor:
    """The means of q(z|x) as w's: ``[N, C, H, W]`` -> ``[N, 1, z_dim]``."""
    mean, _ = encoder(images).chunk(2, dim=1)
    ws: Tensor = mean[:, None]
    return ws
