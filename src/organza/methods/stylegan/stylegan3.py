"""StyleGAN3.

Alias-Free Generative Adversarial Networks. Tero Karras, Miika Aittala, Samuli Laine, Erik Härkönen, Janne Hellsten,
Jaakko Lehtinen, Timo Aila. NeurIPS 2021, arXiv 2106.12423.

StyleGAN2's generator ties fine detail to pixels: textures stick to the screen while a face moves. Here each layer is a
map between continuous signals that are only stored as samples. The learned constant becomes a field of sine waves that
can be moved and turned (section 3.2, config B), noise and skip connections go, every layer keeps its signal inside the
band that its grid holds (`organza.ops.filtered_lrelu`, configs C to F), and layers are planned by frequency rather than
by size (section 3.2, config T). Config R makes the layers blind to direction as well: kernels of one pixel and radial
filters. The discriminator is StyleGAN2's.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from organza.contract.data import Batch, DataSpec, Layout
from organza.contract.method import Adam, Method, Nets, Phase, Player, Result
from organza.contract.model import Latents, StyleAccess
from organza.core.device import compute_dtype
from organza.core.errors import UserError
from organza.core.ranges import Count, CountOrZero, Depth, Positive, PositiveOrZero, Range, Share
from organza.methods.stylegan.stylegan2 import (
    Act,
    Architecture,
    Discriminator,
    Mapping,
    StyleGAN2,
    fit_widths,
    pyramid,
    r1_weight,
    stddev_group,
)
from organza.nn.augmenter import Augmented, Augmenter
from organza.nn.latent import style_center, style_mapping
from organza.nn.layers import EqualLinear, conv_weight
from organza.nn.levels import check_channels
from organza.nn.losses import logistic_d, logistic_g
from organza.nn.penalties import r1
from organza.ops import bias_act, conv2d, upfirdn2d
from organza.ops.filtered import filtered_lrelu, lowpass

MAX_TAPS = 512
"""Longer filters are a mistake; the paper's have 24 at most."""


@dataclass(frozen=True)
class StyleGAN3(Augmented):
    """Settings of StyleGAN3. None means automatic: filled in by `resolve` from the images' size and the batch.

    Example:
        >>> config = StyleGAN3(channel_base=64, channel_max=8, channel_base_d=64, channel_max_d=8, z_dim=8, w_dim=8)
        >>> spec = DataSpec(resolution=(16, 16))
        >>> G = config.resolve(spec, batch=4).build(spec).nets["G"]
        >>> G(torch.randn(2, 8), torch.zeros(2, 0)).shape
        torch.Size([2, 3, 16, 16])
    """

    takes_labels: ClassVar[bool] = True
    layout: ClassVar[Layout] = "images"
    z_dim: Count = 512
    """Length of the latent code z."""
    w_dim: Count = 512
    """Length of the intermediate code w."""
    mapping_layers: Depth = 2
    """Layers of the mapping network."""
    mapping_lr: Positive = 0.01
    """Factor on the mapping network's learning rate."""
    mapping_g: tuple[Count, ...] | None = None
    """Widths of the mapping network: the labels' embedding, then each layer. Default: w_dim throughout."""
    channel_base: Count = 32768
    """Feature maps of a layer whose band ends at frequency f: channel_base / 2f. Config R has twice as many."""
    channel_max: Count = 512
    """Most feature maps in a layer."""
    widths_g: tuple[Count, ...] | None = None
    """Feature maps of each layer but the colours'. Default: by channel_base and channel_max."""
    layers: Depth = 14
    """Layers besides the input and the one to colours."""
    critical: CountOrZero = 2
    """Layers at the end whose band is as wide as the grid holds."""
    margin: CountOrZero = 10
    """Pixels around the image that each layer computes and the last one cuts off."""
    kernel: Count = 3
    """Side of the convolutions' kernels; 1 in config R."""
    radial: bool = False
    """Low-pass filters of the plane instead of one for each axis, as config R has."""
    first_cutoff: Positive = 2.0
    """Where the first layer's band ends, in waves across the image."""
    first_stopband: Positive = 2**2.1
    """Where its filter's transition ends."""
    last_stopband: Positive = 2**0.3
    """The same for the last layer, over its cutoff."""
    cutoffs: tuple[Positive, ...] | None = None
    """Each layer's cutoff, where it doesn't follow the rule (eq. 10)."""
    stopbands: tuple[Positive, ...] | None = None
    """The end of each layer's transition, likewise."""
    filter_size: Count = 6
    """Taps of a low-pass filter at the lower of the two rates."""
    oversampling: Count = 2
    """How much finer than the grid the leaky ReLU works."""
    output_scale: Positive = 0.25
    """Factor on the colours."""
    conv_clamp: Positive | None = 256.0
    """Limit on the generator's activations."""
    narrow: CountOrZero = 4
    """Doublings of the image, counted from the last, that may be computed in bf16."""
    magnitude_decay: Share | None = None
    """Decay of the running mean of each layer's squared input. Automatic: half in 20,000 images."""
    w_avg_decay: Share = 0.998
    """Decay of the running mean of w."""
    channel_base_d: Count = 32768
    """The discriminator's feature maps at size s: channel_base_d / s."""
    channel_max_d: Count = 512
    """Most feature maps in one of its layers."""
    widths_d: tuple[Count, ...] | None = None
    """Feature maps of its levels, the smallest image first. Default: by channel_base_d and channel_max_d."""
    mapping_d: tuple[Count, ...] | None = None
    """Widths of its mapping of labels."""
    architecture_d: Architecture = "resnet"
    """How its blocks are joined."""
    resample_taps: tuple[int, ...] = (1, 3, 3, 1)
    """Its low-pass filter, one axis."""
    conv_clamp_d: Positive | None = 256.0
    """Limit on its activations."""
    mbstd_group: Count | None = None
    """Group size of its minibatch standard deviation. Automatic: the batch, at most 4."""
    mbstd_channels: CountOrZero = 1
    """Feature maps that hold it; 0 leaves it out."""
    activation_d: Act = "lrelu"
    """Its activation function."""
    lr: PositiveOrZero = 0.0025
    """Learning rate of the generator."""
    lr_d: PositiveOrZero = 0.002
    """Learning rate of the discriminator."""
    r1_gamma: PositiveOrZero | None = None
    """Weight of the R1 penalty; 0 leaves it out. Automatic: 0.001 * height * width / batch."""
    r1_every: Count = 16
    """Steps between R1 penalties."""
    blur: Annotated[float, Range(least=0, most=1000)] = 0.0
    """The discriminator sees images blurred by a Gaussian of this half-width in pixels at first; 10 in config R."""
    blur_kimg: PositiveOrZero = 200.0
    """The blur has gone after so many thousand images."""

    def resolve(self, spec: DataSpec, batch: int) -> StyleGAN3:
        """Fill in what is automatic.

        Args:
            spec: the images.
            batch: images in a step, over all processes.

        Example:
            >>> StyleGAN3().resolve(DataSpec(resolution=(256, 256)), batch=32).r1_gamma
            2.048
        """
        decay = self.magnitude_decay
        return replace(
            self,
            mbstd_group=stddev_group(self.mbstd_group, batch),
            r1_gamma=r1_weight(self.r1_gamma, 0.001, spec, batch),
            magnitude_decay=0.5 ** (batch / 20_000) if decay is None else decay,
        )

    def like(self, other: StyleGAN3, spec: DataSpec) -> StyleGAN3:
        """These settings with the architecture of ``other``, which may generate another size, for images of ``spec``.

        Bands that follow no rule are kept at the size that they were made for.

        Example:
            >>> StyleGAN3(lr=0.001).like(StyleGAN3(kernel=1, channel_max=64), DataSpec((64, 64))).channel_max
            64
        """
        names = [*("z_dim", "w_dim", "mapping_layers", "mapping_lr", "mapping_g", "mapping_d", "widths_g", "layers")]
        names += ["critical", "margin", "kernel", "radial", "first_cutoff", "first_stopband", "last_stopband"]
        names += ["filter_size", "oversampling", "output_scale", "conv_clamp", "channel_base", "channel_max"]
        names += ["channel_base_d", "channel_max_d", "architecture_d", "resample_taps", "conv_clamp_d"]
        names += ["mbstd_channels", "activation_d"]
        if other.cutoffs is None or 2 * other.cutoffs[-1] == max(spec.resolution):
            names += ["cutoffs", "stopbands"]
        widths_d = fit_widths(other.widths_d, pyramid(spec.resolution)[1] + 1)
        return replace(self, **{name: getattr(other, name) for name in names}, widths_d=widths_d)

    def toy(self) -> StyleGAN3:
        """Tiny networks, for tests."""
        small = {"channel_base": 64, "channel_max": 8, "channel_base_d": 128, "channel_max_d": 8, "mbstd_group": None}
        return replace(self, z_dim=8, w_dim=8, layers=4, critical=1, margin=4, **small)  # type: ignore[arg-type]

    @property
    def critic(self) -> StyleGAN2:
        """The discriminator's settings."""
        return StyleGAN2(
            w_dim=self.w_dim,
            mapping_lr=self.mapping_lr,
            channel_base=self.channel_base_d,
            channel_max=self.channel_max_d,
            widths_d=self.widths_d,
            mapping_d=self.mapping_d,
            architecture_d=self.architecture_d,
            resample_taps=self.resample_taps,
            conv_clamp=self.conv_clamp_d,
            mbstd_group=self.mbstd_group,
            mbstd_channels=self.mbstd_channels,
            activation_d=self.activation_d,
        )

    def build(self, spec: DataSpec) -> Method:
        """Networks with fresh random weights, and how they train. Call on a resolved configuration.

        Raises:
            UserError: if the resolution or the number of channels can't be built.
            ValueError: if `resolve` was not called.
        """
        if self.mbstd_group is None or self.r1_gamma is None or self.magnitude_decay is None:
            raise ValueError("call resolve(spec, batch) before build(spec)")
        check_channels(spec)
        pyramid(spec.resolution)  # what the discriminator can look at
        generator, discriminator = Generator(self, spec), Discriminator(self.critic, spec)
        augmenter = Augmenter(self)
        loss = _Losses(self, augmenter)
        shapes = {"w_mean": (self.w_dim,), "magnitudes": (len(generator.synthesis.layers),), **augmenter.shapes}
        phases = [Phase("Gmain", "G", loss.g_main), Phase("Dmain", "D", loss.d_main, after=loss.track, shapes=shapes)]
        if self.r1_gamma:
            phases.append(Phase("Dreg", "D", loss.d_reg, every=self.r1_every, gain=self.r1_every))
        betas = (0.0, 0.99)
        return Method(
            nets={"G": generator, "D": discriminator},
            players={"G": Player(("G",), Adam(self.lr, betas)), "D": Player(("D",), Adam(self.lr_d, betas))},
            phases=tuple(phases),
            models={
                "G": Latents(
                    net="G",
                    z_dim=self.z_dim,
                    w_dim=self.w_dim,
                    num_ws=generator.num_ws,
                    label_dim=spec.label_dim,
                    mapping=style_mapping,
                    synthesis=_synthesis,
                    center=style_center,
                    placed=_placed,
                    critic="D",
                    styles=StyleAccess(lambda net: _generator(net).mapping, _affine),
                )
            },
            ema=("G",),
            augment=augmenter if self.augment != "none" else None,
            state=augmenter.state,
            bf16=("training",),  # images of a trained network change by two levels of 255
        )


def _generator(net: nn.Module) -> Generator:
    if not isinstance(net, Generator):
        raise TypeError(f"not a StyleGAN3 generator: {type(net).__name__}")
    return net


def _synthesis(net: nn.Module, ws: Tensor, noise: str, rng: torch.Generator | None) -> Tensor:
    return _generator(net).synthesis.draw(ws)[0]


def _affine(net: nn.Module) -> list[Tensor]:
    synthesis = _generator(net).synthesis
    return [layer.get_submodule("affine").get_parameter("weight") for layer in (synthesis.input, *synthesis.layers)]


def _placed(net: nn.Module, translate: tuple[float, float], degrees: float) -> nn.Module:
    """The same network, which shares the weights, with its images moved and turned."""
    moved = copy.deepcopy(_generator(net), {id(weight): weight for weight in net.parameters()})
    moved.synthesis.input.transform.copy_(placing(translate, degrees).inverse())
    return moved


def placing(translate: tuple[float, float], degrees: float) -> Tensor:
    """The matrix ``[3, 3]`` that turns an image about its centre and then moves it.

    Args:
        translate: to the right and down, as a share of the longer side.
        degrees: counterclockwise.

    Example:
        >>> (placing((0.25, 0.0), 90.0) @ torch.tensor([0.5, 0.0, 1.0])).round(decimals=4).tolist()
        [0.25, -0.5, 1.0]
    """
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return torch.tensor([[c, s, translate[0]], [-s, c, translate[1]], [0.0, 0.0, 1.0]])


# --- the plan of the layers ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Grid:
    """How a layer's signal is stored.

    Attributes:
        rate: samples across the longer side of the image.
        size: height and width in samples, with the margin.
        cutoff: where its band ends, in waves across the longer side.
        half_width: half of the transition band of the filter that keeps it so.
    """

    rate: int
    size: tuple[int, int]
    cutoff: float
    half_width: float


def plan(config: StyleGAN3, resolution: tuple[int, int]) -> list[Grid]:
    """The grid of each layer's result, the colours' last (section 3.2, "Flexible layer specifications", eq. 10).

    Raises:
        UserError: an image so small or of such a size that no grid fits it.

    Example:
        >>> [(grid.rate, grid.size[0]) for grid in plan(StyleGAN3(), (256, 256))][::3]
        [(16, 36), (32, 52), (64, 84), (128, 148), (256, 276)]
    """
    longer = max(resolution)
    if min(resolution) < 4 or not 0 < config.first_cutoff <= longer / 2 or not 0 <= config.critical < config.layers:
        raise UserError(f"StyleGAN3 can't generate {resolution[1]}x{resolution[0]} pixels with these settings")
    share = np.minimum(np.arange(config.layers + 1) / (config.layers - config.critical), 1)
    last = longer / 2
    cutoffs = config.first_cutoff * (last / config.first_cutoff) ** share
    stopbands = config.first_stopband * (last * config.last_stopband / config.first_stopband) ** share
    for name, given in (("cutoffs", config.cutoffs), ("stopbands", config.stopbands)):
        if given is not None and len(given) != config.layers + 1:
            raise UserError(f"{len(given)} {name} for {config.layers + 1} layers")
    cutoffs = cutoffs if config.cutoffs is None else np.array(config.cutoffs)
    stopbands = stopbands if config.stopbands is None else np.array(config.stopbands)
    rates = np.minimum(np.exp2(np.ceil(np.log2(stopbands * 2))), longer)
    half_widths = np.maximum(stopbands, rates / 2) - cutoffs
    if not (np.isfinite(half_widths).all() and (half_widths > 0).all() and (cutoffs > 0).all() and (rates >= 1).all()):
        raise UserError("the layers' bands don't fit their grids")
    found = []
    for index, (rate, cutoff, half) in enumerate(zip(rates.astype(int), cutoffs, half_widths, strict=True)):
        # Sides that the rate doesn't divide are drawn a little larger: only the middle is shown.
        height, width = (side if index >= config.layers - 1 else _covering(side, rate, longer) for side in resolution)
        edge = 0 if index >= config.layers - 1 else 2 * config.margin
        found.append(Grid(int(rate), (height + edge, width + edge), float(cutoff), float(half)))
    return found


def _covering(side: int, rate: int, longer: int) -> int:
    """The even number of samples that cover ``side`` of ``longer`` pixels at a rate; exact where there is one."""
    whole, rest = divmod(side * int(rate), longer)
    return whole if not rest else whole + 1 + (whole + 1) % 2


def widths(config: StyleGAN3, grids: list[Grid]) -> list[int]:
    """Feature maps of each layer but the colours'.

    Raises:
        UserError: ``widths_g`` has another length, or a layer is empty.
    """
    rule = [round(min(config.channel_base / 2 / grid.cutoff, config.channel_max)) for grid in grids[:-1]]
    found = rule if config.widths_g is None else list(config.widths_g)
    if len(found) != config.layers or min(found) < 1:
        raise UserError(f"feature maps {found} don't fit {config.layers} layers", hint="take a larger --channel-base")
    return found


# --- generator -------------------------------------------------------------------------------------------------------


class Waves(nn.Module):
    """The input: sine waves of random directions and frequencies inside the first band (section 3.2, config B).

    w turns and moves the whole field, so that a network may learn where a face looks; ``transform`` does the same from
    outside.
    """

    frequencies: Tensor
    phases: Tensor
    transform: Tensor

    def __init__(self, config: StyleGAN3, maps: int, grid: Grid) -> None:
        super().__init__()
        self.grid = grid
        # Evenly over the disc of the band: a unit direction times the root of an even number (here, the normal's).
        direction = torch.randn(maps, 2)
        radius = direction.norm(dim=1, keepdim=True)
        self.register_buffer("frequencies", direction / (radius * radius.square().exp().pow(0.25)) * grid.cutoff)
        self.register_buffer("phases", torch.rand(maps) - 0.5)
        self.register_buffer("transform", torch.eye(3))
        self.weight = nn.Parameter(torch.randn(maps, maps))
        self.affine = EqualLinear(config.w_dim, 4)
        nn.init.zeros_(self.affine.weight)
        with torch.no_grad():
            self.affine.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))

    def forward(self, w: Tensor) -> Tensor:
        """``w [N, w_dim] -> [N, maps, H, W]``."""
        # w gives a direction (cosine, sine, of any length) and a place (x, y): appendix F, "Fourier features".
        given: Tensor = self.affine(w)
        given = given / (given[:, :2].square().sum(1, keepdim=True) + 1e-16).sqrt()
        cosine, sine, right, down = given.unbind(1)
        one, zero = torch.ones_like(cosine), torch.zeros_like(cosine)
        rotation = torch.stack([cosine, -sine, zero, sine, cosine, zero, zero, zero, one], 1).reshape(-1, 3, 3)
        shift = torch.stack([one, zero, -right, zero, one, -down, zero, zero, one], 1).reshape(-1, 3, 3)
        matrix = rotation @ shift @ self.transform
        frequencies = self.frequencies @ matrix[:, :2, :2]
        phases = self.phases + (self.frequencies @ matrix[:, :2, 2:])[..., 0]
        # A transform may enlarge frequencies: fade out what the grid can't hold.
        limit = self.grid.rate / 2
        beyond = (frequencies.norm(dim=2) - self.grid.cutoff) / (limit - self.grid.cutoff)
        amplitudes = (1 - beyond).clamp(0, 1)
        y, x = (_places(count, self.grid.rate, w.device) for count in self.grid.size)
        angles = (
            y[:, None, None] * frequencies[:, None, None, :, 1] + x[None, :, None] * frequencies[:, None, None, :, 0]
        )
        waves = ((angles + phases[:, None, None, :]) * (2 * math.pi)).sin() * amplitudes[:, None, None, :]
        mixed: Tensor = waves @ (self.weight / len(self.weight) ** 0.5).t()
        return mixed.permute(0, 3, 1, 2)


def _places(count: int, rate: int, device: torch.device) -> Tensor:
    """The centres of ``count`` samples about 0, where the longer side of the image is 1."""
    return (torch.arange(count, device=device) - (count - 1) / 2) / rate


class Layer(nn.Module):
    """Modulated convolution and filtered leaky ReLU (figure 4b), or, as the last one, colours."""

    up_filter: Tensor | None
    down_filter: Tensor | None
    magnitude: Tensor

    def __init__(
        self, config: StyleGAN3, inputs: int, outputs: int, before: Grid, after: Grid, *, critical: bool, colours: bool
    ) -> None:
        super().__init__()
        self.colours, self.clamp = colours, config.conv_clamp
        kernel = 1 if colours else config.kernel
        self.affine = EqualLinear(config.w_dim, inputs, bias_init=1.0)
        self.weight = nn.Parameter(conv_weight(outputs, inputs, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("magnitude", torch.ones(()))
        fine = max(before.rate, after.rate) * (1 if colours else config.oversampling)
        if fine % before.rate or fine % after.rate:
            raise UserError(
                f"StyleGAN3 can't pass from {before.rate} to {after.rate} samples",
                hint="take images whose longer side is a power of two, or one and a half of it",
            )
        self.up, self.down = fine // before.rate, fine // after.rate
        up_taps = 1 if self.up == 1 or colours else config.filter_size * self.up
        down_taps = 1 if self.down == 1 or colours else config.filter_size * self.down
        if max(up_taps, down_taps) > MAX_TAPS:
            raise UserError(f"a low-pass filter of {max(up_taps, down_taps)} taps, where {MAX_TAPS} are enough")
        up_filter = lowpass(up_taps, before.cutoff, before.half_width, fine) if up_taps > 1 else None
        radial = config.radial and not critical
        down_filter = lowpass(down_taps, after.cutoff, after.half_width, fine, radial=radial) if down_taps > 1 else None
        self.register_buffer("up_filter", up_filter)
        self.register_buffer("down_filter", down_filter)
        self.padding = (0, 0, 0, 0)
        for old, new in zip(before.size, after.size, strict=True):  # the last is the width, which padding has first
            # What the result needs on the fine grid, less what there is.
            missing = (new - 1) * self.down + 1 - (old + kernel - 1) * self.up + up_taps + down_taps - 2
            first = (missing + self.up) // 2
            self.padding = (first, missing - first, *self.padding[:2])
        self.kernel = kernel

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """``x [N, inputs, H, W], w [N, w_dim] -> [N, outputs, H', W']``."""
        styles: Tensor = self.affine(w)
        weight: Tensor = self.weight
        if self.colours:
            scale = (self.magnitude.rsqrt() / weight[0].numel() ** 0.5).expand(x.shape[0], len(weight))
        else:
            # Demodulation (StyleGAN2's eq. 3) makes any factor on weights and styles vanish; taken out first, they
            # don't leave the range of narrow formats.
            weight = weight * (weight.square().mean((1, 2, 3), keepdim=True) + 1e-8).rsqrt()
            styles = styles * (styles.square().mean(1, keepdim=True) + 1e-8).rsqrt()
            norms = styles.square() @ weight.square().sum((2, 3)).t()
            scale = (norms + 1e-8).rsqrt() * self.magnitude.rsqrt()
        x = x * styles.to(x.dtype)[:, :, None, None]
        x = conv2d(x, weight, padding=self.kernel - 1)
        x = bias_act(x, self.bias, scale=scale, overwrite=True)
        if self.colours:
            return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)
        return filtered_lrelu(x, self.up_filter, self.down_filter, self.up, self.down, self.padding, clamp=self.clamp)


class Synthesis(nn.Module):
    """The synthesis network: ``ws [N, num_ws, w_dim] -> [N, C, H, W]``, float32, about in [-1, 1]."""

    def __init__(self, config: StyleGAN3, spec: DataSpec) -> None:
        super().__init__()
        grids = plan(config, spec.resolution)
        maps = widths(config, grids)
        self.output_scale = config.output_scale
        self.input = Waves(config, maps[0], grids[0])
        self.layers = nn.ModuleList()
        for index, (before, after) in enumerate(zip([grids[0], *grids[:-1]], grids, strict=True)):
            last = index == config.layers
            outputs = spec.channels if last else maps[index]
            critical = index >= config.layers - config.critical
            inputs = maps[max(index - 1, 0)]
            self.layers.append(Layer(config, inputs, outputs, before, after, critical=critical, colours=last))
        longer = max(spec.resolution)
        self.narrow = [grid.rate * 2**config.narrow > longer for grid in grids]
        self.num_ws = len(self.layers) + 1

    def draw(self, ws: Tensor) -> tuple[Tensor, Tensor]:
        """Images, and the mean square of each layer's input ``[layers]`` (for `Generator.track`)."""
        each = ws.float().unbind(1)
        x: Tensor = self.input(each[0])
        squares = []
        for layer, w, narrow in zip(self.layers, each[1:], self.narrow, strict=True):
            x = x.to(dtype=compute_dtype() if narrow else torch.float32, memory_format=torch.channels_last)
            squares.append(x.detach().float().square().mean())
            x = layer(x, w)
        return x.float() * self.output_scale, torch.stack(squares)

    def forward(self, ws: Tensor) -> Tensor:
        """Generate images."""
        return self.draw(ws)[0]


class Generator(nn.Module):
    """Mapping and synthesis: ``z [N, z_dim], labels [N, label_dim] -> [N, C, H, W]``."""

    w_avg: Tensor

    def __init__(self, config: StyleGAN3, spec: DataSpec) -> None:
        super().__init__()
        inner = config.mapping_g or (config.w_dim,) * (config.mapping_layers + 1)
        if inner[-1] != config.w_dim:
            raise UserError(f"mapping_g {list(inner)} doesn't end in w_dim {config.w_dim}")
        self.mapping = Mapping(config.z_dim, spec.label_dim, inner, config.mapping_lr)
        self.synthesis = Synthesis(config, spec)
        self.num_ws = self.synthesis.num_ws
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """Generate images, without truncation."""
        images: Tensor = self.synthesis(style_mapping(self, z, labels))
        return images

    def magnitudes(self) -> Iterator[Tensor]:
        """Each layer's running mean of its squared input."""
        for layer in self.synthesis.layers:
            assert isinstance(layer, Layer)
            yield layer.magnitude


# --- training --------------------------------------------------------------------------------------------------------


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Images ``[N, C, H, W]`` under a Gaussian that falls to a half at ``sigma`` pixels; black is beyond the edge.

    Its standard deviation is 0.85 sigma: the official implementation has ``2^-(x / sigma)^2`` for the weights.

    Example:
        >>> round(blurred(torch.ones(1, 1, 9, 9), 1.0)[0, 0, 4, 4].item(), 4)
        1.0
    """
    reach = int(sigma * 3)
    if reach < 1:
        return images
    taps = torch.exp2(-((torch.arange(-reach, reach + 1, device=images.device) / sigma) ** 2))
    taps = taps / taps.sum()
    images = upfirdn2d(images, taps[None, :], padding=(reach, reach, 0, 0))
    return upfirdn2d(images, taps[:, None], padding=(0, 0, reach, reach))


class _Losses:
    """The losses of the three phases: logistic with R1 (appendix F), without style mixing and path lengths."""

    def __init__(self, config: StyleGAN3, augment: Augmenter) -> None:
        self.config, self.augment = config, augment

    def _draw(self, net: nn.Module, labels: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Images, the mean w, the mean squares of the layers' inputs."""
        generator = _generator(net)
        z = torch.randn(len(labels), self.config.z_dim, generator=rng, device=labels.device)
        ws = style_mapping(generator, z, labels)
        images, squares = generator.synthesis.draw(ws)
        return images, ws[:, 0].detach().mean(0), squares

    def _score(self, nets: Nets, images: Tensor, batch: Batch, rng: torch.Generator) -> Tensor:
        faded = self.config.blur * max(0.0, 1 - batch.seen / (self.config.blur_kimg * 1000 or 1))
        scores: Tensor = nets["D"](self.augment(blurred(images, faded), rng), batch.labels)
        return scores

    def g_main(self, nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
        fake, _, _ = self._draw(nets["G"], batch.labels, rng)
        scores = self._score(nets, fake, batch, rng)
        loss = logistic_g(scores).mean()
        seen = scores.detach()
        return Result(loss, {"loss/G": loss.detach(), "scores/fake": seen.mean(), "signs/fake": seen.sign().mean()})

    def d_main(self, nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
        with torch.no_grad():
            fake, mean, squares = self._draw(nets["G"], batch.labels, rng)
        fake_scores = self._score(nets, fake, batch, rng)
        real_scores = self._score(nets, batch.images, batch, rng)
        loss = logistic_d(real_scores, fake_scores).mean()
        seen = real_scores.detach()
        return Result(
            loss,
            {
                "loss/D": loss.detach(),
                "scores/real": seen.mean(),
                "signs/real": seen.sign().mean(),
                "w_mean": mean,
                "magnitudes": squares,
                **self.augment.measure(batch, seen.sign()),
            },
        )

    def d_reg(self, nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
        assert self.config.r1_gamma is not None
        penalty = r1(lambda x: self._score(nets, x, batch, rng), batch.images).mean()
        return Result(penalty * (self.config.r1_gamma / 2), {"r1/penalty": penalty.detach()})

    def track(self, nets: Nets, result: Result, rng: torch.Generator) -> None:
        """Move the mean w and the layers' magnitudes a little to this step's."""
        assert self.config.magnitude_decay is not None
        generator = _generator(nets["G"])
        generator.w_avg.lerp_(result.stats["w_mean"].to(generator.w_avg.device), 1 - self.config.w_avg_decay)
        for magnitude, square in zip(generator.magnitudes(), result.stats["magnitudes"].unbind(), strict=True):
            magnitude.lerp_(square.to(magnitude.device), 1 - self.config.magnitude_decay)
        self.augment.adapt(result.stats)
