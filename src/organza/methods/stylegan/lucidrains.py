"""StyleGAN2 as lucidrains' package builds it: for weights that were trained with it.

Its networks differ from the paper's (arXiv 1912.04958) in most details: plain convolutions in the discriminator,
bilinear enlargement, one noise image for all layers, uniform in [0, 1] and transposed, linear attention at chosen
levels (Shen et al. 2018, arXiv 1812.01243), images in [0, 1], hinge losses. Ours generate and evaluate images in
[-1, 1], and high logits mean real, where theirs are low. Path lengths, which it adds late, are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from organza.contract.data import Batch, DataSpec, Layout
from organza.contract.method import Adam, Method, Nets, Phase, Player, Result
from organza.contract.model import Latents, StyleAccess
from organza.core.errors import UserError
from organza.core.ranges import Count, Depth, Positive, PositiveOrZero, Share
from organza.nn.latent import block_sizes
from organza.nn.losses import hinge_d, hinge_g
from organza.nn.mixing import crossed
from organza.nn.penalties import r1
from organza.ops import modulated_conv2d

HEADS, HEAD_WIDTH = 8, 64


@dataclass(frozen=True)
class LucidStyleGAN2:
    """Settings of lucidrains' StyleGAN2.

    Example:
        >>> config, spec = LucidStyleGAN2().toy(), DataSpec((16, 16), 4)
        >>> G = config.build(spec).nets["G"]
        >>> G.synthesis(G.mapping(torch.randn(2, 8))[:, None].expand(2, 3, 8)).shape
        torch.Size([2, 4, 16, 16])
    """

    takes_labels: ClassVar[bool] = False
    layout: ClassVar[Layout] = "images"
    z_dim: Count = 512
    """Length of a latent code, z and w alike."""
    mapping_layers: Depth = 8
    """Layers of the mapping network."""
    mapping_lr: Positive = 0.1
    """Factor on the mapping network's learning rate."""
    capacity: Count = 16
    """Half the feature maps at full size; doubled at each halving."""
    channel_max: Count = 512
    """Most feature maps in a layer."""
    attention: tuple[Count, ...] = ()
    """Levels with attention, 1 for the full size."""
    no_const: bool = False
    """Begin with an image made from w instead of a learned constant."""
    lr: PositiveOrZero = 0.0002
    """Learning rate of both networks; the discriminator's is doubled."""
    gp_weight: PositiveOrZero = 10.0
    """Weight of the penalty on the discriminator's gradient, for images in [0, 1]."""
    gp_every: Count = 4
    """Steps between penalties."""
    style_mixing: Share = 0.9
    """Share of batches in which two codes are mixed."""

    def resolve(self, spec: DataSpec, batch: int) -> LucidStyleGAN2:
        """Nothing depends on the data."""
        return self

    def like(self, other: LucidStyleGAN2, spec: DataSpec) -> LucidStyleGAN2:
        """These settings with the architecture of ``other``."""
        names = ("z_dim", "mapping_layers", "mapping_lr", "capacity", "channel_max", "attention", "no_const")
        return replace(self, **{name: getattr(other, name) for name in names})

    def toy(self) -> LucidStyleGAN2:
        """Tiny networks, for tests."""
        return replace(self, z_dim=8, mapping_layers=2, capacity=2, channel_max=8, attention=(2,))

    def build(self, spec: DataSpec) -> Method:
        """The networks and their phases.

        Raises:
            UserError: images that are not square with a power of two, or that have labels.
        """
        height, width = spec.resolution
        if height != width or height & (height - 1) or height < 8:
            raise UserError(
                f"lucidrains' StyleGAN2 can't generate {width}x{height} pixels", hint="use 64x64, 128x128 ..."
            )
        if spec.label_dim or spec.channels not in (3, 4):
            raise UserError("lucidrains' StyleGAN2 takes no labels and no grey images", hint="use 3 or 4 channels")
        generator, discriminator = Generator(self, spec), Discriminator(self, spec)
        loss = _Losses(self)
        rates = Adam(self.lr, (0.5, 0.9)), Adam(self.lr * 2, (0.5, 0.9))
        return Method(
            nets={"G": generator, "D": discriminator},
            players={"G": Player(("G",), rates[0]), "D": Player(("D",), rates[1])},
            phases=(
                Phase("D", "D", loss.d_main),
                Phase("Dreg", "D", loss.d_reg, every=self.gp_every),
                Phase("G", "G", loss.g_main, after=loss.track_w, shapes={"w_mean": (self.z_dim,)}),
            ),
            models={"G": self._latents(generator.num_ws, height)},
            ema=("G",),
        )

    def _latents(self, num_ws: int, size: int) -> Latents:
        styles = StyleAccess(lambda net: _generator(net).mapping, _affine)  # noise is one plane for all layers
        dims, sizes = (self.z_dim, self.z_dim, num_ws, 0), block_sizes(size)
        return Latents("G", *dims, _mapping, _synthesis, _center, critic="D", styles=styles, sizes=sizes)


def _generator(net: nn.Module) -> Generator:
    if not isinstance(net, Generator):
        raise TypeError(f"not a generator of this kind: {type(net).__name__}")
    return net


def _mapping(net: nn.Module, z: Tensor, labels: Tensor) -> Tensor:
    net = _generator(net)
    w: Tensor = net.mapping(z)
    return w[:, None].repeat(1, net.num_ws, 1)


def _synthesis(net: nn.Module, ws: Tensor, noise: str, rng: torch.Generator | None) -> Tensor:
    return _generator(net).synthesis(ws, noise, rng)


def _center(net: nn.Module) -> Tensor:
    return _generator(net).w_avg


def _affine(net: nn.Module) -> list[Tensor]:
    """A w styles both convolutions of a block."""
    blocks = [block for block in _generator(net).blocks if isinstance(block, Block)]
    return [torch.cat([block.style1.weight, block.style2.weight]) for block in blocks]


def bilinear(x: Tensor) -> Tensor:
    """Twice the size."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def blur(x: Tensor) -> Tensor:
    """Smooth with [1, 2, 1] along both axes; the border is mirrored.

    Example:
        >>> blur(torch.ones(1, 1, 4, 4)).unique()
        tensor([1.])
    """
    line = torch.tensor([0.25, 0.5, 0.25], dtype=x.dtype, device=x.device)
    maps = int(x.shape[1])  # a plain number also where sizes are traced for export
    kernel = torch.outer(line, line).expand(maps, 1, 3, 3)
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), kernel, groups=maps)


class ChannelNorm(nn.Module):
    """Normalise each pixel over its channels: ``[N, C, H, W]``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, H, W] -> [N, C, H, W]``."""
        spread, mean = torch.var_mean(x.float(), 1, unbiased=False, keepdim=True)
        normal = (x - mean) / (spread + 1e-5).sqrt()
        return (normal * self.gain + self.bias).to(x.dtype)


class Attention(nn.Module):
    """Linear attention and two 1x1 convolutions, each added to what comes in: ``[N, C, H, W]``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = HEADS * HEAD_WIDTH
        self.norm1, self.norm2 = ChannelNorm(channels), ChannelNorm(channels)
        self.query = nn.Conv2d(channels, inner, 1, bias=False)
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.keyvalue = nn.Conv2d(channels, 2 * inner, 1, bias=False)
        self.out = nn.Conv2d(inner, channels, 1)
        self.wide, self.narrow = nn.Conv2d(channels, 2 * channels, 1), nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, H, W] -> [N, C, H, W]``."""
        n, _, h, w = x.shape
        y = self.norm1(x)
        parts = torch.cat([self.query(y), self.keyvalue(self.depthwise(y))], 1)
        q, k, v = parts.reshape(n, 3, HEADS, HEAD_WIDTH, h * w).unbind(1)
        context = torch.einsum("ncdp,ncep->ncde", k.softmax(-1), v)
        mixed = torch.einsum("ncdp,ncde->ncep", q.softmax(2) * HEAD_WIDTH**-0.5, context)
        x = x + self.out(F.gelu(mixed.reshape(n, -1, h, w)))
        x = x + self.narrow(F.leaky_relu(self.wide(self.norm2(x)), 0.2))
        return x


class Mapping(nn.Module):
    """``z [N, z_dim] -> w [N, z_dim]``."""

    def __init__(self, config: LucidStyleGAN2) -> None:
        super().__init__()
        self.rate = config.mapping_lr
        self.layers = nn.ModuleList(nn.Linear(config.z_dim, config.z_dim) for _ in range(config.mapping_layers))
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            nn.init.normal_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, z: Tensor) -> Tensor:
        """Map codes of any length to w."""
        x = F.normalize(z.float(), dim=1)
        for layer in self.layers:
            x = F.leaky_relu(layer(x) * self.rate, 0.2)
        return x


def modulated_weight(outputs: int, inputs: int, kernel: int) -> nn.Parameter:
    """A kernel with He's initialisation."""
    weight = torch.empty(outputs, inputs, kernel, kernel)
    return nn.Parameter(nn.init.kaiming_normal_(weight, nonlinearity="leaky_relu"))


class Block(nn.Module):
    """The layers of one size."""

    def __init__(self, config: LucidStyleGAN2, inputs: int, outputs: int, colours: int, *, first: bool) -> None:
        super().__init__()
        self.first = first
        self.style1, self.style2 = nn.Linear(config.z_dim, inputs), nn.Linear(config.z_dim, outputs)
        self.noise1, self.noise2 = nn.Linear(1, outputs), nn.Linear(1, outputs)
        self.conv1, self.conv2 = modulated_weight(outputs, inputs, 3), modulated_weight(outputs, outputs, 3)
        self.rgb_style, self.rgb = nn.Linear(config.z_dim, outputs), modulated_weight(colours, outputs, 1)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """``x [N, C, H, W], w [N, w_dim], noise [N, S, S]`` -> features and colours, at twice the size unless first."""
        if not self.first:
            x = bilinear(x)
        # The same image for all layers, cut to size; height and width change places.
        plane = noise[:, : x.shape[2], : x.shape[3], None]
        for style, kernel, noisy in (
            (self.style1, self.conv1, self.noise1),
            (self.style2, self.conv2, self.noise2),
        ):
            x = modulated_conv2d(x, kernel, style(w) + 1, padding=1)
            x = F.leaky_relu(x + noisy(plane).permute(0, 3, 2, 1), 0.2)
        return x, modulated_conv2d(x, self.rgb, self.rgb_style(w) + 1, demodulate=False)


class Generator(nn.Module):
    """Mapping and synthesis."""

    w_avg: Tensor
    noise: Tensor

    def __init__(self, config: LucidStyleGAN2, spec: DataSpec) -> None:
        super().__init__()
        size = spec.resolution[0]
        self.num_ws = size.bit_length() - 2
        widths = [min(config.capacity * 2 ** (i + 1), config.channel_max) for i in range(self.num_ws)][::-1]
        self.mapping = Mapping(config)
        self.const = None if config.no_const else nn.Parameter(torch.randn(1, widths[0], 4, 4))
        self.start = nn.ConvTranspose2d(config.z_dim, widths[0], 4, bias=False) if config.no_const else None
        self.conv = nn.Conv2d(widths[0], widths[0], 3, padding=1)
        pairs = list(pairwise([widths[0], *widths]))
        self.blocks = nn.ModuleList(Block(config, a, b, spec.channels, first=not i) for i, (a, b) in enumerate(pairs))
        self.attention = nn.ModuleDict(
            {str(i): Attention(a) for i, (a, _) in enumerate(pairs) if self.num_ws - i in config.attention}
        )
        self.register_buffer("w_avg", torch.zeros(config.z_dim))
        self.register_buffer("noise", torch.rand(size, size))

    def synthesis(self, ws: Tensor, noise: str = "const", rng: torch.Generator | None = None) -> Tensor:
        """``ws [N, num_ws, w_dim] -> [N, C, H, W]`` in [-1, 1]; without noise, its mean 0.5 stands for it."""
        n, device = ws.shape[0], ws.device
        plane = {"const": self.noise, "none": torch.full_like(self.noise, 0.5)}.get(noise, self.noise)
        plane = plane.expand(n, *plane.shape)
        if noise == "random":
            plane = torch.rand(plane.shape, generator=rng, device=device)
        if self.start is not None:
            x = self.start(ws.mean(1)[:, :, None, None])
        else:
            assert self.const is not None
            x = self.const.expand(n, -1, -1, -1)
        x = self.conv(x)
        image: Tensor | None = None
        for i, (block, w) in enumerate(zip(self.blocks, ws.unbind(1), strict=True)):
            if str(i) in self.attention:
                x = self.attention[str(i)](x)
            x, colours = block(x, w, plane)
            image = colours if image is None else blur(bilinear(image)) + colours
        assert image is not None
        drawn: Tensor = image * 2 - 1
        return drawn


class DiscriminatorBlock(nn.Module):
    """Two convolutions and a shortcut; halves the image unless it is the last."""

    def __init__(self, inputs: int, outputs: int, *, last: bool) -> None:
        super().__init__()
        self.skip = nn.Conv2d(inputs, outputs, 1, stride=1 if last else 2)
        self.conv1, self.conv2 = nn.Conv2d(inputs, outputs, 3, padding=1), nn.Conv2d(outputs, outputs, 3, padding=1)
        self.down = None if last else nn.Conv2d(outputs, outputs, 3, padding=1, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, inputs, H, W] -> [N, outputs, H / 2, W / 2]``."""
        y = F.leaky_relu(self.conv2(F.leaky_relu(self.conv1(x), 0.2)), 0.2)
        if self.down is not None:
            y = self.down(blur(y))
        total: Tensor = (y + self.skip(x)) * 0.5**0.5  # the sum of two branches keeps unit variance
        return total


class Discriminator(nn.Module):
    """``images [N, C, H, W], labels [N, 0] -> logits [N, 1]``; high means real."""

    def __init__(self, config: LucidStyleGAN2, spec: DataSpec) -> None:
        super().__init__()
        levels = spec.resolution[0].bit_length() - 1
        widths = [spec.channels, *(min(config.capacity * 4 * 2**i, config.channel_max) for i in range(levels))]
        self.blocks = nn.ModuleList(
            DiscriminatorBlock(a, b, last=i == levels - 1) for i, (a, b) in enumerate(pairwise(widths))
        )
        self.attention = nn.ModuleDict(
            {str(i): Attention(widths[i + 1]) for i in range(levels) if i + 1 in config.attention}
        )
        self.conv = nn.Conv2d(widths[-1], widths[-1], 3, padding=1)
        self.out = nn.Linear(4 * widths[-1], 1)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits of images in [-1, 1]."""
        x = (images.float() + 1) / 2
        for i, block in enumerate(self.blocks):
            x = block(x)
            if str(i) in self.attention:
                x = self.attention[str(i)](x)
        logits: Tensor = self.out(self.conv(x).flatten(1))
        return -logits


class _Losses:
    """The phases' losses."""

    def __init__(self, config: LucidStyleGAN2) -> None:
        self.config = config

    def draw(self, nets: Nets, batch: Batch, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Images and the mean of w, with style mixing in the package's own order of random numbers."""
        net, device = _generator(nets["G"]), batch.images.device
        one, other = (
            net.mapping(torch.randn(len(batch), self.config.z_dim, generator=rng, device=device)) for _ in range(2)
        )
        mix = torch.rand((), generator=rng, device=device) < self.config.style_mixing
        cutoff = torch.randint(net.num_ws, (), generator=rng, device=device)
        ws = crossed(one, other, net.num_ws, cutoff, mix)
        return net.synthesis(ws, "random", rng), one.detach().mean(0)

    def d_main(self, nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
        with torch.no_grad():
            fakes, _ = self.draw(nets, batch, rng)
        real, fake = nets["D"](batch.images, batch.labels), nets["D"](fakes, batch.labels)
        loss = hinge_d(real, fake).mean()
        return Result(
            loss,
            {
                "loss/D": loss.detach(),
                "scores/real": real.detach().mean(),
                "scores/fake": fake.detach().mean(),
            },
        )

    def d_reg(self, nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
        # In [0, 1] gradients are twice as long as in [-1, 1].
        penalty = 4 * r1(lambda x: nets["D"](x, batch.labels), batch.images).mean()
        return Result(penalty * self.config.gp_weight, {"penalty/gradient": penalty.detach()})

    def g_main(self, nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
        fakes, mean = self.draw(nets, batch, rng)
        loss = hinge_g(nets["D"](fakes, batch.labels)).mean()
        return Result(loss, {"loss/G": loss.detach(), "w_mean": mean})

    def track_w(self, nets: Nets, result: Result, rng: torch.Generator) -> None:
        """Move the mean of w a little to this step's."""
        average = _generator(nets["G"]).w_avg
        average.lerp_(result.stats["w_mean"].to(average.device), 0.005)
