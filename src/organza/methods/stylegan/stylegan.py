"""StyleGAN.

Tero Karras, Samuli Laine, Timo Aila: A Style-Based Generator Architecture for Generative Adversarial Networks. CVPR
2019, arXiv 1812.04948.

What it changed since ProGAN, in the order of its table 1 (configs A to F): A is ProGAN; B smooths where images are
enlarged and shrunk, begins at 8x8, and trains longer with the non-saturating loss and R1 (appendix C); C maps z to w
and lets w set the mean and spread of each feature map (eq. 1); D begins with a learned constant instead of a layer
that reads the code; E adds noise; F mixes the styles of two codes while it trains (section 3.1). The discriminator is
ProGAN's. A and B are settings of `ProGAN`; C to F are settings of the class below.

StyleGAN2's table 1 (arXiv 1912.04958) goes on from F with three configs that still grow: its B has demodulated weights,
its C runs R1 lazily, its D regularises path lengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from organza.contract.data import Batch, DataSpec
from organza.contract.method import Method, Nets, Phase, Result, Stats
from organza.core.device import to_compute
from organza.core.ranges import Count, CountOrZero, Depth, KimgOrZero, Positive, PositiveOrZero, Share
from organza.methods.stylegan.progan import (
    NARROW_FROM,
    Discriminator,
    PlayLoss,
    ProGAN,
    Table,
    channels,
    growing_method,
    growth,
)
from organza.methods.stylegan.stylegan2 import StyleGAN2, SynthesisLayer, ToRGB, normalize, pyramid
from organza.nn.growing import Growing, enlarge, level_and_alpha, shrink
from organza.nn.latent import style_latents, style_mapping
from organza.nn.layers import EqualConv2d, EqualLinear, conv_up, conv_weight
from organza.nn.mixing import mixed_codes
from organza.nn.penalties import path_length_penalty, path_lengths
from organza.ops import bias_act, conv2d, filter2d, setup_filter


@dataclass(frozen=True)
class StyleGAN(ProGAN):
    """Settings of StyleGAN; the defaults are config F's for FFHQ (appendix C), which has ProGAN's where none is named.

    Example:
        >>> config, spec = StyleGAN().toy(), DataSpec((16, 16))
        >>> G = config.resolve(spec, 4).build(spec).nets["G"]
        >>> G(torch.randn(2, 8), torch.zeros(2, 0), progress=2.0).shape
        torch.Size([2, 3, 16, 16])
    """

    blur: bool = True
    """Smooth with [1, 2, 1] after enlarging and before shrinking; else pixels are repeated."""
    pool_first: bool = True
    """Shrink before the bias and the activation."""
    loss: Literal["wgan-gp", "logistic"] = "logistic"
    """WGAN-GP with drift (for CelebA-HQ), or the non-saturating loss with R1 (for FFHQ)."""
    label_d: Literal["auxiliary", "projection", "select"] = "select"
    """How the discriminator uses labels; see `ProGAN.label_d`."""
    start_size: Count = 8
    """Side of the first images."""
    fade_kimg: KimgOrZero = 600.0
    """A new level fades in over so many thousand images."""
    stable_kimg: KimgOrZero = 600.0
    """Each level trains for so many before the next one comes."""
    batches: tuple[tuple[Count, CountOrZero], ...] = ((4, 512), (8, 256), (16, 128), (32, 64), (64, 0))
    """Sizes from which on a step takes another number of images; for 0, the run's own batch."""
    rates: Table = ((128, 0.0015), (256, 0.002), (512, 0.003))
    """Sizes from which on the learning rate is another."""
    w_dim: Count = 512
    """Length of the intermediate code w."""
    mapping_layers: Depth = 8
    """Layers of the mapping network."""
    mapping_dim: Count | None = None
    """Features of its hidden layers. Default: w_dim."""
    mapping_lr: Positive = 0.01
    """Factor on the mapping network's learning rate."""
    const_input: bool = True
    """Begin with a learned constant (D); else with a layer that reads w (C)."""
    noise: bool = True
    """Whether layers add noise (E)."""
    style_mixing: Share = 0.9
    """Share of batches in which two codes are mixed (F)."""
    w_avg_decay: Share = 0.995
    """Decay of the running mean of w."""
    demodulate: bool = False
    """StyleGAN2's layers: styles scale the weights, which are demodulated, instead of the features (its config B)."""
    pl_weight: PositiveOrZero = 0.0
    """Weight of StyleGAN2's path-length penalty; 0 leaves it out (its config D has 2)."""
    pl_every: Count = 4
    """Steps between path-length penalties."""
    pl_batch_shrink: Count = 2
    """Path lengths are measured on this fraction of a batch."""
    pl_decay: Share = 0.01
    """Weight of a batch in the running mean of path lengths."""

    @property
    def architecture(self) -> tuple[str, ...]:
        """The settings that trained weights depend on."""
        mapping = ("w_dim", "mapping_layers", "mapping_dim", "mapping_lr")
        return (*super().architecture, *mapping, "const_input", "noise", "demodulate")

    def toy(self) -> StyleGAN:
        """Tiny networks that are fully grown after a few batches, for tests."""
        small = super().toy()
        assert isinstance(small, StyleGAN)
        return replace(small, w_dim=8, mapping_layers=min(self.mapping_layers, 2), mapping_dim=None)

    def build(self, spec: DataSpec) -> Method:
        """The networks and their phases.

        Raises:
            UserError: images of a size or with channels that can't be built.
        """
        generator, loss = Generator(self, spec), StyleLoss(self, spec)
        latents = style_latents(self.z_dim, self.w_dim, generator.num_ws, spec)
        method = growing_method(self, spec, generator, Discriminator(self, spec), latents, loss)
        if not self.pl_weight:
            return method
        often = self.pl_every
        paths = Phase("Greg", "G", loss.g_reg, often, often, loss.after_paths, loss.shapes)
        return replace(method, phases=(*method.phases, paths), state={"pl_mean": loss.pl_mean})


def _generator(net: nn.Module) -> Generator:
    if not isinstance(net, Generator):
        raise TypeError(f"not a StyleGAN generator: {type(net).__name__}")
    return net


class Mapping(nn.Module):
    """The mapping network f: ``z [N, z_dim], labels [N, label_dim] -> w [N, w_dim]``, always in float32."""

    def __init__(self, config: StyleGAN, label_dim: int) -> None:
        super().__init__()
        self.label_dim = label_dim if config.label_g else 0
        self.embed = nn.Parameter(torch.randn(label_dim, config.z_dim)) if self.label_dim else None
        inner = [config.mapping_dim or config.w_dim] * (config.mapping_layers - 1)
        widths = [config.z_dim * (2 if self.label_dim else 1), *inner, config.w_dim]
        self.layers = nn.ModuleList(
            EqualLinear(a, b, act="lrelu", lr_multiplier=config.mapping_lr, gain_first=True)
            for a, b in pairwise(widths)
        )

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """Map codes and labels to w."""
        x = z.float() if self.embed is None else torch.cat([z.float(), labels.float() @ self.embed], 1)
        x = normalize(x)
        for layer in self.layers:
            x = layer(x)
        return x


class StyleLayer(nn.Module):
    """A convolution (none with ``inputs`` 0), noise, bias, leaky ReLU, and a style (figure 1b, eq. 1)."""

    noise_const: Tensor | None

    def __init__(
        self, config: StyleGAN, inputs: int, outputs: int, size: tuple[int, int], *, enlarges: bool = False
    ) -> None:
        super().__init__()
        self.enlarges = enlarges
        self.weight = nn.Parameter(conv_weight(outputs, inputs, 3)) if inputs else None
        self.weight_gain = (2 / (9 * inputs)) ** 0.5 if inputs else 1.0
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(outputs)) if config.noise else None
        self.register_buffer("noise_const", torch.randn(size) if config.noise else None)
        self.affine = EqualLinear(config.w_dim, 2 * outputs)

    def forward(self, x: Tensor, w: Tensor, taps: Tensor | None, noise: str, rng: torch.Generator | None) -> Tensor:
        """``x [N, inputs, H, W], w [N, w_dim]`` to ``[N, outputs, H, W]``, or twice the size where it enlarges."""
        if self.weight is not None:
            weight = self.weight * self.weight_gain
            x = conv_up(x, weight) if self.enlarges else conv2d(x, weight, padding=1)
            x = filter2d(x, taps) if self.enlarges and taps is not None else x
        # What normalisation enlarges must not be rounding: maps that hardly vary, such as the learned constant's, keep
        # float32 until they are normalised.
        x = self._add_noise(x.float(), noise, rng)
        x = bias_act(x, self.bias, "lrelu", gain=1.0)
        scale, shift = self.affine(w).chunk(2, 1)
        return to_compute(adain(x, scale + 1, shift), NARROW_FROM)

    def _add_noise(self, x: Tensor, kind: str, rng: torch.Generator | None) -> Tensor:
        if kind not in ("const", "random", "none"):
            raise ValueError(f'noise is "const", "random" or "none", not {kind!r}')
        if self.noise_const is None or self.noise_strength is None or kind == "none":
            return x
        plane = self.noise_const
        if kind == "random":
            plane = torch.randn(len(x), 1, *plane.shape, generator=rng, device=plane.device)
        return x + plane * self.noise_strength[:, None, None]


def adain(x: Tensor, scale: Tensor, shift: Tensor, eps: float = 1e-8) -> Tensor:
    """Give each feature map a mean and a spread (eq. 1): ``x [N, C, H, W], scale and shift [N, C]``.

    Example:
        >>> y = adain(torch.randn(2, 3, 8, 8), torch.full((2, 3), 2.0), torch.ones(2, 3))
        >>> bool(torch.allclose(y.mean((2, 3)), torch.ones(2, 3), atol=1e-5))
        True
    """
    centred = x.float() - x.float().mean((2, 3), keepdim=True)
    spread = (centred.square().mean((2, 3), keepdim=True) + eps).rsqrt()
    return (centred * (spread * scale[:, :, None, None]) + shift[:, :, None, None]).to(x.dtype)


class SynthesisBlock(nn.Module):
    """The layers of one size. The first begins with a constant, or with a layer that reads w."""

    shared = 0

    def __init__(self, config: StyleGAN, inputs: int, outputs: int, size: tuple[int, int], colours: int) -> None:
        super().__init__()
        area = size[0] * size[1]
        self.size = size
        self.const = nn.Parameter(torch.ones(outputs, *size)) if not inputs and config.const_input else None
        self.dense = (
            nn.Parameter(torch.randn(outputs * area, config.w_dim)) if not inputs and not config.const_input else None
        )
        self.dense_gain = (2 / (config.w_dim * area)) ** 0.5
        self.conv0 = StyleLayer(config, inputs, outputs, size, enlarges=True)
        self.conv1 = StyleLayer(config, outputs, outputs, size)
        self.to_rgb = EqualConv2d(outputs, colours, 1)

    def forward(
        self, x: Tensor | None, ws: Sequence[Tensor], taps: Tensor | None, noise: str, rng: torch.Generator | None
    ) -> Tensor:
        """Features so far (None at first) to those at twice the size. ``ws``: this level's ``[N, w_dim]``."""
        if self.const is not None:
            x = self.const.expand(ws[0].shape[0], *self.const.shape)
        elif self.dense is not None:
            x = (ws[0] @ (self.dense * self.dense_gain).t()).reshape(ws[0].shape[0], -1, *self.size)
        assert x is not None
        x = self.conv0(x, ws[0], taps, noise, rng)
        x = self.conv1(x, ws[1], taps, noise, rng)
        return x

    def picture(self, x: Tensor, ws: Sequence[Tensor]) -> Tensor:
        """Features to colours, in float32."""
        image: Tensor = self.to_rgb(x.float())
        return image


class DemodulatedBlock(nn.Module):
    """The same with StyleGAN2's layers (arXiv 1912.04958, figure 2d).

    The first has one layer less, and colours share their w with the first layer of the next, as there.
    """

    shared = 1

    def __init__(self, config: StyleGAN, inputs: int, outputs: int, size: tuple[int, int], colours: int) -> None:
        super().__init__()
        layers = StyleGAN2(w_dim=config.w_dim)
        self.const = nn.Parameter(torch.randn(outputs, *size)) if not inputs else None
        self.conv0 = SynthesisLayer(layers, inputs, outputs, size, up=2) if inputs else None
        self.conv1 = SynthesisLayer(layers, outputs, outputs, size)
        self.to_rgb = ToRGB(layers, outputs, colours)

    def forward(
        self, x: Tensor | None, ws: Sequence[Tensor], taps: Tensor, noise: str, rng: torch.Generator | None
    ) -> Tensor:
        """Features so far (None at first) to those at twice the size. ``ws``: this level's ``[N, w_dim]``."""
        if self.conv0 is not None:
            assert x is not None
            x = self.conv0(x, ws[0], taps, noise, rng)
        else:
            assert self.const is not None
            x = to_compute(self.const.expand(ws[0].shape[0], *self.const.shape))
        x = self.conv1(x, ws[-2], taps, noise, rng)
        return x

    def picture(self, x: Tensor, ws: Sequence[Tensor]) -> Tensor:
        """Features to colours, in float32."""
        image: Tensor = self.to_rgb(x, ws[-1])
        return image


class Generator(Growing):
    """Mapping and synthesis: ``z [N, z_dim], labels [N, label_dim] -> [N, C, H, W]``."""

    taps: Tensor | None
    w_avg: Tensor

    def __init__(self, config: StyleGAN, spec: DataSpec) -> None:
        plan = growth(config, spec)
        super().__init__(plan.start)
        (height, width), self.end = pyramid(spec.resolution)
        widths = channels(config, "G", self.end)
        self.num_ws = 2 * self.end + 2
        self.mapping = Mapping(config, spec.label_dim)
        # A demodulated layer enlarges and smooths at once, so its filter has the two taps of repeated pixels in it.
        taps = [1, 3, 3, 1] if config.demodulate else [1, 2, 1] if config.blur else None
        self.register_buffer("taps", None if taps is None else setup_filter(taps))
        self.register_buffer("w_avg", torch.zeros(config.w_dim))
        kind = DemodulatedBlock if config.demodulate else SynthesisBlock
        self.blocks = nn.ModuleList(
            kind(config, a, b, (height << i, width << i), spec.channels)
            for i, (a, b) in enumerate(pairwise([0, *widths]))
        )

    def forward(
        self,
        z: Tensor,
        labels: Tensor,
        noise: str = "const",
        rng: torch.Generator | None = None,
        progress: float | None = None,
    ) -> Tensor:
        """Images at full size, however far it has grown, without truncation."""
        return self.synthesis(style_mapping(self, z, labels), noise, rng, progress)

    def synthesis(
        self, ws: Tensor, noise: str = "const", rng: torch.Generator | None = None, progress: float | None = None
    ) -> Tensor:
        """``ws [N, num_ws, w_dim]`` to images of full size; while it grows, with large pixels."""
        progress = self.progress() if progress is None else progress
        return enlarge(self.draw_level(ws, progress, noise, rng), self.end - level_and_alpha(progress)[0])

    def draw_level(self, ws: Tensor, progress: float, noise: str, rng: torch.Generator | None) -> Tensor:
        """``ws [N, at least 2 (level + 1), w_dim]`` to images of the level that ``progress`` has reached, float32."""
        level, alpha = level_and_alpha(progress)
        images = self.draw_levels(ws, noise, rng, level, level if alpha == 1 else level - 1)
        return images[0] if alpha == 1 else enlarge(images[0], 1).lerp(images[1], alpha)

    def draw_levels(
        self, ws: Tensor, noise: str, rng: torch.Generator | None, last: int | None = None, first: int = 0
    ) -> list[Tensor]:
        """``ws`` to the images of each level from ``first`` to ``last`` (None: the largest), float32."""
        each = ws.float().unbind(1)
        x: Tensor | None = None
        images: list[Tensor] = []
        for index, block in enumerate(self.blocks[: (self.end if last is None else last) + 1]):
            assert isinstance(block, (SynthesisBlock, DemodulatedBlock))
            own = each[max(0, 2 * index - block.shared) : 2 * index + 2]
            x = block(x, own, self.taps, noise, rng)
            if index >= first:
                images.append(block.picture(x, own))
        return images


class StyleLoss(PlayLoss):
    """ProGAN's losses on images that are generated with styles, and StyleGAN2's on path lengths."""

    config: StyleGAN

    def __init__(self, config: StyleGAN, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.pl_mean = torch.zeros(())
        self.shapes = {"w_mean": (config.w_dim,)}

    def draw(self, net: nn.Module, batch: Batch, progress: float, rng: torch.Generator) -> tuple[Tensor, Stats]:
        """Images of the present level, one for each label of ``batch``, and the mean of w."""
        ws, mean = self._ws(net, batch.labels, progress, rng)
        return _generator(net).draw_level(ws, progress, "random", rng), {"w_mean": mean}

    def _ws(self, net: nn.Module, labels: Tensor, progress: float, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Codes with style mixing for the layers in use ``[N, layers, w_dim]``, and the mean of w."""
        config, layers = self.config, 2 * level_and_alpha(progress)[0] + 2
        return mixed_codes(_generator(net).mapping, config.z_dim, labels, layers, config.style_mixing, rng)

    def g_reg(self, nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
        """Path lengths (StyleGAN2, eq. 4), at the present size."""
        config, progress = self.config, self.growth.progress(batch.seen)
        generator, n = _generator(nets["G"]), max(1, len(batch) // self.config.pl_batch_shrink)
        ws, mean = self._ws(generator, batch.labels[:n], progress, rng)
        shape = shrink(batch.images[:n], self.growth.end - level_and_alpha(progress)[0]).shape
        direction = torch.randn(shape, generator=rng, device=ws.device)
        lengths = path_lengths(lambda w: generator.draw_level(w, progress, "random", rng), ws, direction)
        penalty = path_length_penalty(lengths, self.pl_mean.to(ws.device), config.pl_decay)[0].mean()
        stats = {"penalty/path": penalty, "penalty/path_length": lengths.mean(), "w_mean": mean}
        return Result(config.pl_weight * penalty, self._finish(stats, progress))

    def after_paths(self, nets: Nets, result: Result, rng: torch.Generator) -> None:
        """Move the running mean of path lengths."""
        self.after(nets, result, rng)
        self.pl_mean.lerp_(result.stats["penalty/path_length"].to(self.pl_mean.device), self.config.pl_decay)

    def after(self, nets: Nets, result: Result, rng: torch.Generator) -> None:
        """Move the mean of w, the centre of truncation, a little to this step's."""
        super().after(nets, result, rng)
        average = _generator(nets["G"]).w_avg
        average.lerp_(result.stats["w_mean"].to(average.device), 1 - self.config.w_avg_decay)
