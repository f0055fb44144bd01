"""The networks of vid2vid: a generator that remembers its last frames, discriminators of frames and of their motion.

Ting-Chun Wang et al. 2018, arXiv 1808.06601, section 3 and appendix A.1; layers as in the authors' code.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from organza.contract.model import Memory
from organza.core.device import to_compute
from organza.nn.initial import init_normal
from organza.nn.label_maps import LabelMaps
from organza.nn.norms import Norm, conv_bias, norm_layer
from organza.nn.patchgan import MultiScalePatchGAN, halved
from organza.nn.pyramid import Conv2d, ConvTranspose2d
from organza.nn.resnet import ResidualBlock, same_size
from organza.nn.sides import check_sides
from organza.ops.flow import along, compose

REACH = 20.0
"""Pixels that an output of 1 of the flow's layer stands for."""
SEEN = 3
"""Frames that a discriminator of motion looks at."""


Run = Callable[..., Any]
"""``run(function, *tensors)``: a function of tensors, plainly or `recomputed`."""


def plainly(function: Callable[..., Any], *tensors: Tensor) -> Any:
    """``function(*tensors)``."""
    return function(*tensors)


class Frame(NamedTuple):
    """What a generator makes of a frame.

    Attributes:
        image: ``[N, channels, H, W]`` in [-1, 1], the result.
        raw: the same size, what it made without looking at the frame before.
        flow: ``[N, 2, H, W]`` pixels, see `organza.ops.flow`.
        weight: ``[N, 1, H, W]`` in [0, 1], the share of ``raw``.
    """

    image: Tensor
    raw: Tensor
    flow: Tensor
    weight: Tensor


class Features(NamedTuple):
    """What a generator hands on to the one of twice the size: ``[N, width, H, W]`` each.

    Attributes:
        image, motion: before the last layers.
        foreground: the same of the foreground's; an empty tensor without such.
    """

    image: Tensor
    motion: Tensor
    foreground: Tensor


@dataclass(frozen=True)
class Shape:
    """Of a `Composite`.

    Attributes:
        sources, past: channels of the frames that it reads: sources of all frames in a row, and outputs before.
        frame: channels of the source of the frame itself, the last of ``sources``.
        channels: of an output.
        width: feature maps at full size; doubled at each halving.
        halvings: how often frames are halved.
        before, behind: residual blocks in each encoder, and in each decoder.
        reach: pixels that an output of 1 of the flow's layer stands for.
        norm: normalisation of all layers but the last.
        aligned: see `organza.ops.flow.along`.
        foreground: classes of the source that a network of their own makes, by their channels; () none.
        width_f, blocks_f: its feature maps at full size, and residual blocks.
    """

    sources: int
    past: int
    frame: int
    channels: int
    width: int
    halvings: int
    before: int
    behind: int
    reach: float
    norm: Norm
    aligned: bool
    foreground: tuple[int, ...] = ()
    width_f: int = 0
    blocks_f: int = 0


class Composite(nn.Module):
    """A frame of one size from sources and the last outputs, and from features of a coarser generator if there is one.

    Sources and outputs have an encoder each, whose features are added. One decoder makes an image, another the motion
    and the share of the image; the rest is the frame before, moved. Of label maps, what belongs to the foreground may
    be made by a network that sees nothing but labels (section 3.2, "foreground-background prior").
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        norm, bias = shape.norm, conv_bias(shape.norm)

        def layer(conv: nn.Module, outputs: int) -> nn.Sequential:
            return nn.Sequential(conv, norm_layer(norm, outputs), nn.ReLU(inplace=True))

        def encoder(inputs: int, width: int, blocks: int) -> nn.Sequential:
            maps = [width << level for level in range(shape.halvings + 1)]
            first = layer(same_size(inputs, width, 7, "reflect", bias), width)
            downs = [layer(Conv2d(a, b, 3, 2, 1, bias=bias), b) for a, b in itertools.pairwise(maps)]
            return nn.Sequential(first, *downs, *(ResidualBlock(maps[-1], norm) for _ in range(blocks)))

        def decoder(width: int, blocks: int) -> nn.Sequential:
            maps = [width << level for level in range(shape.halvings, -1, -1)]
            ups = [
                layer(ConvTranspose2d(a, b, 3, 2, 1, output_padding=1, bias=bias), b)
                for a, b in itertools.pairwise(maps)
            ]
            return nn.Sequential(*(ResidualBlock(maps[0], norm) for _ in range(blocks)), *ups)

        width = shape.width
        self.read_source = encoder(shape.sources, width, shape.before)
        self.read_past = encoder(shape.past, width, shape.before)
        self.to_image, self.to_motion = decoder(width, shape.behind), decoder(width, shape.behind)
        self.image = same_size(width, shape.channels, 7, "reflect", bias=True)
        self.flow = same_size(width, 2, 7, "reflect", bias=True)
        self.weight = same_size(width, 1, 7, "reflect", bias=True)
        if shape.foreground:
            self.read_foreground = encoder(shape.sources, shape.width_f, 0)
            self.to_foreground = decoder(shape.width_f, shape.blocks_f)
            self.foreground = same_size(shape.width_f, shape.channels, 7, "reflect", bias=True)

    def make(self, sources: Tensor, past: Tensor, first: bool, coarser: Features | None) -> tuple[Frame, Features]:
        """One frame.

        Args:
            sources: ``[N, sources, H, W]``, the oldest first, the frame's own last.
            past: ``[N, past, H, W]`` in [-1, 1], the last outputs, the oldest first.
            first: whether there is no frame before; the result is then ``raw``.
            coarser: of the generator of half the size; None of the coarsest.
        """
        x = self.read_source(to_compute(sources)) + self.read_past(to_compute(past))
        y = x if coarser is None else x + coarser.motion
        at_image = self.to_image(x if coarser is None else x + coarser.image)
        at_motion = self.to_motion(y)
        raw = torch.tanh(self.image(at_image.float()))
        motion = at_motion.float()
        flow, weight = self.shape.reach * self.flow(motion), torch.sigmoid(self.weight(motion))
        image = raw
        if not first:
            moved = along(past[:, -self.shape.channels :], flow, self.shape.aligned)
            image = raw * weight + moved * (1 - weight)
        features = Features(at_image, at_motion, sources.new_zeros(0))
        if self.shape.foreground:
            z = self.read_foreground(to_compute(sources))
            at_front = self.to_foreground(z if coarser is None else z + coarser.foreground)
            front = torch.tanh(self.foreground(at_front.float()))
            mask = self.mask(sources)
            image, raw = (front * mask + one * (1 - mask) for one in (image, raw))
            features = features._replace(foreground=at_front)
        return Frame(image, raw, flow, weight), features

    def mask(self, sources: Tensor) -> Tensor:
        """The share of foreground in each pixel of the frame's own source: ``[N, 1, H, W]`` in [0, 1]."""
        own = sources[:, -self.shape.frame :]
        return own[:, list(self.shape.foreground)].sum(1, keepdim=True).clamp(0, 1)


class SequentialGenerator(Composite):
    """The next frame from sources and the last outputs: a `Composite`, and others of twice the size around it.

    Each scale remembers its own outputs; the result is that of the finest.

    Args:
        source: channels of a source frame.
        channels: of an output.
        width: feature maps at full size; doubled at each halving.
        halvings: how often frames are halved.
        blocks: residual blocks on the way through; encoders have the larger half.
        norm: normalisation of all layers but the last.
        memory: frames that it remembers, sources and outputs alike.
        palette: of label maps, see `LabelMaps`; () of plain images.
        aligned: see `organza.ops.flow.along`.
        enhancers: generators around it, each at twice the size and with half as many feature maps.
        blocks_local: residual blocks of each.
        foreground: classes that a network of their own makes, by their places in ``palette``.

    Attributes:
        multiple: both sides must be multiples of it, and at least `least`.
        encoded: channels of a source as the encoder reads it.
        enhanced: how many enhancers have begun to learn; only where there are some.
    """

    enhanced: Tensor

    def __init__(
        self,
        source: int,
        channels: int,
        width: int = 128,
        halvings: int = 3,
        blocks: int = 9,
        norm: Norm = "instance",
        memory: int = 2,
        palette: Sequence[Sequence[int]] = (),
        aligned: bool = True,
        enhancers: int = 0,
        blocks_local: int = 3,
        foreground: Sequence[int] = (),
    ) -> None:
        labels = LabelMaps(palette) if palette else None
        encoded = source if labels is None else labels.channels
        own = width // 2 if halvings > 2 else width
        coarsest = Shape(
            *(encoded * (memory + 1), channels * memory, encoded, channels, width, halvings),
            *(blocks - blocks // 2, blocks // 2, REACH, norm, aligned),
            *(tuple(foreground), own, blocks),
        )
        super().__init__(coarsest)
        self.labels, self.source, self.encoded = labels, source, encoded
        self.channels, self.memory, self.aligned = channels, memory, aligned
        self.coarse_multiple, self.coarse_least = 2**halvings, max(2 << halvings, 4)
        self.multiple, self.least = self.coarse_multiple << enhancers, self.coarse_least << enhancers
        finer = [
            replace(coarsest, width=width >> n, halvings=1, before=0, behind=blocks_local, reach=REACH * 2**n)
            for n in range(1, enhancers + 1)
        ]
        self.enhancers = nn.ModuleList(
            Composite(replace(each, width_f=own >> n, blocks_f=blocks_local)) for n, each in enumerate(finer, 1)
        )
        if enhancers:
            self.register_buffer("enhanced", torch.tensor(0))
        self.apply(init_normal)

    @property
    def level(self) -> int:
        """How many enhancers take part in use."""
        return int(self.enhanced) if len(self.enhancers) else 0

    def parts(self, level: int) -> tuple[str, ...]:
        """Names of what belongs to a scale: 0 for the coarsest."""
        if level:
            return (f"enhancers.{level - 1}",)
        return tuple(name for name, _ in self.named_children() if name not in ("labels", "enhancers"))

    def read(self, source: Tensor) -> Tensor:
        """Frames ``[N, source, H, W]`` as they are, label maps one-hot with borders: ``[N, encoded, H, W]``."""
        if self.labels is None or source.shape[1] == self.encoded != self.source:
            return source
        read: Tensor = self.labels(source)
        return read

    def forward(self, sources: Tensor, *past: Tensor, first: bool = False) -> Frame:
        """One frame of the finest of some scales.

        Args:
            sources: ``[N, (memory + 1) * encoded, H, W]``, the oldest first, the frame's own last.
            *past: ``[N, memory * channels, H, W]`` in [-1, 1], the last outputs, the oldest first; of each scale, the
                coarsest first, each at twice the size of the one before.
            first: whether there is no frame before; the result is then ``raw``.

        Raises:
            UserError: a side is not a multiple of `multiple`, or too short.
        """
        return self.scales(sources, past, first)[-1]

    def scales(self, sources: Tensor, past: Sequence[Tensor], first: bool) -> list[Frame]:
        """The frame of each scale, the coarsest first; see `forward`."""
        level = len(past) - 1
        check_sides(sources, self.coarse_multiple << level, self.coarse_least << level)
        sizes = [sources]
        for _ in range(level):
            sizes.append(halved(sizes[-1]))
        found: list[Frame] = []
        features: Features | None = None
        for net, seen, before in zip((self, *self.enhancers), sizes[::-1], past, strict=False):
            assert isinstance(net, Composite)
            frame, features = net.make(seen, before, first, features)
            found.append(frame)
        return found

    def step(
        self, source: Tensor, memory: Memory, run: Run = plainly, level: int | None = None, above: int = 0
    ) -> tuple[Frame, Memory]:
        """The next frame of a sequence; gradients go through this frame alone.

        Where it begins, the sources before are taken for the first one, and the outputs before are blank.

        Args:
            source: ``[N, encoded, H, W]``, from `read`.
            memory: what the step before gave; () where the sequence begins.
            run: see `Run`.
            level: so many enhancers take part; None: all.
            above: ``source`` is so many halvings larger than what they make.
        """
        level = len(self.enhancers) if level is None else level
        first = not memory
        if first:
            sides = [source.shape[2:]]
            for _ in range(above + level):
                sides.append(torch.Size((side + 1) // 2 for side in sides[-1]))
            blank = [source.new_zeros(len(source), self.memory * self.channels, *side) for side in sides[above:]]
            memory = source.repeat(1, self.memory, 1, 1), *blank[::-1]
        seen = torch.cat([memory[0], source], 1)
        small = seen
        for _ in range(above):
            small = halved(small)
        found = run(partial(self._made, first), small, *memory[1:])
        made, images = Frame(*found[:4]), (*found[4:], found[0])
        past = [
            torch.cat([old, image.detach().to(old.dtype)], 1)[:, self.channels :]
            for old, image in zip(memory[1:], images, strict=True)
        ]
        return made, (seen[:, self.encoded :], *past)

    def _made(self, first: bool, sources: Tensor, *past: Tensor) -> tuple[Tensor, ...]:
        """The finest frame, and the images of coarser ones."""
        *coarser, finest = self.scales(sources, past, first)
        return *finest, *(frame.image for frame in coarser)

    def sequence(self, source: Tensor, run: Run = plainly, level: int | None = None, above: int = 0) -> list[Frame]:
        """All frames of sequences ``[N, T, encoded, H, W]``; see `step`."""
        memory: Memory = ()
        found = []
        for number in range(source.shape[1]):
            frame, memory = self.step(source[:, number], memory, run, level, above)
            found.append(frame)
        return found

    def use(self, source: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """The next image of a sequence at the size of ``source``, by the scales that have begun to learn.

        It is enlarged while these are coarser. See `step`.
        """
        above = len(self.enhancers) - self.level
        frame, memory = self.step(source, memory, level=self.level, above=above)
        if not above:
            return frame.image, memory
        image = F.interpolate(frame.image, size=source.shape[2:], mode="bilinear", align_corners=False)
        return image, memory


class MotionCritic(nn.Module):
    """Discriminators that look at `SEEN` frames with the flow between them, at several rates (section 3.1).

    Args:
        channels: of a frame.
        rates: how many; the frames of each lie three times as far apart as those of the one before.
        scales, layers, width, norm: of each `MultiScalePatchGAN`.
    """

    def __init__(self, channels: int, rates: int, scales: int, layers: int, width: int, norm: Norm) -> None:
        super().__init__()
        inputs = SEEN * channels + 2 * (SEEN - 1)
        self.rates = nn.ModuleList(
            MultiScalePatchGAN(inputs, scales, layers, width, norm, padding=2, thinner=False, wider=True)
            for _ in range(rates)
        )

    def features(self, moments: Tensor, rate: int) -> list[list[Tensor]]:
        """What a rate's layers make of `moments`, see `MultiScalePatchGAN.features`."""
        net = self.rates[rate]
        assert isinstance(net, MultiScalePatchGAN)
        return net.features(moments)

    def fitting(self, frames: int) -> list[int]:
        """The rates that fit into so many frames."""
        return [rate for rate in range(len(self.rates)) if frames >= shortest(rate)]


def shortest(rate: int) -> int:
    """Frames of the shortest sequence that a rate of a `MotionCritic` fits into.

    Example:
        >>> shortest(0), shortest(1)
        (3, 7)
    """
    return (SEEN - 1) * int(SEEN**rate) + 1


def motion_at(flow: Tensor, rate: int) -> list[Tensor]:
    """The flow over ``SEEN**rate`` frames to each frame from the first that has so many before it, composed.

    Args:
        flow: ``[N, T - 1, 2, H, W]`` pixels.
        rate: see `MotionCritic`.
    """
    step = SEEN**rate
    return [compose(flow[:, start : start + step]) for start in range(flow.shape[1] - step + 1)]


def moments(frames: Tensor, motion: Sequence[Tensor], rate: int) -> list[Tensor]:
    """All runs of `SEEN` frames at a rate, with the flow between them: ``[N, SEEN * C + 2 * (SEEN - 1), H, W]`` each.

    Args:
        frames: ``[N, T, C, H, W]``.
        motion: from `motion_at`.
        rate: frames are ``SEEN**rate`` apart.
    """
    step = SEEN**rate
    found = []
    for start in range(frames.shape[1] - (SEEN - 1) * step):
        places = range(start, start + SEEN * step, step)
        found.append(torch.cat([*(frames[:, at] for at in places), *(motion[at] / REACH for at in places[:-1])], 1))
    return found


def smaller_motion(flow: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Motion of frames of half the size: the mean of what is known, and the share that is known.

    Args:
        flow: ``[N, T, 2, H, W]`` pixels.
        known: ``[N, T, 1, H, W]`` in [0, 1].

    Example:
        >>> flow, known = torch.full((1, 1, 2, 4, 4), 3.0), torch.ones(1, 1, 1, 4, 4)
        >>> flow[..., 0, 0], known[..., 0, 0] = 100.0, 0.0
        >>> flow, known = smaller_motion(flow, known)
        >>> flow[0, 0, 0].tolist(), known[0, 0, 0].tolist()
        ([[1.5, 1.5], [1.5, 1.5]], [[0.75, 1.0], [1.0, 1.0]])
    """
    share, plain, sure = (halved(x.flatten(0, 1)) for x in (known, flow, flow * known))
    found = torch.where(share > 0, sure / share.clamp(min=1e-6), plain) / 2
    n, t = flow.shape[:2]
    return found.reshape(n, t, *found.shape[1:]), share.reshape(n, t, *share.shape[1:])


PLAIN = 0.1
"""Sources differ from their background where a channel is off by more."""


def face_side(resolution: Sequence[int], share: float) -> int:
    """Height and width of a window around a face: a multiple of 8, where frames are no smaller than that.

    Example:
        >>> face_side((512, 512), 0.25), face_side((100, 64), 0.25), face_side((6, 9), 0.25)
        (128, 16, 6)
    """
    return max(8 * int(share * min(resolution) / 8), min(8, *resolution))


def face_places(sources: Tensor, side: int) -> Tensor:
    """Where a window lies whose middle is that of what stands before the background: ``[N, 2]``, top and left.

    The background has the median colour of a frame; of a plain frame the window is in the middle.

    Args:
        sources: ``[N, C, H, W]``.
        side: height and width of the window.

    Example:
        >>> frame = torch.ones(1, 1, 32, 32)
        >>> frame[0, 0, 10:15, 20:31] = -1
        >>> face_places(frame, 8).tolist(), face_places(torch.ones(1, 1, 32, 32), 8).tolist()
        ([[8, 21]], [[11, 11]])
    """
    ground = sources.flatten(2).median(2).values[..., None, None]
    off = ((sources - ground).abs() > PLAIN).any(1)
    found = []
    for along_axis in (off.any(2), off.any(1)):
        length = along_axis.shape[1]
        ends = [x.to(torch.uint8).argmax(1) for x in (along_axis, along_axis.flip(1))]
        middle = (ends[0] + length - 1 - ends[1]) // 2
        found.append((middle - side // 2).clamp(0, length - side))
    return torch.stack(found, 1)


def windows(images: Tensor, places: Tensor, side: int) -> Tensor:
    """``[N, C, H, W]`` -> ``[N, C, side, side]``, of each image the window at its place; see `face_places`."""
    steps = torch.arange(side, device=images.device)
    rows, columns = (places[:, axis, None] + steps for axis in (0, 1))
    number = torch.arange(len(images), device=images.device)[:, None, None]
    return images[number, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
