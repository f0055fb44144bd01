"""StackGAN.

Han Zhang, Tao Xu, Hongsheng Li, Shaoting Zhang, Xiaogang Wang, Xiaolei Huang, Dimitris Metaxas: StackGAN: Text to
Photo-realistic Image Synthesis with Stacked Generative Adversarial Networks. ICCV 2017, arXiv 1612.03242.

What it changed: an image of a text is made in two stages. The first makes a small one of rough shapes and colours, the
second reads it together with the text and makes a large one. Conditions are drawn from a Gaussian around each text
(conditioning augmentation, section 3.2), so that there are more of them than texts. The discriminators are
matching-aware (Reed et al. 2016, arXiv 1605.05396): a real image with another image's text is as wrong as a generated
one. Networks and losses are those of the authors' PyTorch code; the text encoder is `text_encoder.py`'s.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from organza.contract.data import Batch, DataSpec, Layout
from organza.contract.method import Adam, After, Clock, Method, Nets, Phase, Player, Result, Schedule
from organza.contract.model import Latents
from organza.core.device import to_compute
from organza.core.errors import UserError
from organza.core.ranges import Count, Positive, PositiveOrZero, Range
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
from organza.nn.growing import enlarge, shrink
from organza.nn.likelihood import gaussian_divergence
from organza.nn.pyramid import Conv2d, levels


@dataclass(frozen=True)
class StackGAN(TextSettings):
    """Settings of StackGAN; the defaults are those of the authors' birds."""

    takes_labels: ClassVar[bool] = False
    layout: ClassVar[Layout] = "captioned"
    stages: Literal[1, 2] = 2
    """1: the first stage alone, at the size of the images. 2: a small one first, and the second stage after it."""
    halvings: Annotated[int, Range(least=1, most=2)] | None = None
    """The first stage's images are so many times halved. None: 2 (64 for 256), or 1 where that is under 8 pixels."""
    z_dim: Count = 100
    """Length of the noise."""
    condition: Count = 128
    """Length of a condition."""
    width: Count = 128
    """Feature maps of the generators: 8 times as many at the first stage's smallest size (192 for COCO)."""
    blocks: Annotated[int, Range(least=0, most=1000)] = 4
    """Residual blocks of the second stage (2 in the PyTorch code's settings for COCO)."""
    width_d: Count = 64
    """Feature maps of the discriminators' first layers; doubled at each halving (96 for COCO)."""
    kl_weight: PositiveOrZero = 2.0
    """Weight of the divergence from a standard normal; a mean over a condition's numbers (lambda, equation 4)."""
    stage1_epochs: PositiveOrZero = 600.0
    """Passes over the data of the first stage, after the text encoder's; the rest is the second's."""
    halve1: Positive = 50.0
    """Learning rates are halved after each so many passes of the first stage."""
    halve2: Positive = 100.0
    """The same of the second."""
    lr: PositiveOrZero = 0.0002
    """Learning rate of all networks but the encoder."""
    beta1: Annotated[float, Range(least=0, below=1)] = 0.5
    """Adam's first beta."""

    def resolve(self, spec: DataSpec, batch: int) -> StackGAN:
        """The same with sizes that fit the images.

        Raises:
            UserError: batches of one image, or images that are too small for two stages.
        """
        check_pairs(batch)
        if self.stages == 1:
            return replace(self, halvings=None)
        if self.halvings is None:
            return replace(self, halvings=2 if min(spec.resolution) >= 32 else 1)
        return self

    def like(self, other: StackGAN, spec: DataSpec) -> StackGAN:
        """These settings with the architecture of ``other``."""
        names = ("stages", "halvings", "z_dim", "condition", "width", "blocks", "width_d")
        return replace(self, **{name: getattr(other, name) for name in (*names, *_TEXT)})

    def toy(self) -> StackGAN:
        """Tiny networks, for tests."""
        tiny = replace(self, z_dim=6, condition=4, width=4, width_d=4, blocks=1)
        return replace(tiny, text_dim=8, text_width=8, text_layers=1, text_epochs=0.1, stage1_epochs=0.2)

    def build(self, spec: DataSpec) -> Method:
        """The encoder, the generator, a discriminator for each stage, and their phases.

        Raises:
            UserError: there is no text, or images of this size can't be made.
        """
        reader, dim = Reader(self, spec), self.dim(spec)
        if not dim:
            raise UserError("StackGAN makes images from text, and there are no captions", hint="say --captions auto")
        if self.stages == 2 and self.halvings is None:
            raise ValueError("call resolve(spec, batch) before build(spec)")
        generator = Generator(self, spec)
        low = generator.small
        critics: dict[str, nn.Module] = {"D1": TextCritic(low, spec.channels, self.width_d, self.condition, False)}
        losses = _Losses(self, reader)
        phases = [Phase("D1", "D1", losses.d1, active=lambda stage: stage == 1, after=_reached(1))]
        if self.stages == 2:
            critics["D2"] = TextCritic(spec.resolution, spec.channels, self.width_d, self.condition, True)
            phases.append(Phase("D2", "D2", losses.d2, active=lambda stage: stage == 2, after=_reached(2)))
        phases.append(Phase("G", "G", losses.g, active=lambda stage: stage > 0))
        adam = Adam(self.lr, (self.beta1, 0.999))
        length = self.z_dim + self.stages * self.condition
        latents = Latents(
            *("G", length, length, 1, dim),
            mapping=lambda net, z, vectors: generator_of(net).codes(z, vectors)[:, None],
            synthesis=lambda net, ws, noise, rng: generator_of(net)(ws[:, 0]),
            center=lambda net: torch.zeros(length, device=next(net.parameters()).device),
            critic=f"D{self.stages}",
            text=reader.access(lambda net, vectors: generator_of(net).conditions[-1](vectors)[0]),
        )
        return Method(
            nets={**reader.nets(), "G": generator, **critics},
            players={
                **reader.players(),
                **{name: Player((name,), adam) for name in critics},
                "G": Player(("G",), adam),
            },
            phases=(*reader.phases(), *phases),
            models={"G": latents},
            frozen=reader.frozen(),
            schedule=self.schedule if reader.learns else replace(self, text_epochs=0.0).schedule,
        )

    def schedule(self, clock: Clock) -> Schedule:
        """Text, the first stage, the second; within a stage rates are halved again and again.

        Example:
            >>> [StackGAN().schedule(Clock(1000 * epoch, count=1000)).stage for epoch in (19, 20, 619, 620)]
            [0, 1, 1, 2]
            >>> [StackGAN().schedule(Clock(1000 * epoch, count=1000)).rate for epoch in (69, 70, 719, 720)]
            [1.0, 0.5, 1.0, 0.5]
        """
        since = clock.epoch - self.text_epochs
        if since < 0:
            return Schedule(stage=0)
        if self.stages == 1 or since < self.stage1_epochs:
            return Schedule(rate=0.5 ** (since // self.halve1), stage=1)
        return Schedule(rate=0.5 ** ((since - self.stage1_epochs) // self.halve2), stage=2)


_TEXT = ("text_dim", "text_width", "text_layers")


class _Losses:
    """The losses of both stages. G's phase takes the noise of D's before it, so both see the same images."""

    def __init__(self, config: StackGAN, reader: Reader) -> None:
        self.config, self.reader = config, reader

    def d1(self, nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
        """Equation 3, and the pairs of section 3.3.3."""
        generator, critic, told = self._start(nets, batch, "D1")
        z = self._noise(batch, rng)
        with torch.no_grad():
            mean, _ = generator.conditions[0](told)
            fakes = generator.first(generator.codes(z, told))
        features = critic.features(shrink(batch.images, generator.halvings))
        scores = critic.conditional(features, mean)
        wrong = critic.conditional(features[:-1], mean[1:])
        fake = critic.conditional(critic.features(fakes), mean)
        loss = real(scores) + (false_where(wrong, _different(told)) + false(fake)) / 2
        stats = {"loss/D": loss, "scores/real": scores.mean(), "scores/wrong": wrong.mean(), "scores/fake": fake.mean()}
        return Result(loss, stats | self.reader.checked(nets, batch, fakes, "fake"), {"z1": z})

    def d2(self, nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
        """Equation 5, with a second head that sees images alone, as in the authors' PyTorch code."""
        generator, critic, told = self._start(nets, batch, "D2")
        z = self._noise(batch, rng)
        with torch.no_grad():
            mean, _ = generator.conditions[1](told)
            fakes = generator.second(generator.codes(z, told))
        features, features_fake = critic.features(batch.images), critic.features(fakes)
        scores, fake = critic.conditional(features, mean), critic.conditional(features_fake, mean)
        wrong = critic.conditional(features[:-1], mean[1:])
        loss = (real(scores) + real(critic.unconditional(features))) / 2
        loss = (
            loss + (false_where(wrong, _different(told)) + false(fake) + false(critic.unconditional(features_fake))) / 3
        )
        stats = {"loss/D": loss, "scores/real": scores.mean(), "scores/wrong": wrong.mean(), "scores/fake": fake.mean()}
        return Result(loss, stats | self.reader.checked(nets, batch, fakes, "fake"), {"z2": z})

    def g(self, nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
        """Equation 4 or 6: of the stage whose D has just learned and left its noise."""
        adversarial = divergence = torch.zeros((), device=batch.images.device)
        if "z1" in batch.carry:
            generator, critic, told = self._start(nets, batch, "D1")
            mean, log_variance = generator.conditions[0](told)
            features = critic.features(generator.first(generator.codes(batch.carry["z1"], told)))
            adversarial = adversarial + real(critic.conditional(features, mean.detach()))
            divergence = divergence + self._divergence(mean, log_variance)
        if "z2" in batch.carry:
            generator, critic, told = self._start(nets, batch, "D2")
            mean, log_variance = generator.conditions[1](told)
            features = critic.features(generator.second(generator.codes(batch.carry["z2"], told)))
            adversarial = adversarial + real(critic.conditional(features, mean.detach()))
            adversarial = adversarial + real(critic.unconditional(features))
            divergence = divergence + self._divergence(mean, log_variance)
        loss = adversarial + self.config.kl_weight * divergence
        return Result(loss, {"loss/G": loss, "terms/adversarial": adversarial, "terms/divergence": divergence})

    def _divergence(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        return gaussian_divergence(mean, log_variance).mean() / self.config.condition

    def _start(self, nets: Nets, batch: Batch, critic: str) -> tuple[Generator, TextCritic, Tensor]:
        check_pairs(len(batch))
        found = nets[critic]
        assert isinstance(found, TextCritic)
        return generator_of(nets["G"]), found, self.reader.vectors(nets, batch)

    def _noise(self, batch: Batch, rng: torch.Generator) -> Tensor:
        length = self.config.z_dim + self.config.stages * self.config.condition
        return torch.randn(len(batch), length, generator=rng, device=batch.images.device)


def _different(told: Tensor) -> Tensor:
    """Of each text ``[N, D]`` but the last: 1 where the next one differs, else 0."""
    return (told[:-1] != told[1:]).any(1).float()


def _reached(stage: int) -> After:
    def after(nets: Nets, result: Result, rng: torch.Generator) -> None:
        """Samples are of the stage that was trained last."""
        generator_of(nets["G"]).stage.fill_(stage)

    return after


def generator_of(net: nn.Module) -> Generator:
    """``net``, which must be a generator of StackGAN."""
    if not isinstance(net, Generator):
        raise TypeError(f"not a StackGAN generator: {type(net).__name__}")
    return net


class Generator(nn.Module):
    """Both stages. Everything random comes in as z: the noise, then what conditions are drawn with, stage by stage.

    Attributes:
        small: height and width of the first stage's images.
        halvings: how often they are halved.
        stage: of the images that it gives: 1, enlarged, until the second stage is trained.
    """

    stage: Tensor

    def __init__(self, config: StackGAN, spec: DataSpec) -> None:
        super().__init__()
        self.halvings = (config.halvings or 0) if config.stages == 2 else 0
        self.lengths = [config.z_dim, *[config.condition] * config.stages]
        height, width = spec.resolution
        if height % 2**self.halvings or width % 2**self.halvings:
            hint = f"take sides that are multiples of {2**self.halvings}, or --stages 1"
            raise UserError(f"images of {height}x{width} can't be halved {self.halvings} times", hint=hint)
        self.small = (height >> self.halvings, width >> self.halvings)
        self.conditions = nn.ModuleList(
            Conditioning(config.dim(spec), config.condition, "relu") for _ in range(config.stages)
        )
        self.low = Low(config.z_dim + config.condition, self.small, spec.channels, config.width)
        self.high = High(config, self.halvings, self.small, spec.channels) if config.stages == 2 else None
        self.register_buffer("stage", torch.ones(()))
        self.apply(start)

    def codes(self, z: Tensor, vectors: Tensor) -> Tensor:
        """``z [N, sum(lengths)]`` and texts ``[N, text_dim]`` -> noise and conditions ``[N, sum(lengths)]``."""
        noise, *drawn = torch.split(z, self.lengths, 1)
        for number, layer in enumerate(self.conditions):
            mean, log_variance = layer(vectors)
            drawn[number] = sampled(mean, log_variance, drawn[number])
        return torch.cat([noise, *drawn], 1)

    def first(self, codes: Tensor) -> Tensor:
        """The first stage's images ``[N, C, *small]``, in [-1, 1]."""
        images: Tensor = self.low(torch.cat(torch.split(codes, self.lengths, 1)[:2], 1))
        return images

    def second(self, codes: Tensor) -> Tensor:
        """The second stage's images ``[N, C, H, W]``. The first stage learns nothing by them."""
        assert self.high is not None
        with torch.no_grad():
            small = self.first(codes)
        images: Tensor = self.high(small, torch.split(codes, self.lengths, 1)[2])
        return images

    def forward(self, codes: Tensor) -> Tensor:
        """Images ``[N, C, H, W]`` of the stage that is trained."""
        if self.high is not None and int(self.stage) == 2:
            return self.second(codes)
        return enlarge(self.first(codes), self.halvings)


class Low(nn.Module):
    """The first stage: a code ``[N, length]`` to an image, by doubling."""

    def __init__(self, length: int, resolution: tuple[int, int], channels: int, width: int) -> None:
        super().__init__()
        depth = levels(resolution)
        self.core, maps = (
            (resolution[0] >> depth, resolution[1] >> depth),
            [max(1, 8 * width >> k) for k in range(depth + 1)],
        )
        self.maps = maps[0]
        self.fc = nn.Linear(length, maps[0] * self.core[0] * self.core[1], bias=False)
        self.norm = nn.BatchNorm1d(self.fc.out_features)
        self.ups = nn.ModuleList(ConvNorm(a, b, "relu", double=True) for a, b in itertools.pairwise(maps))
        self.image = Conv2d(maps[-1], channels, 3, 1, 1, bias=False)

    def forward(self, codes: Tensor) -> Tensor:
        """``[N, length]`` -> ``[N, C, H, W]`` in [-1, 1]."""
        x = F.relu(self.norm(self.fc(codes.float()))).reshape(-1, self.maps, *self.core)
        x = to_compute(x)
        for up in self.ups:
            x = up(x)
        images: Tensor = self.image(x.float()).tanh()
        return images


class High(nn.Module):
    """The second stage: a small image and a condition to a large image."""

    def __init__(self, config: StackGAN, halvings: int, small: tuple[int, int], channels: int) -> None:
        super().__init__()
        if small[0] % 4 or small[1] % 4:
            hint = f"take a --resolution whose sides are multiples of {4 << halvings}"
            raise UserError(f"the second stage can't read images of {small[0]}x{small[1]}", hint=hint)
        width = config.width
        self.reads = nn.ModuleList(
            [
                ConvNorm(channels, width, "relu", norm=False),
                ConvNorm(width, 2 * width, "relu", kernel=4, stride=2),
                ConvNorm(2 * width, 4 * width, "relu", kernel=4, stride=2),
            ]
        )
        self.join = ConvNorm(4 * width + config.condition, 4 * width, "relu")
        self.blocks = nn.ModuleList(Residual(4 * width, "relu", "relu") for _ in range(config.blocks))
        maps = [max(1, 4 * width >> k) for k in range(2 + halvings + 1)]
        self.ups = nn.ModuleList(ConvNorm(a, b, "relu", double=True) for a, b in itertools.pairwise(maps))
        self.image = Conv2d(maps[-1], channels, 3, 1, 1, bias=False)

    def forward(self, small: Tensor, condition: Tensor) -> Tensor:
        """``[N, C, h, w]`` and ``[N, condition]`` -> ``[N, C, H, W]`` in [-1, 1]."""
        x = to_compute(small)
        for layer in self.reads:
            x = layer(x)
        told = condition[:, :, None, None].expand(-1, -1, *x.shape[2:]).to(x.dtype)
        x = self.join(torch.cat([x, told], 1))
        for layer in (*self.blocks, *self.ups):
            x = layer(x)
        images: Tensor = self.image(x.float()).tanh()
        return images
