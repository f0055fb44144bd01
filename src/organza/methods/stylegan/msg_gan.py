"""MSG-GAN.

Animesh Karnewar, Oliver Wang: MSG-GAN: Multi-Scale Gradients for Generative Adversarial Networks. CVPR 2020, arXiv
1903.06048.

What it changed: instead of growing, the generator gives an image at every size at once, and the discriminator takes
them all, each where its own features have that size; so gradients reach every level from the first step (section 2). An
image joins the features in one of three ways (the functions phi): as it is, after a 1x1 convolution, or with a 1x1
convolution of both. The paper has two models: MSG-ProGAN with WGAN-GP, and MSG-StyleGAN (without style mixing) with the
non-saturating loss and a penalty on real images. Learning rate and settings are the same at all sizes (section 3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from organza.contract.data import Batch, DataSpec, Layout
from organza.contract.method import Adam, Method, Nets, Phase, Player, Result, Stats
from organza.contract.model import Latents
from organza.core.device import to_compute
from organza.core.errors import UserError
from organza.core.ranges import Count, Depth, PositiveOrZero
from organza.methods.stylegan import progan, stylegan
from organza.methods.stylegan.progan import NARROW_FROM, channels
from organza.methods.stylegan.stylegan import StyleGAN
from organza.methods.stylegan.stylegan2 import pyramid
from organza.nn.growing import shrink
from organza.nn.latent import block_sizes, style_access
from organza.nn.layers import EqualConv2d, EqualLinear, minibatch_stddev
from organza.nn.losses import logistic_d, logistic_g, wasserstein_d, wasserstein_g
from organza.nn.penalties import root

Pictures = list[Tensor]
"""One ``[N, C, H, W]`` for each level, the smallest first."""


@dataclass(frozen=True)
class MSGGAN:
    """Settings of MSG-GAN; the defaults are MSG-ProGAN's.

    Example:
        >>> config, spec = MSGGAN().toy(), DataSpec((16, 16))
        >>> G = config.resolve(spec, 4).build(spec).nets["G"]
        >>> [tuple(image.shape[2:]) for image in G(torch.randn(2, 8))]
        [(4, 4), (8, 8), (16, 16)]
    """

    takes_labels: ClassVar[bool] = False
    layout: ClassVar[Layout] = "images"
    base: Literal["progan", "stylegan"] = "progan"
    """Whose generator: MSG-ProGAN's or MSG-StyleGAN's."""
    combine: Literal["simple", "lin_cat", "cat_lin"] = "simple"
    """How an image joins the features of its size: as it is, convolved, or both convolved together."""
    loss: Literal["wgan-gp", "logistic", "relativistic-hinge"] = "wgan-gp"
    """WGAN-GP; the non-saturating loss with R1; or the relativistic average hinge of the first version."""
    z_dim: Count = 512
    """Length of the latent code."""
    w_dim: Count = 512
    """Length of StyleGAN's intermediate code."""
    mapping_layers: Depth = 8
    """Layers of StyleGAN's mapping network."""
    channel_base: Count = 16384
    """Feature maps at size s: channel_base / s."""
    channel_max: Count = 512
    """Most feature maps in a layer."""
    dense_bias: Literal["map", "pixel"] = field(default="map", metadata={"absent": "pixel"})
    """The bias of MSG-ProGAN's first layer; see `ProGAN.dense_bias`."""
    mbstd_group: Count = 4
    """Group size of the minibatch standard deviation, which every level of the discriminator has."""
    gp_weight: PositiveOrZero = 10.0
    """Weight of WGAN-GP's penalty, averaged over the sizes."""
    drift: PositiveOrZero = 0.001
    """Weight of the squared score of real images, with WGAN-GP."""
    r1_gamma: PositiveOrZero = 10.0
    """Weight of R1, averaged over the sizes, with the logistic loss."""
    lr: PositiveOrZero = 0.003
    """Learning rate of both networks."""

    def resolve(self, spec: DataSpec, batch: int) -> MSGGAN:
        """Nothing depends on the data."""
        return self

    def like(self, other: MSGGAN, spec: DataSpec) -> MSGGAN:
        """These settings with the architecture of ``other``."""
        sizes = ("z_dim", "w_dim", "mapping_layers", "channel_base", "channel_max")
        names = ("base", "combine", *sizes, "dense_bias", "mbstd_group")
        return replace(self, **{name: getattr(other, name) for name in names})

    def toy(self) -> MSGGAN:
        """Tiny networks, for tests."""
        return replace(self, z_dim=8, w_dim=8, mapping_layers=2, channel_base=128, channel_max=8)

    def build(self, spec: DataSpec) -> Method:
        """The networks and their two phases.

        Raises:
            UserError: images of a size or with channels that can't be built, or with labels.
        """
        if spec.label_dim or spec.channels not in (1, 3, 4):
            raise UserError("MSG-GAN takes no labels, and makes images of 1, 3 or 4 channels")
        generator = Generator(self, spec)
        loss, adam = _Losses(self), Adam(self.lr, (0.0, 0.99))
        w_dim, num_ws = (self.z_dim, 1) if self.base == "progan" else (self.w_dim, generator.num_ws)
        dims, sizes = (self.z_dim, w_dim, num_ws, 0), block_sizes(max(spec.resolution), _base)
        latents = Latents("G", *dims, _mapping, _synthesis, _center, critic="D", sizes=sizes)
        if self.base == "progan":
            latents = replace(latents, first=lambda net: progan.first(_base(net)))
        else:
            latents = replace(latents, styles=style_access(_base))
        return Method(
            nets={"G": generator, "D": Discriminator(self, spec)},
            players={"D": Player(("D",), adam), "G": Player(("G",), adam)},
            phases=(
                Phase("D", "D", loss.d_loss, after=loss.after, shapes={"w_mean": (w_dim,)}),
                Phase("G", "G", loss.g_loss, after=loss.after, shapes={"w_mean": (w_dim,)}),
            ),
            models={"G": latents},
            ema=("G",),
            bf16=("training", "sampling"),
        )


def _generator(net: nn.Module) -> Generator:
    if not isinstance(net, Generator):
        raise TypeError(f"not an MSG-GAN generator: {type(net).__name__}")
    return net


def _base(net: nn.Module) -> nn.Module:
    return _generator(net).base


def _mapping(net: nn.Module, z: Tensor, labels: Tensor) -> Tensor:
    return _generator(net).mapping(z)


def _synthesis(net: nn.Module, ws: Tensor, noise: str, rng: torch.Generator | None) -> Tensor:
    return _generator(net).draw(ws, noise, rng)[-1]


def _center(net: nn.Module) -> Tensor:
    return _generator(net).w_avg


class Generator(nn.Module):
    """ProGAN's or StyleGAN's generator, with an image at every level."""

    w_avg: Tensor

    def __init__(self, config: MSGGAN, spec: DataSpec) -> None:
        super().__init__()
        style = config.base == "stylegan"
        self.base: progan.Generator | stylegan.Generator
        # Smoothing is StyleGAN's; growing is nobody's.
        inner = StyleGAN(
            z_dim=config.z_dim,
            w_dim=config.w_dim,
            mapping_layers=config.mapping_layers,
            channel_base=config.channel_base,
            channel_max=config.channel_max,
            blur=style,
            dense_bias=config.dense_bias,
            fade_kimg=0,
            stable_kimg=0,
        )
        self.base = stylegan.Generator(inner, spec) if style else progan.Generator(inner, spec)
        self.num_ws = self.base.num_ws if isinstance(self.base, stylegan.Generator) else 1
        self.register_buffer("w_avg", torch.zeros(config.w_dim if style else config.z_dim))

    def forward(self, z: Tensor, noise: str = "const", rng: torch.Generator | None = None) -> Pictures:
        """``z [N, z_dim]`` to images at every size."""
        return self.draw(self.mapping(z), noise, rng)

    def mapping(self, z: Tensor) -> Tensor:
        """``z [N, z_dim] -> [N, num_ws, w_dim]``."""
        if isinstance(self.base, progan.Generator):
            return z[:, None]
        w: Tensor = self.base.mapping(z, z.new_zeros(z.shape[0], 0))
        return w[:, None].repeat(1, self.num_ws, 1)

    def draw(self, ws: Tensor, noise: str = "const", rng: torch.Generator | None = None) -> Pictures:
        """``ws [N, num_ws, w_dim]`` to images at every size, float32."""
        if isinstance(self.base, progan.Generator):
            return self.base.draw_levels(ws[:, 0])
        return self.base.draw_levels(ws, noise, rng)


class Discriminator(nn.Module):
    """Images of every size to scores ``[N, 1]``, float32 (the paper's supplement has the layers)."""

    def __init__(self, config: MSGGAN, spec: DataSpec) -> None:
        super().__init__()
        small, self.end = pyramid(spec.resolution, "MSG-GAN")
        widths = channels(StyleGAN(channel_base=config.channel_base, channel_max=config.channel_max), "D", self.end)
        self.group, self.kind, colours = config.mbstd_group, config.combine, spec.channels
        self.from_rgb = EqualConv2d(colours, widths[-1], 1, act="lrelu", gain_first=True)
        self.joins, self.conv0, self.conv1 = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for level in range(self.end, -1, -1):
            inputs = widths[level]
            if level < self.end:
                inputs, join = self._join(inputs, colours)
                self.joins.append(join)
            self.conv0.append(_conv(inputs + (self.group > 0), widths[level]))
            if level:
                self.conv1.append(_conv(widths[level], widths[level - 1]))
        self.dense = EqualLinear(widths[0] * small[0] * small[1], widths[0], act="lrelu", gain_first=True)
        self.out = EqualLinear(widths[0], 1)

    def _join(self, features: int, colours: int) -> tuple[int, nn.Module]:
        """Features after an image has joined, and the layer that it takes."""
        if self.kind == "simple":
            return features + colours, nn.Identity()
        if self.kind == "lin_cat":
            return 2 * features, EqualConv2d(colours, features, 1)
        return features, EqualConv2d(features + colours, features, 1)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Scores of images at full size, which are shrunk for the other levels."""
        return self.judge(self.scales(images.float()))

    def scales(self, images: Tensor) -> Pictures:
        """Images ``[N, C, H, W]`` at every size, the smallest first."""
        return [shrink(images, self.end - level) for level in range(self.end + 1)]

    def judge(self, pictures: Sequence[Tensor]) -> Tensor:
        """Scores of images that come in every size."""
        x: Tensor = self.from_rgb(to_compute(pictures[-1]))
        for index, image in enumerate(reversed(pictures)):
            if index:
                # The deviation over the batch is as fine as rounding while images are alike.
                x = to_compute(shrink(self.conv1[index - 1](x), 1), NARROW_FROM)
                x = self._joined(x, to_compute(image, NARROW_FROM), self.joins[index - 1])
            x = minibatch_stddev(x, self.group) if self.group else x
            x = self.conv0[index](x)
        scores: Tensor = self.out(self.dense(x.float().flatten(1)))
        return scores

    def _joined(self, x: Tensor, image: Tensor, layer: nn.Module) -> Tensor:
        if self.kind == "cat_lin":
            both: Tensor = layer(torch.cat([x, image], 1))
            return both
        return torch.cat([x, layer(image)], 1)


def _conv(inputs: int, outputs: int) -> EqualConv2d:
    return EqualConv2d(inputs, outputs, 3, act="lrelu", gain_first=True)


def averaged_penalty(
    function: Callable[[Pictures], Tensor], pictures: Sequence[Tensor], of_norm: Callable[[Tensor], Tensor]
) -> Tensor:
    """A penalty on the gradient by each image, averaged over the sizes (section 3).

    Args:
        function: critic, images of every size -> scores.
        pictures: where.
        of_norm: squared gradient norms ``[N]`` -> penalties ``[N]``.

    Returns:
        ``[N]``.

    Example:
        >>> images = [torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 8, 8)]
        >>> averaged_penalty(lambda x: 3 * x[0][:, 0, 0, 0], images, lambda squares: squares).tolist()
        [4.5, 4.5]
    """
    with torch.enable_grad():
        wanted = [image.detach().requires_grad_() for image in pictures]
        total = function(wanted).sum()
        gradients = torch.autograd.grad(total, wanted, create_graph=True, materialize_grads=True)
    return torch.stack([of_norm(g.float().square().flatten(1).sum(1)) for g in gradients]).mean(0)


class _Losses:
    def __init__(self, config: MSGGAN) -> None:
        self.config = config

    def _draw(self, net: nn.Module, batch: Batch, rng: torch.Generator) -> tuple[Pictures, Stats]:
        generator = _generator(net)
        z = torch.randn(len(batch), self.config.z_dim, generator=rng, device=batch.images.device)
        ws = generator.mapping(z)
        return generator.draw(ws, "random", rng), {"w_mean": ws[:, 0].detach().mean(0)}

    def d_loss(self, nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
        config, critic = self.config, _critic(nets["D"])
        with torch.no_grad():
            fakes, stats = self._draw(nets["G"], batch, rng)
            reals = critic.scales(batch.images)
        real, fake = critic.judge(reals), critic.judge(fakes)
        if config.loss == "relativistic-hinge":
            loss = (F.relu(1 - (real - fake.mean())) + F.relu(1 + (fake - real.mean()))).mean()
        elif config.loss == "wgan-gp":
            # One share serves all sizes, so that what lies between is one image at every size.
            share = torch.rand(len(batch), 1, 1, 1, generator=rng, device=batch.images.device)
            between = [b.lerp(a, share) for a, b in zip(reals, fakes, strict=True)]
            penalty = averaged_penalty(critic.judge, between, lambda squares: (root(squares) - 1).square()).mean()
            loss = (wasserstein_d(real, fake) + config.drift * real.square()).mean() + config.gp_weight * penalty
            stats["penalty/gradient"] = penalty.detach()
        else:
            penalty = averaged_penalty(critic.judge, reals, lambda squares: squares).mean()
            loss = logistic_d(real, fake).mean() + config.r1_gamma / 2 * penalty
            stats["penalty/r1"] = penalty.detach()
        stats |= {"loss/D": loss.detach(), "scores/real": real.detach().mean(), "scores/fake": fake.detach().mean()}
        return Result(loss, stats)

    def g_loss(self, nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
        config, critic = self.config, _critic(nets["D"])
        fakes, stats = self._draw(nets["G"], batch, rng)
        fake = critic.judge(fakes)
        if config.loss == "relativistic-hinge":
            real = critic(batch.images)
            loss = (F.relu(1 + (real - fake.mean())) + F.relu(1 - (fake - real.mean()))).mean()
        else:
            loss = (wasserstein_g if config.loss == "wgan-gp" else logistic_g)(fake).mean()
        return Result(loss, {**stats, "loss/G": loss.detach()})

    def after(self, nets: Nets, result: Result, rng: torch.Generator) -> None:
        """Move the mean of w, the centre of truncation, a little to this step's; it is zero without a mapping."""
        if self.config.base == "stylegan":
            average = _generator(nets["G"]).w_avg
            average.lerp_(result.stats["w_mean"].to(average.device), 0.005)


def _critic(net: nn.Module) -> Discriminator:
    if not isinstance(net, Discriminator):
        raise TypeError(f"not an MSG-GAN discriminator: {type(net).__name__}")
    return net
