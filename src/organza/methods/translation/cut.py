"""CUT and FastCUT.

Taesung Park, Alexei A. Efros, Richard Zhang, Jun-Yan Zhu: Contrastive Learning for Unpaired Image-to-Image Translation.
ECCV 2020, arXiv 2007.15651.

What it changed: no way back, and so one generator and one discriminator. What an image shows is kept by PatchNCE
(equation 3): to the generator's own encoder, each patch of the output must look more like the patch of the input at
the same position than like the input's other patches. CUT asks the same of images that are of the target domain already
(the last term of equation 5). FastCUT leaves that out, weighs PatchNCE ten times as much, and mirrors inputs half of
the time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from organza.contract.data import Batch, DataSpec, Layout
from organza.contract.method import Adam, Method, Nets, Phase, Player, Result
from organza.contract.model import Mode, Translation
from organza.core.errors import UserError
from organza.core.ranges import Count, CountOrZero, Depth, Positive, PositiveOrZero, Range
from organza.methods.translation.cyclegan import source_of
from organza.methods.translation.pix2pix import adversarial_d, adversarial_g, plain_apply
from organza.methods.translation.relativistic import PairedGame, norm_of_d, paired_d, paired_g
from organza.nn.initial import init_xavier
from organza.nn.norms import Norm
from organza.nn.patch_nce import PatchHeads, choose_positions, patch_nce
from organza.nn.patchgan import PatchGAN
from organza.nn.resnet import ResNetGenerator


@dataclass(frozen=True)
class CUT:
    """Settings of CUT; the defaults are those of the published PyTorch results."""

    takes_labels: ClassVar[bool] = False
    layout: ClassVar[Layout] = "unpaired"
    width: Count = 64
    """Feature maps of G at full resolution; doubled at each of two halvings."""
    blocks: Depth = 9
    """Residual blocks of G."""
    width_d: Count = 64
    """Feature maps of D's first layer."""
    layers_d: CountOrZero = 3
    """Halvings of D."""
    norm: Norm = "instance"
    """Normalisation of both networks."""
    norm_d: Norm | None = None
    """Normalisation of D. None: as of both, but none with --game relativistic."""
    dropout: bool = False
    """Drop half of the features in the middle of each residual block."""
    blur: bool = True
    """Halve with a blur, in G and D (arXiv 1904.11486)."""
    blur_up: bool = True
    """Double with a blur, in G."""
    nce_weight: PositiveOrZero = 1.0
    """Weight of PatchNCE (lambda_X and lambda_Y, equation 5)."""
    nce_identity: bool = True
    """Ask for PatchNCE of target images as well, with half of the weight each."""
    nce_layers: tuple[CountOrZero, ...] = (0, 4, 8, 12, 16)
    """Places of G's encoder whose features are compared: 0 is the image, then each convolution, norm, activation, blur
    and residual block counts."""
    nce_patches: Count = 256
    """Patches of an image that are compared, at each of these places."""
    nce_width: Count = 256
    """Units of both layers of F, which makes the features comparable."""
    temperature: Positive = 0.07
    """Divides the cosines (tau)."""
    mirror_half: bool = False
    """Mirror G's inputs half of the time, and its outputs' features back again."""
    game: PairedGame = "least-squares"
    """The adversarial loss: least squares (arXiv 1611.04076), Goodfellow's, or the relativistic pairing loss with R1
    and R2 (arXiv 2501.05441)."""
    gamma: PositiveOrZero = 1.0
    """Weight of R1 and R2; with --game relativistic alone."""
    lr: PositiveOrZero = 0.0002
    """Learning rate of all networks."""
    beta1: Annotated[float, Range(least=0, below=1)] = 0.5
    """Adam's first beta."""
    test_mode: Mode = "train"
    """What normalisation and dropout do when images are translated: as in training, or eval. With instance
    normalisation and without dropout there is no difference."""

    def resolve(self, spec: DataSpec, batch: int) -> CUT:
        """Nothing depends on the data."""
        return self

    def like(self, other: CUT, spec: DataSpec) -> CUT:
        """These settings with the architecture of ``other``."""
        names = ("width", "blocks", "width_d", "layers_d", "norm", "dropout", "blur", "blur_up", "test_mode")
        heads = ("nce_layers", "nce_width")
        norm_d: Norm | None = norm_of_d(other.norm_d, other.norm, other.game)
        if norm_d == "batch" and self.game == "relativistic":
            norm_d = None  # such a D can't go on
        return replace(self, norm_d=norm_d, **{name: getattr(other, name) for name in (*names, *heads)})

    def toy(self) -> CUT:
        """Tiny networks, for tests."""
        small: dict[str, Any] = {"width": 4, "blocks": 1, "width_d": 4, "layers_d": 1, "nce_patches": 4, "nce_width": 4}
        return replace(self, nce_layers=(0, 4, 12), **small)

    def build(self, spec: DataSpec) -> Method:
        """G, D and F, and their two phases.

        Raises:
            UserError: these channels can't be translated, or the encoder has no such places.
        """
        if spec.source != spec.channels:
            what = f"the encoder reads images of {spec.source} channels, and would have to read outputs of"
            raise UserError(f"{what} {spec.channels}", hint="say --channels 3")
        shape: dict[str, Any] = {"blocks": self.blocks, "width": self.width, "norm": self.norm, "dropout": self.dropout}
        generator = ResNetGenerator(
            spec.source, spec.channels, **shape, blur_down=self.blur, blur_up=self.blur_up
        ).apply(init_xavier)
        places, last = tuple(sorted(set(self.nce_layers))), len(generator.places) - 1
        if not places or places[-1] > last:
            what = f"--nce-layers {' '.join(map(str, self.nce_layers))}"
            raise UserError(f"{what}: the encoder has the places 0 to {last}", hint="name at least one of them")
        norm_d = norm_of_d(self.norm_d, self.norm, self.game)
        discriminator = PatchGAN(spec.channels, self.layers_d, self.width_d, norm_d, self.blur).apply(init_xavier)

        def d_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            mirrored = torch.rand(len(batch), generator=rng, device=batch.images.device) < 0.5
            if not self.mirror_half:
                mirrored = torch.zeros_like(mirrored)
            with torch.no_grad():
                fakes = nets["G"](_mirrored(source_of(batch), mirrored))
            if self.game == "relativistic":
                found = paired_d(nets["D"], batch.images, fakes, self.gamma)
            else:
                real, fake = nets["D"](batch.images), nets["D"](fakes)
                loss = adversarial_d(self.game, real, fake)
                found = Result(loss, {"loss/D": loss, "scores/real": real.mean(), "scores/fake": fake.mean()})
            return replace(found, carry={"mirrored": mirrored})  # G's step takes the same inputs

        def g_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            source, target, mirrored = source_of(batch), batch.images, batch.carry["mirrored"]
            outputs = nets["G"](_mirrored(source, mirrored))
            if self.game == "relativistic":
                adversarial = paired_g(nets["D"], target, outputs)
            else:
                adversarial = adversarial_g(self.game, nets["D"](outputs))
            contrast = contrasted(nets, source, outputs, mirrored, rng)
            stats = {"terms/adversarial": adversarial, "terms/nce": contrast}
            if self.nce_identity:
                kept = contrasted(nets, target, nets["G"](_mirrored(target, mirrored)), mirrored, rng)
                contrast = (contrast + kept) / 2
                stats["terms/nce/identity"] = kept
            loss = adversarial + self.nce_weight * contrast
            return Result(loss, {"loss/G": loss, **stats})

        def contrasted(nets: Nets, inputs: Tensor, outputs: Tensor, mirrored: Tensor, rng: torch.Generator) -> Tensor:
            """Equation 3: the mean over layers, patches and images."""
            encoder = nets["G"]
            assert isinstance(encoder, ResNetGenerator)
            queries = [_mirrored(feature, mirrored) for feature in encoder.features(outputs, places)]
            with torch.no_grad():
                features = encoder.features(inputs, places)
                positions = [chosen.to(inputs.device) for chosen in choose_positions(features, self.nce_patches, rng)]
                keys = nets["F"](features, positions)
            pairs = zip(nets["F"](queries, positions), keys, strict=True)
            return torch.stack([patch_nce(query, key, self.temperature).mean() for query, key in pairs]).mean()

        adam = Adam(self.lr, (self.beta1, 0.999))
        model = Translation(
            "G", spec.source, spec.channels, apply=plain_apply, multiple=4, least=8, mode=self.test_mode, critic="D"
        )
        return Method(
            nets={
                "G": generator,
                "D": discriminator,
                "F": PatchHeads([generator.places[place] for place in places], self.nce_width),
            },
            players={"D": Player(("D",), adam), "G": Player(("G", "F"), adam)},
            phases=(Phase("D", "D", d_loss), Phase("G", "G", g_loss)),
            models={spec.direction: model},
            bf16=("sampling",) if self.game == "relativistic" else ("training", "sampling"),
        )


def _mirrored(x: Tensor, which: Tensor) -> Tensor:
    """``x`` ``[N, C, H, W]`` with some of its images mirrored: ``which`` is true of them, ``[N]``."""
    return torch.where(which[:, None, None, None], x.flip(3), x)
