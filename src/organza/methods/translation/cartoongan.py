"""CartoonGAN.

Yang Chen, Yu-Kun Lai, Yong-Jin Liu: CartoonGAN: Generative Adversarial Networks for Photo Cartoonization. CVPR 2018.

What it changed: photographs become cartoons one way, without a cycle. The discriminator must tell cartoons from the
generator's and also from cartoons with smoothed edges, so that clear edges count (equation 3); the content is kept by
an L1 distance in the features of a classifier (equation 4), which alone trains the generator at first (section 3.3).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch

from organza.contract.data import Batch, DataSpec, Layout
from organza.contract.method import Adam, Clock, Method, Nets, Phase, Player, Result, Schedule
from organza.contract.model import Translation
from organza.core.errors import UserError
from organza.core.ranges import Count, Depth, PositiveOrZero, Range
from organza.methods.translation.cartoongan_nets import CartoonCritic, CartoonGenerator, with_smooth_edges
from organza.methods.translation.cyclegan import source_of
from organza.methods.translation.pix2pix import plain_apply
from organza.nn.losses import logistic_d, logistic_g, saturating_g
from organza.nn.norms import Norm
from organza.vision.perceptor import Perceptor, available, content_distance, open_perceptor

CONTENT, GAME = 0, 1
"""Stages: the content alone, then the game."""


@dataclass(frozen=True)
class CartoonGAN:
    """Settings of CartoonGAN; the defaults are those of the PyTorch code."""

    takes_labels: ClassVar[bool] = False
    layout: ClassVar[Layout] = "unpaired"
    width: Count = 64
    """Feature maps of the generator at full size; doubled at each of two halvings."""
    blocks: Depth = 8
    """Residual blocks."""
    width_d: Count = 32
    """Feature maps of the discriminator's first layer; up to eight times as many."""
    norm: Norm = "instance"
    """Normalisation of both networks."""
    content_weight: PositiveOrZero = 10.0
    """Weight of the distance between photograph and cartoon in the classifier's features (omega, equation 2)."""
    perceptor: Perceptor | None = None
    """The classifier: vgg19, as the authors have it (548 MB, fetched once), or voile64, a small stand-in that comes
    with the package. None: vgg19 where its file is in the cache, else voile64."""
    warm_epochs: PositiveOrZero | None = None
    """So long the content alone trains the generator. None: 10 epochs, or a tenth of a training that is too short."""
    lr: PositiveOrZero = 0.0002
    """Learning rate of both networks; a tenth of it after half of the game, a hundredth after three quarters."""
    beta1: Annotated[float, Range(least=0, below=1)] = 0.5
    """Adam's first beta."""

    def resolve(self, spec: DataSpec, batch: int) -> CartoonGAN:
        """The same with a classifier."""
        return self if self.perceptor is not None else replace(self, perceptor=available())

    def like(self, other: CartoonGAN, spec: DataSpec) -> CartoonGAN:
        """These settings with the architecture of ``other``."""
        return replace(self, **{name: getattr(other, name) for name in ("width", "blocks", "width_d", "norm")})

    def toy(self) -> CartoonGAN:
        """Tiny networks, for tests."""
        return replace(self, width=4, blocks=1, width_d=2, warm_epochs=0.2, perceptor="voile64")

    def build(self, spec: DataSpec) -> Method:
        """The networks, the phase of the first stage, and two of the second.

        Raises:
            UserError: images of this size can't be translated.
        """
        if self.perceptor is None:
            raise ValueError("call resolve(spec, batch) before build(spec)")
        check_unpaired("CartoonGAN", spec, self.perceptor)

        def content_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            source = source_of(batch)
            content = content_distance(nets["perceptor"], nets["G"](source), source)
            loss = self.content_weight * content
            return Result(loss, {"loss/G": loss, "terms/content": content})

        def d_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            with torch.no_grad():
                outputs = nets["G"](source_of(batch))
            D = nets["D"]
            real, fake, smooth = D(batch.images), D(outputs), D(with_smooth_edges(batch.images))
            loss = logistic_d(real, fake).mean() - saturating_g(smooth).mean()
            scores = {"scores/real": real.mean(), "scores/fake": fake.mean(), "scores/smooth": smooth.mean()}
            return Result(loss, {"loss/D": loss, **scores})

        def g_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            source = source_of(batch)
            outputs = nets["G"](source)
            adversarial = logistic_g(nets["D"](outputs)).mean()
            content = content_distance(nets["perceptor"], outputs, source)
            loss = adversarial + self.content_weight * content
            return Result(loss, {"loss/G": loss, "terms/adversarial": adversarial, "terms/content": content})

        adam = Adam(self.lr, (self.beta1, 0.999))
        translation = Translation(
            "G",
            spec.source,
            spec.channels,
            apply=plain_apply,
            multiple=CartoonGenerator.multiple,
            least=CartoonGenerator.least,
            critic="D",
        )
        return Method(
            nets={
                "G": CartoonGenerator(spec.source, spec.channels, self.width, self.blocks, self.norm),
                "D": CartoonCritic(spec.channels, self.width_d, self.norm),
            },
            players={"G": Player(("G",), adam), "D": Player(("D",), adam)},
            phases=(
                Phase("G/content", "G", content_loss, active=lambda stage: stage == CONTENT),
                Phase("D", "D", d_loss, active=lambda stage: stage == GAME),
                Phase("G", "G", g_loss, active=lambda stage: stage == GAME),
            ),
            models={spec.direction: translation},
            frozen={"perceptor": open_perceptor(self.perceptor, "unit")},
            schedule=self._schedule,
        )

    def _schedule(self, clock: Clock) -> Schedule:
        at, end = warmed(clock, self.warm_epochs)
        if at < 0:
            return Schedule(stage=CONTENT)
        return Schedule(rate=1.0 if at < end / 2 else 0.1 if at < 0.75 * end else 0.01, stage=GAME)


def warmed(clock: Clock, epochs: float | None) -> tuple[float, float]:
    """How far a training is behind its first stage, and where it ends: in epochs, or shares of it where nobody knows.

    Args:
        clock: now.
        epochs: of the first stage; None takes 10, or a tenth of a training that has less than 100.

    Example:
        >>> warmed(Clock(seen=2500, total=20000, count=100), None), warmed(Clock(500, 5000, 100), None)
        ((15.0, 190.0), (0.0, 45.0))
    """
    if not clock.count:
        return (clock.seen / clock.total if clock.total else 0.0) - 0.1, 0.9
    end = clock.total / clock.count
    first = min(10.0, end / 10) if epochs is None else epochs
    return clock.epoch - first, end - first


def check_unpaired(name: str, spec: DataSpec, perceptor: Perceptor) -> None:
    """See that photographs and cartoons are of a size and kind that can be translated and looked at.

    Raises:
        UserError: they are not.
    """
    height, width = spec.resolution
    if height % 4 or width % 4 or min(height, width) < 8:
        what = f"{name} can't translate images of {width}x{height}"
        raise UserError(what, hint="take sides that are multiples of 4, 8 at least")
    if perceptor == "vgg19" and min(height, width) < 16:
        raise UserError(f"{width}x{height} images are too small for VGG-19", hint="take --perceptor voile64")
