"""U-GAT-IT.

Junho Kim, Minjae Kim, Hyeonwoo Kang, Kwanghee Lee: U-GAT-IT: Unsupervised Generative Attentional Networks with Adaptive
Layer-Instance Normalization for Image-to-Image Translation. ICLR 2020, arXiv 1907.10830.

What it changed: two sets without pairs may differ in shape, not only in texture, as selfies and anime do. Attention
(section 2.1.1) points the generators and the discriminators to what tells the sets apart: an auxiliary classifier in
each, with losses of its own (equation 5). AdaLIN (equation 1) learns in each layer how much of an image's shape and
texture to change. Each set has a global and a local discriminator. Adversarial terms are least squares (equation 2),
with the cycle (equation 3) and the identity (equation 4) of CycleGAN beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from organza.contract.data import Batch, DataSpec, Direction, Layout
from organza.contract.method import Adam, Method, Nets, Phase, Player, Result, Stats
from organza.contract.model import Translation
from organza.core.errors import UserError
from organza.core.ranges import Count, Depth, PositiveOrZero, Range
from organza.media.heat import overlay
from organza.methods.translation.cyclegan import distance, source_of
from organza.methods.translation.pix2pix import plain_apply
from organza.nn.adalin import clip_rho
from organza.nn.attention_nets import LEAST, MULTIPLE, AttentionDiscriminator, AttentionGenerator
from organza.nn.losses import least_squares_d, least_squares_g, logistic_d
from organza.nn.norms import Norm


@dataclass(frozen=True)
class UGATIT:
    """Settings of U-GAT-IT; the defaults are those of the published PyTorch results, of the full version."""

    takes_labels: ClassVar[bool] = False
    layout: ClassVar[Layout] = "unpaired"
    width: Count = 64
    """Feature maps of the generators at full resolution; doubled at each of two halvings."""
    blocks: Depth = 4
    """Residual blocks before the attention, and as many after it."""
    light: bool = False
    """The style comes from the mean of each feature map instead of all features: a 26th of the weights at 256 pixels,
    and images of any size can be translated."""
    norm: Norm = "instance"
    """Normalisation of the generators up to the attention; PaddleGAN's learns a gain and a bias (instance-affine)."""
    width_d: Count = 64
    """Feature maps of the discriminators' first layer."""
    halvings_global: Depth | None = None
    """Halvings of the global discriminators. None: 5, or as many as the images allow."""
    halvings_local: Depth | None = None
    """Halvings of the local discriminators. None: 3, or as many as the images allow."""
    adversarial_weight: PositiveOrZero = 1.0
    """Weight of the generators' adversarial terms (lambda 1, section 2.2)."""
    cycle_weight: PositiveOrZero = 10.0
    """Weight of the L1 distance between an image and what comes back of it (lambda 2)."""
    identity_weight: PositiveOrZero = 10.0
    """Weight of the L1 distance between an image and its translation into its own set (lambda 3)."""
    cam_weight: PositiveOrZero = 1000.0
    """Weight of the generators' auxiliary classifiers (lambda 4)."""
    lr: PositiveOrZero = 0.0001
    """Learning rate of all networks."""
    beta1: Annotated[float, Range(least=0, below=1)] = 0.5
    """Adam's first beta."""
    weight_decay: PositiveOrZero = 0.0001
    """L2 term in the gradients."""

    def resolve(self, spec: DataSpec, batch: int) -> UGATIT:
        """The same with discriminators that fit the images.

        Raises:
            UserError: the images are too small for those that were asked for.
        """
        whole, local = halvings(spec, self.halvings_global, self.halvings_local)
        return replace(self, halvings_global=whole, halvings_local=local)

    def like(self, other: UGATIT, spec: DataSpec) -> UGATIT:
        """These settings with the architecture of ``other``."""
        names = ("width", "blocks", "light", "norm", "width_d", "halvings_global", "halvings_local")
        return replace(self, **{name: getattr(other, name) for name in names})

    def toy(self) -> UGATIT:
        """Tiny networks, for tests."""
        return replace(self, width=2, blocks=1, width_d=2)

    def build(self, spec: DataSpec) -> Method:
        """Two generators, four discriminators, and their two phases.

        Raises:
            UserError: images of this size or with these channels can't be translated.
        """
        if self.halvings_global is None or self.halvings_local is None:
            raise ValueError("call resolve(spec, batch) before build(spec)")
        self._check(spec)
        forth = spec.direction
        back: Direction = "BtoA" if forth == "AtoB" else "AtoB"
        there, home, critic, critic_home = f"G_{forth}", f"G_{back}", f"D_{forth[-1]}", f"D_{back[-1]}"

        def d_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            source, target = source_of(batch), batch.images
            with torch.no_grad():
                fakes, fakes_home = nets[there](source), nets[home](target)
            total, stats = torch.zeros((), device=target.device), Stats()
            for name, real, fake in ((critic, target, fakes), (critic_home, source, fakes_home)):
                loss = torch.zeros((), device=target.device)
                for net in (nets[name], nets[f"{name}_local"]):
                    loss = loss + critic_loss(net, real, fake)
                total, stats[f"loss/{name}"] = total + loss, loss
            return Result(total, {"loss/D": total, **stats})

        def g_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            source, target = source_of(batch), batch.images
            terms = {
                name: torch.zeros((), device=target.device) for name in ("adversarial", "cycle", "identity", "cam")
            }
            ways = ((there, home, critic, source, target), (home, there, critic_home, target, source))
            for one, other, judge, images, own in ways:
                outputs, logits = _with_logits(nets[one], images)
                kept, logits_kept = _with_logits(nets[one], own)
                terms["cycle"] += distance(nets[other](outputs), images)
                terms["identity"] += distance(kept, own)
                terms["cam"] += logistic_d(logits, logits_kept).mean()  # equation 5
                for net in (nets[judge], nets[f"{judge}_local"]):
                    terms["adversarial"] += adversarial(net, outputs)
            weights = (self.adversarial_weight, self.cycle_weight, self.identity_weight, self.cam_weight)
            loss = sum((weight * term for weight, term in zip(weights, terms.values(), strict=True)), torch.zeros(()))
            return Result(loss, {"loss/G": loss, **{f"terms/{name}": term for name, term in terms.items()}})

        def clip(nets: Nets, result: Result, rng: torch.Generator) -> None:
            clip_rho(nets[there])
            clip_rho(nets[home])

        adam = Adam(self.lr, (self.beta1, 0.999), weight_decay=self.weight_decay)
        shape: dict[str, Any] = {"blocks": self.blocks, "width": self.width, "norm": self.norm}
        size = None if self.light else spec.resolution
        used: dict[str, Any] = {"apply": plain_apply, "multiple": MULTIPLE, "least": LEAST, "heat": heat, "only": size}
        critics: dict[str, nn.Module] = {}
        for name, channels in ((critic, spec.channels), (critic_home, spec.source)):
            critics[name] = AttentionDiscriminator(channels, self.halvings_global, self.width_d)
            critics[f"{name}_local"] = AttentionDiscriminator(channels, self.halvings_local, self.width_d)
        return Method(
            nets={
                there: AttentionGenerator(spec.source, spec.channels, size=size, **shape),
                home: AttentionGenerator(spec.channels, spec.source, size=size, **shape),
                **critics,
            },
            players={"G": Player((there, home), adam), "D": Player(tuple(critics), adam)},
            phases=(Phase("D", "D", d_loss), Phase("G", "G", g_loss, after=clip)),
            models={
                forth: Translation(there, spec.source, spec.channels, critic=critic, **used),
                back: Translation(home, spec.channels, spec.source, critic=critic_home, **used),
            },
            bf16=("training", "sampling"),
            preview=lambda nets, batch, rng: round_trips(nets[there], nets[home], batch),
        )

    def _check(self, spec: DataSpec) -> None:
        if spec.source != spec.channels:  # each generator is shown images of its own set as well
            what = f"U-GAT-IT needs two sets of the same channels, not {spec.source} and {spec.channels}"
            raise UserError(what, hint="say --channels 3")
        height, width = spec.resolution
        if height % MULTIPLE or width % MULTIPLE or min(height, width) < LEAST:
            what = f"U-GAT-IT can't translate images of {height}x{width}"
            raise UserError(what, hint=f"take sides that are multiples of {MULTIPLE}, {LEAST} at least")


def critic_loss(net: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """A discriminator's loss: least squares on the logits of patches and of its classifier, not halved (equation 6).

    Args:
        net: an `AttentionDiscriminator`.
        real, fake: images ``[N, C, H, W]``.
    """
    (patches, found), (patches_fake, found_fake) = net.attend(real), net.attend(fake)  # type: ignore[operator]
    loss: Tensor = 2 * least_squares_d(patches, patches_fake).mean()
    return loss + 2 * least_squares_d(found.logits, found_fake.logits).mean()


def adversarial(net: nn.Module, fake: Tensor) -> Tensor:
    """The generator's side of `critic_loss` (equation 2 and 6)."""
    patches, found = net.attend(fake)  # type: ignore[operator]
    loss: Tensor = 2 * least_squares_g(patches).mean() + 2 * least_squares_g(found.logits).mean()
    return loss


def heat(net: nn.Module, images: Tensor) -> Tensor:
    """`Translation.heat` of an `AttentionGenerator`."""
    found: Tensor = net.attend(images).heat  # type: ignore[operator]
    return found


def halvings(spec: DataSpec, whole: int | None, local: int | None) -> tuple[int, int]:
    """Halvings of the global and the local discriminators; None: 5 and 3, or as many as the images allow.

    Raises:
        UserError: the images are too small for those that were asked for.
    """
    most = max(1, (min(spec.resolution) // 3).bit_length() - 1)  # their last map needs three pixels
    for name, wish in (("global", whole), ("local", local)):
        if wish is not None and wish > most:
            height, width = spec.resolution
            what = f"{height}x{width} images can't be halved {wish} times by the {name} discriminators"
            raise UserError(what, hint=f"take --halvings-{name} {most}")
    return min(5, most) if whole is None else whole, min(3, most) if local is None else local


def _with_logits(net: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """The translation, and the logits of the generator's classifier."""
    found = net.attend(images)  # type: ignore[operator]
    return net.translated(found.features), found.logits  # type: ignore[operator]


def round_trips(there: nn.Module, home: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    """Source, where the generator looks, output, and what comes back of it; then the same the other way round."""
    found = {}
    for name, images, one, other in (("source", source_of(batch), there, home), ("target", batch.images, home, there)):
        prefix, output = "" if name == "source" else "target/", one(images)
        found[name] = images
        found |= {
            f"{prefix}heat": overlay(images, heat(one, images)),
            f"{prefix}output": output,
            f"{prefix}cycle": other(output),
        }
    return found
