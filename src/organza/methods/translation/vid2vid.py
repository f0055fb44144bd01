"""vid2vid.

Ting-Chun Wang, Ming-Yu Liu, Jun-Yan Zhu, Guilin Liu, Andrew Tao, Jan Kautz, Bryan Catanzaro: Video-to-Video Synthesis.
NeurIPS 2018, arXiv 1808.06601.

What it changed: pix2pixHD for videos. The generator sees its own last frames, moves the last one along a flow that it
finds, and says where it makes pixels anew. Beside discriminators of single frames, others
look at three frames with the motion between them, at two rates. Sequences grow while it trains (appendix A.1).

A sequence begins as a video does in use: nothing lies before its first frame, which is made from its source alone (the
authors' ``--no_first_img``). One step of each optimizer is taken on whole sequences; the authors take one for each
frame. Gradients go through one frame, as theirs do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from organza.contract.data import Batch, DataSpec, Layout
from organza.contract.method import Adam, Clock, Method, Nets, Phase, Player, Result, Schedule
from organza.contract.model import Memory, Mode, Translation
from organza.core.errors import UserError
from organza.core.ranges import Count, Depth, PositiveOrZero, Range
from organza.methods.translation.pix2pix import Game, adversarial_d, adversarial_g
from organza.methods.translation.pix2pixhd import critic_of, matching, perceptual
from organza.methods.translation.pix2pixhd_nets import Critic
from organza.methods.translation.vid2vid_nets import (
    Frame,
    MotionCritic,
    SequentialGenerator,
    moments,
    motion_at,
    plainly,
)
from organza.nn.norms import Norm
from organza.nn.patchgan import least_side
from organza.ops.flow import along
from organza.ops.recomputed import recomputed
from organza.vision.perceptor import Perceptor, available, open_perceptor


@dataclass(frozen=True)
class Vid2Vid:
    """Settings of vid2vid; the defaults are those of the authors' code, at the smallest of its sizes."""

    takes_labels: ClassVar[bool] = False
    layout: ClassVar[Layout] = "video"
    width: Count = 128
    """Feature maps of the generator at full size; doubled at each halving."""
    blocks: Annotated[int, Range(least=2, most=64)] = 9
    """Residual blocks on the way through the generator; the larger half before, the others after the frames meet."""
    halvings: Depth | None = None
    """Halvings of the generator. None: 3, fewer for small frames."""
    memory: Annotated[int, Range(least=1, most=8)] = 2
    """Frames that the generator remembers, sources and outputs alike."""
    first_frames: Annotated[int, Range(least=2)] = 6
    """Frames of the sequences that a training begins with. They are doubled, stage by stage, up to --frames."""
    stage_epochs: PositiveOrZero | None = None
    """Epochs of each stage; the last one has the rest. None: equal parts of the training, as in the paper."""
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
        """The same with halvings that fit the frames, and a classifier."""
        halvings, perceptor = self.halvings, self.perceptor
        if halvings is None:
            halvings = next((n for n in (3, 2, 1) if _fits(spec.resolution, n)), 1)
        return replace(self, halvings=halvings, perceptor=available() if perceptor is None else perceptor)

    def like(self, other: Vid2Vid, spec: DataSpec) -> Vid2Vid:
        """These settings with the architecture of ``other``."""
        names = ("width", "blocks", "halvings", "memory", "width_d", "layers_d", "scales", "rates", "norm")
        more = ("aligned", "test_mode")
        return replace(self, **{name: getattr(other, name) for name in (*names, *more)})

    def toy(self) -> Vid2Vid:
        """Tiny networks, for tests."""
        small = replace(self, width=4, blocks=2, halvings=1, width_d=4, layers_d=1, first_frames=2, stage_epochs=2)
        return replace(small, perceptor="voile64", recompute=True)

    def build(self, spec: DataSpec) -> Method:
        """The networks and their phases: one of the generator for each length of sequences, two of discriminators.

        Raises:
            UserError: frames of this size can't be translated.
        """
        if self.halvings is None or self.perceptor is None:
            raise ValueError("call resolve(spec, batch) before build(spec)")
        self._check(spec)
        generator = SequentialGenerator(
            *(spec.source, spec.channels, self.width, self.halvings, self.blocks, self.norm, self.memory),
            *(spec.palette, self.aligned),
        )
        critic = Critic(
            *(spec.source, spec.channels, self.scales, self.layers_d, self.width_d, self.norm, spec.palette),
            wider=True,
        )
        motion = MotionCritic(spec.channels, self.rates, self.scales, self.layers_d, self.width_d, self.norm)
        nets: dict[str, nn.Module] = {"G": generator, "D": critic, "DT": motion}
        frozen: dict[str, nn.Module] = {}
        if self.vgg_weight:
            frozen["perceptor"] = open_perceptor(self.perceptor, "plain")
        lengths = self.lengths(spec.frames)
        adam = Adam(self.lr, (self.beta1, 0.999))
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
            players={name: Player((name,), adam) for name in nets},
            phases=(
                *(self._growing(stage, length, len(lengths)) for stage, length in enumerate(lengths)),
                Phase("D", "D", self._d_loss),
                Phase("DT", "DT", self._motion_loss),
            ),
            models={spec.direction: translation},
            frozen=frozen,
            schedule=lambda clock: self._stage(clock, len(lengths)),
            preview=_preview,
        )

    def lengths(self, frames: int) -> tuple[int, ...]:
        """Frames of the sequences in each stage.

        Example:
            >>> Vid2Vid().lengths(30), Vid2Vid().lengths(6), Vid2Vid().lengths(4)
            ((6, 12, 24, 30), (6,), (4,))
        """
        found = [min(self.first_frames, frames)]
        while found[-1] < frames:
            found.append(min(2 * found[-1], frames))
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

    def _growing(self, stage: int, length: int, stages: int) -> Phase:
        """The generator's step on sequences of one length."""

        def loss(nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
            return self._g_loss(nets, batch, length)

        name = "G" if stage == stages - 1 else f"G/{length}"
        return Phase(name, "G", loss, active=lambda now: now == stage)

    def _g_loss(self, nets: Nets, batch: Batch, length: int) -> Result:
        """Means over all frames, of each the sum over `Frame.image` and `Frame.raw`; over all moments, by rates."""
        G, critic, motion = generator_of(nets), critic_of(nets), _motion_of(nets)
        source, target, flow, known = _shown(batch, length)
        seen = _each(G.read, source)
        frames = G.sequence(seen, recomputed if self._lean else plainly)
        images = torch.stack([frame.image for frame in frames], 1)

        def frame_terms(image: Tensor, raw: Tensor, wanted: Tensor, seen: Tensor) -> tuple[Tensor, ...]:
            with torch.no_grad():
                real = critic.features(wanted, seen)
            made = [critic.features(one, seen) for one in (image, raw)]
            terms = [[self._fooled(one) for one in made], [matching(one, real) for one in made]]
            if self.vgg_weight:
                terms.append([perceptual(nets["perceptor"], one, wanted) for one in (image, raw)])
            return tuple(torch.stack(both).sum() for both in terms)

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
        for rate in motion.fitting(length):
            at = motion_at(flow, rate)
            runs = moments(images, at, rate), moments(target, at, rate)
            fooled, match = self._mean(partial(moment_terms, rate), *runs)
            loss = loss + fooled + self.match_weight * match
            stats |= {f"terms/motion_{rate}": fooled, f"terms/motion_features_{rate}": match}
        terms = _moved_terms(frames, images, target, flow, known, self.aligned)
        loss = loss + self.flow_weight * (terms["terms/flow"] + terms["terms/flow_warp"])
        loss = loss + self.warp_weight * terms["terms/warp"] + self.reuse_weight * terms["terms/reuse"]
        return Result(loss, {"loss/G": loss, **stats, **terms}, {"outputs": images, "raw": raw})

    def _d_loss(self, nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
        G, critic, outputs = generator_of(nets), critic_of(nets), batch.carry["outputs"].detach()
        source, target, _, _ = _shown(batch, outputs.shape[1])
        seen, raw = _each(G.read, source), batch.carry["raw"].detach()

        def frame_loss(image: Tensor, raw: Tensor, wanted: Tensor, seen: Tensor) -> tuple[Tensor, ...]:
            real, fakes = critic(wanted, seen), [critic(one, seen) for one in (image, raw)]
            pairs = [pair for fake in fakes for pair in zip(real, fake, strict=True)]
            loss = torch.stack([adversarial_d(self.game, *pair) for pair in pairs]).sum()
            return loss, real[0].mean(), fakes[0][0].mean()

        loss, real, fake = self._mean(frame_loss, *(x.unbind(1) for x in (outputs, raw, target, seen)))
        return Result(loss, {"loss/D": loss, "scores/real": real, "scores/fake": fake})

    def _motion_loss(self, nets: Nets, batch: Batch, rng: torch.Generator) -> Result:
        motion, outputs = _motion_of(nets), batch.carry["outputs"].detach()
        _, target, flow, _ = _shown(batch, outputs.shape[1])

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
        assert self.halvings is not None
        if not _fits(spec.resolution, self.halvings):
            what = f"{width}x{height} frames can't be halved {self.halvings} times"
            raise UserError(what, hint="take a smaller --halvings, or sides that are multiples of 8")
        if min(spec.resolution) < least_side(self.layers_d, self.scales, padding=2):
            what = f"{width}x{height} frames are too small for discriminators at {self.scales} sizes"
            raise UserError(what, hint="take a smaller --scales")
        if self.vgg_weight and self.perceptor == "vgg19" and min(spec.resolution) < 16:
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


def _shown(batch: Batch, length: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The first ``length`` frames: sources, targets, flow, and where that is known."""
    assert batch.source is not None and batch.flow is not None
    flow = batch.flow[:, : length - 1]
    return batch.source[:, :length], batch.images[:, :length], flow[:, :, :2], flow[:, :, 2:]


def _each(function: Callable[[Tensor], Tensor], frames: Tensor) -> Tensor:
    """A function of images over frames ``[N, T, C, H, W]``."""
    found = function(frames.flatten(0, 1))
    return found.reshape(*frames.shape[:2], *found.shape[1:])


def _fits(resolution: tuple[int, int], halvings: int) -> bool:
    return min(resolution) >= max(2 << halvings, 4) and not any(side % (1 << halvings) for side in resolution)


def _apply(net: nn.Module, images: Tensor, labels: Tensor, z: Tensor | None) -> Tensor:
    return _follow(net, images, ())[0]


def _follow(net: nn.Module, images: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
    assert isinstance(net, SequentialGenerator)
    frame, memory = net.step(net.read(images), memory)
    return frame.image, memory


def _preview(nets: Nets, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
    """The last frame of each sequence."""
    assert batch.source is not None
    G = generator_of(nets)
    output = G.sequence(_each(G.read, batch.source))[-1].image
    return {"source": batch.source[:, -1], "output": output, "target": batch.images[:, -1]}
