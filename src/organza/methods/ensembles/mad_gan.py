"""MAD-GAN.

Arnab Ghosh, Viveka Kulharia, Vinay Namboodiri, Philip H. S. Torr, Puneet K. Dokania: Multi-Agent Diverse Generative
Adversarial Networks. CVPR 2018, arXiv 1704.02906.

Several generators share their first layers. The discriminator does not only tell real from generated: it names the
generator. To do so it pushes the generators apart, towards different modes of the data (section 3, theorem 1). The
networks are DCGAN's otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from organza.contract.data import Batch, DataSpec, Layout
from organza.contract.method import Adam, Method, Nets, Phase, Player, Result
from organza.contract.model import Latents
from organza.core.ranges import Count, PositiveOrZero, Range
from organza.methods.basic.game import standard_normal
from organza.nn.ensembles import mad_d, mad_g
from organza.nn.latent import origin, plain_synthesis, uniform_mapping
from organza.nn.pyramid import Decoder, Encoder
from organza.ops.twins import tracing


@dataclass(frozen=True)
class MADGAN:
    """Settings of MAD-GAN on DCGAN's networks."""

    takes_labels: ClassVar[bool] = False
    layout: ClassVar[Layout] = "images"
    generators: Annotated[int, Range(least=1, most=100)] = 4
    """How many; every one makes a batch of its own at each step."""
    shared: Count = 2
    """Layers, from the latent vector on, that all of them share; at least the last is each one's own."""
    z_dim: Count = 100
    """Length of the latent vector, of numbers uniform between -1 and 1; one more number chooses the generator."""
    width: Count = 64
    """Feature maps at the outermost level; doubled at each level inwards."""
    lr: PositiveOrZero = 0.0002
    """Learning rate of all networks."""
    beta1: Annotated[float, Range(least=0, below=1)] = 0.5
    """Adam's first beta."""

    def resolve(self, spec: DataSpec, batch: int) -> MADGAN:
        """Nothing depends on the data."""
        return self

    def like(self, other: MADGAN, spec: DataSpec) -> MADGAN:
        """These settings with the architecture of ``other``."""
        return replace(self, generators=other.generators, shared=other.shared, z_dim=other.z_dim, width=other.width)

    def toy(self) -> MADGAN:
        """Tiny networks, for tests."""
        return replace(self, generators=2, shared=1, z_dim=8, width=4)

    def build(self, spec: DataSpec) -> Method:
        """The networks and their two phases."""
        G = Generators(self.generators, self.shared, self.z_dim, spec, self.width)
        D = Namer(self.generators, spec, self.width)

        def fakes(nets: Nets, batch: Batch, rng: torch.Generator) -> Tensor:
            """Images ``[generators * N, C, H, W]``, one generator after the other, all of the same latent vectors."""
            z = standard_normal(batch, self.z_dim, rng)
            G = nets["G"]
            assert isinstance(G, Generators)
            return G.all(uniform_mapping(G, z, batch.labels)[:, 0])

        def d_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            with torch.no_grad():
                generated = fakes(nets, batch, rng)
            real, fake = names(nets["D"], batch.images), names(nets["D"], generated)
            loss = mad_d(real, fake).mean()
            stats = {"loss/D": loss, "scores/real": is_real(real).mean(), "scores/fake": is_real(fake).mean()}
            # 1 / generators where it can't tell one from another, 1 where each makes something of its own.
            each = torch.arange(self.generators, device=fake.device).repeat_interleave(len(batch))
            return Result(loss, stats | {"generators/told_apart": (fake[:, 1:].argmax(1) == each).float().mean()})

        def g_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            loss = mad_g(names(nets["D"], fakes(nets, batch, rng))).mean()
            return Result(loss, {"loss/G": loss.detach()})

        adam = Adam(self.lr, (self.beta1, 0.999))
        length = self.z_dim + 1
        return Method(
            nets={"G": G, "D": D},
            players={"D": Player(("D",), adam), "G": Player(("G",), adam)},
            phases=(Phase("D", "D", d_loss), Phase("G", "G", g_loss)),
            models={
                "G": Latents(
                    *("G", length, length, 1, 0),
                    *(uniform_mapping, plain_synthesis, origin(length)),
                    critic="D",
                    generators=self.generators,
                    choose=chosen(self.generators),
                )
            },
            ema=("G",),
        )


class Generators(nn.Module):
    """DCGAN's generator several times, with the first layers in common.

    Args:
        count: how many generators.
        shared: layers in common.
        z_dim: length of the latent vector.
        spec: of the images.
        width: feature maps at the outermost level.
    """

    def __init__(self, count: int, shared: int, z_dim: int, spec: DataSpec, width: int) -> None:
        super().__init__()
        wholes = [Decoder(z_dim, spec.resolution, spec.channels, width, nn.BatchNorm2d).layers for _ in range(count)]
        # A layer: a convolution, its normalisation, its activation; before the first, a change of shape.
        cut = 1 + 3 * min(shared, (len(wholes[0]) - 3) // 3)
        self.first = wholes[0][:cut]
        self.own = nn.ModuleList(whole[cut:] for whole in wholes)

    def all(self, z: Tensor) -> Tensor:
        """``[N, z_dim]`` -> ``[count * N, C, H, W]``: every generator's images, one generator after the other."""
        features = self.first(z)
        # A copy for each: activations work in place.
        return torch.cat([own(features.clone()) for own in self.own])

    def forward(self, codes: Tensor) -> Tensor:
        """``[N, z_dim + 1]`` -> ``[N, C, H, W]``: the last number, from -1 to 1, chooses each image's generator."""
        z, which = codes[:, :-1], generator_of(codes[:, -1], len(self.own))
        features = self.first(z)
        if tracing():  # a graph has no parts of a batch: each makes all images, and the right one counts
            every = torch.stack([own(features.clone()) for own in self.own], 1)
            right = which[:, None] == torch.arange(len(self.own), device=which.device)
            return (every * right.to(every.dtype)[:, :, None, None, None]).sum(1)
        order = which.argsort(stable=True)
        parts = [own(features[which == number]) for number, own in enumerate(self.own) if (which == number).any()]
        images = torch.cat(parts)
        return torch.empty_like(images).index_copy_(0, order, images)


class Namer(nn.Module):
    """A discriminator that names the generator of an image."""

    def __init__(self, generators: int, spec: DataSpec, width: int) -> None:
        super().__init__()
        self.encoder = Encoder(generators + 1, spec.resolution, spec.channels, width, nn.BatchNorm2d)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """``[N, C, H, W]`` -> ``[N, 1]``: the logit of "real"."""
        return is_real(self.encoder(images))


def names(net: nn.Module, images: Tensor) -> Tensor:
    """Logits ``[N, 1 + generators]`` of a `Namer`: real, then each generator."""
    assert isinstance(net, Namer)
    logits: Tensor = net.encoder(images)
    return logits


def is_real(logits: Tensor) -> Tensor:
    """Logits ``[N, 1 + generators]`` -> ``[N, 1]``: of real against all generators together.

    Example:
        >>> is_real(torch.zeros(1, 3)).sigmoid()
        tensor([[0.3333]])
    """
    return logits[:, :1] - logits[:, 1:].logsumexp(1, keepdim=True)


def generator_of(places: Tensor, count: int) -> Tensor:
    """Which of ``count`` generators numbers from -1 to 1 choose, in equal shares.

    Example:
        >>> generator_of(torch.tensor([-1.0, -0.1, 0.1, 1.0]), 2)
        tensor([0, 0, 1, 1])
    """
    return ((places + 1) / 2 * count).long().clamp(0, count - 1)


def chosen(count: int) -> Callable[[Tensor, int], Tensor]:
    """See `Latents.choose`."""

    def choose(ws: Tensor, generator: int) -> Tensor:
        ws = ws.clone()
        ws[..., -1] = (2 * generator + 1) / count - 1
        return ws

    return choose
