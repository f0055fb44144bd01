"""BEGAN.

David Berthelot, Thomas Schumm, Luke Metz: BEGAN: Boundary Equilibrium Generative Adversarial Networks. 2017, arXiv
1703.10717.

What it changed: the discriminator is an autoencoder, and what is matched are the distributions of its reconstruction
losses, not of images. A number k holds the two players in equilibrium: it rises while generated images are
reconstructed better than a share gamma of what real ones are (section 3.3). The sum of the real loss and the distance
from equilibrium, M_global, says how far training is (section 3.4.1). No normalisation, no tricks: convolutions and ELU.
The sizes are figure 1's and those of the code by Taehoon Kim (carpedm20), without the paper's skip connections.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from organza.contract.data import Batch, DataSpec, Layout
from organza.contract.method import Adam, Clock, Method, Nets, Phase, Player, Result, Schedule
from organza.core.errors import UserError
from organza.core.ranges import Count, Kimg, PositiveOrZero, Share
from organza.methods.basic.game import Beta, standard_normal
from organza.nn.energy import absolute_error, began_balance, began_d, began_k, began_measure
from organza.nn.latent import plain_latents, uniform_mapping
from organza.nn.pyramid import Conv2d


@dataclass(frozen=True)
class BEGAN:
    """Settings of BEGAN."""

    takes_labels: ClassVar[bool] = False
    layout: ClassVar[Layout] = "images"
    z_dim: Count = 64
    """Length of the latent code, uniform between -1 and 1, and of the autoencoder's code (N_z = N_h)."""
    width: Count = 64
    """Feature maps of the decoders, and of the encoder's outermost level (n)."""
    gamma: Share = 0.5
    """Ratio of the losses of generated and real images in equilibrium: lower is sharper, higher more varied."""
    k_rate: PositiveOrZero = 0.001
    """How fast k moves (lambda_k)."""
    lr: PositiveOrZero = 0.0001
    """Learning rate of both networks."""
    halve_kimg: Kimg = 1600.0
    """The learning rate is halved after each so many thousand images."""
    beta1: Beta = 0.5
    """Adam's first beta."""

    def resolve(self, spec: DataSpec, batch: int) -> BEGAN:
        """Nothing depends on the data."""
        return self

    def like(self, other: BEGAN, spec: DataSpec) -> BEGAN:
        """These settings with the architecture of ``other``."""
        return replace(self, z_dim=other.z_dim, width=other.width)

    def toy(self) -> BEGAN:
        """Tiny networks, for tests."""
        return replace(self, z_dim=8, width=4)

    def build(self, spec: DataSpec) -> Method:
        """The networks, their phases and k.

        Raises:
            UserError: the sides can't be halved down to 8 to 15 pixels.
        """
        k = torch.zeros(())

        def generated(nets: Nets, batch: Batch, rng: torch.Generator) -> Tensor:
            z = standard_normal(batch, self.z_dim, rng)
            images: Tensor = nets["G"](uniform_mapping(nets["G"], z, batch.labels)[:, 0])
            return images

        def d_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            with torch.no_grad():
                fakes = generated(nets, batch, rng)
            real, fake = -nets["D"](batch.images)[:, 0], -nets["D"](fakes)[:, 0]
            loss = began_d(real, fake, k).mean()
            return Result(loss, {"loss/D": loss}, carry={"error": real})

        def g_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            loss = -nets["D"](generated(nets, batch, rng)).mean()
            stats = {"terms/error/real": batch.carry["error"].mean(), "terms/error/fake": loss}
            return Result(loss, {"loss/G": loss, **stats})

        def after(nets: Nets, result: Result, rng: torch.Generator) -> None:
            real, fake = result.stats["terms/error/real"], result.stats["terms/error/fake"]
            balance = began_balance(real, fake, self.gamma)
            k.copy_(began_k(k, balance, self.k_rate))
            result.stats["convergence/m_global"] = began_measure(real, balance)
            result.stats["terms/k"] = k.clone()

        adam = Adam(self.lr, (self.beta1, 0.999))
        return Method(
            nets={
                "G": ELUDecoder(self.z_dim, spec, self.width),
                "D": ELUAutoencoder(self.z_dim, spec, self.width),
            },
            players={"D": Player(("D",), adam), "G": Player(("G",), adam)},
            phases=(Phase("D", "D", d_loss), Phase("G", "G", g_loss, after=after)),
            models={"G": plain_latents("G", self.z_dim, "D", uniform_mapping, _first)},
            ema=("G",),
            state={"began/k": k},
            schedule=self._rate,
            convergence="convergence/m_global",
        )

    def _rate(self, clock: Clock) -> Schedule:
        return Schedule(rate=0.5 ** int(clock.seen / (1000 * self.halve_kimg)))


def halvings(resolution: tuple[int, int]) -> int:
    """How often images are halved until their short side is 8 to 15.

    Raises:
        UserError: they can't be.

    Example:
        >>> halvings((64, 64)), halvings((28, 28)), halvings((8, 8))
        (3, 1, 0)
    """
    count = max(0, (min(resolution) // 8).bit_length() - 1)
    if min(resolution) < 8 or any(side % 2**count for side in resolution):
        raise UserError(
            f"these networks can't halve {resolution[0]}x{resolution[1]} down to 8 to 15 pixels",
            hint="take a --resolution whose sides are 8 to 15 times a power of two, such as 64 or 96",
        )
    return count


class ELUDecoder(nn.Module):
    """A code ``[N, z_dim]`` to an image ``[N, C, H, W]``: two convolutions a level, pixels repeated between levels."""

    def __init__(self, z_dim: int, spec: DataSpec, width: int) -> None:
        super().__init__()
        count = halvings(spec.resolution)
        self.core = (width, spec.resolution[0] >> count, spec.resolution[1] >> count)
        self.linear = nn.Linear(z_dim, self.core[0] * self.core[1] * self.core[2])
        layers: list[nn.Module] = []
        for level in range(count + 1):
            layers += [nn.Upsample(scale_factor=2)] * (level > 0)
            layers += [Conv2d(width, width, 3, 1, 1), nn.ELU(), Conv2d(width, width, 3, 1, 1), nn.ELU()]
        self.layers = nn.Sequential(*layers, Conv2d(width, spec.channels, 3, 1, 1))

    def forward(self, z: Tensor) -> Tensor:
        """``[N, z_dim]`` -> ``[N, C, H, W]``."""
        images: Tensor = self.layers(self.linear(z).reshape(z.shape[0], *self.core))
        return images


class ELUAutoencoder(nn.Module):
    """An image to minus the mean absolute error of its reconstruction."""

    def __init__(self, z_dim: int, spec: DataSpec, width: int) -> None:
        super().__init__()
        count = halvings(spec.resolution)
        layers: list[nn.Module] = [Conv2d(spec.channels, width, 3, 1, 1), nn.ELU()]
        maps = width
        for level in range(count + 1):
            for outputs, stride in ((width * (level + 1), 1),) * 2 + ((width * (level + 1), 2),) * (level < count):
                layers += [Conv2d(maps, outputs, 3, stride, 1), nn.ELU()]
                maps = outputs
        pixels = (spec.resolution[0] >> count) * (spec.resolution[1] >> count)
        self.encoder = nn.Sequential(*layers, nn.Flatten(), nn.Linear(maps * pixels, z_dim))
        self.decoder = ELUDecoder(z_dim, spec, width)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """``[N, C, H, W]`` -> ``[N, 1]``, higher for what looks real."""
        return -absolute_error(images, self.decoder(self.encoder(images)))[:, None]


def _first(net: nn.Module) -> Tensor:
    return net.get_parameter("linear.weight")
