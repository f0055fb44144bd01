"""DualGAN.

Zili Yi, Hao Zhang, Ping Tan, Minglun Gong: DualGAN: Unsupervised Dual Learning for Image-to-Image Translation.
ICCV 2017, arXiv 1704.02510.

What it changed: as CycleGAN, which appeared at the same time, it closes a loop of two generators (equation 3). The
adversarial part is a WGAN (section 3.1): critics whose weights are clipped take several steps for each of the
generators', which RMSprop moves. The generators are pix2pix's U-Nets, and their only noise is dropout, which stays on
when images are translated (section 3.2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from organza.contract.data import Batch, DataSpec, Direction, Layout
from organza.contract.method import Carry, Method, Nets, Phase, Player, Result, RMSprop, Stats
from organza.contract.model import Mode, Translation
from organza.core.errors import UserError
from organza.core.ranges import Count, CountOrZero, Depth, PositiveOrZero, Range
from organza.methods.translation.cyclegan import round_trips
from organza.methods.translation.pix2pix import plain_apply, unet_depth
from organza.nn.losses import logistic_d, logistic_g, wasserstein_d, wasserstein_g
from organza.nn.norms import Norm
from organza.nn.patchgan import PatchGAN
from organza.nn.penalties import clip_weights, interpolate, wgan_gp
from organza.nn.unet import UNetGenerator

DualGame = Literal["wgan", "wgan-gp", "logistic"]


@dataclass(frozen=True)
class DualGAN:
    """Settings of DualGAN; the defaults are the paper's, and within its ranges those of the authors' code for it."""

    takes_labels: ClassVar[bool] = False
    layout: ClassVar[Layout] = "unpaired"
    width: Count = 64
    """Feature maps of the generators at full resolution; doubled at each halving, up to eight times as many."""
    depth: Depth | None = None
    """Halvings of the generators. None: down to one pixel, at most 8, as far as both sides can be halved."""
    width_d: Count = 64
    """Feature maps of the critics' first layer."""
    layers_d: CountOrZero = 3
    """Halvings of the critics: 3 sees patches of 70x70 pixels."""
    norm: Norm = "batch"
    """Normalisation of all networks."""
    norm_d: Norm | None = None
    """Normalisation of the critics. None: as of all, but instance with --game wgan-gp."""
    dropout: bool = True
    """Drop half of the features next to the generators' innermost level."""
    cycle_weight: PositiveOrZero = 500.0
    """Weight of the L1 distance between an image and what comes back of it (lambda_U and lambda_V, equation 3)."""
    game: DualGame = "wgan"
    """The adversarial loss: WGAN with clipped weights, WGAN-GP, or Goodfellow's, as in the authors' last code (with
    --cycle-weight 20)."""
    clip: PositiveOrZero = 0.01
    """Bound of the critics' weights; with --game wgan alone."""
    gp_weight: PositiveOrZero = 10.0
    """Weight of the gradient penalty; with --game wgan-gp alone."""
    critic_steps: Count = 3
    """Steps of the critics for each step of the generators (n_critic)."""
    lr: PositiveOrZero = 0.00005
    """Learning rate of all networks."""
    decay: Annotated[float, Range(least=0, below=1)] = 0.9
    """Decay of RMSprop's mean square."""
    test_mode: Mode = "train"
    """What normalisation and dropout do when images are translated: as in training, as the paper has it, or eval."""

    def resolve(self, spec: DataSpec, batch: int) -> DualGAN:
        """The same with a depth that fits the images."""
        return self if self.depth is not None else replace(self, depth=unet_depth(spec.resolution))

    def like(self, other: DualGAN, spec: DataSpec) -> DualGAN:
        """These settings with the architecture of ``other``."""
        names = ("width", "depth", "width_d", "layers_d", "norm", "dropout", "test_mode")
        norm_d: Norm | None = other._norm_d()
        if norm_d == "batch" and self.game == "wgan-gp":
            norm_d = None  # such critics can't go on
        return replace(self, norm_d=norm_d, **{name: getattr(other, name) for name in names})

    def toy(self) -> DualGAN:
        """Tiny networks, for tests."""
        return replace(self, width=4, width_d=4, layers_d=1)

    def _norm_d(self) -> Norm:
        if self.game != "wgan-gp":
            return self.norm_d or self.norm
        if self.norm_d == "batch":
            what = "--game wgan-gp has a penalty for single images, and batch normalisation mixes images"
            raise UserError(what, hint="leave --norm-d out, or say --norm-d instance")
        return self.norm_d or "instance"

    def build(self, spec: DataSpec) -> Method:
        """Two generators, two critics, and their two phases.

        Raises:
            UserError: images of this size can't be translated.
        """
        if self.depth is None:
            raise ValueError("call resolve(spec, batch) before build(spec)")
        forth = spec.direction
        back: Direction = "BtoA" if forth == "AtoB" else "AtoB"
        there, home, critic, critic_home = f"G_{forth}", f"G_{back}", f"D_{forth[-1]}", f"D_{back[-1]}"
        shape: dict[str, Any] = {
            "depth": self.depth,
            "width": self.width,
            "norm": self.norm,
            "dropout": self.dropout,
        }
        nets = {
            there: UNetGenerator(spec.source, spec.channels, **shape),
            home: UNetGenerator(spec.channels, spec.source, **shape),
        }
        if any(side % 2**self.depth for side in spec.resolution):
            height, width = spec.resolution
            what = f"{width}x{height} images can't be halved {self.depth} times"
            raise UserError(what, hint="take a smaller --depth")
        patch: dict[str, Any] = {"layers": self.layers_d, "width": self.width_d, "norm": self._norm_d()}

        def d_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            assert batch.source is not None
            with torch.no_grad():
                fakes = {critic: nets[there](batch.source), critic_home: nets[home](batch.images)}
            total, stats = torch.zeros((), device=batch.images.device), Stats()
            for name, real in ((critic, batch.images), (critic_home, batch.source)):
                scores, scores_fake = nets[name](real), nets[name](fakes[name])
                loss = self._loss_d(scores, scores_fake)
                if self.game == "wgan-gp":
                    penalty = _penalty(nets, name, interpolate(real, fakes[name], rng))
                    loss = loss + self.gp_weight * penalty
                    stats[f"penalty/{name}"] = penalty
                stats |= {
                    f"loss/{name}": loss,
                    f"scores/{name}": scores.mean(),
                    f"scores/{name}/fake": scores_fake.mean(),
                }
                total = total + loss
            return Result(total, stats)

        def clipped(nets: Nets, result: Result, rng: torch.Generator) -> Carry | None:
            """WGAN, algorithm 1: after each step, all weights are cut off at the bound."""
            for name in (critic, critic_home):
                clip_weights(nets[name], self.clip)
            return None

        def g_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            assert batch.source is not None
            source, target = batch.source, batch.images
            outputs, returns = nets[there](source), nets[home](target)
            adversarial = self._loss_g(nets[critic](outputs)) + self._loss_g(nets[critic_home](returns))
            cycle = (nets[home](outputs) - source).abs().mean() + (nets[there](returns) - target).abs().mean()
            loss = adversarial + self.cycle_weight * cycle
            return Result(loss, {"loss/G": loss, "terms/adversarial": adversarial, "terms/cycle": cycle})

        optimizer = RMSprop(self.lr, self.decay)
        used: dict[str, Any] = {"apply": plain_apply, "multiple": 2**self.depth, "mode": self.test_mode}
        return Method(
            nets={**nets, critic: PatchGAN(spec.channels, **patch), critic_home: PatchGAN(spec.source, **patch)},
            players={"D": Player((critic, critic_home), optimizer), "G": Player((there, home), optimizer)},
            phases=(
                Phase("D", "D", d_loss, after=clipped if self.game == "wgan" else None),
                Phase("G", "G", g_loss, every=self.critic_steps),
            ),
            models={
                forth: Translation(there, spec.source, spec.channels, critic=critic, **used),
                back: Translation(home, spec.channels, spec.source, critic=critic_home, **used),
            },
            preview=lambda nets, batch, rng: round_trips(nets[there], nets[home], batch),
            bf16=("training", "sampling"),
        )

    def _loss_d(self, real: Tensor, fake: Tensor) -> Tensor:
        return (logistic_d if self.game == "logistic" else wasserstein_d)(real, fake).mean()

    def _loss_g(self, fake: Tensor) -> Tensor:
        return (logistic_g if self.game == "logistic" else wasserstein_g)(fake).mean()


def _penalty(nets: Nets, name: str, between: Tensor) -> Tensor:
    """Of the critic of whole images, which is the mean over patches."""
    return wgan_gp(lambda images: nets[name](images).flatten(1).mean(1), between).mean()
