"""StarGAN.

Yunjey Choi, Minje Choi, Munyoung Kim, Jung-Woo Ha, Sunghun Kim, Jaegul Choo: StarGAN: Unified Generative Adversarial
Networks for Multi-Domain Image-to-Image Translation. CVPR 2018, arXiv 1711.09020.

What it changed: one generator for all domains. It is told by a label vector what the image should become, and the
discriminator has a second head that classifies domains (equations 2 and 3). Translating there and back must give the
image again (equation 4). The adversarial loss is WGAN-GP's (equation 8). Several datasets with labels of their own can
be trained on together: the vector holds the labels of all, and a mask that says whose are known (section 3.3).
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from organza.contract.data import Batch, DataSpec, LabelSet, Layout
from organza.contract.method import Adam, Method, Nets, Phase, Player, Result
from organza.contract.model import Mode, Translation
from organza.contract.targets import every_target, label_names, label_sets
from organza.core.device import to_compute
from organza.core.errors import UserError
from organza.core.ranges import Count, Depth, PositiveOrZero, Range
from organza.nn.losses import wasserstein_d, wasserstein_g
from organza.nn.norms import InstanceNorm2d
from organza.nn.penalties import interpolate, wgan_gp
from organza.nn.pyramid import Conv2d, ConvTranspose2d
from organza.nn.resnet import same_size
from organza.nn.sides import check_sides

MULTIPLE, LEAST = 4, 8
MOST_SHOWN = 16
"""Labels in a row of the sample grid."""


@dataclass(frozen=True)
class StarGAN:
    """Settings of StarGAN; the defaults are those of the published PyTorch results on CelebA."""

    takes_labels: ClassVar[bool] = True
    layout: ClassVar[Layout] = "labelled"
    width: Count = 64
    """Feature maps of G at full resolution; doubled at each of two halvings."""
    blocks: Depth = 6
    """Residual blocks of G."""
    width_d: Count = 64
    """Feature maps of D's first layer; doubled at each halving."""
    halvings_d: Depth | None = None
    """Halvings of D. None: 6, or as many as the images allow."""
    critic_steps: Count = 5
    """Steps of D for each step of G."""
    gp_weight: PositiveOrZero = 10.0
    """Weight of the gradient penalty (equation 8)."""
    class_weight: PositiveOrZero = 1.0
    """Weight of the classification of domains (equations 5 and 6)."""
    cycle_weight: PositiveOrZero = 10.0
    """Weight of the L1 distance between an image and what comes back of it (equation 6)."""
    lr: PositiveOrZero = 0.0001
    """Learning rate of both networks."""
    beta1: Annotated[float, Range(least=0, below=1)] = 0.5
    """Adam's first beta."""
    test_mode: Mode = "train"
    """What normalisation does when images are translated: each image's own statistics, as the authors have it, or
    stored ones."""

    def resolve(self, spec: DataSpec, batch: int) -> StarGAN:
        """The same with a D that fits the images.

        Raises:
            UserError: they are too small for the one that was asked for, or batches are single images.
        """
        if batch < 2:
            what = "StarGAN's targets are the labels of other images in the batch, and there is only one"
            raise UserError(what, hint="take a --batch of 2 at least; 16 in the paper")
        most = min(spec.resolution).bit_length() - 1
        if self.halvings_d is not None and self.halvings_d > most:
            height, width = spec.resolution
            what = f"{height}x{width} images can't be halved {self.halvings_d} times"
            raise UserError(what, hint=f"take --halvings-d {most}")
        return self if self.halvings_d is not None else replace(self, halvings_d=max(1, min(6, most)))

    def like(self, other: StarGAN, spec: DataSpec) -> StarGAN:
        """These settings with the architecture of ``other``."""
        names = ("width", "blocks", "width_d", "halvings_d", "test_mode")
        return replace(self, **{name: getattr(other, name) for name in names})

    def toy(self) -> StarGAN:
        """Tiny networks, for tests."""
        return replace(self, width=4, blocks=1, width_d=4, halvings_d=2)

    def build(self, spec: DataSpec) -> Method:
        """The networks and their two phases.

        Raises:
            UserError: images of this size can't be translated, or there are no labels.
        """
        if self.halvings_d is None:
            raise ValueError("call resolve(spec, batch) before build(spec)")
        height, width = spec.resolution
        if height % MULTIPLE or width % MULTIPLE or min(height, width) < LEAST:
            what = f"StarGAN can't translate images of {height}x{width}"
            raise UserError(what, hint=f"take sides that are multiples of {MULTIPLE}, {LEAST} at least")
        if not spec.label_dim:
            raise UserError("StarGAN learns from labels, and there are none", hint="say --labels folders, or a table")
        sets = label_sets(spec)
        classify = partial(classification, sets=sets)
        known = sum(part.size for part in sets)
        generator = LabelGenerator(spec.channels, spec.label_dim, self.blocks, self.width)
        discriminator = LabelDiscriminator(spec.channels, known, spec.resolution, self.halvings_d, self.width_d)

        def d_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            targets = shuffled(batch.labels, rng)
            with torch.no_grad():
                fakes = nets["G"](batch.images, targets)
            real, logits = nets["D"].both(batch.images)  # type: ignore[operator]
            fake = nets["D"](fakes)
            penalty = wgan_gp(nets["D"], interpolate(batch.images, fakes, rng)).mean()
            distance, domains = -wasserstein_d(real.mean(), fake.mean()), classify(logits, batch.labels)
            loss = self.gp_weight * penalty - distance + self.class_weight * domains  # equation 5
            stats = {
                "loss/D": loss,
                "scores/real": real.mean(),
                "scores/fake": fake.mean(),
                "scores/distance": distance,
                "penalty/gradient": penalty,
                "terms/domain/real": domains,
            }
            return Result(loss, stats, {"targets": targets})

        def g_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            targets = batch.carry["targets"]  # D's of the same step
            fakes = nets["G"](batch.images, targets)
            scores, logits = nets["D"].both(fakes)  # type: ignore[operator]
            adversarial, domains = wasserstein_g(scores).mean(), classify(logits, targets)
            cycle = (nets["G"](fakes, batch.labels) - batch.images).abs().mean()
            loss = adversarial + self.class_weight * domains + self.cycle_weight * cycle  # equation 6
            stats = {"terms/adversarial": adversarial, "terms/domain/fake": domains, "terms/cycle": cycle}
            return Result(loss, {"loss/G": loss, **stats})

        adam = Adam(self.lr, (self.beta1, 0.999))
        translation = Translation(
            "G",
            spec.channels,
            spec.channels,
            apply=lambda net, images, labels, z: net(images, labels),
            multiple=MULTIPLE,
            least=LEAST,
            mode=self.test_mode,
            label_dim=spec.label_dim,
            critic="D",
        )
        return Method(
            nets={"G": generator, "D": discriminator},
            players={"D": Player(("D",), adam), "G": Player(("G",), adam)},
            phases=(Phase("D", "D", d_loss), Phase("G", "G", g_loss, every=self.critic_steps)),
            models={"G": translation},
            bf16=("training", "sampling"),
            preview=lambda nets, batch, rng: _every_domain(nets["G"], batch, spec),
        )


def shuffled(labels: Tensor, rng: torch.Generator) -> Tensor:
    """The labels ``[N, label_dim]`` of the batch in another order: what each image should become (section 4.2)."""
    order = torch.randperm(len(labels), generator=rng, device=rng.device)
    return labels[order.to(labels.device)]


def classification(logits: Tensor, labels: Tensor, sets: tuple[LabelSet, ...]) -> Tensor:
    """How far D's second head is from labels, a mean over images: equations 2 and 3.

    Args:
        logits: ``[N, known]``, of the labels of all sets.
        labels: ``[N, label_dim]``; with several sets a mask follows, and each image counts in its own set alone.
        sets: of classes, whose cross-entropy is taken; or of attributes, each with its binary cross-entropy, summed.

    Example:
        >>> classification(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), (LabelSet(2, "numbers"),))  # 2 log 2
        tensor(1.3863)
    """
    total, start, masks = torch.zeros(len(labels), device=logits.device), 0, logits.shape[1]
    for number, part in enumerate(sets):
        mine, wanted = logits[:, start : start + part.size], labels[:, start : start + part.size]
        if part.kind == "classes":
            loss = F.cross_entropy(mine, wanted.argmax(1), reduction="none")
        else:
            loss = F.binary_cross_entropy_with_logits(mine, wanted, reduction="none").sum(1)
        total = total + (loss * labels[:, masks + number] if len(sets) > 1 else loss)
        start += part.size
    return total.mean()


class LabelGenerator(nn.Module):
    """An image ``[N, channels, H, W]`` and a label vector to an image in [-1, 1] (appendix, table 4).

    Two halvings, residual blocks, two doublings. Labels are planes beside the image's channels. Padding is zero: beside
    mirrored borders a plane is constant, and instance normalisation takes away what is constant. Normalisation has
    gains, biases and running statistics. Sides are multiples of 4, and at least 8.

    Example:
        >>> LabelGenerator(3, 2, blocks=1, width=2)(torch.zeros(1, 3, 8, 12), torch.ones(1, 2)).shape
        torch.Size([1, 3, 8, 12])
    """

    def __init__(self, channels: int, label_dim: int, blocks: int = 6, width: int = 64) -> None:
        super().__init__()
        maps = (width, 2 * width, 4 * width)
        self.stem = _layer(same_size(channels + label_dim, width, 7, "zero", bias=False), width)
        self.downs = nn.ModuleList(_layer(Conv2d(n, m, 4, 2, 1, bias=False), m) for n, m in itertools.pairwise(maps))
        self.blocks = nn.ModuleList(_Residual(maps[-1]) for _ in range(blocks))
        self.ups = nn.ModuleList(
            _layer(ConvTranspose2d(n, m, 4, 2, 1, bias=False), m) for n, m in itertools.pairwise(maps[::-1])
        )
        self.head = same_size(width, channels, 7, "zero", bias=False)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """``[N, channels, H, W]``, ``[N, label_dim]`` -> ``[N, channels, H, W]``, float32, in [-1, 1].

        Raises:
            UserError: a side does not fit.
        """
        check_sides(images, MULTIPLE, LEAST)
        planes = labels[:, :, None, None].expand(-1, -1, *images.shape[2:])
        x = self.stem(to_compute(torch.cat([images, planes.to(images.dtype)], 1)))
        for layer in (*self.downs, *self.blocks, *self.ups):
            x = layer(x)
        return torch.tanh(self.head(x.float()))


class LabelDiscriminator(nn.Module):
    """Images ``[N, channels, H, W]`` of one size to scores of patches, and to logits of labels (appendix, table 5).

    Args:
        channels: of the images.
        labels: how many logits.
        resolution: height and width.
        halvings: layers; the last map is ``H >> halvings`` high.
        width: feature maps of the first layer; doubled at each further layer.
    """

    def __init__(
        self, channels: int, labels: int, resolution: tuple[int, int], halvings: int = 6, width: int = 64
    ) -> None:
        super().__init__()
        maps = [channels, *(width * 2**k for k in range(halvings))]
        self.layers = nn.ModuleList(Conv2d(n, m, 4, 2, 1) for n, m in itertools.pairwise(maps))
        self.scores = Conv2d(maps[-1], 1, 3, 1, 1, bias=False)
        height, wide = (side >> halvings for side in resolution)
        self.domains = Conv2d(maps[-1], labels, (height, wide), bias=False)

    def both(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """``[N, channels, H, W]`` -> scores ``[N, 1, h, w]`` and logits ``[N, labels]``, float32."""
        x = self._features(images)
        return self.scores(x), self.domains(x).flatten(1)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """``[N, channels, H, W]`` -> scores of patches ``[N, 1, h, w]``, float32; there is no condition."""
        scores: Tensor = self.scores(self._features(images))
        return scores

    def _features(self, images: Tensor) -> Tensor:
        x = to_compute(images)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.01)
        return x.float()


class _Residual(nn.Module):
    """Two 3x3 convolutions whose result is added to their input."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = same_size(maps, maps, 3, "zero", bias=False), _norm(maps)
        self.conv2, self.norm2 = same_size(maps, maps, 3, "zero", bias=False), _norm(maps)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, maps, H, W]`` -> the same shape."""
        changed: Tensor = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
        return x + changed


def _layer(conv: nn.Module, maps: int) -> nn.Module:
    return nn.Sequential(OrderedDict(conv=conv, norm=_norm(maps), act=nn.ReLU(inplace=True)))


def _norm(maps: int) -> nn.Module:
    return InstanceNorm2d(maps, affine=True, track_running_stats=True)


def _every_domain(net: nn.Module, batch: Batch, spec: DataSpec) -> Mapping[str, Tensor]:
    """Source, and what it becomes for each label; an attribute that it has is taken away."""
    wishes = [[*every_target(spec, row).values()] for row in batch.labels.tolist()]
    found = {"source": batch.images}
    for place, name in enumerate(label_names(spec)[:MOST_SHOWN]):
        vectors = torch.tensor([wish[place] for wish in wishes], device=batch.images.device)
        found[f"to/{name}"] = net(batch.images, vectors)
    return found
