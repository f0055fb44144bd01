"""CycleGAN.

Jun-Yan Zhu, Taesung Park, Phillip Isola, Alexei A. Efros: Unpaired Image-to-Image Translation using Cycle-Consistent
Adversarial Networks. ICCV 2017, arXiv 1703.10593.

What it changed: no pairs are needed. Two generators translate there and back, and each image must come back to itself
(the cycle, equation 2), while two discriminators look after both domains (equation 1, with least squares as in
section 4). An image that is already of the target domain should stay as it is (the identity term, section 5.2). The
discriminators learn from a history of 50 generated images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from organza.contract.data import Batch, DataSpec, Direction, Layout
from organza.contract.method import Adam, Carry, Method, Nets, Phase, Player, Result, Stats
from organza.contract.model import Mode, Translation
from organza.core.errors import UserError
from organza.core.ranges import Count, CountOrZero, Depth, PositiveOrZero, Range
from organza.methods.translation.pix2pix import Game, adversarial_d, adversarial_g, plain_apply, usual_blocks
from organza.nn.image_pool import ImagePool
from organza.nn.norms import Norm
from organza.nn.patchgan import PatchGAN
from organza.nn.resnet import ResNetGenerator


@dataclass(frozen=True)
class CycleGAN:
    """Settings of CycleGAN; the defaults are those of the published PyTorch results."""

    takes_labels: ClassVar[bool] = False
    layout: ClassVar[Layout] = "unpaired"
    width: Count = 64
    """Feature maps of the generators at full resolution; doubled at each of two halvings."""
    blocks: Depth | None = None
    """Residual blocks. None: 6 below 256 pixels, else 9 (appendix 7.2)."""
    width_d: Count = 64
    """Feature maps of the discriminators' first layer."""
    layers_d: CountOrZero = 3
    """Halvings of the discriminators: 3 sees patches of 70x70 pixels."""
    norm: Norm = "instance"
    """Normalisation of all networks."""
    dropout: bool = False
    """Drop half of the features in the middle of each residual block."""
    cycle_weight: PositiveOrZero = 10.0
    """Weight of the L1 distance between an image and what comes back of it (lambda, equation 3)."""
    identity_weight: PositiveOrZero = 0.5
    """Weight of the identity term, as a share of the cycle's; it keeps colours. 0 leaves it out."""
    pool: CountOrZero = 50
    """Generated images that each discriminator's history holds."""
    game: Game = "least-squares"
    """The adversarial loss: least squares (arXiv 1611.04076), or Goodfellow's."""
    lr: PositiveOrZero = 0.0002
    """Learning rate of all networks."""
    beta1: Annotated[float, Range(least=0, below=1)] = 0.5
    """Adam's first beta."""
    test_mode: Mode = "train"
    """What normalisation and dropout do when images are translated: as in training, as the authors have it, or eval.
    With instance normalisation and without dropout there is no difference."""

    def resolve(self, spec: DataSpec, batch: int) -> CycleGAN:
        """The same with a number of blocks that fits the images."""
        return self if self.blocks is not None else replace(self, blocks=usual_blocks(spec.resolution))

    def like(self, other: CycleGAN, spec: DataSpec) -> CycleGAN:
        """These settings with the architecture of ``other``."""
        names = ("width", "blocks", "width_d", "layers_d", "norm", "dropout", "test_mode")
        return replace(self, **{name: getattr(other, name) for name in names})

    def toy(self) -> CycleGAN:
        """Tiny networks, for tests."""
        return replace(self, width=4, blocks=1, width_d=4, layers_d=1, pool=3)

    def build(self, spec: DataSpec) -> Method:
        """Two generators, two discriminators, and their two phases.

        Raises:
            UserError: images of this size or with these channels can't be translated.
        """
        if self.blocks is None:
            raise ValueError("call resolve(spec, batch) before build(spec)")
        if self.identity_weight and spec.source != spec.channels:
            what = f"the identity term compares images of {spec.source} with images of {spec.channels} channels"
            raise UserError(what, hint="say --identity-weight 0, or --channels 3")
        forth = spec.direction
        back: Direction = "BtoA" if forth == "AtoB" else "AtoB"
        there, home, critic, critic_home = f"G_{forth}", f"G_{back}", f"D_{forth[-1]}", f"D_{back[-1]}"
        pools = {
            "outputs": ImagePool(self.pool, (spec.channels, *spec.resolution)),
            "returns": ImagePool(self.pool, (spec.source, *spec.resolution)),
        }

        def g_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            source, target = source_of(batch), batch.images
            outputs, returns = nets[there](source), nets[home](target)
            adversarial = adversarial_g(self.game, nets[critic](outputs))
            adversarial_home = adversarial_g(self.game, nets[critic_home](returns))
            cycle = distance(nets[home](outputs), source) + distance(nets[there](returns), target)
            loss = adversarial + adversarial_home + self.cycle_weight * cycle
            stats = {"terms/adversarial": adversarial + adversarial_home, "terms/cycle": cycle}
            if self.identity_weight:
                kept = distance(nets[there](target), target) + distance(nets[home](source), source)
                loss = loss + self.cycle_weight * self.identity_weight * kept
                stats["terms/identity"] = kept
            return Result(loss, {"loss/G": loss, **stats}, {"outputs": outputs, "returns": returns})

        def remember(nets: Nets, result: Result, rng: torch.Generator) -> Carry:
            return {name: pool.query(result.carry[name], rng) for name, pool in pools.items()}

        def d_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            total, stats = torch.zeros((), device=batch.images.device), Stats()
            for name, real, made in ((critic, batch.images, "outputs"), (critic_home, source_of(batch), "returns")):
                scores, scores_fake = nets[name](real), nets[name](batch.carry[made])
                loss = adversarial_d(self.game, scores, scores_fake)
                stats |= {
                    f"loss/{name}": loss,
                    f"scores/{name}": scores.mean(),
                    f"scores/{name}/fake": scores_fake.mean(),
                }
                total = total + loss
            return Result(total, stats)

        adam = Adam(self.lr, (self.beta1, 0.999))
        shape: dict[str, Any] = {"blocks": self.blocks, "width": self.width, "norm": self.norm, "dropout": self.dropout}
        used: dict[str, Any] = {"apply": plain_apply, "multiple": 4, "least": 8, "mode": self.test_mode}
        return Method(
            nets={
                there: ResNetGenerator(spec.source, spec.channels, **shape),
                home: ResNetGenerator(spec.channels, spec.source, **shape),
                critic: PatchGAN(spec.channels, self.layers_d, self.width_d, self.norm),
                critic_home: PatchGAN(spec.source, self.layers_d, self.width_d, self.norm),
            },
            players={"G": Player((there, home), adam), "D": Player((critic, critic_home), adam)},
            phases=(Phase("G", "G", g_loss, after=remember), Phase("D", "D", d_loss)),
            models={
                forth: Translation(there, spec.source, spec.channels, critic=critic, **used),
                back: Translation(home, spec.channels, spec.source, critic=critic_home, **used),
            },
            bf16=("training", "sampling"),
            preview=lambda nets, batch, rng: round_trips(nets[there], nets[home], batch),
            state={f"pool/{name}/{key}": value for name, pool in pools.items() for key, value in pool.state.items()},
        )


def source_of(batch: Batch) -> Tensor:
    """The source images ``[N, C, H, W]`` of a batch whose layout has them."""
    assert batch.source is not None
    return batch.source


def distance(one: Tensor, other: Tensor) -> Tensor:
    """The mean L1 distance of two tensors."""
    return (one - other).abs().mean()


def round_trips(there: nn.Module, home: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    """A sample grid's row: source, output, and what comes back of it; then the same the other way round."""
    source, target = source_of(batch), batch.images
    output, back = there(source), home(target)
    return {
        "source": source,
        "output": output,
        "cycle": home(output),
        "target": target,
        "target/output": back,
        "target/cycle": there(back),
    }
