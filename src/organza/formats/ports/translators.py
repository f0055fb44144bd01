"""pix2pix and CycleGAN out of networks in our names, whoever wrote the file.

Widths, depths and normalisation follow from names and shapes; the size of images in training does not, so the usual one
is taken. Whether a U-Net had dropout is not in a file either: it is left out, so that the same image gives the same
result.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from torch import Tensor

from organza.contract.data import DataSpec, Direction
from organza.contract.method import MethodConfig
from organza.contract.model import Mode
from organza.formats.weights import Weights, collect_all, usable
from organza.methods.translation.cyclegan import CycleGAN
from organza.methods.translation.pix2pix import Pix2Pix
from organza.nn.norms import Norm
from organza.tensors.entry import Entry
from organza.tensors.networks import Network, find
from organza.tensors.opening import Opened
from organza.tensors.records import Array, RefusedError

T = TypeVar("T")
Held = Mapping[str, Entry]
"""A network's tensors by our names."""

MOST_LEVELS, MOST_BLOCKS, MOST_LAYERS = 12, 64, 12


@dataclass(frozen=True)
class Found:
    """Networks of one file, or of several that belong together.

    Attributes:
        generators: by the way they translate.
        critics: by the side whose images they look at, ``"A"`` or ``"B"``.
        problems: critics that are there and can't be used, with the reason.
    """

    generators: Mapping[Direction, Held]
    critics: Mapping[str, Held] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)


def pix2pix(opened: Opened, whose: str, found: Found, *, mode: Mode = "train", dropout: bool = False) -> Weights:
    """A U-Net or a residual generator, and its discriminator if there is one.

    Args:
        opened: the file.
        whose: of the format's name.
        found: one generator.
        mode: what its authors test in.
        dropout: whether residual blocks have it.

    Raises:
        RefusedError: a tensor of the generator is missing, unknown or misshaped.
    """
    ((direction, held),) = found.generators.items()
    if "stem.conv.weight" in held:
        spec, shaped = residual(held, direction)
        config = Pix2Pix(generator="resnet", dropout=dropout, test_mode=mode, **shaped)
    else:
        spec, shaped = _skipping(held, direction)
        config = Pix2Pix(dropout=False, test_mode=mode, **shaped)
    channels, source, norm = spec.channels, spec.source, config.norm
    critic, problems = found.critics.get(direction[-1]), dict[str, str]()
    if critic is not None:
        config = replace(config, **critic_settings(critic, problems, "D", source + channels, norm))
    elif direction[-1] in found.problems:
        problems["D"] = found.problems[direction[-1]]
    parts = {"G": held} | ({} if critic is None else {"D": critic})
    return assemble(opened, f"pix2pix ({whose})", "pix2pix", spec, config, parts, "G", problems)


def cyclegan(
    opened: Opened, whose: str, found: Found, first: Direction, *, mode: Mode = "train", dropout: bool = False
) -> Weights:
    """One residual generator or both, with the discriminators that are there.

    Args:
        opened: the file.
        whose: of the format's name.
        found: generators of one shape.
        first: which of them is used unless told otherwise.
        mode: what their authors test in.
        dropout: whether residual blocks have it.

    Raises:
        RefusedError: a tensor of that generator is missing, unknown or misshaped.
    """
    held = found.generators[first]
    spec, shaped = residual(held, first)
    channels, source, norm = spec.channels, spec.source, shaped["norm"]
    identity = 0.5 if source == channels else 0.0
    config = CycleGAN(dropout=dropout, identity_weight=identity, test_mode=mode, **shaped)
    problems = {f"D_{side}": reason for side, reason in found.problems.items()}
    for seen, critic in found.critics.items():
        count = channels if seen == first[-1] else source
        config = replace(config, **critic_settings(critic, problems, f"D_{seen}", count, norm))
    parts = {f"G_{way}": net for way, net in found.generators.items()}
    parts |= {f"D_{seen}": net for seen, net in found.critics.items()}
    return assemble(opened, f"CycleGAN ({whose})", "cyclegan", spec, config, parts, f"G_{first}", problems)


def _skipping(held: Held, direction: Direction) -> tuple[DataSpec, dict[str, Any]]:
    """What a U-Net translates, and its shape as settings."""
    depth = 1 + max(_numbers(held, "downs"), default=-1)
    if not 2 <= depth <= MOST_LEVELS:
        raise RefusedError(f"a U-Net of {depth} levels")
    width, source = shape(held, "downs.0.conv.weight")[:2]
    channels = shape(held, "ups.0.conv.weight")[1]
    spec = DataSpec((2**depth, 2**depth), channels, source=source, direction=direction)
    return spec, {"width": width, "depth": depth, "norm": norm_of(held, "downs.1.norm", "downs.1.conv.bias")}


def residual(held: Held, direction: Direction) -> tuple[DataSpec, dict[str, Any]]:
    """What a residual generator translates, and its shape as settings.

    Raises:
        RefusedError: a tensor that tells it is missing or misshaped.
    """
    blocks = 1 + max(_numbers(held, "blocks"), default=-1)
    if not 1 <= blocks <= MOST_BLOCKS:
        raise RefusedError(f"{blocks} residual blocks")
    width, source = shape(held, "stem.conv.weight")[:2]
    channels = shape(held, "head.weight")[0]
    side = 128 if blocks < 9 else 256
    spec = DataSpec((side, side), channels, source=source, direction=direction)
    return spec, {"width": width, "blocks": blocks, "norm": norm_of(held, "stem.norm", "stem.conv.bias")}


def assemble(
    opened: Opened,
    format: str,
    method: str,
    spec: DataSpec,
    config: MethodConfig,
    parts: Mapping[str, Held],
    main: str,
    problems: dict[str, str],
) -> Weights:
    """Networks whose tensors are all in place.

    Args:
        opened: the file.
        format, method, spec, config: as in `Weights`.
        parts: our tensors of each network.
        main: the network without which the file is worth nothing.
        problems: networks that can't be used; takes those that turn out to be.

    Raises:
        RefusedError: that network can't be used.
    """
    nets = usable(parts, main, problems, lambda name: collect_all(config, spec, name, parts[name]))
    return Weights(
        path=opened.path,
        format=format,
        method=method,
        spec=spec,
        config=config,
        nets=nets,
        problems=problems,
        foreign=opened.foreign,
    )


def first_network(opened: Opened, marks: tuple[str, ...], understand: Callable[[Opened, Network], T]) -> T | None:
    """What ``understand`` makes of the first of PyTorch's networks with these tensors that it does not refuse."""
    for network in find(opened.tensors, *marks).values():
        if not any(isinstance(tensor, Array) for tensor in network.tensors.values()):
            with suppress(RefusedError):
                return understand(opened, network)
    return None


def critic_settings(held: Held, problems: dict[str, str], name: str, channels: int, norm: Norm) -> dict[str, Any]:
    """``width_d`` and ``layers_d`` of a `PatchGAN`; nothing, and a problem, where it is another than we would build.

    Args:
        held: its tensors.
        problems: takes what is wrong with it.
        name: of the network.
        channels: that it must take.
        norm: that it must have.

    Example:
        >>> problems = {}
        >>> critic_settings({}, problems, "D", 3, "batch"), problems
        ({}, {'D': "the tensor for 'layers.0.conv.weight' is missing or misshaped"})
    """
    try:
        width, seen, kernel, _ = shape(held, "layers.0.conv.weight")
        layers = max(_numbers(held, "layers")) - 1 if kernel > 1 else 0
        if seen != channels:
            raise RefusedError(f"it looks at {seen} channels, not at {channels}")
        if layers > MOST_LAYERS:
            raise RefusedError(f"a discriminator of {layers} halvings")
        if (its := norm_of(held, "layers.1.norm", "layers.1.conv.bias")) != norm:
            raise RefusedError(f"it has another normalisation ({its}) than the generator ({norm})")
        return {"width_d": width, "layers_d": layers}
    except RefusedError as error:
        problems[name] = str(error)
        return {}


def norm_of(held: Held, norm: str, bias: str) -> Norm:
    """Normalisation by a layer's tensors: statistics of the batch, or a gain and a bias alone, or none.

    Without any, only networks with instance normalisation have biases.
    """
    if f"{norm}.running_mean" in held:
        return "batch"
    if f"{norm}.weight" in held:
        return "instance-affine"
    return "instance" if bias in held else "none"


def unbiased(held: Held) -> dict[str, Entry]:
    """Without biases before batch normalisation, which takes them away again: stored means are less by them.

    Example:
        >>> import torch
        >>> from organza.tensors.entry import constant
        >>> tensor = constant(torch.full((2,), 3.0))
        >>> found = unbiased({"stem.conv.bias": tensor, "stem.norm.running_mean": tensor, "head.bias": tensor})
        >>> {name: item.read().tolist() for name, item in found.items()}
        {'stem.norm.running_mean': [0.0, 0.0], 'head.bias': [3.0, 3.0]}
    """
    found = dict(held)
    for name, bias in held.items():
        if match := re.fullmatch(r"(.+\.)(?:conv(\d?)|0)\.bias", name):
            after = f"{match[1]}{'1' if match[2] is None else f'norm{match[2]}'}.running_mean"
            if (mean := held.get(after)) is not None and mean.shape == bias.shape:
                found[after] = Entry(mean.shape, partial(_difference, mean, bias))
                del found[name]
    return found


def _difference(first: Entry, second: Entry) -> Tensor:
    return first.read() - second.read()


def shape(held: Held, name: str) -> tuple[int, ...]:
    """The shape of a convolution's weight.

    Raises:
        RefusedError: it is missing, or no such weight.
    """
    found = held.get(name)
    if found is None or len(found.shape) != 4:
        raise RefusedError(f"the tensor for {name!r} is missing or misshaped")
    return found.shape


def _numbers(held: Held, part: str) -> list[int]:
    """The numbers of layers ``part.N.``."""
    return [int(match[1]) for name in held if (match := re.match(rf"{part}\.(\d{{1,3}})\.", name))]
