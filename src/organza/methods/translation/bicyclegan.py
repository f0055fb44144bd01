"""BicycleGAN.

Jun-Yan Zhu, Richard Zhang, Deepak Pathak, Trevor Darrell, Alexei A. Efros, Oliver Wang, Eli Shechtman: Toward
Multimodal Image-to-Image Translation. NeurIPS 2017, arXiv 1711.11586.

What it changed: one source has many translations, each with a code. Two games teach a generator what the code means. In
the first (cVAE-GAN, equations 3 to 6) the code comes from the target, through an encoder, and the target must come out
again. In the second (cLR-GAN, equations 7 and 8) the code is random, and the encoder must find it again in the output.
Each game has discriminators of its own (section 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from organza.contract.data import Batch, DataSpec, Layout
from organza.contract.method import Adam, Method, Nets, Phase, Player, Result, Stats
from organza.contract.model import Mode, Translation
from organza.core.errors import UserError
from organza.core.ranges import Count, CountOrZero, Depth, PositiveOrZero, Range
from organza.methods.translation.pix2pix import Game, adversarial_d, adversarial_g, check_depth, unet_depth
from organza.nn.initial import init_xavier
from organza.nn.likelihood import gaussian_divergence
from organza.nn.norms import Norm
from organza.nn.patchgan import MultiScalePatchGAN, least_side
from organza.nn.style_encoder import Kind, StyleEncoder, least_encoded
from organza.nn.unet import CodeInto, UNetGenerator, Upsampling

SHOWN = 4
"""Random codes in a row of the sample grid."""


@dataclass(frozen=True)
class BicycleGAN:
    """Settings of BicycleGAN; the defaults are those of the published PyTorch results."""

    takes_labels: ClassVar[bool] = False
    layout: ClassVar[Layout] = "pairs"
    z_dim: Count = 8
    """Length of the code."""
    z_into: CodeInto = "all"
    """Which levels of G's encoder take the code: all, or input, the outermost alone (figure 3)."""
    width: Count = 64
    """Feature maps of G at full resolution; doubled at each halving, up to eight times as many."""
    depth: Depth | None = None
    """Halvings of G. None: down to one pixel, at most 8, as far as both sides can be halved."""
    upsampling: Upsampling = "transposed"
    """How G's decoder doubles: transposed convolutions, or bilinear with convolutions after it."""
    dropout: bool = True
    """Drop half of the features next to G's innermost level, in training."""
    width_e: Count = 64
    """Feature maps of E after its first halving."""
    layers_e: Depth | None = None
    """Halvings of E. None: 5 for images of 256 pixels and more, else 4, fewer for tiny ones."""
    kind_e: Kind = "resnet"
    """E's layers: residual blocks or plain convolutions."""
    width_d: Count = 64
    """Feature maps of the discriminators' first layer at full size; half as many at half the size."""
    layers_d: CountOrZero | None = None
    """Halvings of the discriminators. None: 3 for images of 256 pixels and more, else 2, fewer for tiny ones."""
    scales: Annotated[int, Range(least=1, most=8)] = 2
    """Sizes of the images that each discriminator sees, each half of the one before."""
    conditional: bool = False
    """Show the discriminators the source as well."""
    norm: Norm = "instance"
    """Normalisation of all networks."""
    l1_weight: PositiveOrZero = 10.0
    """Weight of the L1 distance between a target and what comes of its own code (lambda, equation 9)."""
    latent_weight: PositiveOrZero = 0.5
    """Weight of the L1 distance between a random code and what E finds in the output (lambda latent, equation 9)."""
    kl_weight: PositiveOrZero = 0.01
    """Weight of the divergence of E's distributions from N(0, 1), summed over a code (lambda KL, equation 9)."""
    game: Game = "least-squares"
    """The adversarial loss: least squares (arXiv 1611.04076), or Goodfellow's."""
    lr: PositiveOrZero = 0.0002
    """Learning rate of all networks."""
    beta1: Annotated[float, Range(least=0, below=1)] = 0.5
    """Adam's first beta."""
    test_mode: Mode = "eval"
    """What normalisation and dropout do when images are translated: the authors' test drops nothing."""

    def resolve(self, spec: DataSpec, batch: int) -> BicycleGAN:
        """The same with depths that fit the images.

        Raises:
            UserError: an odd batch: images are taken two by two.
        """
        if batch % 2:
            raise _odd(batch)
        short, large = min(spec.resolution), max(spec.resolution) >= 256
        fitting = (n for n in (3, 2, 1) if least_side(n, self.scales) <= short and (large or n < 3))
        return replace(
            self,
            depth=unet_depth(spec.resolution) if self.depth is None else self.depth,
            layers_e=max(1, min(5 if large else 4, short.bit_length() - 2)) if self.layers_e is None else self.layers_e,
            layers_d=next(fitting, 0) if self.layers_d is None else self.layers_d,
        )

    def like(self, other: BicycleGAN, spec: DataSpec) -> BicycleGAN:
        """These settings with the architecture of ``other``."""
        of_g, of_e = ("z_dim", "z_into", "width", "depth", "upsampling"), ("width_e", "layers_e", "kind_e")
        of_d, of_all = ("width_d", "layers_d", "scales", "conditional"), ("norm", "test_mode")
        return replace(self, **{name: getattr(other, name) for name in (*of_g, *of_e, *of_d, *of_all)})

    def toy(self) -> BicycleGAN:
        """Tiny networks, for tests."""
        return replace(self, z_dim=3, width=4, width_e=4, layers_e=2, width_d=4, layers_d=1)

    def build(self, spec: DataSpec) -> Method:
        """The networks and their two phases.

        Raises:
            UserError: images of this size can't be translated.
        """
        if self.depth is None or self.layers_e is None or self.layers_d is None:
            raise ValueError("call resolve(spec, batch) before build(spec)")
        (height, width), short = spec.resolution, min(spec.resolution)
        # Before anything is built: halvings without end take memory without end.
        check_depth(self.depth, spec.resolution)
        if self.layers_e >= short.bit_length() or least_encoded(self.kind_e, self.layers_e, self.norm) > short:
            what = f"{width}x{height} images are too small for an encoder of {self.layers_e} halvings"
            raise UserError(what, hint="take a smaller --layers-e")
        if self.layers_d >= short.bit_length() or least_side(self.layers_d, self.scales) > short:
            what = f"{width}x{height} images are too small for {self.layers_d} halvings at {self.scales} sizes"
            raise UserError(what, hint="take a smaller --layers-d or --scales")
        G = UNetGenerator(
            *(spec.source, spec.channels, self.depth, self.width, self.norm, self.dropout),
            *(self.z_dim, self.z_into, self.upsampling),
            bias=True,
        )
        E = StyleEncoder(spec.channels, self.z_dim, self.kind_e, self.layers_e, self.width_e, self.norm)
        seen = spec.channels + (spec.source if self.conditional else 0)
        critics = {
            name: MultiScalePatchGAN(seen, self.scales, self.layers_d, self.width_d, self.norm, bias=True)
            for name in ("D", "D2")
        }
        for net in (G, *critics.values()):
            net.apply(init_xavier)

        def shown(images: Tensor, source: Tensor) -> tuple[Tensor, Tensor | None]:
            return images, source if self.conditional else None

        def g_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            source, target = _turns(batch)[0]
            mu, logvar = nets["E"](target)
            noise, z = (torch.randn(mu.shape, generator=rng, device=mu.device) for _ in range(2))
            rebuilt = nets["G"](source, mu + noise * (0.5 * logvar).exp())
            random = nets["G"](source, z)
            adversarial = _sum(adversarial_g, self.game, nets["D"](*shown(rebuilt, source)))
            adversarial_random = _sum(adversarial_g, self.game, nets["D2"](*shown(random, source)))
            distance = (rebuilt - target).abs().mean()
            divergence = gaussian_divergence(mu, logvar).mean()
            # E as it is: were it to learn from this, both could agree on codes hidden in images (section 4).
            fixed = {name: parameter.detach() for name, parameter in nets["E"].named_parameters()}
            found, _ = functional_call(nets["E"], fixed, (random,))
            latent = (found - z).abs().mean()
            loss = adversarial + adversarial_random + self.l1_weight * distance
            loss = loss + self.kl_weight * divergence + self.latent_weight * latent
            stats = {
                "loss/G": loss,
                "terms/adversarial": adversarial + adversarial_random,
                "terms/l1": distance,
                "terms/kl": divergence,
                "terms/latent": latent,
            }
            return Result(loss, stats, {"outputs": torch.stack([rebuilt, random], 1).flatten(0, 1)})

        def d_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            (source, target), (other_source, other) = _turns(batch)
            outputs = batch.carry["outputs"]
            games = {
                "D": (shown(target, source), shown(outputs[::2], source)),
                "D2": (shown(other, other_source), shown(outputs[1::2], source)),
            }
            total, stats = torch.zeros((), device=batch.images.device), Stats()
            for name, (real, fake) in games.items():
                scores, scores_fake = nets[name](*real), nets[name](*fake)
                # Not halved: pix2pix halves this loss to slow D down.
                loss = 2 * _sum(adversarial_d, self.game, scores, scores_fake)
                stats |= {
                    f"loss/{name}": loss,
                    f"scores/{name}": scores[0].mean(),
                    f"scores/{name}/fake": scores_fake[0].mean(),
                }
                total = total + loss
            return Result(total, stats)

        adam = Adam(self.lr, (self.beta1, 0.999))
        translation = Translation(
            "G",
            spec.source,
            spec.channels,
            apply=lambda net, images, labels, z: net(images, z),
            multiple=G.multiple,
            mode=self.test_mode,
            z_dim=self.z_dim,
            critic="D",
            conditional=self.conditional,
            encoder="E",
            encode=lambda net, images: net(images)[0],
            least_encoded=E.least,
        )
        return Method(
            nets={"G": G, "E": E, **critics},
            players={"G": Player(("G", "E"), adam), "D": Player(("D", "D2"), adam)},
            phases=(Phase("G", "G", g_loss), Phase("D", "D", d_loss)),
            models={spec.direction: translation},
            preview=lambda nets, batch, rng: _variants(nets, batch, rng, self.z_dim),
            bf16=("training", "sampling"),
        )


def _turns(batch: Batch) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Source and target of the pairs that both games translate, and of those that only show D2 real images.

    They take turns, so that a micro-batch is made of the same two's as the whole batch.

    Raises:
        UserError: an odd number of pairs.
    """
    assert batch.source is not None
    if len(batch) % 2:
        raise _odd(len(batch))
    return (batch.source[::2], batch.images[::2]), (batch.source[1::2], batch.images[1::2])


def _odd(count: int) -> UserError:
    hint = "take an even --batch and --micro-batch, also for each process"
    return UserError(f"BicycleGAN takes pairs of images two by two, not {count} at a time", hint=hint)


def _sum(loss: object, game: Game, *logits: tuple[Tensor, ...]) -> Tensor:
    """A loss summed over the sizes at which a discriminator looks."""
    assert callable(loss)
    total: Tensor = sum(loss(game, *scale) for scale in zip(*logits, strict=True))
    return total


def _variants(nets: Nets, batch: Batch, rng: torch.Generator, z_dim: int) -> Mapping[str, Tensor]:
    """Source, target, what comes of the target's own code, and of random codes."""
    assert batch.source is not None
    net: nn.Module = nets["G"]
    found = {
        "source": batch.source,
        "target": batch.images,
        "reconstruction": net(batch.source, nets["E"](batch.images)[0]),
    }
    for number in range(1, SHOWN + 1):
        z = torch.randn(len(batch), z_dim, generator=rng, device=batch.images.device)
        found[f"random/{number}"] = net(batch.source, z)
    return found
