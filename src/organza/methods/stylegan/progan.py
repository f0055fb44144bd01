"""ProGAN.

Tero Karras, Timo Aila, Samuli Laine, Jaakko Lehtinen: Progressive Growing of GANs for Improved Quality, Stability, and
Variation. ICLR 2018, arXiv 1710.10196.

What it changed: both networks begin with tiny images and grow, each new level fading in (section 2); the
discriminator sees the variation within a batch (section 3); weights are scaled at each use so that all layers learn at
one rate (section 4.1); the generator normalises the feature vector of each pixel (section 4.2). The loss is WGAN-GP's
(arXiv 1704.00028) with one critic step and a term against drift (appendix A). Images are generated with averaged
weights.

The networks are built at full size. How far they have grown is a pure function of the images seen (`nn/growing.py`);
a network also keeps the number in a buffer, so that a checkpoint from the middle of a training generates as it was
trained.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from organza.contract.data import Batch, DataSpec, Layout
from organza.contract.method import Adam, Clock, Method, Nets, Phase, Player, Result, Schedule, Stats
from organza.contract.model import Latents
from organza.core.device import to_compute
from organza.core.ranges import Count, CountOrZero, KimgOrZero, Positive, PositiveOrZero
from organza.methods.stylegan.stylegan2 import fit_widths, normalize, pyramid
from organza.nn.growing import Growing, Growth, at_size, enlarge, faded, level_and_alpha, shrink
from organza.nn.latent import block_sizes
from organza.nn.layers import EqualConv2d, EqualLinear, conv_down, conv_up, minibatch_stddev
from organza.nn.levels import check_channels, level_widths
from organza.nn.losses import logistic_d, logistic_g, wasserstein_d, wasserstein_g
from organza.nn.penalties import Function, interpolate, r1, root, wgan_gp
from organza.ops import bias_act, filter2d, setup_filter

Table = tuple[tuple[Count, Positive], ...]
NARROW_FROM = 16
"""Smaller features are computed in float32: normalising each layer passes its rounding on in full, and so do the
deviations within a batch, while few pixels average little of it out. Such layers take a small share of the time."""


@dataclass(frozen=True)
class ProGAN:
    """Settings of ProGAN; the defaults are the paper's (appendix A.1).

    Example:
        >>> config, spec = ProGAN().toy(), DataSpec((16, 16))
        >>> G = config.resolve(spec, 4).build(spec).nets["G"]
        >>> G(torch.randn(2, 8), torch.zeros(2, 0), progress=1.5).shape
        torch.Size([2, 3, 16, 16])
    """

    takes_labels: ClassVar[bool] = True
    layout: ClassVar[Layout] = "images"
    z_dim: Count = 512
    """Length of the latent code."""
    channel_base: Count = 16384
    """Feature maps at size s: channel_base / s."""
    channel_max: Count = 512
    """Most feature maps in a layer."""
    widths_g: tuple[Count, ...] | None = None
    """Feature maps of the generator's levels, the smallest image first. Default: by channel_base and channel_max."""
    widths_d: tuple[Count, ...] | None = None
    """The same of the discriminator."""
    dense_d: Count | None = None
    """Features of the discriminator's last hidden layer. Default: as many as feature maps at the smallest size."""
    blur: bool = False
    """Smooth with [1, 2, 1] after enlarging and before shrinking (StyleGAN's config B); else pixels are repeated."""
    pool_first: bool = False
    """Shrink before the bias and the activation, as NVIDIA's weights were trained; the paper's table 2 has it after."""
    dense_bias: Literal["map", "pixel"] = field(default="map", metadata={"absent": "pixel"})
    """The generator's first layer has a bias for each feature map; or for each of its pixels, as FAIR has it."""
    norm_first: bool = True
    """Normalise pixels after the first layer too; akanimax's weights were trained without."""
    mbstd_group: CountOrZero = 4
    """Group size of the minibatch standard deviation; 0 leaves it out."""
    mbstd: Literal["strided", "fair"] = "strided"
    """Which images form a group: i, i + N/4 ...; or neighbours, with the unbiased variance, as FAIR has it."""
    label_g: bool = True
    """Whether the generator sees labels."""
    label_d: Literal["auxiliary", "projection", "select"] = "auxiliary"
    """How the discriminator uses labels: it guesses them (AC-GAN, as the official code does); their product with the
    features is added (akanimax); or it has one output for each class (StyleGAN)."""
    label_weight: PositiveOrZero = 1.0
    """Weight of the guesses' cross-entropy in both losses."""
    loss: Literal["wgan-gp", "logistic"] = "wgan-gp"
    """WGAN-GP with drift, or the non-saturating loss with R1."""
    gp_weight: PositiveOrZero = 10.0
    """Weight of WGAN-GP's gradient penalty."""
    drift: PositiveOrZero = 0.001
    """Weight of the squared score of real images, with WGAN-GP."""
    r1_gamma: PositiveOrZero = 10.0
    """Weight of R1, with the logistic loss."""
    r1_every: Count = 1
    """Steps between R1 penalties; 1 makes them a part of every step, more makes them steps of their own."""
    start_size: Count = 4
    """Side of the first images."""
    fade_kimg: KimgOrZero = 800.0
    """A new level fades in over so many thousand images; 0 with a stable_kimg of 0: no growing at all."""
    stable_kimg: KimgOrZero = 800.0
    """Each level trains for so many before the next one comes."""
    batches: tuple[tuple[Count, CountOrZero], ...] = ((256, 14), (512, 6), (1024, 3))
    """Sizes from which on a step takes another number of images; below the first, and for 0, the run's own batch."""
    lr: Positive = 0.001
    """Learning rate of both networks."""
    rates: Table = ()
    """Sizes from which on the learning rate is another."""

    def resolve(self, spec: DataSpec, batch: int) -> ProGAN:
        """Nothing else depends on the data."""
        return self

    def like(self, other: ProGAN, spec: DataSpec) -> ProGAN:
        """These settings with the architecture of ``other``, which may generate another size, for images of ``spec``.

        Example:
            >>> ProGAN(lr=0.002).like(ProGAN(z_dim=16, widths_g=(8, 8)), DataSpec((16, 16))).widths_g
            (8, 8, 4)
        """
        levels = pyramid(spec.resolution, "ProGAN")[1] + 1
        same = {name: getattr(other, name) for name in self.architecture}
        widths_g, widths_d = fit_widths(other.widths_g, levels), fit_widths(other.widths_d, levels)
        return replace(self, **same, widths_g=widths_g, widths_d=widths_d)

    @property
    def architecture(self) -> tuple[str, ...]:
        """The settings that trained weights depend on."""
        sizes = ("z_dim", "channel_base", "channel_max", "dense_d")
        return (*sizes, "blur", "pool_first", "dense_bias", "norm_first", "mbstd_group", "mbstd", "label_g", "label_d")

    def toy(self) -> ProGAN:
        """Tiny networks that are fully grown after a few batches, for tests."""
        return replace(
            self,
            z_dim=8,
            channel_base=128,
            channel_max=8,
            widths_g=None,
            widths_d=None,
            dense_d=None,
            start_size=4,  # below it, colour layers are never in use
            fade_kimg=self.fade_kimg and 0.008,
            stable_kimg=self.stable_kimg and 0.004,
            batches=((16, 8),),
        )

    def build(self, spec: DataSpec) -> Method:
        """The networks and their two phases.

        Raises:
            UserError: images of a size or with channels that can't be built.
        """
        generator = Generator(self, spec)
        dims, sizes = (self.z_dim, generator.w_dim, 1, generator.label_dim), block_sizes(max(spec.resolution))
        latents = Latents("G", *dims, _mapping, _synthesis, _center, critic="D", first=first, sizes=sizes)
        return growing_method(self, spec, generator, Discriminator(self, spec), latents, PlayLoss(self, spec))


def growth(config: ProGAN, spec: DataSpec) -> Growth:
    """When each level comes.

    Example:
        >>> growth(ProGAN(start_size=8), DataSpec((64, 64)))
        Growth(start=1, end=4, fade_kimg=800.0, stable_kimg=800.0)
    """
    small, end = pyramid(spec.resolution, "ProGAN")
    start = next((i for i in range(end) if max(small) << i >= config.start_size), end)
    return Growth(start, end, config.fade_kimg, config.stable_kimg)


def schedule(config: ProGAN, spec: DataSpec, clock: Clock) -> Schedule:
    """Batch, learning rate and fresh optimizers by how far the networks have grown.

    Example:
        >>> schedule(ProGAN(rates=((8, 0.002),)), DataSpec((16, 16)), Clock(1_000_000))
        Schedule(batch=None, rate=2.0, rates={}, stage=1)
    """
    plan = growth(config, spec)
    level, _ = level_and_alpha(plan.progress(clock.seen))
    size = max(spec.resolution) >> (plan.end - level)
    batch, rate = at_size(config.batches, size), at_size(config.rates, size)
    return Schedule(int(batch or 0) or None, 1.0 if rate is None else rate / config.lr, stage=plan.stage(clock.seen))


def growing_method(
    config: ProGAN, spec: DataSpec, generator: nn.Module, discriminator: nn.Module, latents: Latents, loss: PlayLoss
) -> Method:
    """A method whose networks grow together, from its networks and its two losses.

    Raises:
        UserError: images with two channels, or more than four.
    """
    check_channels(spec)
    adam = Adam(config.lr, (0.0, 0.99))
    phases = [
        Phase("D", "D", loss.d_loss, after=loss.after, shapes=loss.shapes),
        Phase("G", "G", loss.g_loss, after=loss.after, shapes=loss.shapes),
    ]
    if loss.lazy:
        phases.insert(1, Phase("Dreg", "D", loss.d_reg, every=config.r1_every, gain=config.r1_every))
    return Method(
        nets={"G": generator, "D": discriminator},
        players={"D": Player(("D",), adam), "G": Player(("G",), adam)},
        phases=tuple(phases),
        models={"G": latents},
        ema=("G",),
        schedule=lambda clock: schedule(config, spec, clock),
        bf16=("training", "sampling"),
    )


def _generator(net: nn.Module) -> Generator:
    if not isinstance(net, Generator):
        raise TypeError(f"not a ProGAN generator: {type(net).__name__}")
    return net


def _mapping(net: nn.Module, z: Tensor, labels: Tensor) -> Tensor:
    return (torch.cat([z, labels], 1) if _generator(net).label_dim else z)[:, None]


def _synthesis(net: nn.Module, ws: Tensor, noise: str, rng: torch.Generator | None) -> Tensor:
    net = _generator(net)
    return net.draw(ws[:, 0], net.progress())


def _center(net: nn.Module) -> Tensor:
    return net.get_buffer("grown").new_zeros(_generator(net).w_dim)


def first(net: nn.Module) -> Tensor:
    """The weights ``[features, w_dim]`` that read the code and its label."""
    return _generator(net).dense.weight


# --- networks --------------------------------------------------------------------------------------------------------


def channels(config: ProGAN, player: Literal["G", "D"], levels: int) -> list[int]:
    """Feature maps of each level, the smallest image first.

    Raises:
        UserError: explicit widths that don't fit the number of levels.

    Example:
        >>> channels(ProGAN(), "G", levels=5)
        [512, 512, 512, 512, 256, 128]
    """
    explicit = config.widths_g if player == "G" else config.widths_d
    return level_widths(explicit, f"widths_{player.lower()}", config.channel_base, config.channel_max, levels)


class GeneratorBlock(nn.Module):
    """The layers of one size; ``inputs`` is 0 for the smallest."""

    def __init__(self, inputs: int, outputs: int, colours: int) -> None:
        super().__init__()
        self.conv0 = EqualConv2d(inputs, outputs, 3, act="lrelu", gain_first=True) if inputs else None
        self.conv1 = EqualConv2d(outputs, outputs, 3, act="lrelu", gain_first=True)
        self.to_rgb = EqualConv2d(outputs, colours, 1)

    def forward(self, x: Tensor, taps: Tensor | None) -> Tensor:
        """``[N, inputs, H, W] -> [N, outputs, 2 H, 2 W]``, or the same size at the smallest."""
        if self.conv0 is not None:
            x = to_compute(pixel_norm(up(self.conv0, x, taps)), NARROW_FROM)
        x = self.conv1(x)
        return pixel_norm(x)


def pixel_norm(x: Tensor, eps: float = 1e-8) -> Tensor:
    """Scale the feature vector of each pixel to unit mean square (section 4.2): ``[N, C, H, W]``, in its own format.

    It is computed in float32.

    Example:
        >>> pixel_norm(torch.full((1, 4, 2, 2), 3.0)).unique()
        tensor([1.])
    """
    y = x.float()
    return (y * (y.square().mean(1, keepdim=True) + eps).rsqrt()).to(x.dtype)


def up(conv: EqualConv2d, x: Tensor, taps: Tensor | None) -> Tensor:
    """An enlarging layer: repeat pixels, convolve, smooth with ``taps``, bias and activation."""
    x = conv_up(x, conv.weight * conv.weight_gain)
    x = x if taps is None else filter2d(x, taps)
    return bias_act(x, conv.bias, conv.act, gain=conv.gain)


class Generator(Growing):
    """Latent codes and labels to images: table 2 of the paper.

    Attributes:
        w_dim: length of what goes in: the code, and the label where there is one.
    """

    taps: Tensor | None

    def __init__(self, config: ProGAN, spec: DataSpec) -> None:
        plan = growth(config, spec)
        super().__init__(plan.start)
        self.small, self.end = pyramid(spec.resolution)
        widths = channels(config, "G", self.end)
        self.label_dim = spec.label_dim if config.label_g else 0
        self.w_dim = config.z_dim + self.label_dim
        self.norm_first = config.norm_first
        area = self.small[0] * self.small[1]
        self.register_buffer("taps", setup_filter([1, 2, 1]) if config.blur else None)
        shared = area if config.dense_bias == "map" else 1
        self.dense = EqualLinear(self.w_dim, widths[0] * area, act="lrelu", gain_first=True, share_bias=shared)
        self.dense.weight_gain /= area**0.5  # the paper's convolution on an image of one pixel
        self.blocks = nn.ModuleList(GeneratorBlock(a, b, spec.channels) for a, b in pairwise([0, *widths]))

    def forward(self, z: Tensor, labels: Tensor, progress: float | None = None) -> Tensor:
        """``z [N, z_dim], labels [N, label_dim]`` to images at full size, however far it has grown."""
        images = self.draw(_mapping(self, z, labels)[:, 0], self.progress() if progress is None else progress)
        return images

    def draw(self, w: Tensor, progress: float) -> Tensor:
        """``w [N, w_dim]`` to images ``[N, C, H, W]`` of full size; while it grows, with large pixels."""
        return enlarge(self.draw_level(w, progress), self.end - level_and_alpha(progress)[0])

    def draw_level(self, w: Tensor, progress: float) -> Tensor:
        """``w [N, w_dim]`` to images of the level that ``progress`` has reached, float32."""
        level, alpha = level_and_alpha(progress)
        images = self.draw_levels(w, level, level if alpha == 1 else level - 1)
        return images[0] if alpha == 1 else enlarge(images[0], 1).lerp(images[1], alpha)

    def draw_levels(self, w: Tensor, last: int | None = None, first: int = 0) -> list[Tensor]:
        """``w [N, w_dim]`` to the images of each level from ``first`` to ``last`` (None: the largest), float32."""
        x: Tensor = self.dense(normalize(w.float()))
        x = to_compute(x.reshape(w.shape[0], -1, *self.small), NARROW_FROM)
        x = pixel_norm(x) if self.norm_first else x
        images: list[Tensor] = []
        for index, block in enumerate(self.blocks[: (self.end if last is None else last) + 1]):
            assert isinstance(block, GeneratorBlock)
            x = block(x, self.taps)
            if index >= first:
                images.append(block.to_rgb(x.float()))
        return images


class DiscriminatorBlock(nn.Module):
    """Two convolutions; the second one halves the image."""

    def __init__(self, inputs: int, outputs: int, colours: int, *, pool_first: bool) -> None:
        super().__init__()
        self.pool_first = pool_first
        self.from_rgb = EqualConv2d(colours, inputs, 1, act="lrelu", gain_first=True)
        self.conv0 = EqualConv2d(inputs, inputs, 3, act="lrelu", gain_first=True)
        self.conv1 = EqualConv2d(inputs, outputs, 3, act="lrelu", gain_first=True)

    def forward(self, x: Tensor, taps: Tensor | None) -> Tensor:
        """``[N, inputs, H, W] -> [N, outputs, H / 2, W / 2]``."""
        x = self.conv0(x)
        return down(self.conv1, x, taps, self.pool_first)


def down(conv: EqualConv2d, x: Tensor, taps: Tensor | None, pool_first: bool) -> Tensor:
    """A shrinking layer: smooth with ``taps``, convolve, average 2x2 pixels, bias and activation."""
    x = x if taps is None else filter2d(x, taps)
    if not pool_first:
        return shrink(conv(x), 1)
    return bias_act(conv_down(x, conv.weight * conv.weight_gain), conv.bias, conv.act, gain=conv.gain)


class Discriminator(Growing):
    """The critic: ``images [N, C, H, W], labels [N, label_dim] -> scores [N, 1]``, float32: table 2 of the paper."""

    taps: Tensor | None

    def __init__(self, config: ProGAN, spec: DataSpec) -> None:
        plan = growth(config, spec)
        super().__init__(plan.start)
        small, self.end = pyramid(spec.resolution)
        widths = channels(config, "D", self.end)
        self.group, self.kind = config.mbstd_group, config.mbstd
        self.label_dim, self.label_d = spec.label_dim, config.label_d
        inner = config.dense_d or widths[0]
        self.register_buffer("taps", setup_filter([1, 2, 1]) if config.blur else None)
        self.blocks = nn.ModuleList(
            DiscriminatorBlock(widths[i], widths[i - 1], spec.channels, pool_first=config.pool_first)
            for i in range(self.end, 0, -1)
        )
        self.from_rgb = EqualConv2d(spec.channels, widths[0], 1, act="lrelu", gain_first=True)
        self.conv = EqualConv2d(widths[0] + (self.group > 0), widths[0], 3, act="lrelu", gain_first=True)
        self.dense = EqualLinear(widths[0] * small[0] * small[1], inner, act="lrelu", gain_first=True)
        extra = {"auxiliary": spec.label_dim, "projection": 0, "select": max(spec.label_dim - 1, 0)}[config.label_d]
        self.out = EqualLinear(inner, 1 + extra)
        project = spec.label_dim and config.label_d == "projection"
        self.embed = nn.Parameter(torch.randn(spec.label_dim, inner)) if project else None

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Scores of images at full size: positive for images that seem real."""
        progress = self.progress()
        return self.judge(shrink(images.float(), self.end - level_and_alpha(progress)[0]), labels, progress)[0]

    def judge(self, images: Tensor, labels: Tensor, progress: float) -> tuple[Tensor, Tensor | None]:
        """Scores ``[N, 1]`` of images of the level that ``progress`` has reached, and guesses at their labels."""
        level, alpha = level_and_alpha(progress)
        first = self.end - level
        x = self._read(images, first)
        for index, block in enumerate(self.blocks[first:]):
            x = to_compute(block(x, self.taps), NARROW_FROM)
            if index == 0 and alpha < 1:
                x = self._read(shrink(images, 1), first + 1).lerp(x, alpha)
        x = x.float()
        if self.group:
            x = (fair_stddev if self.kind == "fair" else minibatch_stddev)(x, self.group)
        x = self.conv(x)
        features = self.dense(x.flatten(1))
        return self._score(features, self.out(features), labels)

    def _read(self, images: Tensor, index: int) -> Tensor:
        block = self.blocks[index] if index < len(self.blocks) else self
        reader = block.from_rgb
        assert isinstance(reader, EqualConv2d)
        x: Tensor = reader(to_compute(images, NARROW_FROM))
        return x

    def _score(self, features: Tensor, out: Tensor, labels: Tensor) -> tuple[Tensor, Tensor | None]:
        if not self.label_dim:
            return out, None
        if self.label_d == "auxiliary":
            return out[:, :1], out[:, 1:]
        if self.embed is None:
            return (out * labels).sum(1, keepdim=True), None
        # As akanimax has it: rows of at most unit length, and an activation on the plain score.
        rows = self.embed / root(self.embed.square().sum(1, keepdim=True)).clamp(min=1)
        return F.leaky_relu(out, 0.2) + (features * (labels @ rows)).sum(1, keepdim=True), None


def fair_stddev(x: Tensor, group: int) -> Tensor:
    """`minibatch_stddev` as FAIR has it: unbiased, over neighbours, or the whole batch where groups would be uneven.

    Args:
        x: ``[N, C, H, W]``.
        group: images in a group.

    Returns:
        ``[N, C + 1, H, W]``.

    Example:
        >>> fair_stddev(torch.zeros(6, 2, 4, 4), group=4).shape
        torch.Size([6, 3, 4, 4])
    """
    n = len(x)
    group = min(group, n) if n % min(group, n) == 0 else n
    groups = x.float().reshape(-1, group, *x.shape[1:])
    means = groups.var(1, unbiased=group > 1).add(1e-8).sqrt().flatten(1).mean(1).repeat_interleave(group)
    return torch.cat([x, means[:, None, None, None].expand(n, 1, *x.shape[2:]).to(x.dtype)], 1)


# --- training --------------------------------------------------------------------------------------------------------


class PlayLoss:
    """The two losses of networks that grow, and what remembers how far they are."""

    def __init__(self, config: ProGAN, spec: DataSpec) -> None:
        self.config, self.growth = config, growth(config, spec)
        self.lazy = config.loss == "logistic" and config.r1_every > 1
        self.shapes: dict[str, tuple[int, ...]] = {}

    def draw(self, net: nn.Module, batch: Batch, progress: float, rng: torch.Generator) -> tuple[Tensor, Stats]:
        """Images of the present level, one for each label of ``batch``."""
        net = _generator(net)
        z = torch.randn(len(batch), self.config.z_dim, generator=rng, device=batch.images.device)
        return net.draw_level(_mapping(net, z, batch.labels)[:, 0], progress), {}

    def d_loss(self, nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
        """What the discriminator minimises: real against fake, its penalty, its guesses at labels."""
        config, critic, progress = self.config, _critic(nets["D"]), self.growth.progress(batch.seen)
        with torch.no_grad():
            fakes, stats = self.draw(nets["G"], batch, progress, rng)
        reals = faded(batch.images, progress, self.growth.end)
        real, real_guess = critic.judge(reals, batch.labels, progress)
        fake, fake_guess = critic.judge(fakes, batch.labels, progress)
        loss = logistic_d(real, fake)
        if config.loss == "wgan-gp":
            penalty = wgan_gp(self._scores(critic, batch, progress), interpolate(reals, fakes, rng))
            loss = wasserstein_d(real, fake) + config.drift * real.square() + config.gp_weight * penalty[:, None]
            stats["penalty/gradient"] = penalty.mean()
        elif not self.lazy:
            penalty = r1(self._scores(critic, batch, progress), reals)
            loss = loss + config.r1_gamma / 2 * penalty[:, None]
            stats["penalty/r1"] = penalty.mean()
        stats |= {"scores/real": real.mean(), "scores/fake": fake.mean()}
        total = loss.mean()
        for name, guess in {"real": real_guess, "fake": fake_guess}.items():
            if guess is not None:
                wrong = F.cross_entropy(guess, batch.labels)
                total, stats[f"labels/{name}"] = total + config.label_weight * wrong, wrong
        return Result(total, self._finish({**stats, "loss/D": total}, progress))

    def d_reg(self, nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
        """R1 in steps of its own (StyleGAN2, section 3.1)."""
        progress = self.growth.progress(batch.seen)
        scores = self._scores(_critic(nets["D"]), batch, progress)
        penalty = r1(scores, faded(batch.images, progress, self.growth.end)).mean()
        return Result(self.config.r1_gamma / 2 * penalty, {"penalty/r1": penalty.detach()})

    def _scores(self, critic: Discriminator, batch: Batch, progress: float) -> Function:
        """What penalties differentiate.

        The authors' networks take images of full size at every level, with large pixels: their gradients are shorter
        by the square root of the pixels' area.
        """
        share = 0.5 ** (self.growth.end - level_and_alpha(progress)[0])
        return lambda images: critic.judge(images, batch.labels, progress)[0] * share

    def g_loss(self, nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
        """What the generator minimises."""
        progress = self.growth.progress(batch.seen)
        fakes, stats = self.draw(nets["G"], batch, progress, rng)
        fake, guess = _critic(nets["D"]).judge(fakes, batch.labels, progress)
        total = (wasserstein_g if self.config.loss == "wgan-gp" else logistic_g)(fake).mean()
        if guess is not None:
            total = total + self.config.label_weight * F.cross_entropy(guess, batch.labels)
        return Result(total, self._finish({**stats, "loss/G": total}, progress))

    def _finish(self, stats: Stats, progress: float) -> Stats:
        device = stats[next(iter(stats))].device
        grown = {"growth/level": torch.tensor(progress, device=device)}
        return {name: value.detach() for name, value in (stats | grown).items()}

    def after(self, nets: Nets, result: Result, rng: torch.Generator) -> None:
        """Note in the networks how far they have grown, for those who load them."""
        for net in nets.values():
            net.get_buffer("grown").copy_(result.stats["growth/level"])


def _critic(net: nn.Module) -> Discriminator:
    if not isinstance(net, Discriminator):
        raise TypeError(f"not a ProGAN discriminator: {type(net).__name__}")
    return net
