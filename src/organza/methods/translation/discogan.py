"""DiscoGAN.

Taeksoo Kim, Moonsu Cha, Hyunsoo Kim, Jung Kwon Lee, Jiwon Kim: Learning to Discover Cross-Domain Relations with
Generative Adversarial Networks. ICML 2017, arXiv 1703.05192.

What it changed: as CycleGAN, which appeared at the same time, it couples two generators by what comes back of an image
(section 2), at 64x64, and keeps what both sets have in common even where shapes differ. Beside the adversarial loss,
the generators match the discriminators' mean features. Reconstruction weighs little at first. Discriminators learn on
every third step, generators on the others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from organza.contract.data import Batch, DataSpec, Direction, Layout
from organza.contract.method import Adam, Method, Nets, Phase, Player, Result, Stats
from organza.contract.model import Mode, Translation
from organza.core.errors import UserError
from organza.core.ranges import Count, CountOrZero, Depth, KimgOrZero, PositiveOrZero, Range, Share
from organza.methods.translation.cyclegan import round_trips
from organza.methods.translation.discogan_nets import DiscoDiscriminator, DiscoGenerator
from organza.methods.translation.pix2pix import plain_apply
from organza.nn.losses import logistic_d, logistic_g
from organza.nn.pyramid import levels


@dataclass(frozen=True)
class DiscoGAN:
    """Settings of DiscoGAN; the defaults are those of the authors' code."""

    takes_labels: ClassVar[bool] = False
    layout: ClassVar[Layout] = "unpaired"
    width: Count = 64
    """Feature maps of all networks at half size; doubled at each halving, up to eight times as many."""
    depth: Depth | None = None
    """Halvings of all networks. None: until the short side is 4 to 7 pixels; at 64x64, 4."""
    bottleneck: CountOrZero = 0
    """Feature maps of a single pixel in the middle of the generators; the authors' extra layers have 100. 0: none."""
    fm_weight: Share = 0.9
    """Share of feature matching in the loss of the generators; the rest is adversarial."""
    reconstruction: Share = 0.5
    """Share of the squared distance between an image and what comes back of it."""
    reconstruction_first: Share = 0.01
    """The same at the beginning."""
    first_kimg: KimgOrZero = 640.0
    """Length of the beginning in thousands of images: 10,000 steps of 64."""
    d_every: Annotated[int, Range(least=2)] = 3
    """Discriminators learn on each of these steps, generators on the others."""
    lr: PositiveOrZero = 0.0002
    """Learning rate of all networks."""
    beta1: Annotated[float, Range(least=0, below=1)] = 0.5
    """Adam's first beta."""
    weight_decay: PositiveOrZero = 0.00001
    """L2 term of all networks."""
    test_mode: Mode = "train"
    """What normalisation does when images are translated: as in training, as the authors have it, or eval."""

    def resolve(self, spec: DataSpec, batch: int) -> DiscoGAN:
        """The same with a depth that fits the images."""
        return self if self.depth is not None else replace(self, depth=levels(spec.resolution))

    def like(self, other: DiscoGAN, spec: DataSpec) -> DiscoGAN:
        """These settings with the architecture of ``other``."""
        names = ("width", "depth", "bottleneck", "test_mode")
        return replace(self, **{name: getattr(other, name) for name in names})

    def toy(self) -> DiscoGAN:
        """Tiny networks, for tests."""
        return replace(self, width=4, first_kimg=0.008)

    def build(self, spec: DataSpec) -> Method:
        """Two generators, two discriminators, and their two phases.

        Raises:
            UserError: images of this size can't be translated.
        """
        if self.depth is None:
            raise ValueError("call resolve(spec, batch) before build(spec)")
        if any(side % 2**self.depth for side in spec.resolution):
            height, width = spec.resolution
            what = f"{width}x{height} images can't be halved {self.depth} times"
            raise UserError(what, hint="take a smaller --depth")
        forth = spec.direction
        back: Direction = "BtoA" if forth == "AtoB" else "AtoB"
        there, home, critic, critic_home = f"G_{forth}", f"G_{back}", f"D_{forth[-1]}", f"D_{back[-1]}"
        core = (spec.resolution[0] >> self.depth, spec.resolution[1] >> self.depth)

        def made(nets: Nets, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
            assert batch.source is not None
            return batch.source, nets[there](batch.source), nets[home](batch.images)

        def d_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            with torch.no_grad():
                source, outputs, returns = made(nets, batch)
            total, stats = torch.zeros((), device=source.device), Stats()
            for name, reals, fakes in ((critic, batch.images, outputs), (critic_home, source, returns)):
                real, fake = nets[name](reals), nets[name](fakes)
                loss = logistic_d(real, fake).mean() / 2
                stats |= {f"loss/{name}": loss, f"scores/{name}": real.mean(), f"scores/{name}/fake": fake.mean()}
                total = total + loss
            return Result(total, stats)

        def g_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            target = batch.images
            source, outputs, returns = made(nets, batch)
            adversarial = matching = torch.zeros((), device=target.device)
            for name, reals, fakes in ((critic, target, outputs), (critic_home, source, returns)):
                logits, features = _seen(nets, name, fakes)
                adversarial = adversarial + logistic_g(logits).mean()
                matching = matching + feature_matching(_seen(nets, name, reals)[1], features)
            back_again = squared(nets[home](outputs), source) + squared(nets[there](returns), target)
            share = self.reconstruction_first if batch.seen < 1000 * self.first_kimg else self.reconstruction
            game = (1 - self.fm_weight) * adversarial + self.fm_weight * matching
            loss = (1 - share) * game + share * back_again
            stats = {"terms/adversarial": adversarial, "terms/features": matching, "terms/reconstruction": back_again}
            return Result(loss, {"loss/G": loss, **stats})

        adam = Adam(self.lr, (self.beta1, 0.999), weight_decay=self.weight_decay)
        shape: dict[str, Any] = {"depth": self.depth, "width": self.width}
        inner: dict[str, Any] = {"core": core, "bottleneck": self.bottleneck}
        used: dict[str, Any] = {
            "apply": plain_apply,
            "multiple": 2**self.depth,
            "least": max(core) * 2**self.depth if self.bottleneck else 1,
            "mode": self.test_mode,
        }
        return Method(
            nets={
                there: DiscoGenerator(spec.source, spec.channels, **shape, **inner),
                home: DiscoGenerator(spec.channels, spec.source, **shape, **inner),
                critic: DiscoDiscriminator(spec.channels, core, **shape),
                critic_home: DiscoDiscriminator(spec.source, core, **shape),
            },
            players={"D": Player((critic, critic_home), adam), "G": Player((there, home), adam)},
            phases=(Phase("D", "D", d_loss, every=self.d_every), Phase("G", "G", g_loss, skip=self.d_every)),
            models={
                forth: Translation(there, spec.source, spec.channels, critic=critic, **used),
                back: Translation(home, spec.channels, spec.source, critic=critic_home, **used),
            },
            preview=lambda nets, batch, rng: round_trips(nets[there], nets[home], batch),
            bf16=("training", "sampling"),
        )


def feature_matching(reals: list[Tensor], fakes: list[Tensor]) -> Tensor:
    """Squared distance of the batches' mean features, summed over layers (Salimans et al. 2016, arXiv 1606.03498).

    The authors' code takes PyTorch's hinge embedding loss of it, which for their labels is the mean.

    Args:
        reals, fakes: ``[N, maps, h, w]`` of each layer.

    Example:
        >>> feature_matching([torch.ones(2, 1, 1, 1)], [torch.full((2, 1, 1, 1), 3.0)])
        tensor(4.)
    """
    pairs = zip(reals, fakes, strict=True)
    return torch.stack([(real.mean(0) - fake.mean(0)).square().mean() for real, fake in pairs]).sum()


def squared(one: Tensor, other: Tensor) -> Tensor:
    """Mean squared distance of images, in the paper's units: its images are in [0, 1], ours in [-1, 1]."""
    return ((one - other) / 2).square().mean()


def _seen(nets: Nets, name: str, images: Tensor) -> tuple[Tensor, list[Tensor]]:
    net = nets[name]
    assert isinstance(net, DiscoDiscriminator)
    return net.features(images)
