"""The networks of vid2vid: a generator that remembers its last frames, discriminators of frames and of their motion.

Ting-Chun Wang et al. 2018, arXiv 1808.06601, section 3 and appendix A.1; layers as in the authors' code.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from organza.contract.model import Memory
from organza.core.device import to_compute
from organza.nn.initial import init_normal
from organza.nn.label_maps import LabelMaps
from organza.nn.norms import Norm, conv_bias, norm_layer
from organza.nn.patchgan import MultiScalePatchGAN
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


class SequentialGenerator(nn.Module):
    """The next frame from sources and the last outputs.

    Sources and outputs have an encoder each, whose features are added. One decoder makes an image, another the motion
    and the share of the image; the rest is the frame before, moved.

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

    Attributes:
        multiple: both sides must be multiples of it, and at least `least`.
        encoded: channels of a source as the encoder reads it.
    """

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
    ) -> None:
        super().__init__()
        self.labels, self.source = LabelMaps(palette) if palette else None, source
        self.encoded = source if self.labels is None else self.labels.channels
        self.channels, self.memory, self.aligned = channels, memory, aligned
        self.multiple, self.least = 2**halvings, max(2 << halvings, 4)
        bias = conv_bias(norm)
        maps = [width << level for level in range(halvings + 1)]

        def layer(conv: nn.Module, outputs: int) -> nn.Sequential:
            return nn.Sequential(conv, norm_layer(norm, outputs), nn.ReLU(inplace=True))

        def encoder(inputs: int) -> nn.Sequential:
            first = layer(same_size(inputs, width, 7, "reflect", bias), width)
            downs = [layer(Conv2d(a, b, 3, 2, 1, bias=bias), b) for a, b in itertools.pairwise(maps)]
            return nn.Sequential(first, *downs, *(ResidualBlock(maps[-1], norm) for _ in range(blocks - blocks // 2)))

        def decoder() -> nn.Sequential:
            ups = [
                layer(ConvTranspose2d(a, b, 3, 2, 1, output_padding=1, bias=bias), b)
                for a, b in itertools.pairwise(maps[::-1])
            ]
            return nn.Sequential(*(ResidualBlock(maps[-1], norm) for _ in range(blocks // 2)), *ups)

        self.read_source, self.read_past = encoder(self.encoded * (memory + 1)), encoder(channels * memory)
        self.to_image, self.to_motion = decoder(), decoder()
        self.image = same_size(width, channels, 7, "reflect", bias=True)
        self.flow = same_size(width, 2, 7, "reflect", bias=True)
        self.weight = same_size(width, 1, 7, "reflect", bias=True)
        self.apply(init_normal)

    def read(self, source: Tensor) -> Tensor:
        """Frames ``[N, source, H, W]`` as they are, label maps one-hot with borders: ``[N, encoded, H, W]``."""
        if self.labels is None or source.shape[1] == self.encoded != self.source:
            return source
        read: Tensor = self.labels(source)
        return read

    def forward(self, sources: Tensor, past: Tensor, first: bool = False) -> Frame:
        """One frame.

        Args:
            sources: ``[N, (memory + 1) * encoded, H, W]``, the oldest first, the frame's own last.
            past: ``[N, memory * channels, H, W]`` in [-1, 1], the last outputs, the oldest first.
            first: whether there is no frame before; the result is then ``raw``.

        Raises:
            UserError: a side is not a multiple of `multiple`, or too short.
        """
        check_sides(sources, self.multiple, self.least)
        x = self.read_source(to_compute(sources)) + self.read_past(to_compute(past))
        raw = torch.tanh(self.image(self.to_image(x).float()))
        motion = self.to_motion(x).float()
        flow, weight = REACH * self.flow(motion), torch.sigmoid(self.weight(motion))
        if first:
            return Frame(raw, raw, flow, weight)
        moved = along(past[:, -self.channels :], flow, self.aligned)
        return Frame(raw * weight + moved * (1 - weight), raw, flow, weight)

    def step(self, source: Tensor, memory: Memory, run: Run = plainly) -> tuple[Frame, Memory]:
        """The next frame of a sequence; gradients go through this frame alone.

        Where it begins, the sources before are taken for the first one, and the outputs before are blank.

        Args:
            source: ``[N, encoded, H, W]``, from `read`.
            memory: what the step before gave; () where the sequence begins.
            run: see `Run`.
        """
        first = not memory
        if first:
            blank = source.new_zeros(len(source), self.memory * self.channels, *source.shape[2:])
            memory = source.repeat(1, self.memory, 1, 1), blank
        seen = torch.cat([memory[0], source], 1)
        made = Frame(*run(partial(self._made, first), seen, memory[1]))
        past = torch.cat([memory[1], made.image.detach().to(memory[1].dtype)], 1)
        return made, (seen[:, self.encoded :], past[:, self.channels :])

    def _made(self, first: bool, sources: Tensor, past: Tensor) -> tuple[Tensor, ...]:
        return tuple(self(sources, past, first))

    def sequence(self, source: Tensor, run: Run = plainly) -> list[Frame]:
        """All frames of sequences ``[N, T, encoded, H, W]``; see `step`."""
        memory: Memory = ()
        found = []
        for number in range(source.shape[1]):
            frame, memory = self.step(source[:, number], memory, run)
            found.append(frame)
        return found


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
