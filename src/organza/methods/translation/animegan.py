"""AnimeGANv2.

Jie Chen, Gang Liu, Xin Chen: AnimeGAN: A Novel Lightweight GAN for Photo Animation. ISICA 2019, Springer CCIS 1205; and
the authors' second version, whose code came without a paper (TachibanaYoshino/AnimeGANv2).

What it changed: a small generator learns an anime style one way. Its texture is that of *grey* anime images (Gram
matrices, equation 4), its colours are the photograph's (YUV, equation 5); the discriminator refuses grey anime images
and grey ones with smoothed edges (equation 7). Version 2 replaced instance by layer normalisation and added the total
variation. The content alone trains the generator at first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from organza.contract.data import Batch, DataSpec, Layout
from organza.contract.method import Adam, Clock, Method, Nets, Phase, Player, Result, Schedule
from organza.contract.model import Translation
from organza.core.errors import UserError
from organza.core.ranges import Count, PositiveOrZero, Range
from organza.core.successors import current
from organza.methods.translation.animegan_nets import WIDTHS, AnimeCritic, AnimeGenerator
from organza.methods.translation.cartoongan import CONTENT, GAME, check_unpaired, warmed
from organza.methods.translation.cartoongan_nets import with_smooth_edges
from organza.methods.translation.cyclegan import source_of
from organza.methods.translation.pix2pix import plain_apply
from organza.vision.perceptor import Perceptor, available, gram, open_perceptor

SCALE = {"vgg19": 58.0, "voile64": 360.0}
"""Factors on features. The authors' VGG-19 takes levels, not deviations from their means: numbers 58 times larger. That
of voile64 makes its terms about as large as the adversarial one."""
LUMA = (0.299, 0.587, 0.114)
YUV = (LUMA, (-0.14714119, -0.28886916, 0.43601035), (0.61497538, -0.51496512, -0.10001026))


@dataclass(frozen=True)
class AnimeGAN:
    """Settings of AnimeGANv2; the defaults are those of its style Shinkai."""

    takes_labels: ClassVar[bool] = False
    layout: ClassVar[Layout] = "unpaired"
    widths: tuple[Count, Count, Count, Count] = WIDTHS
    """Feature maps of the generator at full size, a half and a quarter, and inside its residual blocks."""
    align_corners: bool = True
    """How the generator enlarges: corners on corners, for images of any size; else by two, for multiples of 4."""
    width_d: Count = 32
    """Feature maps of the discriminator's first layer."""
    halvings_d: Annotated[int, Range(least=1, most=8)] = 2
    """Halvings of the discriminator."""
    adversarial_weight: PositiveOrZero = 300.0
    """Weight of the adversarial loss of both networks."""
    content_weight: PositiveOrZero = 1.5
    """Weight of the distance between photograph and output in the classifier's features."""
    style_weight: PositiveOrZero = 2.5
    """Weight of the distance between Gram matrices of output and grey anime images."""
    colour_weight: PositiveOrZero = 10.0
    """Weight of the distance between colours of photograph and output, in YUV."""
    variation_weight: PositiveOrZero = 1.0
    """Weight of the squared differences between neighbouring pixels (total variation)."""
    real_weight: PositiveOrZero = 1.7
    """What anime images weigh in the discriminator's loss; 1.2 for the style Hayao, 1 for Paprika."""
    fake_weight: PositiveOrZero = 1.7
    """What outputs weigh there; 1.2, 1."""
    grey_weight: PositiveOrZero = 1.7
    """What grey anime images weigh there; 1.2, 1."""
    smooth_weight: PositiveOrZero = 1.0
    """What grey anime images with smoothed edges weigh there; 0.8, 0.005."""
    tone: bool = True
    """Show the discriminator anime images whose channels have equal means over the set, so that a style's cast of
    colours is not learned."""
    perceptor: Perceptor | None = None
    """The classifier: vgg19, as the authors have it (548 MB, fetched once), or voile64, a small stand-in that comes
    with the package. None: vgg19 where its file is in the cache, else voile64."""
    warm_epochs: PositiveOrZero | None = None
    """So long the content alone trains the generator. None: 10 epochs, or a tenth of a training that is too short."""
    lr: PositiveOrZero = 0.00002
    """Learning rate of the generator, after that."""
    lr_d: PositiveOrZero = 0.00004
    """Learning rate of the discriminator."""
    lr_warm: PositiveOrZero = 0.0002
    """Learning rate of the generator in the first stage."""
    beta1: Annotated[float, Range(least=0, below=1)] = 0.5
    """Adam's first beta."""

    def resolve(self, spec: DataSpec, batch: int) -> AnimeGAN:
        """The same with a classifier."""
        return self if self.perceptor is not None else replace(self, perceptor=available())

    def like(self, other: AnimeGAN, spec: DataSpec) -> AnimeGAN:
        """These settings with the architecture of ``other``."""
        names = ("widths", "align_corners", "width_d", "halvings_d")
        return replace(self, **{name: getattr(other, name) for name in names})

    def toy(self) -> AnimeGAN:
        """Tiny networks, for tests."""
        small = replace(self, widths=(2, 3, 4, 5), width_d=2, halvings_d=1)
        return replace(small, warm_epochs=0.2, perceptor="voile64")

    def build(self, spec: DataSpec) -> Method:
        """The networks, the phase of the first stage, and two of the second.

        Raises:
            UserError: images of this size or with these channels can't be translated.
        """
        if self.perceptor is None:
            raise ValueError("call resolve(spec, batch) before build(spec)")
        check_unpaired("AnimeGAN", spec, self.perceptor)
        if (spec.source, spec.channels) != (3, 3):
            what = f"AnimeGAN compares colours, not images of {spec.source} and {spec.channels} channels"
            raise UserError(what, hint="say --channels 3")
        if min(spec.resolution) < 2 << self.halvings_d:
            what = f"images of {min(spec.resolution)} pixels can't be halved {self.halvings_d} times"
            raise UserError(what, hint="take a smaller --halvings-d")
        scale = SCALE[current(self.perceptor)]
        tone = {"sum": torch.zeros(3), "count": torch.zeros(())}

        def content(nets: Nets, images: Tensor, features: Tensor) -> Tensor:
            with torch.no_grad():
                wanted = scale * nets["perceptor"].content(images)  # type: ignore[operator]
            return F.l1_loss(features, wanted)

        def features(nets: Nets, images: Tensor) -> Tensor:
            found: Tensor = scale * nets["perceptor"].content(images)  # type: ignore[operator]
            return found

        def content_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            source = source_of(batch)
            kept = content(nets, source, features(nets, nets["G"](source)))
            loss = self.content_weight * kept
            return Result(loss, {"loss/G": loss, "terms/content": kept, "tone": batch.images.mean((0, 2, 3))})

        def toned(images: Tensor) -> Tensor:
            means = tone["sum"].to(images.device) / tone["count"].to(images.device).clamp(min=1)
            return (images + (means.mean() - means)[:, None, None]).clamp(-1, 1) if self.tone else images

        def d_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            anime, D = batch.images, nets["D"]
            with torch.no_grad():
                outputs = nets["G"](source_of(batch))
            real, fake = D(toned(anime)), D(outputs)
            dull, smooth = D(grey(anime)), D(grey(with_smooth_edges(anime)))
            loss = self.real_weight * (real - 1).square().mean() + self.fake_weight * fake.square().mean()
            loss = loss + self.grey_weight * dull.square().mean() + self.smooth_weight * smooth.square().mean()
            loss = self.adversarial_weight * loss
            scores = {"real": real, "fake": fake, "grey": dull, "smooth": smooth}
            stats = {f"scores/{name}": value.mean() for name, value in scores.items()}
            return Result(loss, {"loss/D": loss, **stats, "tone": anime.mean((0, 2, 3))})

        def note(nets: Nets, result: Result, rng: torch.Generator) -> None:
            tone["sum"] += result.stats["tone"]
            tone["count"] += 1

        def g_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            source = source_of(batch)
            outputs = nets["G"](source)
            found = features(nets, outputs)
            with torch.no_grad():
                wanted = gram(features(nets, grey(batch.images)))
            terms = {
                "adversarial": (nets["D"](outputs) - 1).square().mean(),
                "content": content(nets, source, found),
                "style": F.l1_loss(gram(found), wanted),
                "colour": colour_distance(outputs, source),
                "variation": variation(outputs),
            }
            weights = {
                "adversarial": self.adversarial_weight,
                "content": self.content_weight,
                "style": self.style_weight,
                "colour": self.colour_weight,
                "variation": self.variation_weight,
            }
            loss = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
            return Result(loss, {"loss/G": loss, **{f"terms/{name}": term for name, term in terms.items()}})

        generator = AnimeGenerator(spec.source, spec.channels, self.widths, self.align_corners)
        translation = Translation(
            "G",
            spec.source,
            spec.channels,
            apply=plain_apply,
            multiple=generator.multiple,
            least=generator.least,
            critic="D",
        )
        betas, shapes = (self.beta1, 0.999), {"tone": (3,)}
        return Method(
            nets={"G": generator, "D": AnimeCritic(spec.channels, self.width_d, self.halvings_d)},
            players={"G": Player(("G",), Adam(self.lr, betas)), "D": Player(("D",), Adam(self.lr_d, betas))},
            phases=(
                Phase("G/content", "G", content_loss, after=note, shapes=shapes, active=lambda stage: stage == CONTENT),
                Phase("D", "D", d_loss, after=note, shapes=shapes, active=lambda stage: stage == GAME),
                Phase("G", "G", g_loss, active=lambda stage: stage == GAME),
            ),
            models={spec.direction: translation},
            frozen={"perceptor": open_perceptor(self.perceptor, "trained")},
            state={f"tone/{name}": value for name, value in tone.items()},
            schedule=self._schedule,
        )

    def _schedule(self, clock: Clock) -> Schedule:
        if warmed(clock, self.warm_epochs)[0] < 0:
            return Schedule(stage=CONTENT, rates={"G": self.lr_warm / self.lr if self.lr else 0.0})
        return Schedule(stage=GAME)


def grey(images: Tensor) -> Tensor:
    """Without colour: ``[N, 3, H, W]`` of equal channels (ITU-R 601).

    Example:
        >>> grey(torch.tensor([1.0, 0.0, 0.0]).reshape(1, 3, 1, 1)).flatten().tolist()
        [0.29..., 0.29..., 0.29...]
    """
    luma = torch.tensor(LUMA, device=images.device, dtype=images.dtype)[:, None, None]
    return (images * luma).sum(1, keepdim=True).expand(-1, 3, -1, -1)


def colour_distance(images: Tensor, others: Tensor) -> Tensor:
    """L1 of Y plus Huber's loss of U and of V, of images in [-1, 1] (equation 5).

    Example:
        >>> black, white = -torch.ones(1, 3, 2, 2), torch.ones(1, 3, 2, 2)
        >>> round(colour_distance(black, white).item(), 3)
        1.0
    """
    matrix = torch.tensor(YUV, device=images.device, dtype=images.dtype)
    # A difference has no use for what would be added to both: images go from 0 to 1 here.
    y, u, v = torch.einsum("kc,nchw->knhw", matrix, (images - others) / 2)
    zero = torch.zeros_like(u)
    found: Tensor = y.abs().mean() + F.huber_loss(u, zero) + F.huber_loss(v, zero)
    return found


def variation(images: Tensor) -> Tensor:
    """Half the mean squared difference of neighbours, down and across."""
    return 0.5 * images.diff(dim=2).square().mean() + 0.5 * images.diff(dim=3).square().mean()
