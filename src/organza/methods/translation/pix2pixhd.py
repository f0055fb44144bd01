"""pix2pixHD.

Ting-Chun Wang, Ming-Yu Liu, Jun-Yan Zhu, Andrew Tao, Jan Kautz, Bryan Catanzaro: High-Resolution Image Synthesis and
Semantic Manipulation with Conditional GANs. CVPR 2018, arXiv 1711.11585.

What it changed: pairs at high resolution. A global generator learns at half the size first; an enhancer around it then
learns the full size, at first with the global generator held still, in the end together with it (section 3.2).
Discriminators look at several sizes, and the generator matches their features of real images as well (equation 4), and
those of a classifier. Label maps show the borders of instances (section 3.3), and an encoder finds features of each
region, whose clusters are what an edit chooses from (section 3.4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from organza.contract.data import Batch, DataSpec, Layout
from organza.contract.method import Adam, Clock, Method, Nets, Phase, Player, Result, Schedule
from organza.contract.model import Mode, Translation
from organza.core.errors import UserError
from organza.core.ranges import Count, CountOrZero, Depth, PositiveOrZero, Range
from organza.methods.translation.cyclegan import source_of
from organza.methods.translation.pix2pix import Game, adversarial_d, adversarial_g
from organza.methods.translation.pix2pixhd_nets import ENTRIES, CoarseToFine, Critic, region_count
from organza.nn.clusters import clusters
from organza.nn.label_maps import laid_out, region_means
from organza.nn.norms import Norm
from organza.nn.patchgan import MultiScalePatchGAN, least_side
from organza.nn.resnet import ResNetGenerator
from organza.vision.perceptor import Perceptor, available, open_perceptor

COARSE, FIXED, TOGETHER = 0, 1, 2
"""Stages: the global generator alone; the enhancer around it, which holds still; both."""
WEIGHTS = {5: (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1), 4: (1 / 8, 1 / 4, 1 / 2, 1)}
"""What stages of a classifier weigh: of VGG-19 as in the authors' code, of voile64."""


@dataclass(frozen=True)
class Pix2PixHD:
    """Settings of pix2pixHD; the defaults are those of the authors' code."""

    takes_labels: ClassVar[bool] = False
    layout: ClassVar[Layout] = "pairs"
    width: Count = 64
    """Feature maps of the global generator at its full size; doubled at each halving. An enhancer has half as many."""
    blocks: Depth = 9
    """Residual blocks of the global generator."""
    halvings: Depth | None = None
    """Halvings of the global generator. None: 4, fewer for small images."""
    enhancers: Annotated[int, Range(least=0, most=4)] = 1
    """Enhancers around the global generator, each at twice the size; 0 trains the global generator alone."""
    blocks_local: Depth = 3
    """Residual blocks of each enhancer."""
    coarse_epochs: PositiveOrZero | None = None
    """So long the global generator is trained alone, at its size. None: 200 epochs, or two thirds of a training that is
    too short for them."""
    fixed_epochs: PositiveOrZero | None = None
    """So long the enhancers are then trained while it holds still. None: 10 epochs, or a thirtieth likewise."""
    width_d: Count = 64
    """Feature maps of the discriminators' first layer."""
    layers_d: Depth = 3
    """Halvings of the discriminators."""
    scales: Annotated[int, Range(least=1, most=8)] = 2
    """Sizes at which discriminators look; the paper has 3."""
    norm: Norm = "instance"
    """Normalisation of all networks."""
    features: CountOrZero = 0
    """Channels of features that an encoder finds for each region of label maps; the paper has 3. 0: no encoder."""
    width_e: Count = 16
    """Feature maps of the encoder at full size."""
    halvings_e: Depth | None = None
    """Halvings of the encoder. None: as many as the global generator's."""
    match_weight: PositiveOrZero = 10.0
    """Weight of the distance between the discriminators' features of outputs and targets (lambda, equation 5)."""
    vgg_weight: PositiveOrZero = 10.0
    """Weight of the same with features of a classifier; 0 leaves it out."""
    perceptor: Perceptor | None = None
    """The classifier: vgg19, as the authors have it (548 MB, fetched once), or voile64, a small stand-in that comes
    with the package. None: vgg19 where its file is in the cache, else voile64."""
    game: Game = "least-squares"
    """The adversarial loss: least squares (arXiv 1611.04076), or Goodfellow's."""
    lr: PositiveOrZero = 0.0002
    """Learning rate of all networks. It falls to zero in the second half of the coarse stage, and again in the second
    half of what follows."""
    beta1: Annotated[float, Range(least=0, below=1)] = 0.5
    """Adam's first beta."""
    test_mode: Mode = "eval"
    """What normalisation does when images are translated; with instance normalisation there is no difference."""

    def resolve(self, spec: DataSpec, batch: int) -> Pix2PixHD:
        """The same with halvings that fit the images, and a classifier."""
        halvings, perceptor = self.halvings, self.perceptor
        if halvings is None:
            fitting = (n for n in (4, 3, 2, 1) if _fits(spec.resolution, n, self.enhancers))
            halvings = next(fitting, 1)
        if perceptor is None:
            perceptor = available()
        return replace(self, halvings=halvings, perceptor=perceptor)

    def like(self, other: Pix2PixHD, spec: DataSpec) -> Pix2PixHD:
        """These settings with the architecture of ``other``; how many enhancers there should be, these say.

        So a training with an enhancer may begin with a global generator that was trained before.
        """
        names = ("width", "blocks", "halvings", "blocks_local", "width_d", "layers_d", "scales", "norm")
        more = ("features", "width_e", "halvings_e", "test_mode")
        return replace(self, **{name: getattr(other, name) for name in (*names, *more)})

    def toy(self) -> Pix2PixHD:
        """Tiny networks, for tests."""
        small = replace(self, width=4, blocks=1, halvings=1, blocks_local=1, width_d=4, layers_d=1, width_e=2)
        return replace(small, coarse_epochs=0.2, fixed_epochs=0.2, perceptor="voile64")

    def build(self, spec: DataSpec) -> Method:
        """The networks and their phases: two of the coarse stage, two of the others.

        Raises:
            UserError: images of this size can't be translated, or features of plain images are asked for.
        """
        if self.halvings is None or self.perceptor is None:
            raise ValueError("call resolve(spec, batch) before build(spec)")
        self._check(spec)
        generator = CoarseToFine(
            *(spec.source, spec.channels, self.width, self.blocks, self.halvings, self.enhancers, self.blocks_local),
            *(self.norm, spec.palette, self.features),
        )
        critic = Critic(spec.source, spec.channels, self.scales, self.layers_d, self.width_d, self.norm, spec.palette)
        nets: dict[str, nn.Module] = {"G": generator, "D": critic}
        if self.features:
            deep = self.halvings_e or self.halvings
            nets["E"] = ResNetGenerator(spec.channels, self.features, 0, self.width_e, self.norm, halvings=deep)
        frozen: dict[str, nn.Module] = {}
        if self.vgg_weight:
            frozen["perceptor"] = open_perceptor(self.perceptor, "plain")
        classes = len(spec.palette)

        def inputs(nets: Nets, batch: Batch) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
            """What G reads, what D sees of it, and features to remember."""
            G, source = generator_of(nets), source_of(batch)
            seen = G.read(source)
            if not self.features or G.labels is None:
                return seen, seen, {}
            regions = G.labels.regions(source, G.labels.classes(source))
            count = region_count(classes, source.shape[1], len(spec.palette[0]))
            means, shares = region_means(nets["E"](batch.images), regions, count)
            largest, places = shares.topk(min(ENTRIES, count), dim=1)
            found = means.gather(1, places[..., None].expand(-1, -1, self.features))
            entries = torch.cat([(places % classes)[..., None], largest[..., None], found], 2)
            return torch.cat([seen, laid_out(means, regions)], 1), seen, {"regions": entries.detach()}

        def g_loss(nets: Nets, batch: Batch, rng: torch.Generator, coarse: bool = False) -> Result:
            given, seen, carry = inputs(nets, batch)
            G, D, target = generator_of(nets), critic_of(nets), batch.images
            if coarse:
                given, seen, target = (G.halved(x) for x in (given, seen, target))
            outputs: Tensor = G.coarse(given) if coarse else G.fine(given)
            made = D.features(outputs, seen)
            with torch.no_grad():
                real = D.features(target, seen)
            adversarial = sum((adversarial_g(self.game, scale[-1]) for scale in made), outputs.new_zeros(()))
            match = matching(made, real)
            loss = adversarial + self.match_weight * match
            stats = {"terms/adversarial": adversarial, "terms/features": match}
            if self.vgg_weight:
                stats["terms/perceptual"] = perceptual(nets["perceptor"], outputs, target)
                loss = loss + self.vgg_weight * stats["terms/perceptual"]
            return Result(loss, {"loss/G": loss, **stats}, {"outputs": outputs, **carry})

        def d_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            G, D, outputs, target = generator_of(nets), critic_of(nets), batch.carry["outputs"], batch.images
            seen = G.read(source_of(batch))
            if outputs.shape != target.shape:  # of the first stage
                seen, target = G.halved(seen), G.halved(target)
            real, fake = D(target, seen), D(outputs.detach(), seen)
            pairs = zip(real, fake, strict=True)
            loss = sum((adversarial_d(self.game, *pair) for pair in pairs), seen.new_zeros(()))
            return Result(loss, {"loss/D": loss, "scores/real": real[0].mean(), "scores/fake": fake[0].mean()})

        def remember(nets: Nets, result: Result, rng: torch.Generator) -> None:
            if self.features:
                generator_of(nets).remember(result.carry["regions"].flatten(0, 1))

        def enhanced(nets: Nets, result: Result, rng: torch.Generator) -> None:
            remember(nets, result, rng)
            generator_of(nets).enhanced.fill_(self.enhancers)

        def coarse_loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            return g_loss(nets, batch, rng, coarse=True)

        def later(stage: int) -> bool:
            return stage > COARSE

        phases: tuple[Phase, ...] = (Phase("G", "G", g_loss, after=remember), Phase("D", "D", d_loss))
        if self.enhancers:
            phases = (
                Phase("G/coarse", "G", coarse_loss, after=remember, active=lambda stage: stage == COARSE),
                Phase("G", "G", g_loss, after=enhanced, active=later),
                Phase("D", "D", d_loss),
            )
        adam = Adam(self.lr, (self.beta1, 0.999))
        learning = ("G", "E") if self.features else ("G",)
        translation = Translation(
            "G",
            spec.source,
            spec.channels,
            apply=_apply,
            multiple=generator.multiple,
            least=generator.least,
            mode=self.test_mode,
            z_dim=classes if self.features else 0,
            critic="D",
            conditional=True,
            palette=spec.palette,
            palette_exact=spec.palette_exact,
            encoded=generator.encoded if spec.palette else 0,
            clusters=_clusters if self.features else None,
        )
        return Method(
            nets=nets,
            players={"G": Player(learning, adam, fixed=_fixed), "D": Player(("D",), adam)},
            phases=phases,
            models={spec.direction: translation},
            frozen=frozen,
            schedule=self._schedule,
            preview=(lambda nets, batch, rng: _with_features(nets, batch, rng, inputs)) if self.features else None,
        )

    def _schedule(self, clock: Clock) -> Schedule:
        """The stage, and the rate, which falls to zero in the second half of the coarse stage and of what follows."""
        coarse, fixed = self.borders(clock)
        at = clock.epoch if clock.count else (clock.seen / clock.total if clock.total else 0.0)
        end = clock.total / clock.count if clock.count else 1.0
        if not self.enhancers:
            return Schedule(rate=_falling(at, end))
        if at < coarse:
            return Schedule(rate=_falling(at, coarse), stage=COARSE)
        rate = _falling(at - coarse, end - coarse)
        return Schedule(rate=rate, stage=FIXED if at < fixed else TOGETHER)

    def borders(self, clock: Clock) -> tuple[float, float]:
        """Where the second and the third stage begin: in epochs, or shares of the training where nobody knows those.

        Example:
            >>> Pix2PixHD().borders(Clock(0, total=30000, count=100)), Pix2PixHD().borders(Clock(0, 6000, 100))
            ((200, 210), (40.0, 42.0))
        """
        if not clock.count:
            return 2 / 3, 0.7
        epochs = clock.total / clock.count
        coarse = min(200, epochs * 2 / 3) if self.coarse_epochs is None else self.coarse_epochs
        fixed = min(10, epochs / 30) if self.fixed_epochs is None else self.fixed_epochs
        return coarse, coarse + fixed

    def _check(self, spec: DataSpec) -> None:
        height, width = spec.resolution
        assert self.halvings is not None
        if not _fits(spec.resolution, self.halvings, self.enhancers):
            what = f"{width}x{height} images can't be halved {self.halvings + self.enhancers} times"
            raise UserError(what, hint="take a smaller --halvings, or --enhancers 0")
        if self.features and not _fits(spec.resolution, self.halvings_e or self.halvings, self.enhancers):
            what = f"{width}x{height} images can't be halved {self.halvings_e} times by the encoder, at each size"
            raise UserError(what, hint="take a smaller --halvings-e")
        if min(spec.resolution) >> self.enhancers < least_side(self.layers_d, self.scales, padding=2):
            what = f"{width}x{height} images are too small for discriminators at {self.scales} sizes"
            raise UserError(what, hint="take a smaller --scales")
        if self.enhancers and self.width % (1 << self.enhancers):
            what = f"a width of {self.width} can't be halved for {self.enhancers} enhancers"
            raise UserError(what, hint=f"take a multiple of {1 << self.enhancers}")
        if self.features and not spec.palette:
            what = "features are found for the regions of label maps, and the sources are plain images"
            raise UserError(what, hint="say --label-map auto, or --features 0")
        if self.vgg_weight and self.perceptor == "vgg19" and min(spec.resolution) >> self.enhancers < 16:
            raise UserError(f"{width}x{height} images are too small for VGG-19", hint="take --perceptor voile64")


def generator_of(nets: Nets) -> CoarseToFine:
    """G, as what it is."""
    net = nets["G"]
    assert isinstance(net, CoarseToFine)
    return net


def critic_of(nets: Nets) -> MultiScalePatchGAN:
    """What is inside D: it takes label maps as G has read them."""
    net = nets["D"]
    assert isinstance(net, Critic)
    return net.net


def matching(made: list[list[Tensor]], real: list[list[Tensor]]) -> Tensor:
    """The distance between discriminators' features of outputs and of targets (equation 4), weighted as in the code.

    All layers but the logits count, each size by itself: 4 over the number of layers, over the number of sizes.

    Args:
        made, real: of `MultiScalePatchGAN.features`.
    """
    total = made[0][0].new_zeros((), dtype=torch.float32)
    for one, other in zip(made, real, strict=True):
        layers = zip(one[:-1], other[:-1], strict=True)
        total = total + sum(F.l1_loss(x.float(), y.float()) for x, y in layers) * 4 / (len(one) - 1)
    return total / len(made)


def perceptual(net: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """The L1 distance in a classifier's stages, with `WEIGHTS`."""
    with torch.no_grad():
        wanted = net.stages(targets)  # type: ignore[operator]
    found = net.stages(images)  # type: ignore[operator]
    weights = WEIGHTS[len(wanted)]
    terms = [weight * F.l1_loss(x, y) for weight, x, y in zip(weights, found, wanted, strict=True)]
    return torch.stack(terms).sum()


def _fits(resolution: tuple[int, int], halvings: int, enhancers: int) -> bool:
    least = max(2 << halvings, 4) << enhancers
    multiple = 1 << (halvings + enhancers)
    return min(resolution) >= least and not any(side % multiple for side in resolution)


def _fixed(stage: int) -> tuple[str, ...]:
    return ("G.coarse",) if stage == FIXED else ()


def _falling(at: float, end: float) -> float:
    """1 for the first half of ``end``, then down to 0.

    Example:
        >>> _falling(20, 100), _falling(75, 100), _falling(100, 100)
        (1.0, 0.5, 0.0)
    """
    return min(1.0, max(0.0, 2 - 2 * at / end)) if end > 0 else 1.0


def _apply(net: nn.Module, images: Tensor, labels: Tensor, z: Tensor | None) -> Tensor:
    assert isinstance(net, CoarseToFine)
    given = net.read(images)
    if z is not None:
        given = torch.cat([given, net.chosen(images, z)], 1)
    output: Tensor = net(given)
    return output


def _clusters(net: nn.Module) -> Tensor:
    assert isinstance(net, CoarseToFine)
    return clusters(net.memory, net.filled)


def _with_features(
    nets: Nets,
    batch: Batch,
    rng: torch.Generator,
    inputs: Callable[[Nets, Batch], tuple[Tensor, Tensor, dict[str, Tensor]]],
) -> Mapping[str, Tensor]:
    """Source, target, what comes of the target's own features, and of clusters by chance."""
    source = source_of(batch)
    found = {"source": source[:, :3], "target": batch.images, "own features": nets["G"](inputs(nets, batch)[0])}
    for number in (1, 2):
        z = torch.randn(len(batch), len(generator_of(nets).filled), generator=rng, device=rng.device)
        found[f"clusters/{number}"] = _apply(nets["G"], source, batch.labels, z)
    return found
