"""StyleGAN2.

Analyzing and Improving the Image Quality of StyleGAN. Tero Karras, Samuli Laine, Miika Aittala, Janne Hellsten,
Jaakko Lehtinen, Timo Aila. CVPR 2020, arXiv 1912.04958.

What it changed since StyleGAN (arXiv 1812.04948): instance normalisation becomes demodulation of the weights (eq. 1-3),
noise and bias move after it, progressive growing becomes skip connections in G and residual ones in D (section 4), path
lengths are regularised (eq. 4), and regularisers run lazily (section 3.1). Equation numbers below are the paper's.
Automatic settings, and details on which the paper is silent, follow the official implementations: weights trained
by either run in the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from organza.contract.data import Batch, DataSpec, Layout
from organza.contract.method import Adam, Method, Nets, Phase, Player, Result
from organza.core.device import to_compute
from organza.core.errors import UserError
from organza.core.ranges import Count, CountOrZero, Depth, Positive, PositiveOrZero, Share
from organza.nn.augmenter import Augmented, Augmenter
from organza.nn.latent import style_latents, style_mapping, style_synthesis
from organza.nn.layers import EqualConv2d, EqualLinear, conv_weight, minibatch_stddev
from organza.nn.levels import check_channels, level_widths
from organza.nn.losses import ADVERSARIAL, AdversarialLoss
from organza.nn.mixing import mixed_codes
from organza.nn.penalties import path_length_penalty, path_lengths, r1, r2
from organza.ops import ACTIVATIONS, downsample2d, inferring, modulated_conv2d, setup_filter, upsample2d

Architecture = Literal["skip", "resnet", "orig"]
Act = Literal["lrelu", "relu", "linear", "tanh", "sigmoid", "elu", "selu", "softplus", "swish"]
Noise = Literal["random", "const", "none"]
_HALF = 0.5**0.5  # the sum of two residual branches keeps unit variance


@dataclass(frozen=True)
class StyleGAN2(Augmented):
    """Settings of StyleGAN2. None means automatic: filled in by `resolve` from the images' size and the batch.

    Example:
        >>> config = StyleGAN2(channel_base=256, channel_max=8, z_dim=8, w_dim=8)
        >>> spec = DataSpec(resolution=(16, 24))
        >>> method = config.resolve(spec, batch=4).build(spec)
        >>> G = method.nets["G"]
        >>> G(torch.randn(2, 8), torch.zeros(2, 0)).shape
        torch.Size([2, 3, 16, 24])
    """

    takes_labels: ClassVar[bool] = True
    layout: ClassVar[Layout] = "images"
    z_dim: Count = 512
    """Length of the latent code z."""
    w_dim: Count = 512
    """Length of the intermediate code w."""
    mapping_layers: Depth = 2
    """Layers of the mapping network; the paper has 8."""
    mapping_lr: Positive = 0.01
    """Factor on the mapping network's learning rate."""
    channel_base: Count | None = None
    """Feature maps at size s: channel_base / s. Automatic: 32768 from 512 pixels up, 16384 below."""
    channel_max: Count = 512
    """Most feature maps in a layer."""
    widths_g: tuple[Count, ...] | None = None
    """Feature maps of the generator's levels, the smallest image first. Default: by channel_base and channel_max."""
    widths_d: tuple[Count, ...] | None = None
    """The same of the discriminator."""
    mapping_g: tuple[Count, ...] | None = None
    """Widths of the mapping network: the labels' embedding, then each layer. Default: w_dim throughout."""
    mapping_d: tuple[Count, ...] | None = None
    """The same for the discriminator's labels. Default: nine times its last width."""
    architecture_g: Architecture = "skip"
    """How the generator's blocks are joined (figure 7)."""
    architecture_d: Architecture = "resnet"
    """How the discriminator's blocks are joined (figure 7)."""
    resample_taps: tuple[int, ...] = (1, 3, 3, 1)
    """Low-pass filter of every resampling, one axis."""
    resample_taps_d: tuple[int, ...] | None = None
    """The discriminator's, where it has another."""
    activation_g: Act = "lrelu"
    """Activation function of the synthesis network."""
    activation_d: Act = "lrelu"
    """Activation function of the discriminator."""
    activation_head: Act | None = None
    """The discriminator's at the smallest size, where it is another."""
    activation_mapping: Act = "lrelu"
    """Activation function of the mapping networks."""
    activation_mapping_d: Act | None = None
    """The discriminator's mapping network's, where it is another."""
    noise: Noise = "random"
    """Noise inputs while training."""
    mbstd_group: Count | None = None
    """Group size of the minibatch standard deviation. Automatic: the batch, at most 4."""
    mbstd_channels: CountOrZero = 1
    """Feature maps that hold it; 0 leaves it out."""
    conv_clamp: Positive | None = None
    """Limit on activations; 256 in mixed precision of the official implementation. Default: no limit."""
    conv_clamp_d: Positive | Literal["same"] | None = "same"
    """The discriminator's, where it has another."""
    lr: PositiveOrZero | None = None
    """Learning rate of both networks. Automatic: 0.002 from 1024 pixels up, 0.0025 below."""
    r1_gamma: PositiveOrZero | None = None
    """Weight of the R1 penalty; 0 leaves it out. Automatic: 0.0002 * height * width / batch."""
    r1_every: Count = 16
    """Steps between R1 (and R2) penalties."""
    r2_gamma: PositiveOrZero = 0.0
    """Weight of the R2 penalty, the same as R1 for generated images; 0 leaves it out."""
    loss: AdversarialLoss = "logistic"
    """What D and G minimise: the paper's logistic loss, hinge, least-squares, wasserstein, or R3GAN's relativistic."""
    freeze_d: CountOrZero = 0
    """So many blocks of D, the largest images first, stay as they are (FreezeD, for --resume FILE)."""
    pl_weight: PositiveOrZero = 2.0
    """Weight of the path-length penalty; 0 leaves it out."""
    pl_every: Count = 4
    """Steps between path-length penalties."""
    pl_batch_shrink: Count = 2
    """Path lengths are measured on this fraction of a batch."""
    pl_decay: Share = 0.01
    """Weight of a batch in the running mean of path lengths."""
    style_mixing: Share = 0.9
    """Share of batches in which two codes are mixed."""
    w_avg_decay: Share = 0.995
    """Decay of the running mean of w."""

    def resolve(self, spec: DataSpec, batch: int) -> StyleGAN2:
        """Fill in what is automatic.

        Args:
            spec: the images.
            batch: images in a step, over all processes.

        Example:
            >>> StyleGAN2().resolve(DataSpec(resolution=(64, 64)), batch=16).r1_gamma
            0.0512
        """
        size, base, lr = max(spec.resolution), self.channel_base, self.lr
        return replace(
            self,
            channel_base=(32768 if size >= 512 else 16384) if base is None else base,
            mbstd_group=stddev_group(self.mbstd_group, batch),
            lr=(0.002 if size >= 1024 else 0.0025) if lr is None else lr,
            r1_gamma=r1_weight(self.r1_gamma, 0.0002, spec, batch),
        )

    def like(self, other: StyleGAN2, spec: DataSpec) -> StyleGAN2:
        """These settings with the architecture of ``other``, which may generate another size, for images of ``spec``.

        Example:
            >>> small = StyleGAN2(channel_base=512, mapping_layers=8)
            >>> StyleGAN2(lr=0.001).like(small, DataSpec((64, 64))).channel_base
            512
        """
        names = (
            *(
                "z_dim",
                "w_dim",
                "mapping_layers",
                "mapping_lr",
                "mapping_g",
                "mapping_d",
                "channel_base",
                "channel_max",
            ),
            *("architecture_g", "architecture_d", "resample_taps", "resample_taps_d", "conv_clamp", "conv_clamp_d"),
            *("activation_g", "activation_d", "activation_head", "activation_mapping"),
            *("activation_mapping_d", "mbstd_channels"),
        )
        levels = pyramid(spec.resolution)[1] + 1

        same = {name: getattr(other, name) for name in names}
        widths_g, widths_d = fit_widths(other.widths_g, levels), fit_widths(other.widths_d, levels)
        return replace(self, **same, widths_g=widths_g, widths_d=widths_d)

    def toy(self) -> StyleGAN2:
        """Tiny networks, for tests."""
        return replace(self, z_dim=8, w_dim=8, mapping_layers=2, channel_base=128, channel_max=8, mbstd_group=None)

    def build(self, spec: DataSpec) -> Method:
        """Networks with fresh random weights, and how they train. Call on a resolved configuration.

        Raises:
            UserError: if the resolution or the number of channels can't be built.
            ValueError: if `resolve` was not called.
        """
        if self.channel_base is None or self.mbstd_group is None or self.lr is None or self.r1_gamma is None:
            raise ValueError("call resolve(spec, batch) before build(spec)")
        check_channels(spec)
        generator, discriminator = Generator(self, spec), Discriminator(self, spec)
        if self.freeze_d > len(discriminator.blocks):
            raise UserError(f"--freeze-d {self.freeze_d}: D has {len(discriminator.blocks)} blocks")
        pl_mean = torch.zeros(())
        augmenter = Augmenter(self)
        loss = _Losses(self, pl_mean, augmenter)
        shapes = {"w_mean": (self.w_dim,)}
        phases = [Phase("Gmain", "G", loss.g_main, after=loss.track_w, shapes=shapes)]
        if self.pl_weight:
            often = self.pl_every
            phases.append(Phase("Greg", "G", loss.g_reg, every=often, gain=often, after=loss.track_pl, shapes=shapes))
        phases.append(Phase("Dmain", "D", loss.d_main, after=loss.after_d, shapes=shapes | augmenter.shapes))
        if self.r1_gamma or self.r2_gamma:
            phases.append(Phase("Dreg", "D", loss.d_reg, every=self.r1_every, gain=self.r1_every))
        adam = Adam(lr=self.lr, betas=(0.0, 0.99))
        return Method(
            nets={"G": generator, "D": discriminator},
            players={"G": Player(("G",), adam), "D": Player(("D",), adam)},
            phases=tuple(phases),
            models={"G": style_latents(self.z_dim, self.w_dim, generator.num_ws, spec)},
            ema=("G",),
            augment=augmenter if self.augment != "none" else None,
            state={"pl_mean": pl_mean, **augmenter.state},
            bf16=("training", "sampling"),
        )


def _generator(net: nn.Module) -> Generator:
    if not isinstance(net, Generator):
        raise TypeError(f"not a StyleGAN2 generator: {type(net).__name__}")
    return net


# --- shapes ----------------------------------------------------------------------------------------------------------


def pyramid(resolution: tuple[int, int], who: str = "StyleGAN2") -> tuple[tuple[int, int], int]:
    """Height and width of the learned constant, and how often it doubles to reach ``resolution``.

    ``who`` can't generate other sizes is said in the error.

    Raises:
        UserError: if the smaller side isn't 4, 5, 6 or 7 times a power of two that divides the larger side as well.

    Example:
        >>> pyramid((512, 768))
        ((4, 6), 7)
    """
    height, width = resolution
    doublings = 0
    while height % 2 == width % 2 == 0 and min(height, width) >= 8:
        height, width, doublings = height // 2, width // 2, doublings + 1
    if not 4 <= min(height, width) <= 7:
        raise UserError(
            f"{who} can't generate {resolution[1]}x{resolution[0]} pixels",
            hint="halving both sides must lead to a smaller side of 4 to 7 (64x64, 96x96, 512x768); "
            "choose another --resolution",
        )
    return (height, width), doublings


def fit_widths(widths: tuple[int, ...] | None, levels: int) -> tuple[int, ...] | None:
    """Feature maps of each level for another number of levels: the last ones left out, or new ones of half as many.

    Example:
        >>> fit_widths((16, 12, 8), 2), fit_widths((16, 12, 8), 5)
        ((16, 12), (16, 12, 8, 4, 2))
    """
    if widths is None:
        return None
    return (*widths, *(max(1, widths[-1] >> i) for i in range(1, levels - len(widths) + 1)))[:levels]


def _channels(config: StyleGAN2, player: str, levels: int) -> list[int]:
    """Feature maps of each level, the smallest image first."""
    assert config.channel_base is not None
    explicit = config.widths_g if player == "G" else config.widths_d
    return level_widths(explicit, f"widths_{player.lower()}", config.channel_base, config.channel_max, levels)


def stddev_group(given: int | None, batch: int) -> int:
    """Group size of the minibatch standard deviation: what is ``given``, or the batch, at most 4."""
    return min(batch, 4) if given is None else given


def r1_weight(given: float | None, factor: float, spec: DataSpec, batch: int) -> float:
    """Weight of the R1 penalty: what is ``given``, or ``factor`` times the pixels of an image over the batch.

    Example:
        >>> r1_weight(None, 0.0002, DataSpec((64, 64)), batch=16), r1_weight(3.0, 0.0002, DataSpec((64, 64)), batch=16)
        (0.0512, 3.0)
    """
    height, width = spec.resolution
    return factor * height * width / batch if given is None else given


def critic_clamp(config: StyleGAN2) -> float | None:
    """The limit on the discriminator's activations."""
    return config.conv_clamp if config.conv_clamp_d == "same" else config.conv_clamp_d


# --- generator -------------------------------------------------------------------------------------------------------


def normalize(x: Tensor, eps: float = 1e-8) -> Tensor:
    """Scale each row of ``[N, C]`` to unit mean square.

    Example:
        >>> normalize(torch.tensor([[3.0, 3.0]]))
        tensor([[1., 1.]])
    """
    return x * (x.square().mean(1, keepdim=True) + eps).rsqrt()


class Mapping(nn.Module):
    """The mapping network f: ``z [N, z_dim], labels [N, label_dim] -> [N, w_dim]``, always in float32.

    With ``z_dim == 0`` it maps labels alone, for the discriminator. ``widths``: see `StyleGAN2.mapping_g`.
    """

    def __init__(
        self, z_dim: int, label_dim: int, widths: Sequence[int], lr_multiplier: float, act: str = "lrelu"
    ) -> None:
        super().__init__()
        self.embed = EqualLinear(label_dim, widths[0]) if label_dim else None
        widths = [z_dim + (widths[0] if label_dim else 0), *widths[1:]]
        self.layers = nn.ModuleList(
            EqualLinear(a, b, act=act, lr_multiplier=lr_multiplier) for a, b in pairwise(widths)
        )

    def forward(self, z: Tensor | None, labels: Tensor) -> Tensor:
        """Map codes and labels to w."""
        parts = [] if z is None else [normalize(z.float())]
        if self.embed is not None:
            parts.append(normalize(self.embed(labels.float())))
        x = torch.cat(parts, 1)
        for layer in self.layers:
            x = layer(x)
        return x


class SynthesisLayer(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU (figure 2d)."""

    noise_const: Tensor

    def __init__(self, config: StyleGAN2, inputs: int, outputs: int, size: tuple[int, int], up: int = 1) -> None:
        super().__init__()
        self.up, self.clamp, self.act = up, config.conv_clamp, config.activation_g
        self.affine = EqualLinear(config.w_dim, inputs, bias_init=1.0)
        self.weight = nn.Parameter(conv_weight(outputs, inputs, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.randn(size))

    def forward(
        self, x: Tensor, w: Tensor, taps: Tensor, noise: str, rng: torch.Generator | None, gain: float = 1.0
    ) -> Tensor:
        """``x [N, C, H, W], w [N, w_dim]``; ``gain`` scales the result and its clamp."""
        clamp = None if self.clamp is None else self.clamp * gain
        return modulated_conv2d(
            x,
            self.weight,
            self.affine(w),
            noise=self._noise(noise, x.shape[0], rng),
            up=self.up,
            padding=1,
            resample_filter=taps,
            bias=self.bias,
            act=self.act,
            gain=ACTIVATIONS[self.act].gain * gain,
            clamp=clamp,
        )

    def _noise(self, kind: str, n: int, rng: torch.Generator | None) -> Tensor | None:
        if kind == "none":
            return None
        plane = self.noise_const
        if kind == "random":
            plane = torch.randn(n, 1, *plane.shape, generator=rng, device=plane.device)
        elif kind != "const":
            raise ValueError(f'noise is "const", "random" or "none", not {kind!r}')
        return plane * self.noise_strength


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to colours, in float32, without demodulation."""

    def __init__(self, config: StyleGAN2, inputs: int, colours: int) -> None:
        super().__init__()
        self.clamp = config.conv_clamp
        self.affine = EqualLinear(config.w_dim, inputs, bias_init=1.0)
        self.weight = nn.Parameter(conv_weight(colours, inputs, 1))
        self.bias = nn.Parameter(torch.zeros(colours))
        self.weight_gain = inputs**-0.5

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """``x [N, C, H, W], w [N, w_dim] -> [N, colours, H, W]``."""
        styles = self.affine(w) * self.weight_gain
        x = x if inferring() else x.float()  # a whole copy, only for the gradients' sake
        image = modulated_conv2d(x, self.weight, styles, demodulate=False, bias=self.bias, clamp=self.clamp)
        return image.float()


class SynthesisBlock(nn.Module):
    """The layers of one size. The first has a learned constant instead of an input and an upsampling layer."""

    def __init__(
        self, config: StyleGAN2, inputs: int, outputs: int, size: tuple[int, int], colours: int, *, last: bool
    ) -> None:
        super().__init__()
        self.const = nn.Parameter(torch.randn(outputs, *size)) if not inputs else None
        self.conv0 = SynthesisLayer(config, inputs, outputs, size, up=2) if inputs else None
        self.conv1 = SynthesisLayer(config, outputs, outputs, size)
        self.to_rgb = ToRGB(config, outputs, colours) if last or config.architecture_g == "skip" else None
        residual = inputs and config.architecture_g == "resnet"
        self.skip = EqualConv2d(inputs, outputs, 1, bias=False, up=2) if residual else None
        self.num_convs = 2 if inputs else 1

    def forward(
        self,
        x: Tensor | None,
        image: Tensor | None,
        ws: tuple[Tensor, ...],
        taps: Tensor,
        noise: str,
        rng: torch.Generator | None,
    ) -> tuple[Tensor, Tensor | None]:
        """Features and image so far -> the same at twice the size. ``ws``: one ``[N, w_dim]`` for each layer."""
        if self.conv0 is None or x is None:
            assert self.const is not None
            x = to_compute(self.const.expand(ws[0].shape[0], *self.const.shape))
            x = self.conv1(x, ws[0], taps, noise, rng)
        elif self.skip is None:
            x = self.conv0(x, ws[0], taps, noise, rng)
            x = self.conv1(x, ws[1], taps, noise, rng)
        else:
            shortcut = self.skip(x, taps, gain=_HALF)
            x = self.conv0(x, ws[0], taps, noise, rng)
            x = shortcut + self.conv1(x, ws[1], taps, noise, rng, gain=_HALF)
        if image is not None:
            image = upsample2d(image, taps)
        if self.to_rgb is not None:
            colours = self.to_rgb(x, ws[-1])
            image = colours if image is None else image + colours
        return x, image


class Synthesis(nn.Module):
    """The synthesis network g: ``ws [N, num_ws, w_dim] -> [N, C, H, W]``, float32, unbounded (data is in [-1, 1])."""

    taps: Tensor

    def __init__(self, config: StyleGAN2, spec: DataSpec) -> None:
        super().__init__()
        (height, width), doublings = pyramid(spec.resolution)
        widths = _channels(config, "G", doublings)
        self.register_buffer("taps", setup_filter(config.resample_taps))
        self.blocks = nn.ModuleList(
            SynthesisBlock(
                config,
                inputs=widths[i - 1] if i else 0,
                outputs=widths[i],
                size=(height << i, width << i),
                colours=spec.channels,
                last=i == doublings,
            )
            for i in range(doublings + 1)
        )
        # Colour layers share their w with the first layer of the next block; the last one has its own.
        self.num_ws = 2 * doublings + 2

    def forward(self, ws: Tensor, noise: str = "random", rng: torch.Generator | None = None) -> Tensor:
        """Generate images; ``noise`` is ``"random"`` (from ``rng``), ``"const"`` or ``"none"``."""
        each = ws.float().unbind(1)
        x: Tensor | None = None
        image: Tensor | None = None
        first = 0
        for block in self.blocks:
            assert isinstance(block, SynthesisBlock)
            x, image = block(x, image, each[first : first + block.num_convs + 1], self.taps, noise, rng)
            first += block.num_convs
        assert image is not None
        return image


class Generator(nn.Module):
    """Mapping and synthesis: ``z [N, z_dim], labels [N, label_dim] -> [N, C, H, W]``."""

    w_avg: Tensor

    def __init__(self, config: StyleGAN2, spec: DataSpec) -> None:
        super().__init__()
        widths = config.mapping_g or (config.w_dim,) * (config.mapping_layers + 1)
        if widths[-1] != config.w_dim:
            raise UserError(f"mapping_g {list(widths)} doesn't end in w_dim {config.w_dim}")
        self.mapping = Mapping(config.z_dim, spec.label_dim, widths, config.mapping_lr, config.activation_mapping)
        self.synthesis = Synthesis(config, spec)
        self.num_ws = self.synthesis.num_ws
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    @property
    def blocks(self) -> nn.ModuleList:
        """A block for each size, the smallest first."""
        return self.synthesis.blocks

    def forward(self, z: Tensor, labels: Tensor, noise: str = "const", rng: torch.Generator | None = None) -> Tensor:
        """Generate images, without truncation."""
        images: Tensor = self.synthesis(style_mapping(self, z, labels), noise, rng)
        return images


# --- discriminator ---------------------------------------------------------------------------------------------------


class DiscriminatorBlock(nn.Module):
    """Two convolutions; the second one halves the image."""

    def __init__(self, config: StyleGAN2, inputs: int, outputs: int, colours: int, *, first: bool) -> None:
        super().__init__()
        clamp, act = critic_clamp(config), config.activation_d
        self.kind = config.architecture_d
        reads = first or self.kind == "skip"
        self.from_rgb = EqualConv2d(colours, inputs, 1, act=act, clamp=clamp) if reads else None
        self.conv0 = EqualConv2d(inputs, inputs, 3, act=act, clamp=clamp)
        self.conv1 = EqualConv2d(inputs, outputs, 3, act=act, clamp=clamp, down=2)
        self.skip = EqualConv2d(inputs, outputs, 1, bias=False, down=2) if self.kind == "resnet" else None

    def forward(self, x: Tensor | None, image: Tensor, taps: Tensor) -> tuple[Tensor, Tensor]:
        """Features so far (None at first) and the image at this size -> the same at half the size."""
        if self.from_rgb is not None:
            colours = self.from_rgb(to_compute(image))
            x = colours if x is None else x + colours
        assert x is not None
        if self.kind == "skip":
            image = downsample2d(image, taps)
        if self.skip is None:
            return self.conv1(self.conv0(x), taps), image
        shortcut = self.skip(x, taps, gain=_HALF)
        return shortcut + self.conv1(self.conv0(x), taps, gain=_HALF), image


class Discriminator(nn.Module):
    """The critic: ``images [N, C, H, W], labels [N, label_dim] -> logits [N, 1]``, float32.

    With labels it is a projection discriminator (Miyato & Koyama 2018, arXiv 1802.05637, eq. 4) on mapped labels.
    """

    taps: Tensor

    def __init__(self, config: StyleGAN2, spec: DataSpec) -> None:
        super().__init__()
        assert config.mbstd_group is not None
        (height, width), doublings = pyramid(spec.resolution)
        widths = _channels(config, "D", doublings)
        colours, inner = spec.channels, widths[0]
        self.group, self.stddevs = config.mbstd_group, config.mbstd_channels
        act = config.activation_head or config.activation_d
        self.register_buffer("taps", setup_filter(config.resample_taps_d or config.resample_taps))
        self.blocks = nn.ModuleList(
            DiscriminatorBlock(config, widths[i], widths[i - 1], colours, first=i == doublings)
            for i in range(doublings, 0, -1)
        )
        reads = not self.blocks or config.architecture_d == "skip"
        self.from_rgb = EqualConv2d(colours, inner, 1, act=act) if reads else None
        self.conv = EqualConv2d(inner + self.stddevs, inner, 3, act=act, clamp=critic_clamp(config))
        self.dense = EqualLinear(inner * height * width, inner, act=act)
        about = config.mapping_d or (inner,) * 9
        self.out = EqualLinear(inner, about[-1] if spec.label_dim else 1)
        rate, mapped = config.mapping_lr, config.activation_mapping_d or config.activation_mapping
        self.mapping = Mapping(0, spec.label_dim, about, rate, mapped) if spec.label_dim else None

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Logits: positive for images that seem real."""
        x: Tensor | None = None
        image = images.float()
        for block in self.blocks:
            x, image = block(x, image, self.taps)
        x = None if x is None else x.float()
        if self.from_rgb is not None:
            colours = self.from_rgb(image)
            x = colours if x is None else x + colours
        assert x is not None
        x = self.conv(minibatch_stddev(x, self.group, channels=self.stddevs) if self.stddevs else x)
        logits: Tensor = self.out(self.dense(x.flatten(1)))
        if self.mapping is not None:
            about: Tensor = self.mapping(None, labels)
            logits = (logits * about).sum(1, keepdim=True) / about.shape[1] ** 0.5
        return logits


# --- training --------------------------------------------------------------------------------------------------------


class _Losses:
    """The four phases' losses and the running means that they feed."""

    def __init__(self, config: StyleGAN2, pl_mean: Tensor, augment: Augmenter) -> None:
        self.config, self.pl_mean, self.augment = config, pl_mean, augment
        self.loss = ADVERSARIAL[config.loss]

    def _judge(self, nets: Nets, images: Tensor, labels: Tensor, rng: torch.Generator) -> Tensor:
        scores: Tensor = nets["D"](self.augment(images, rng), labels)
        return scores

    def _freeze(self, net: nn.Module) -> None:
        """FreezeD (Mo et al. 2020, arXiv 2002.10964): gradients stay zero, and Adam leaves such weights alone."""
        assert isinstance(net, Discriminator)
        net.blocks[: self.config.freeze_d].requires_grad_(False)

    def _ws(self, net: nn.Module, labels: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Codes with style mixing ``[N, num_ws, w_dim]``, and the mean of w."""
        config, generator = self.config, _generator(net)
        return mixed_codes(generator.mapping, config.z_dim, labels, generator.num_ws, config.style_mixing, rng)

    def _draw(self, net: nn.Module, labels: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        ws, mean = self._ws(net, labels, rng)
        return style_synthesis(net, ws, self.config.noise, rng), mean

    def g_main(self, nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
        fake, mean = self._draw(nets["G"], batch.labels, rng)
        scores = self._judge(nets, fake, batch.labels, rng)
        real = None
        if self.loss.g_looks_at_reals:
            with torch.no_grad():
                real = self._judge(nets, batch.images, batch.labels, rng)
        loss = self.loss.g(real, scores).mean()
        seen = scores.detach()
        return Result(
            loss,
            {
                "loss/G": loss.detach(),
                "scores/fake": seen.mean(),
                "signs/fake": seen.sign().mean(),
                "w_mean": mean,
            },
        )

    def g_reg(self, nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
        generator = nets["G"]
        n = max(1, len(batch) // self.config.pl_batch_shrink)
        ws, mean = self._ws(generator, batch.labels[:n], rng)
        direction = torch.randn(n, *batch.images.shape[1:], generator=rng, device=batch.images.device)
        lengths = path_lengths(lambda w: style_synthesis(generator, w, self.config.noise, rng), ws, direction)
        penalty, _ = path_length_penalty(lengths, self.pl_mean.to(lengths.device), self.config.pl_decay)
        average = penalty.mean()
        return Result(
            average * self.config.pl_weight,
            {
                "pl/penalty": average.detach(),
                "pl/length": lengths.detach().mean(),
                "w_mean": mean,
            },
        )

    def d_main(self, nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
        with torch.no_grad():
            fake, mean = self._draw(nets["G"], batch.labels, rng)
        self._freeze(nets["D"])
        fake_scores = self._judge(nets, fake, batch.labels, rng)
        real_scores = self._judge(nets, batch.images, batch.labels, rng)
        loss = self.loss.d(real_scores, fake_scores).mean()
        seen = real_scores.detach()
        signs = self.loss.signs(seen, fake_scores.detach())
        return Result(
            loss,
            {
                "loss/D": loss.detach(),
                "scores/real": seen.mean(),
                "signs/real": signs.mean(),
                "w_mean": mean,
                **self.augment.measure(batch, signs),
            },
        )

    def d_reg(self, nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
        assert self.config.r1_gamma is not None
        self._freeze(nets["D"])
        loss, stats = torch.zeros((), device=batch.images.device), {}
        if self.config.r1_gamma:
            penalty = r1(lambda x: self._judge(nets, x, batch.labels, rng), batch.images).mean()
            loss = loss + penalty * (self.config.r1_gamma / 2)
            stats["r1/penalty"] = penalty.detach()
        if self.config.r2_gamma:
            with torch.no_grad():
                fake, _ = self._draw(nets["G"], batch.labels, rng)
            penalty = r2(lambda x: self._judge(nets, x, batch.labels, rng), fake).mean()
            loss = loss + penalty * (self.config.r2_gamma / 2)
            stats["r2/penalty"] = penalty.detach()
        return Result(loss, stats)

    def after_d(self, nets: Nets, result: Result, rng: torch.Generator) -> None:
        """Follow w, and adapt the augmentations."""
        self.track_w(nets, result, rng)
        self.augment.adapt(result.stats)

    def track_w(self, nets: Nets, result: Result, rng: torch.Generator) -> None:
        """Move the mean of w, the centre of truncation, a little to this step's."""
        average = _generator(nets["G"]).w_avg
        average.lerp_(result.stats["w_mean"].to(average.device), 1 - self.config.w_avg_decay)

    def track_pl(self, nets: Nets, result: Result, rng: torch.Generator) -> None:
        """Move the running mean of path lengths likewise."""
        self.track_w(nets, result, rng)
        self.pl_mean.lerp_(result.stats["pl/length"].to(self.pl_mean.device), self.config.pl_decay)
        result.stats["pl/mean"] = self.pl_mean.clone()
