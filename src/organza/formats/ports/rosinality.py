"""rosinality's StyleGAN2 in PyTorch: training files (``g``, ``d``, ``g_ema``) and weights converted from NVIDIA's.

A file holds plain tensors by name and no settings that we need: widths, sizes and depths are read from the shapes.
Training files have no mean w; theirs is estimated on the spot from random codes, and so is ours (from fixed ones).
"""

from __future__ import annotations

import math
import re
from typing import Any

import torch
from torch import Tensor

from organza.contract.data import DataSpec
from organza.core.errors import UserError
from organza.formats.weights import (
    MAX_RESOLUTION,
    Weights,
    collect,
    even,
    in_block,
    licence_of,
    sized,
    usable,
    whole_taps,
)
from organza.methods.stylegan.stylegan2 import Mapping, StyleGAN2
from organza.tensors.entry import Entry, constant, entry
from organza.tensors.networks import beside, cast, find
from organza.tensors.opening import Opened
from organza.tensors.records import RefusedError

GENERATOR = ("input.input", "conv1.conv.weight", "to_rgb1.conv.weight")
CRITIC = ("final_conv.0.weight", "final_linear.1.weight", "convs.0.0.weight")
MEANS = ("latent_avg", "mean_latent", "w_avg")
LICENCE = "if these weights were converted from NVIDIA's, NVIDIA's non-commercial licence holds for them"


def recognise(opened: Opened) -> bool:
    """Whether it is a file of this kind."""
    return bool(find(opened.tensors, *GENERATOR))


def read(opened: Opened) -> Weights:
    """Our settings and tensors.

    Raises:
        UserError: a tensor is missing, unknown or misshaped.
    """
    nets = cast(find(opened.tensors, *GENERATOR), find(opened.tensors, *CRITIC))
    if nets["G_ema"].path.endswith("decoder."):
        label, what = "pSp, e4e or ReStyle (PyTorch): rosinality's StyleGAN2 as decoder", "a decoder"
    else:
        label, what = "rosinality StyleGAN2 (PyTorch)", "a file of rosinality's code"
    parts = {name: {key: entry(value) for key, value in net.tensors.items()} for name, net in nets.items()}
    return assemble(opened, parts, label, what)


def assemble(opened: Opened, parts: dict[str, dict[str, Entry]], label: str, what: str) -> Weights:
    """Our settings and tensors for networks under rosinality's names.

    Args:
        opened: the file; where it has a mean w, that is taken.
        parts: ``"G_ema"``, and ``"G"`` and ``"D"`` where there are any.
        label: what the format is called.
        what: the file in an error.

    Raises:
        UserError: a tensor is missing, unknown or misshaped.
    """
    problems: dict[str, str] = {}
    try:
        spec, settings = _generator_settings(parts["G_ema"])
        widths_d = None
        if "D" in parts:
            try:
                widths_d = _discriminator_widths(parts["D"], len(settings["widths"]) - 1)
            except RefusedError as error:
                problems["D"] = str(error)
        widths = sized(settings.pop("widths"), widths_d)
        mean = _stored_mean(opened, settings["w_dim"])
        config = StyleGAN2(**settings, **widths).resolve(spec, batch=32)
        names = [name for name in ("G_ema", "G", "D") if name in parts]
        found = usable(names, "G_ema", problems, lambda name: _collect(parts[name], name[0], config, spec, mean))
    except RefusedError as error:
        raise UserError(f"{what} that can't be used: {error}", where=opened.path) from None
    return Weights(
        path=opened.path,
        format=label,
        method="stylegan2",
        spec=spec,
        config=config,
        nets=found,
        problems=problems,
        licence=licence_of(opened.value, LICENCE),
        foreign=opened.foreign,
    )


def _stored_mean(opened: Opened, w_dim: int) -> Entry | None:
    """The file's mean w; pSp's files repeat it for each layer."""
    found = beside(opened.tensors, *MEANS)
    if found is None or not found.shape or found.shape[-1] != w_dim or len(found.shape) > 2 or not found.shape[0]:
        return None
    return entry(found).change((w_dim,), lambda x: x.reshape(-1, w_dim)[0])


def _shape(tensors: dict[str, Entry], name: str, rank: int) -> tuple[int, ...]:
    found = tensors.get(name)
    if found is None or len(found.shape) != rank:
        raise RefusedError(f"the tensor {name!r} is missing or misshaped")
    return found.shape


def _generator_settings(tensors: dict[str, Entry]) -> tuple[DataSpec, dict[str, Any]]:
    doublings = 0
    while f"to_rgbs.{doublings}.conv.weight" in tensors:
        doublings += 1
    layers = len([name for name in tensors if re.fullmatch(r"style\.\d+\.weight", name)])
    height, width = (side << min(doublings, 30) for side in _shape(tensors, "input.input", 4)[2:])
    if not 4 <= min(height, width) <= max(height, width) <= MAX_RESOLUTION:
        raise RefusedError(f"images of {width}x{height} pixels")
    spec = DataSpec((height, width), _shape(tensors, "to_rgb1.conv.weight", 5)[1])
    w_dim = _shape(tensors, "conv1.conv.modulation.weight", 2)[1]
    widths = [_shape(tensors, "conv1.conv.weight", 5)[1]]
    widths += [_shape(tensors, f"convs.{2 * i + 1}.conv.weight", 5)[1] for i in range(doublings)]
    inner = [_shape(tensors, f"style.{index + 1}.weight", 2)[0] for index in range(layers)]
    found: dict[str, Any] = {
        "z_dim": _shape(tensors, "style.1.weight", 2)[1] if layers else w_dim,
        "w_dim": w_dim,
        "mapping_layers": layers,
        "widths": tuple(widths),
        "mbstd_group": 4,
        "resample_taps": _taps(tensors),
    }
    if any(outputs != w_dim for outputs in inner):
        found["mapping_g"] = (inner[-1], *inner)
    return spec, found


def _taps(tensors: dict[str, Entry]) -> tuple[int, ...]:
    found = set()
    for name, value in tensors.items():
        if name.endswith(".kernel") and len(value.shape) == 2 and value.shape[0] == value.shape[1]:
            if not 1 <= value.shape[0] <= 16:
                raise RefusedError("a resampling filter of an odd size")
            line = value.read().sum(0)
            found.add(tuple((line / line.sum()).mul(4096).round().tolist()))
    return whole_taps(even("filters", found, (1, 3, 3, 1)))


def _discriminator_widths(tensors: dict[str, Entry], doublings: int) -> tuple[int, ...]:
    widths = [_shape(tensors, f"convs.{i + 1}.conv1.0.weight", 4)[0] for i in range(doublings)]
    return (_shape(tensors, "final_conv.0.weight", 4)[0], *widths[::-1])


def _collect(
    tensors: dict[str, Entry], player: str, config: StyleGAN2, spec: DataSpec, mean: Entry | None
) -> dict[str, Entry]:
    used = set()

    def source(name: str, shape: tuple[int, ...]) -> Entry:
        if name == "w_avg":
            return Entry(shape, lambda: _mean_w(config, tensors)) if mean is None else mean
        theirs = generator_name(name) if player == "G" else discriminator_name(name)
        used.add(theirs)
        if theirs not in tensors and theirs.startswith("noises."):  # early files lack the stored noise
            return constant(torch.zeros(shape))
        if theirs not in tensors:
            raise RefusedError(f"the tensor {theirs!r} is missing")
        item = tensors[theirs]
        # Theirs have axes of length 1 in front or behind.
        same = math.prod(item.shape) == math.prod(shape) and [n for n in item.shape if n > 1] == [
            n for n in shape if n > 1
        ]
        return item.reshape(*shape) if same else item

    found = collect(config, spec, player, source)
    rest = sorted(name for name in tensors if name not in used and not name.endswith((".kernel", *MEANS)))
    if rest:
        raise RefusedError(f"the tensor {rest[0][:80]!r} is unknown")
    return found


def _mean_w(config: StyleGAN2, tensors: dict[str, Entry]) -> Tensor:
    """The mean of w over 4096 fixed codes."""
    net = Mapping(config.z_dim, 0, config.mapping_g or (config.w_dim,) * (config.mapping_layers + 1), config.mapping_lr)
    state = {name: tensors[generator_name(f"mapping.{name}")].read().float() for name in net.state_dict()}
    net.load_state_dict(state)
    z = torch.randn(4096, config.z_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        w: Tensor = net(z, torch.zeros(len(z), 0)).mean(0)
    return w


def generator_name(name: str) -> str:
    """Their name of one of our generator's tensors.

    Example:
        >>> generator_name("synthesis.blocks.2.conv0.affine.weight"), generator_name("mapping.layers.0.bias")
        ('convs.2.conv.modulation.weight', 'style.1.bias')
    """
    if match := re.fullmatch(r"mapping\.layers\.(\d+)\.(\w+)", name):
        return f"style.{int(match[1]) + 1}.{match[2]}"
    level, layer, rest = in_block(name)
    if name.endswith(".const"):
        return "input.input"
    index = 2 * level - (layer == "conv0")  # of the convolution, from 0
    if rest == "noise_const":
        return f"noises.noise_{index}"
    if layer == "to_rgb":
        prefix = f"to_rgbs.{level - 1}" if level else "to_rgb1"
        rest = {"weight": "conv.weight", "bias": "bias"}.get(rest, f"conv.modulation.{rest.split('.')[-1]}")
    else:
        prefix = f"convs.{index - 1}" if level else "conv1"
        known = {"weight": "conv.weight", "bias": "activate.bias", "noise_strength": "noise.weight"}
        rest = known.get(rest, f"conv.modulation.{rest.split('.')[-1]}")
    return f"{prefix}.{rest}"


def discriminator_name(name: str) -> str:
    """Their name of one of our discriminator's tensors.

    Example:
        >>> discriminator_name("blocks.0.conv1.weight"), discriminator_name("out.bias")
        ('convs.1.conv2.1.weight', 'final_linear.1.bias')
    """
    layer, _, kind = name.rpartition(".")
    bias = kind == "bias"
    if match := re.fullmatch(r"blocks\.(\d+)\.(\w+)", layer):
        block = f"convs.{int(match[1]) + 1}"
        if match[2] == "from_rgb":
            return f"convs.0.{int(bias)}.{kind}"
        first = {"conv0": "conv1.0", "conv1": "conv2.1", "skip": "skip.1"}[match[2]]
        return f"{block}.{first[:-1]}{int(first[-1]) + bias}.{kind}"
    if layer in ("dense", "out"):
        return f"final_linear.{int(layer == 'out')}.{kind}"
    return f"final_conv.{int(bias)}.{kind}" if layer == "conv" else f"convs.0.{int(bias)}.{kind}"
