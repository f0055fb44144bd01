"""pix2pix.

Phillip Isola, Jun-Yan Zhu, Tinghui Zhou, Alexei A. Efros: Image-to-Image Translation with Conditional Adversarial
Networks. CVPR 2017, arXiv 1611.07004.

What it changed: one recipe for all translations that can be shown as pairs. The generator is a U-Net (section 3.2.1),
the discriminator sees patches of the source and of the real or generated image together (section 3.2.2), and an L1
distance to the target keeps the whole in place (equations 3 and 4). The only noise is dropout, which stays on when
images are translated, as do the batch's own statistics (section 3.3).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor, nn

from organza.contract.data import Batch, DataSpec, Layout
from organza.contract.method import Adam, Method, Nets, Phase, Player, Result
from organza.contract.model import Mode, Translation
from organza.core.errors import UserError
from organza.core.ranges import Count, CountOrZero, Depth, PositiveOrZero, Range
from organza.methods.translation.relativistic import PairedGame, norm_of_d, paired_d, paired_g
from organza.nn.losses import least_squares_d, least_squares_g, logistic_d, logistic_g
from organza.nn.norms import Norm
from organza.nn.patchgan import PatchGAN
from organza.nn.resnet import ResNetGenerator
from organza.nn.unet import UNetGenerator

Game = Literal["logistic", "least-squares"]


@dataclass(frozen=True)
class Pix2Pix:
    """Settings of pix2pix; the defaults are those of the published PyTorch results."""

    takes_labels: ClassVar[bool] = False
    layout: ClassVar[Layout] = "pairs"
    generator: Literal["unet", "resnet"] = "unet"
    """G: a U-Net, whose levels skip across (section 3.2.1), or CycleGAN's residual network."""
    width: Count = 64
    """Feature maps of G at full resolution; doubled at each halving, up to eight times as many in a U-Net."""
    depth: Depth | None = None
    """Halvings of a U-Net. None: down to one pixel, at most 8, as far as both sides can be halved."""
    blocks: Depth | None = None
    """Residual blocks of a residual network. None: 6 below 256 pixels, else 9."""
    width_d: Count = 64
    """Feature maps of D's first layer."""
    layers_d: CountOrZero = 3
    """Halvings of D: 3 sees patches of 70x70 pixels; 0 single pixels."""
    norm: Norm = "batch"
    """Normalisation of both networks."""
    norm_d: Norm | None = None
    """Normalisation of D. None: as of both, but none with --game relativistic."""
    dropout: bool = True
    """Drop half of the features next to a U-Net's innermost level, or in the middle of each residual block."""
    l1_weight: PositiveOrZero = 100.0
    """Weight of the L1 distance to the target (lambda, equation 4)."""
    gan_weight: PositiveOrZero = 1.0
    """Weight of G's adversarial term; 0 leaves L1 alone, the first row of the paper's table 1."""
    game: PairedGame = "logistic"
    """The adversarial loss: Goodfellow's with the non-saturating generator, least squares (arXiv 1611.04076), or the
    relativistic pairing loss with R1 and R2 (arXiv 2501.05441)."""
    gamma: PositiveOrZero = 1.0
    """Weight of R1 and R2; with --game relativistic alone."""
    lr: PositiveOrZero = 0.0002
    """Learning rate of both networks."""
    beta1: Annotated[float, Range(least=0, below=1)] = 0.5
    """Adam's first beta."""
    test_mode: Mode = "train"
    """What normalisation and dropout do when images are translated: as in training, as the authors have it, or eval."""

    def resolve(self, spec: DataSpec, batch: int) -> Pix2Pix:
        """The same with a depth, or a number of blocks, that fits the images.

        Raises:
            UserError: a setting of the other generator is given, or a U-Net can't take images of this size.
        """
        if self.generator == "resnet":
            if self.depth is not None:
                raise UserError("a residual network has no --depth", hint="give --blocks, or --generator unet")
            return self if self.blocks is not None else replace(self, blocks=usual_blocks(spec.resolution))
        if self.blocks is not None:
            raise UserError("a U-Net has no --blocks", hint="give --depth, or --generator resnet")
        return self if self.depth is not None else replace(self, depth=unet_depth(spec.resolution))

    def like(self, other: Pix2Pix, spec: DataSpec) -> Pix2Pix:
        """These settings with the architecture of ``other``; dropout has no weights, so it is as these say."""
        names = ("generator", "width", "depth", "blocks", "width_d", "layers_d", "norm", "test_mode")
        norm_d: Norm | None = norm_of_d(other.norm_d, other.norm, other.game)
        if norm_d == "batch" and self.game == "relativistic":
            norm_d = None  # such a D can't go on
        return replace(self, norm_d=norm_d, **{name: getattr(other, name) for name in names})

    def toy(self) -> Pix2Pix:
        """Tiny networks, for tests."""
        blocks = 1 if self.generator == "resnet" else self.blocks
        return replace(self, width=4, blocks=blocks, width_d=4, layers_d=min(self.layers_d, 1))

    def build(self, spec: DataSpec) -> Method:
        """The networks and their two phases.

        Raises:
            UserError: images of this size can't be translated.
        """
        generator, least = self._generator(spec)
        norm_d = norm_of_d(self.norm_d, self.norm, self.game)
        discriminator = PatchGAN(spec.source + spec.channels, self.layers_d, self.width_d, norm_d)

        def d_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            with torch.no_grad():
                fakes = nets["G"](batch.source)
            if self.game == "relativistic":
                return paired_d(lambda images: nets["D"](images, batch.source), batch.images, fakes, self.gamma)
            real, fake = nets["D"](batch.images, batch.source), nets["D"](fakes, batch.source)
            loss = adversarial_d(self.game, real, fake)
            return Result(loss, {"loss/D": loss, "scores/real": real.mean(), "scores/fake": fake.mean()})

        def g_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            fakes = nets["G"](batch.source)
            if self.game == "relativistic":
                adversarial = paired_g(lambda images: nets["D"](images, batch.source), batch.images, fakes)
            else:
                adversarial = adversarial_g(self.game, nets["D"](fakes, batch.source))
            distance = (fakes - batch.images).abs().mean()
            loss = self.gan_weight * adversarial + self.l1_weight * distance
            return Result(loss, {"loss/G": loss, "terms/adversarial": adversarial, "terms/l1": distance})

        adam = Adam(self.lr, (self.beta1, 0.999))
        translation = Translation(
            "G",
            spec.source,
            spec.channels,
            apply=plain_apply,
            multiple=generator.multiple,
            least=least,
            mode=self.test_mode,
            critic="D",
            conditional=True,
        )
        return Method(
            nets={"G": generator, "D": discriminator},
            players={"D": Player(("D",), adam), "G": Player(("G",), adam)},
            phases=(Phase("D", "D", d_loss), Phase("G", "G", g_loss)),
            models={spec.direction: translation},
            bf16=("sampling",) if self.game == "relativistic" else ("training", "sampling"),
        )

    def _generator(self, spec: DataSpec) -> tuple[UNetGenerator | ResNetGenerator, int]:
        """G, and the shortest side that it takes."""
        if self.generator == "resnet":
            if self.blocks is None:
                raise ValueError("call resolve(spec, batch) before build(spec)")
            shape = (spec.source, spec.channels, self.blocks, self.width, self.norm, self.dropout)
            return ResNetGenerator(*shape), 8
        if self.depth is None:
            raise ValueError("call resolve(spec, batch) before build(spec)")
        check_depth(self.depth, spec.resolution)
        return UNetGenerator(spec.source, spec.channels, self.depth, self.width, self.norm, self.dropout), 1


def usual_blocks(resolution: tuple[int, int]) -> int:
    """Residual blocks for images of this size (CycleGAN, arXiv 1703.10593, appendix 7.2).

    Example:
        >>> usual_blocks((128, 128)), usual_blocks((128, 256))
        (6, 9)
    """
    return 6 if max(resolution) < 256 else 9


def unet_depth(resolution: tuple[int, int]) -> int:
    """How often both sides can be halved, at most 8 times.

    Example:
        >>> unet_depth((256, 256)), unet_depth((128, 192)), unet_depth((1024, 1024))
        (8, 6, 8)

    Raises:
        UserError: not even twice.
    """
    depth = next(d for d in range(8, -1, -1) if all(side % 2**d == 0 for side in resolution))
    if depth < 2:
        height, width = resolution
        raise UserError(f"{width}x{height} images can't be halved twice", hint="take sides that are multiples of 32")
    return depth


def check_depth(depth: int, resolution: tuple[int, int]) -> None:
    """See that a U-Net of so many halvings can be built, and takes images of this height and width.

    Raises:
        UserError: it can't, or doesn't.

    Example:
        >>> check_depth(6, (96, 64))
        Traceback (most recent call last):
        ...
        organza.core.errors.UserError: 64x96 images can't be halved 6 times; take a smaller --depth
    """
    height, width = resolution
    if depth < 2:
        raise UserError(f"a U-Net of {depth} halving has no level to skip to", hint="take --depth 2 or more")
    if depth >= min(resolution).bit_length() or any(side % 2**depth for side in resolution):
        raise UserError(f"{width}x{height} images can't be halved {depth} times", hint="take a smaller --depth")


def adversarial_d(game: Game, real: Tensor, fake: Tensor) -> Tensor:
    """D's loss, halved to slow it down (section 3.3), from the logits of real and generated images."""
    loss = logistic_d(real, fake) / 2 if game == "logistic" else least_squares_d(real, fake)
    return loss.mean()


def adversarial_g(game: Game, fake: Tensor) -> Tensor:
    """G's adversarial loss from the logits of generated images."""
    loss = logistic_g(fake) if game == "logistic" else 2 * least_squares_g(fake)
    return loss.mean()


def plain_apply(net: nn.Module, images: Tensor, labels: Tensor, z: Tensor | None) -> Tensor:
    """`Translation.apply` of a generator that takes the image alone."""
    output: Tensor = net(images)
    return output
