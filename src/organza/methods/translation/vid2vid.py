"""vid2vid.

Ting-Chun Wang, Ming-Yu Liu, Jun-Yan Zhu, Guilin Liu, Andrew Tao, Jan Kautz, Bryan Catanzaro: Video-to-Video Synthesis.
NeurIPS 2018, arXiv 1808.06601.

What it changed: pix2pixHD for videos. The generator sees its own last frames, moves the last one along a flow that it
finds, and says where it makes pixels anew. Beside discriminators of single frames, others
look at three frames with the motion between them, at two rates. Sequences grow while it trains, and so do frames: a
coarse generator learns first, then others of twice the size around it (appendix A.1). What label maps call foreground
may have a network of its own (section 3.2).

A sequence begins as a video does in use: nothing lies before its first frame, which is made from its source alone (the
authors' ``--no_first_img``). One step of each optimizer is taken on whole sequences; the authors take one for each
frame. Gradients go through one frame, as theirs do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from organza.contract.data import Batch, DataSpec, Layout
from organza.contract.method import Adam, Clock, Method, Nets, Phase, Player, Result, Schedule
from organza.contract.model import Memory, Mode, Translation
from organza.core.errors import UserError
from organza.core.ranges import Count, CountOrZero, Depth, PositiveOrZero, Range, Share
from organza.methods.translation.pix2pix import Game, adversarial_d, adversarial_g
from organza.methods.translation.pix2pixhd import critic_of, matching, perceptual
from organza.methods.translation.pix2pixhd_nets import Critic
from organza.methods.translation.vid2vid_nets import (
    Frame,
    MotionCritic,
    SequentialGenerator,
    face_places,
    face_side,
    moments,
    motion_at,
    plainly,
    smaller_motion,
    windows,
)
from organza.nn.norms import Norm
from organza.nn.patchgan import MultiScalePatchGAN, halved, least_side
from organza.ops.flow import along
from organza.ops.recomputed import recomputed
from organza.vision.perceptor import Perceptor, available, open_perceptor

COARSEST = 256
"""The shorter side of the paper's coarsest frames."""


class Stage(NamedTuple):
    """What is trained in a stage.

    Attributes:
        level: so many enhancers take part.
        fixed: the finest of them alone learns.
        frames: of the sequences.
    """

    level: int
    fixed: bool
    frames: int


@dataclass(frozen=True)
class Vid2Vid:
    """Settings of vid2vid; the defaults are those of the authors' code."""

    takes_labels: ClassVar[bool] = False
    layout: ClassVar[Layout] = "video"
    width: Count = 128
    """Feature maps of the generator at full size; doubled at each halving."""
    blocks: Annotated[int, Range(least=2, most=64)] = 9
    """Residual blocks on the way through the generator; the larger half before, the others after the frames meet."""
    halvings: Depth | None = None
    """Halvings of the generator. None: 3, fewer for small frames."""
    enhancers: Annotated[int, Range(least=0, most=4)] | None = field(default=None, metadata={"absent": 0})
    """Generators of finer scales around it, each at twice the size and half as wide. None: as in the paper, one where
    the shorter side is 512 and two where it is 1024, else none."""
    blocks_local: Depth = 3
    """Residual blocks of each enhancer."""
    foreground: tuple[CountOrZero, ...] = ()
    """Classes of label maps that a network of their own makes, from labels alone: grey levels, or of coloured maps
    places in the palette, counted from 0. None given: no such network."""
    memory: Annotated[int, Range(least=1, most=8)] = 2
    """Frames that the generator remembers, sources and outputs alike."""
    first_frames: Annotated[int, Range(least=2)] = 6
    """Frames of the sequences that a training begins with. They are doubled, stage by stage, up to --frames."""
    stage_epochs: PositiveOrZero | None = None
    """Epochs of each stage; the last one has the rest. None: equal parts of the training, as in the paper. With
    enhancers each scale begins anew with short sequences, the first ones while coarser scales hold still."""
    width_d: Count = 64
    """Feature maps of the discriminators' first layer."""
    layers_d: Depth = 3
    """Halvings of the discriminators."""
    scales: Annotated[int, Range(least=1, most=8)] = 2
    """Sizes at which discriminators look."""
    rates: Annotated[int, Range(least=1, most=4)] = 2
    """Rates at which discriminators look at motion: three frames that follow each other; three of which each is the
    third after the one before; and so on."""
    norm: Norm = "instance"
    """Normalisation of all networks."""
    match_weight: PositiveOrZero = 10.0
    """Weight of the distance between the discriminators' features of outputs and targets."""
    vgg_weight: PositiveOrZero = 10.0
    """Weight of the same with features of a classifier; 0 leaves it out."""
    flow_weight: PositiveOrZero = 10.0
    """Weight of the distance of the generator's flow from the reference, in pixels, and of what it makes of the target
    before from the target."""
    warp_weight: PositiveOrZero = 10.0
    """Weight of the distance of an output from the one before, moved along the reference flow."""
    reuse_weight: PositiveOrZero = 1.0
    """Weight of the share that is made anew where the motion is known."""
    face_weight: PositiveOrZero = 0.0
    """Weight of a discriminator that looks at the face alone, where sources are maps of faces on a plain background;
    the authors have 2. 0: no such discriminator."""
    face_share: Share = 0.25
    """Height and width of what it looks at, as a share of the frame's shorter side; multiples of 8 pixels."""
    perceptor: Perceptor | None = None
    """The classifier: vgg19, as the authors have it (548 MB, fetched once), or voile64, a small stand-in that comes
    with the package. None: vgg19 where its file is in the cache, else voile64."""
    game: Game = "least-squares"
    """The adversarial loss: least squares (arXiv 1611.04076), or Goodfellow's."""
    aligned: bool = True
    """A flow of n means n pixels; --no-aligned is what newer PyTorch makes of the authors' code."""
    recompute: bool = True
    """Make what is inside the networks anew for the gradients, frame by frame: memory hardly grows with the length of
    sequences, and a step takes about a third longer."""
    lr: PositiveOrZero = 0.0002
    """Learning rate of all networks."""
    beta1: Annotated[float, Range(least=0, below=1)] = 0.5
    """Adam's first beta."""
    test_mode: Mode = "eval"
    """What normalisation does when videos are translated; with instance normalisation there is no difference."""

    def resolve(self, spec: DataSpec, batch: int) -> Vid2Vid:
        """The same with enhancers and halvings that fit the frames, and a classifier."""
        halvings, perceptor, enhancers = self.halvings, self.perceptor, self.enhancers
        if enhancers is None:
            least = min(spec.resolution)
            fitting = (n for n in (2, 1) if least >> n >= COARSEST and _fits(spec.resolution, halvings or 1, n))
            enhancers = next(fitting, 0)
        if halvings is None:
            halvings = next((n for n in (3, 2, 1) if _fits(spec.resolution, n, enhancers)), 1)
        perceptor = available() if perceptor is None else perceptor
        return replace(self, halvings=halvings, perceptor=perceptor, enhancers=enhancers)

    def like(self, other: Vid2Vid, spec: DataSpec) -> Vid2Vid:
        """These settings with the architecture of ``other``; how many enhancers there should be, these say.

        So a training with an enhancer may begin with a generator of the coarser scale that was trained before.
        """
        names = ("width", "blocks", "halvings", "memory", "width_d", "layers_d", "scales", "rates", "norm")
        more = ("blocks_local", "foreground", "aligned", "test_mode")
        return replace(self, **{name: getattr(other, name) for name in (*names, *more)})

    def toy(self) -> Vid2Vid:
        """Tiny networks, for tests."""
        small = replace(self, width=4, blocks=2, halvings=1, width_d=4, layers_d=1, first_frames=2, stage_epochs=2)
        return replace(small, perceptor="voile64", recompute=True)

    def build(self, spec: DataSpec) -> Method:
        """The networks and their phases: one of the generator for each stage, two or three of discriminators.

        Raises:
            UserError: frames of this size can't be translated, or there are no such classes.
        """
        if self.halvings is None or self.perceptor is None or self.enhancers is None:
            raise ValueError("call resolve(spec, batch) before build(spec)")
        self._check(spec)
        generator = SequentialGenerator(
            *(spec.source, spec.channels, self.width, self.halvings, self.blocks, self.norm, self.memory),
            *(spec.palette, self.aligned, self.enhancers, self.blocks_local, self._places(spec)),
        )

        def critic(scales: int) -> Critic:
            shape = spec.source, spec.channels, scales, self.layers_d, self.width_d, self.norm, spec.palette
            return Critic(*shape, wider=True)

        motion = MotionCritic(spec.channels, self.rates, self.scales, self.layers_d, self.width_d, self.norm)
        nets: dict[str, nn.Module] = {"G": generator, "D": critic(self.scales), "DT": motion}
        if self.face_weight:
            nets["DF"] = critic(max(1, self.scales - 2))
        frozen: dict[str, nn.Module] = {}
        if self.vgg_weight:
            frozen["perceptor"] = open_perceptor(self.perceptor, "plain")
        stages = self.stages(spec.frames)
        adam = Adam(self.lr, (self.beta1, 0.999))

        def fixed(stage: int) -> tuple[str, ...]:
            level, holding, _ = stages[min(stage, len(stages) - 1)]
            return tuple(f"G.{part}" for n in range(level) for part in generator.parts(n)) if holding else ()

        translation = Translation(
            "G",
            spec.source,
            spec.channels,
            apply=_apply,
            multiple=generator.multiple,
            least=generator.least,
            mode=self.test_mode,
            critic="D",
            conditional=True,
            palette=spec.palette,
            palette_exact=spec.palette_exact,
            encoded=generator.encoded if spec.palette else 0,
            follow=_follow,
        )
        return Method(
            nets=nets,
            players={"G": Player(("G",), adam, fixed), **{name: Player((name,), adam) for name in nets if name != "G"}},
            phases=(
                *(self._growing(number, stages) for number in range(len(stages))),
                Phase("D", "D", self._d_loss),
                Phase("DT", "DT", self._motion_loss),
                *([Phase("DF", "DF", self._face_loss)] if self.face_weight else []),
            ),
            models={spec.direction: translation},
            frozen=frozen,
            schedule=lambda clock: self._stage(clock, len(stages)),
            preview=_preview,
        )

    def lengths(self, frames: int) -> tuple[int, ...]:
        """Frames of the sequences in each stage of a scale.

        Example:
            >>> Vid2Vid().lengths(30), Vid2Vid().lengths(6), Vid2Vid().lengths(4)
            ((6, 12, 24, 30), (6,), (4,))
        """
        found = [min(self.first_frames, frames)]
        while found[-1] < frames:
            found.append(min(2 * found[-1], frames))
        return tuple(found)

    def stages(self, frames: int) -> tuple[Stage, ...]:
        """All stages, in their order.

        Example:
            >>> [tuple(stage) for stage in Vid2Vid(enhancers=1).stages(12)]
            [(0, False, 6), (0, False, 12), (1, True, 6), (1, False, 6), (1, False, 12)]
        """
        found = [Stage(0, False, length) for length in self.lengths(frames)]
        for level in range(1, (self.enhancers or 0) + 1):
            lengths = self.lengths(frames)
            found += [Stage(level, True, lengths[0]), *(Stage(level, False, length) for length in lengths)]
        return tuple(found)

    def _stage(self, clock: Clock, stages: int) -> Schedule:
        """Which of ``stages`` it is.

        Example:
            >>> [Vid2Vid()._stage(Clock(seen, 100), 4).stage for seen in (0, 24, 25, 99, 100)]
            [0, 0, 1, 3, 3]
            >>> [Vid2Vid(stage_epochs=2)._stage(Clock(seen, 100, count=10), 4).stage for seen in (19, 20, 90)]
            [0, 1, 3]
        """
        if self.stage_epochs is not None and clock.count:
            number = math.floor(clock.epoch / self.stage_epochs) if self.stage_epochs else stages
        else:
            number = clock.seen * stages // clock.total if clock.total else stages
        return Schedule(stage=min(stages - 1, number))

    def _growing(self, number: int, stages: Sequence[Stage]) -> Phase:
        """The generator's step in one stage."""
        stage = stages[number]

        def loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            return self._g_loss(nets, batch, stage)

        def enhanced(nets: Nets, result: Result, rng: torch.Generator) -> None:
            generator_of(nets).enhanced.fill_(stage.level)

        name = f"G{stage.level if self.enhancers else ''}/{stage.frames}{'/fixed' if stage.fixed else ''}"
        return Phase(
            "G" if number == len(stages) - 1 else name,
            "G",
            loss,
            after=enhanced if self.enhancers else None,
            active=lambda now: now == number,
            frames=stage.frames,
        )

    def _g_loss(self, nets: Nets, batch: Batch, stage: Stage) -> Result:
        """Means over all frames, of each the sum over `Frame.image` and `Frame.raw`; over all moments, by rates."""
        G, critic, motion = generator_of(nets), critic_of(nets), _motion_of(nets)
        seen, target, flow, known = _shown(G, batch, stage.frames, len(G.enhancers) - stage.level)
        frames = G.sequence(seen, recomputed if self._lean else plainly, stage.level)
        images = torch.stack([frame.image for frame in frames], 1)

        def frame_terms(image: Tensor, raw: Tensor, wanted: Tensor, seen: Tensor) -> tuple[Tensor, ...]:
            with torch.no_grad():
                real = critic.features(wanted, seen)
            made = [critic.features(one, seen) for one in (image, raw)]
            terms = [[self._fooled(one) for one in made], [matching(one, real) for one in made]]
            if self.vgg_weight:
                terms.append([perceptual(nets["perceptor"], one, wanted) for one in (image, raw)])
            return tuple(torch.stack(both).sum() for both in terms)

        def face_terms(image: Tensor, wanted: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
            image, wanted, seen = self._faces(image, wanted, seen)
            with torch.no_grad():
                real = _face_of(nets).features(wanted, seen)
            found = _face_of(nets).features(image, seen)
            return self._fooled(found), matching(found, real)

        def moment_terms(rate: int, made: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
            with torch.no_grad():
                real = motion.features(wanted, rate)
            found = motion.features(made, rate)
            return self._fooled(found), matching(found, real)

        raw = torch.stack([frame.raw for frame in frames], 1)
        means = self._mean(frame_terms, *(x.unbind(1) for x in (images, raw, target, seen)))
        names = ("adversarial", "features", "perceptual")
        stats = {f"terms/{name}": mean for name, mean in zip(names, means, strict=False)}
        weights = (1.0, self.match_weight, self.vgg_weight)
        loss = images.new_zeros(()) + sum(w * mean for w, mean in zip(weights, means, strict=False))
        for rate in motion.fitting(images.shape[1]):
            at = motion_at(flow, rate)
            runs = moments(images, at, rate), moments(target, at, rate)
            fooled, match = self._mean(partial(moment_terms, rate), *runs)
            loss = loss + fooled + self.match_weight * match
            stats |= {f"terms/motion_{rate}": fooled, f"terms/motion_features_{rate}": match}
        if self.face_weight:
            fooled, match = self._mean(face_terms, *(x.unbind(1) for x in (images, target, seen)))
            loss = loss + self.face_weight * (fooled + self.match_weight * match)
            stats |= {"terms/face": fooled, "terms/face_features": match}
        terms = _moved_terms(frames, images, target, flow, known, self.aligned)
        loss = loss + self.flow_weight * (terms["terms/flow"] / 2**stage.level + terms["terms/flow_warp"])
        loss = loss + self.warp_weight * terms["terms/warp"] + self.reuse_weight * terms["terms/reuse"]
        return Result(loss, {"loss/G": loss, **stats, **terms}, {"outputs": images, "raw": raw})

    def _d_loss(self, nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
        G, critic, outputs = generator_of(nets), critic_of(nets), batch.carry["outputs"].detach()
        seen, target, _, _ = _like(G, batch, outputs)
        raw = batch.carry["raw"].detach()

        def frame_loss(image: Tensor, raw: Tensor, wanted: Tensor, seen: Tensor) -> tuple[Tensor, ...]:
            real, fakes = critic(wanted, seen), [critic(one, seen) for one in (image, raw)]
            pairs = [pair for fake in fakes for pair in zip(real, fake, strict=True)]
            loss = torch.stack([adversarial_d(self.game, *pair) for pair in pairs]).sum()
            return loss, real[0].mean(), fakes[0][0].mean()

        loss, real, fake = self._mean(frame_loss, *(x.unbind(1) for x in (outputs, raw, target, seen)))
        return Result(loss, {"loss/D": loss, "scores/real": real, "scores/fake": fake})

    def _motion_loss(self, nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
        motion, outputs = _motion_of(nets), batch.carry["outputs"].detach()
        _, target, flow, _ = _like(generator_of(nets), batch, outputs)

        def moment_loss(rate: int, wanted: Tensor, made: Tensor) -> tuple[Tensor]:
            pairs = zip(motion.features(wanted, rate), motion.features(made, rate), strict=True)
            return (torch.stack([adversarial_d(self.game, real[-1], fake[-1]) for real, fake in pairs]).sum(),)

        loss = outputs.new_zeros(())
        for rate in motion.fitting(outputs.shape[1]):
            at = motion_at(flow, rate)
            runs = moments(target, at, rate), moments(outputs, at, rate)
            loss = loss + self._mean(partial(moment_loss, rate), *runs)[0]
        if not loss.requires_grad:  # sequences of two frames
            loss = loss + 0 * torch.stack([p.sum() for p in motion.parameters()]).sum()
        return Result(loss, {"loss/DT": loss})

    def _face_loss(self, nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
        outputs = batch.carry["outputs"].detach()
        seen, target, _, _ = _like(generator_of(nets), batch, outputs)

        def frame_loss(image: Tensor, wanted: Tensor, seen: Tensor) -> tuple[Tensor]:
            image, wanted, seen = self._faces(image, wanted, seen)
            pairs = zip(_face_of(nets)(wanted, seen), _face_of(nets)(image, seen), strict=True)
            return (torch.stack([adversarial_d(self.game, *pair) for pair in pairs]).sum(),)

        (loss,) = self._mean(frame_loss, *(x.unbind(1) for x in (outputs, target, seen)))
        return Result(loss, {"loss/DF": loss})

    def _faces(self, image: Tensor, wanted: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of each frame the same window, around the face in its source."""
        side = face_side(seen.shape[2:], self.face_share)
        places = face_places(seen, side)
        image, wanted, seen = (windows(x, places, side) for x in (image, wanted, seen))
        return image, wanted, seen

    def _places(self, spec: DataSpec) -> tuple[int, ...]:
        """Where the foreground's classes stand in the palette.

        Raises:
            UserError: sources are no label maps, or have no such class.
        """
        if self.foreground and not spec.palette:
            hint = "say --label-map auto, or leave --foreground out"
            raise UserError("the foreground is classes of label maps, and the sources are plain images", hint=hint)
        grey = all(len(colour) == 1 for colour in spec.palette)
        classes = [colour[0] for colour in spec.palette] if grey else list(range(len(spec.palette)))
        for wanted in self.foreground:
            if wanted not in classes:
                listed = ", ".join(map(str, classes[:40])) + (" ..." if len(classes) > 40 else "")
                raise UserError(f"the label maps have no class {wanted} for the foreground", hint=f"they have {listed}")
        return tuple(sorted({classes.index(wanted) for wanted in self.foreground}))

    @property
    def _lean(self) -> bool:
        """Batch normalisation would count twice what is made anew."""
        return self.recompute and self.norm != "batch"

    def _mean(self, function: Callable[..., tuple[Tensor, ...]], *columns: Sequence[Tensor]) -> list[Tensor]:
        """Means of what a function gives for each frame, or moment; at once where that takes no care of memory."""
        if not self._lean:
            return list(function(*(torch.cat(list(column)) for column in columns)))
        parts = [recomputed(function, *row) for row in zip(*columns, strict=True)]
        return [torch.stack(each).mean() for each in zip(*parts, strict=True)]

    def _fooled(self, features: Sequence[Sequence[Tensor]]) -> Tensor:
        """The generator's adversarial loss over all sizes."""
        return torch.stack([adversarial_g(self.game, scale[-1]) for scale in features]).sum()

    def _check(self, spec: DataSpec) -> None:
        height, width = spec.resolution
        assert self.halvings is not None and self.enhancers is not None
        if not _fits(spec.resolution, self.halvings, self.enhancers):
            what = f"{width}x{height} frames can't be halved {self.halvings + self.enhancers} times"
            multiple = 8 << self.enhancers
            raise UserError(what, hint=f"take a smaller --halvings, or sides that are multiples of {multiple}")
        if self.width % (1 << self.enhancers):
            what = f"a width of {self.width} can't be halved for {self.enhancers} enhancers"
            raise UserError(what, hint=f"take a multiple of {1 << self.enhancers}")
        coarsest = min(spec.resolution) >> self.enhancers
        if coarsest < least_side(self.layers_d, self.scales, padding=2):
            what = f"{width}x{height} frames are too small for discriminators at {self.scales} sizes"
            raise UserError(what, hint="take a smaller --scales")
        if self.vgg_weight and self.perceptor == "vgg19" and coarsest < 16:
            raise UserError(f"{width}x{height} frames are too small for VGG-19", hint="take --perceptor voile64")


def generator_of(nets: Nets) -> SequentialGenerator:
    """G, as what it is."""
    net = nets["G"]
    assert isinstance(net, SequentialGenerator)
    return net


def _motion_of(nets: Nets) -> MotionCritic:
    net = nets["DT"]
    assert isinstance(net, MotionCritic)
    return net


def _face_of(nets: Nets) -> MultiScalePatchGAN:
    net = nets["DF"]
    assert isinstance(net, Critic)
    return net.net


def _moved_terms(
    frames: Sequence[Frame], images: Tensor, target: Tensor, flow: Tensor, known: Tensor, aligned: bool
) -> dict[str, Tensor]:
    """How far motion is from the reference where that is known: the mean over all pixels of the frames behind others.

    Args:
        frames: what the generator made.
        images, target: ``[N, T, C, H, W]``.
        flow, known: ``[N, T - 1, 2, H, W]`` pixels and ``[N, T - 1, 1, H, W]``.
        aligned: see `along`.
    """
    own = torch.stack([frame.flow for frame in frames[1:]], 1)
    share = torch.stack([frame.weight for frame in frames[1:]], 1)

    def moved(images: Tensor, flow: Tensor) -> Tensor:
        found = along(images[:, :-1].flatten(0, 1), flow.flatten(0, 1), aligned)
        return found.reshape(images[:, 1:].shape)

    def off(one: Tensor, other: Tensor) -> Tensor:
        return (known * (one - other)).abs().mean()

    with torch.no_grad():
        before = moved(images, flow)
    return {
        "terms/flow": off(own, flow),
        "terms/flow_warp": off(moved(target, own), target[:, 1:]),
        "terms/warp": off(images[:, 1:], before),
        "terms/reuse": off(share, torch.zeros_like(share)),
    }


def _shown(G: SequentialGenerator, batch: Batch, length: int, above: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The first ``length`` frames, so many times halved: sources as G reads them, targets, flow, and where that is
    known."""
    assert batch.source is not None and batch.flow is not None
    seen, target = _each(G.read, batch.source[:, :length]), batch.images[:, :length]
    flow, known = batch.flow[:, : length - 1, :2], batch.flow[:, : length - 1, 2:]
    for _ in range(above):
        seen, target = _each(halved, seen), _each(halved, target)
        flow, known = smaller_motion(flow, known)
    return seen, target, flow, known


def _like(G: SequentialGenerator, batch: Batch, outputs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The same of the frames and the size of ``outputs``."""
    return _shown(G, batch, outputs.shape[1], (batch.images.shape[-1] // outputs.shape[-1]).bit_length() - 1)


def _each(function: Callable[[Tensor], Tensor], frames: Tensor) -> Tensor:
    """A function of images over frames ``[N, T, C, H, W]``."""
    found = function(frames.flatten(0, 1))
    return found.reshape(*frames.shape[:2], *found.shape[1:])


def _fits(resolution: tuple[int, int], halvings: int, enhancers: int = 0) -> bool:
    multiple = 1 << (halvings + enhancers)
    return min(resolution) >= max(2 << halvings, 4) << enhancers and not any(side % multiple for side in resolution)


def _apply(net: nn.Module, images: Tensor, labels: Tensor, z: Tensor | None) -> Tensor:
    return _follow(net, images, ())[0]


def _follow(net: nn.Module, images: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
    assert isinstance(net, SequentialGenerator)
    return net.use(net.read(images), memory)


def _preview(nets: Nets, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
    """The last frame of each sequence."""
    assert batch.source is not None
    memory: Memory = ()
    for source in batch.source.unbind(1):
        output, memory = _follow(nets["G"], source, memory)
    return {"source": batch.source[:, -1], "output": output, "target": batch.images[:, -1]}
