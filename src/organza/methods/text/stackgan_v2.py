"""StackGAN++ (StackGAN-v2).

Han Zhang, Tao Xu, Hongsheng Li, Shaoting Zhang, Xiaogang Wang, Xiaolei Huang, Dimitris Metaxas: StackGAN++: Realistic
Image Synthesis with Stacked Generative Adversarial Networks. TPAMI 2019, arXiv 1710.10916.

What it changed: the stages became a tree that is trained at once. One generator has an image head at each of several
sizes, each with a discriminator of its own, and the losses are added up (section 4.1). Each discriminator says both
whether an image is real and whether it fits the text (section 4.2). Without text, neighbouring sizes are held to the
same colours (section 4.3). Networks and losses are those of the authors' code; the text encoder is `text_encoder.py`'s.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from organza.contract.data import Batch, DataSpec, Layout
from organza.contract.method import Adam, Clock, Method, Nets, Phase, Player, Result, Schedule, Stats
from organza.contract.model import Latents
from organza.core.device import to_compute
from organza.core.errors import UserError
from organza.core.ranges import Count, PositiveOrZero, Range
from organza.methods.text.stackgan_nets import (
    Conditioning,
    ConvNorm,
    Residual,
    TextCritic,
    check_pairs,
    false,
    false_where,
    real,
    sampled,
    start,
)
from organza.methods.text.text_encoder import Reader, TextSettings
from organza.nn.growing import shrink
from organza.nn.likelihood import gaussian_divergence
from organza.nn.pyramid import Conv2d, levels


@dataclass(frozen=True)
class StackGANv2(TextSettings):
    """Settings of StackGAN++; the defaults are those of the authors' birds. Without captions it is unconditional."""

    takes_labels: ClassVar[bool] = False
    layout: ClassVar[Layout] = "captioned"
    branches: Annotated[int, Range(least=1, most=6)] | None = None
    """Sizes at which images are made, each twice the one before. None: 3 (64 to 256), fewer where the smallest would be
    under 8 pixels."""
    z_dim: Count = 100
    """Length of the noise."""
    condition: Count = 128
    """Length of a condition."""
    width: Count = 64
    """Feature maps of the generator at its smallest image; halved at each size after it, doubled at each before."""
    blocks: Annotated[int, Range(least=0, most=1000)] = 2
    """Residual blocks between two sizes."""
    width_d: Count = 64
    """Feature maps of the discriminators' first layers; doubled at each halving."""
    kl_weight: PositiveOrZero = 2.0
    """Weight of the divergence of conditions from a standard normal, a mean over their numbers."""
    alone_weight: PositiveOrZero = 1.0
    """Weight of what discriminators say of images alone, beside what they say of them and the text."""
    colour_weight: PositiveOrZero | None = None
    """Weight of colour consistency (alpha, section 4.3). None: 50 without text, 0 with it."""
    lr: PositiveOrZero = 0.0002
    """Learning rate of all networks but the encoder."""
    beta1: Annotated[float, Range(least=0, below=1)] = 0.5
    """Adam's first beta."""

    def resolve(self, spec: DataSpec, batch: int) -> StackGANv2:
        """The same with as many sizes as fit the images, and the weight of colours.

        Raises:
            UserError: batches of one image.
        """
        if self.dim(spec):
            check_pairs(batch)
        elif batch < 2:
            raise UserError("batch normalisation needs more than one image", hint="take a --batch of 2 at least")
        most = max(1, min(spec.resolution).bit_length() - 3)
        found = replace(self, branches=min(3, most) if self.branches is None else self.branches)
        if self.colour_weight is None:
            return replace(found, colour_weight=0.0 if self.dim(spec) else 50.0)
        return found

    def like(self, other: StackGANv2, spec: DataSpec) -> StackGANv2:
        """These settings with the architecture of ``other``."""
        names = ("branches", "z_dim", "condition", "width", "blocks", "width_d")
        return replace(
            self, **{name: getattr(other, name) for name in (*names, "text_dim", "text_width", "text_layers")}
        )

    def toy(self) -> StackGANv2:
        """Tiny networks, for tests."""
        tiny = replace(self, z_dim=6, condition=4, width=4, width_d=4, blocks=1)
        return replace(tiny, text_dim=8, text_width=8, text_layers=1, text_epochs=0.1)

    def build(self, spec: DataSpec) -> Method:
        """The encoder, the generator, a discriminator for each size, and their phases.

        Raises:
            UserError: images of this size can't be made.
        """
        if self.branches is None or self.colour_weight is None:
            raise ValueError("call resolve(spec, batch) before build(spec)")
        reader, dim = Reader(self, spec), self.dim(spec)
        generator = Generator(self, spec)
        condition = self.condition if dim else 0
        critics: dict[str, nn.Module] = {
            f"D{number}": TextCritic(size, spec.channels, self.width_d, condition, True)
            for number, size in enumerate(generator.sizes, 1)
        }
        losses = _Losses(self, reader, tuple(critics))
        adam = Adam(self.lr, (self.beta1, 0.999))
        length = self.z_dim + condition
        text = None
        if dim:
            text = reader.access(lambda net, vectors: generator_of(net).distribution(vectors)[0])
        latents = Latents(
            *("G", length, length, 1, dim),
            mapping=lambda net, z, vectors: generator_of(net).codes(z, vectors)[:, None],
            synthesis=lambda net, ws, noise, rng: generator_of(net)(ws[:, 0])[-1],
            center=lambda net: torch.zeros(length, device=next(net.parameters()).device),
            critic=f"D{self.branches}",
            text=text,
        )

        def later(stage: int) -> bool:
            return stage == 1

        return Method(
            nets={**reader.nets(), "G": generator, **critics},
            # One Adam for all discriminators is one for each: it looks at every weight by itself.
            players={**reader.players(), "D": Player(tuple(critics), adam), "G": Player(("G",), adam)},
            phases=(*reader.phases(), Phase("D", "D", losses.d, active=later), Phase("G", "G", losses.g, active=later)),
            models={"G": latents},
            ema=("G",),
            frozen=reader.frozen(),
            schedule=lambda clock: _schedule(clock, self.text_epochs if reader.learns else 0.0),
        )


def _schedule(clock: Clock, text_epochs: float) -> Schedule:
    """The text encoder first, then the images."""
    return Schedule(stage=int(clock.epoch >= text_epochs))


class _Losses:
    """The losses of all sizes. G's phase takes the noise of D's before it, so both see the same images."""

    def __init__(self, config: StackGANv2, reader: Reader, critics: tuple[str, ...]) -> None:
        self.config, self.reader, self.critics = config, reader, critics
        self.told = bool(config.dim(reader.spec))

    def d(self, nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
        """Section 4.2 at each size: real, real with another's text, generated. A wrong image is still a real one."""
        generator, config = generator_of(nets["G"]), self.config
        z = torch.randn(len(batch), generator.length, generator=rng, device=batch.images.device)
        vectors = self._vectors(nets, batch)
        with torch.no_grad():
            fakes = generator(generator.codes(z, vectors))
            mean = generator.distribution(vectors)[0] if self.told else None
            different = (vectors != vectors.roll(1, 0)).any(1).float() if self.told else None
        total, stats = torch.zeros((), device=batch.images.device), Stats()
        for level, (name, made) in enumerate(zip(self.critics, fakes, strict=True)):
            critic = critic_of(nets[name])
            features = critic.features(shrink(batch.images, len(fakes) - 1 - level))
            features_fake = critic.features(made)
            alone, alone_fake = critic.unconditional(features), critic.unconditional(features_fake)
            if mean is None or different is None:
                scores, fake, loss = alone, alone_fake, real(alone) + false(alone_fake)
            else:
                scores, fake = critic.conditional(features, mean), critic.conditional(features_fake, mean)
                wrong = critic.conditional(features.roll(1, 0), mean)
                loss = real(scores) + false_where(wrong, different) + false(fake)
                loss = loss + config.alone_weight * (2 * real(alone) + false(alone_fake))
                stats["scores/wrong"] = wrong.mean()
            total = total + loss
            stats |= {f"loss/{name}": loss, "scores/real": scores.mean(), "scores/fake": fake.mean()}
        stats = {"loss/D": total, **stats}
        if self.told:
            stats |= self.reader.checked(nets, batch, fakes[-1], "fake")
        return Result(total, stats, {"z": z})

    def g(self, nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
        """Sections 4.1 and 4.2, summed over sizes, with the divergence of conditions, or colour consistency."""
        generator, config = generator_of(nets["G"]), self.config
        assert config.colour_weight is not None
        vectors = self._vectors(nets, batch)
        images = generator(generator.codes(batch.carry["z"], vectors))
        mean, log_variance = generator.distribution(vectors) if self.told else (None, None)
        adversarial = torch.zeros((), device=batch.images.device)
        for name, made in zip(self.critics, images, strict=True):
            critic = critic_of(nets[name])
            features = critic.features(made)
            alone = real(critic.unconditional(features))
            if mean is None:
                adversarial = adversarial + alone
            else:
                fitting = real(critic.conditional(features, mean.detach()))
                adversarial = adversarial + fitting + config.alone_weight * alone
        loss, stats = adversarial, {"terms/adversarial": adversarial}
        if mean is not None and log_variance is not None:
            stats["terms/divergence"] = gaussian_divergence(mean, log_variance).mean() / config.condition
            loss = loss + config.kl_weight * stats["terms/divergence"]
        if config.colour_weight and len(images) > 1:
            terms = [sum(colour_distances(*pair)) for pair in itertools.pairwise(images)]
            stats["terms/colours"] = torch.stack([torch.as_tensor(term) for term in terms]).sum()
            loss = loss + config.colour_weight * stats["terms/colours"]
        return Result(loss, {"loss/G": loss, **stats})

    def _vectors(self, nets: Nets, batch: Batch) -> Tensor:
        if self.told:
            check_pairs(len(batch))
            return self.reader.vectors(nets, batch)
        return batch.labels


def colours(images: Tensor) -> tuple[Tensor, Tensor]:
    """The mean ``[N, C]`` and the covariance ``[N, C, C]`` of each image's pixels (section 4.3).

    Example:
        >>> mean, covariance = colours(torch.ones(1, 3, 4, 4))
        >>> mean.tolist(), covariance.abs().max().item()
        ([[1.0, 1.0, 1.0]], 0.0)
    """
    pixels = images.float().flatten(2)
    mean = pixels.mean(2)
    centred = pixels - mean[:, :, None]
    return mean, centred @ centred.transpose(1, 2) / pixels.shape[2]


def colour_distances(small: Tensor, large: Tensor) -> tuple[Tensor, Tensor]:
    """How far the colours of ``large`` are from those of ``small`` (section 4.3): of means, and 5 times of covariances.

    Mean squares over images and entries, as in the authors' code; ``small`` is the target and gets no gradient.
    """
    (mean, covariance), (wanted_mean, wanted) = colours(large), colours(small.detach())
    return F.mse_loss(mean, wanted_mean), 5 * F.mse_loss(covariance, wanted)


def generator_of(net: nn.Module) -> Generator:
    """``net``, which must be a generator of StackGAN++."""
    if not isinstance(net, Generator):
        raise TypeError(f"not a StackGAN++ generator: {type(net).__name__}")
    return net


def critic_of(net: nn.Module) -> TextCritic:
    """``net``, which must be a discriminator of this family."""
    if not isinstance(net, TextCritic):
        raise TypeError(f"not a discriminator that reads: {type(net).__name__}")
    return net


class Generator(nn.Module):
    """The tree: features of the smallest size, then of each size from the one before; an image head at each.

    Attributes:
        sizes: height and width of its images, the smallest first.
        length: of z: the noise, and what conditions are drawn with.
    """

    def __init__(self, config: StackGANv2, spec: DataSpec) -> None:
        super().__init__()
        assert config.branches is not None
        height, width = spec.resolution
        last = config.branches - 1
        if height % 2**last or width % 2**last or min(height, width) >> last < 8:
            hint = "take fewer --branches, or a --resolution whose sides are 4 to 7 times a power of two"
            raise UserError(f"images of {height}x{width} can't be made at {config.branches} sizes", hint=hint)
        self.sizes = [(height >> k, width >> k) for k in range(last, -1, -1)]
        dim, told = config.dim(spec), config.condition
        self.z_dim, self.length = config.z_dim, config.z_dim + (told if dim else 0)
        self.condition = Conditioning(dim, told, "glu") if dim else None
        told = told if dim else config.z_dim  # without text, the noise is the condition of each size
        depth = levels(self.sizes[0])
        self.core, self.maps = (self.sizes[0][0] >> depth, self.sizes[0][1] >> depth), config.width << depth
        self.fc = nn.Linear(self.length, 2 * self.maps * self.core[0] * self.core[1], bias=False)
        self.norm = nn.BatchNorm1d(self.fc.out_features)
        self.ups = nn.ModuleList(
            ConvNorm(self.maps >> k, self.maps >> (k + 1), "glu", double=True) for k in range(depth)
        )
        maps = [max(1, config.width >> k) for k in range(config.branches)]
        self.nexts = nn.ModuleList(Next(a, b, told, config.blocks) for a, b in itertools.pairwise(maps))
        self.images = nn.ModuleList(Conv2d(width, spec.channels, 3, 1, 1, bias=False) for width in maps)
        self.apply(start)

    def distribution(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Of conditions: the mean and log variance ``[N, condition]`` of texts ``[N, text_dim]``."""
        assert self.condition is not None
        mean, log_variance = self.condition(vectors)
        return mean, log_variance

    def codes(self, z: Tensor, vectors: Tensor) -> Tensor:
        """``z [N, length]`` and texts ``[N, text_dim]`` -> noise and conditions ``[N, length]``; without text, z."""
        if self.condition is None:
            return z
        noise, drawn = z[:, : self.z_dim], z[:, self.z_dim :]
        return torch.cat([noise, sampled(*self.distribution(vectors), drawn)], 1)

    def forward(self, codes: Tensor) -> list[Tensor]:
        """``[N, length]`` -> images ``[N, C, h, w]`` of each size in [-1, 1], the smallest first."""
        condition = codes if self.condition is None else codes[:, self.z_dim :]
        x = F.glu(self.norm(self.fc(codes.float())), 1).reshape(-1, self.maps, *self.core)
        x = to_compute(x)
        for up in self.ups:
            x = up(x)
        found = [self.images[0](x.float()).tanh()]
        for layer, image in zip(self.nexts, list(self.images)[1:], strict=True):
            x = layer(x, condition)
            found.append(image(x.float()).tanh())
        return found


class Next(nn.Module):
    """Features of one size and the condition to features of twice the size."""

    def __init__(self, maps: int, outputs: int, condition: int, blocks: int) -> None:
        super().__init__()
        self.join = ConvNorm(maps + condition, maps, "glu")
        self.blocks = nn.ModuleList(Residual(maps, "glu", "none") for _ in range(blocks))
        self.up = ConvNorm(maps, outputs, "glu", double=True)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """``[N, maps, H, W]`` and ``[N, condition]`` -> ``[N, outputs, 2H, 2W]``."""
        told = condition[:, :, None, None].expand(-1, -1, *x.shape[2:]).to(x.dtype)
        x = self.join(torch.cat([told, x], 1))
        for block in self.blocks:
            x = block(x)
        found: Tensor = self.up(x)
        return found
