"""StyleGAN3 generators in NVIDIA's PyTorch snapshots.

Each layer stores the grids that it works on, so settings are read from what was built. What the usual rule gives again
is kept as that rule; anything else is spelled out layer by layer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from organza.contract.data import DataSpec
from organza.core.errors import UserError
from organza.formats.nvidia.stylegan2 import (
    clamp_of,
    collect_network,
    discriminator_name,
    discriminator_settings,
    mapping_settings,
    whole,
)
from organza.formats.weights import MAX_RESOLUTION, even, pyramid_settings, skeleton
from organza.methods.stylegan.stylegan3 import StyleGAN3, plan, widths
from organza.tensors.entry import Entry
from organza.tensors.records import Array, Module, RefusedError, brief

MAX_LAYERS = 100


def settings(nets: Mapping[str, Module], main: Module, problems: dict[str, str]) -> tuple[DataSpec, StyleGAN3]:
    """What the networks of a snapshot were built with; see `organza.formats.nvidia.stylegan2.settings`.

    Raises:
        RefusedError: a generator with parts that we don't have.
    """
    synthesis = main.child("synthesis")
    assert synthesis is not None
    resolution = main.get("img_resolution")
    if type(resolution) is not int or not 4 <= resolution <= MAX_RESOLUTION:
        raise RefusedError(f"images of {brief(resolution)} pixels")
    spec = DataSpec((resolution, resolution), whole(main, "img_channels", 16), whole(main, "c_dim", 1 << 20))
    found = [layer for name in layer_names(synthesis) if (layer := synthesis.child(name)) is not None]
    inner, last, shapes = found[:-1], found[-1], [_kernel(layer) for layer in found]
    if last.get("is_torgb") is False or shapes[-1][2] != 1:
        raise RefusedError("a last layer that doesn't give colours")
    decay = even("decays", {layer.get("magnitude_ema_beta") for layer in found} - {None}, 0.999)
    scale = synthesis.get("output_scale", 0.25)
    if not all(isinstance(n, (int, float)) and math.isfinite(n) for n in (decay, scale)) or not 0 <= decay <= 1:
        raise RefusedError("a decay or scale that is not a number")
    mapping = mapping_settings(main)
    if mapping.pop("activation_mapping") != "lrelu":
        raise RefusedError("a mapping network of another activation than lrelu")
    config = StyleGAN3(
        **mapping,
        layers=len(inner),
        critical=sum(layer.get("is_critically_sampled") is True for layer in inner),
        margin=whole(synthesis, "margin_size", 100, 10),
        kernel=even("kernels", {shape[2] for shape in shapes[:-1]}, 3),
        radial=any(layer.get("down_radial") is True for layer in inner),
        filter_size=_filter_size(inner),
        oversampling=_oversampling(inner),
        output_scale=float(scale),
        conv_clamp=even("clamps", {clamp_of(layer.get("conv_clamp")) for layer in found}, None),
        narrow=whole(synthesis, "num_fp16_res", 64, 4),
        magnitude_decay=float(decay),
        **_critic(nets.get("D"), spec, problems),
    )
    config = _planned(_wide(config, spec, synthesis, shapes), spec, found)
    return spec, config.resolve(spec, batch=32)


def _critic(net: Module | None, spec: DataSpec, problems: dict[str, str]) -> dict[str, Any]:
    """The discriminator's settings under their names in `StyleGAN3`."""
    found = discriminator_settings(net, spec, "lrelu", problems)
    if not found:
        return {}
    if {"activation_head", "activation_mapping_d"} & found.keys():
        problems["D"] = "a discriminator with several activation functions"
        return {}
    widths_d, found["conv_clamp_d"] = found.pop("widths"), found.pop("conv_clamp")
    simple = pyramid_settings(widths_d)
    if simple is None:
        return found | {"widths_d": widths_d}
    return found | {"channel_base_d": simple[0], "channel_max_d": simple[1]}


def layer_names(synthesis: Module) -> list[str]:
    """The layers in order; their names say place, size and feature maps.

    Raises:
        RefusedError: they don't follow each other.
    """
    found = {int(m[1]): name for name in synthesis.children() if (m := re.fullmatch(r"L(\d{1,4})_\d+_\d+", name))}
    if sorted(found) != list(range(len(found))) or not 3 <= len(found) <= MAX_LAYERS:
        raise RefusedError("layers that don't follow each other")
    return [found[index] for index in range(len(found))]


def collect_networks(net: Module, player: str, config: StyleGAN3, spec: DataSpec) -> dict[str, Entry]:
    """Our tensors of a generator or discriminator.

    Raises:
        RefusedError: one is missing, unknown or misshaped.
    """
    if player == "D":
        return collect_network(net, config, spec, "D", lambda name: discriminator_name(name, spec.resolution[0]))
    synthesis = net.child("synthesis")
    if synthesis is None:
        raise RefusedError("a generator without synthesis")
    names = layer_names(synthesis)
    made = skeleton(config, spec).nets["G"].state_dict()
    designed = {name: value for name, value in made.items() if name.endswith("_filter")}
    return collect_network(net, config, spec, "G", lambda name: generator_name(name, names), designed)


def generator_name(name: str, layers: list[str]) -> str:
    """Their name of one of our generator's tensors.

    Example:
        >>> generator_name("synthesis.layers.1.magnitude", ["L0_36_512", "L1_36_512"])
        'synthesis.L1_36_512.magnitude_ema'
        >>> generator_name("synthesis.input.frequencies", [])
        'synthesis.input.freqs'
    """
    if name == "w_avg":
        return "mapping.w_avg"
    name = re.sub(r"^mapping\.layers\.(\d+)", r"mapping.fc\1", name)
    name = re.sub(r"^synthesis\.layers\.(\d+)", lambda m: f"synthesis.{layers[int(m[1])]}", name)
    return re.sub(r"\.magnitude$", ".magnitude_ema", name.replace(".input.frequencies", ".input.freqs"))


def _kernel(layer: Module) -> tuple[int, ...]:
    held = layer.tensors().get("weight")
    if held is None or len(held.shape) != 4 or held.shape[2] != held.shape[3] or not held.shape[2] % 2:
        raise RefusedError("a layer without a proper kernel")
    return held.shape


def _ratio(layer: Module, above: str, below: str, most: int) -> int | None:
    """A whole ratio of two attributes; None where one is missing."""
    first, second = layer.get(above), layer.get(below)
    if first is None or second is None:
        return None
    if not all(isinstance(n, (int, float)) and math.isfinite(n) and n > 0 for n in (first, second)):
        raise RefusedError(f"its {above} is {brief(first)}")
    ratio = float(first) / float(second)
    if ratio != round(ratio) or not 1 <= ratio <= most:
        raise RefusedError(f"its {above} is {brief(first)}")
    return round(ratio)


def _filter_size(layers: list[Module]) -> int:
    pairs = [("up_taps", "up_factor"), ("down_taps", "down_factor")]
    enlarging = [(layer, *pair) for layer in layers for pair in pairs if layer.get(pair[1]) != 1]
    found = {_ratio(layer, taps, factor, 64) for layer, taps, factor in enlarging} - {None}
    return int(even("filter lengths", found, 6))


def _oversampling(layers: list[Module]) -> int:
    found = set()
    for layer in layers:
        rates = [rate for name in ("in_sampling_rate", "out_sampling_rate") if (rate := layer.get(name)) is not None]
        if layer.get("tmp_sampling_rate") is not None and len(rates) == 2:
            higher = "in_sampling_rate" if rates[0] > rates[1] else "out_sampling_rate"
            found.add(_ratio(layer, "tmp_sampling_rate", higher, 16))
    return int(even("oversamplings", found, 2))


def _wide(config: StyleGAN3, spec: DataSpec, synthesis: Module, shapes: list[tuple[int, ...]]) -> StyleGAN3:
    """Feature maps: by the arguments that the network was built with, if they give them, else one by one."""
    found = tuple(shape[0] for shape in shapes[:-1])
    given = synthesis.get("_init_kwargs")
    given = given if isinstance(given, dict) else {}
    base, most = (given.get(name, getattr(config, name)) for name in ("channel_base", "channel_max"))
    if type(base) is int and type(most) is int and 0 < base < 1 << 30 and 0 < most < 1 << 30:
        config = replace(config, channel_base=base, channel_max=most)
    try:
        if tuple(widths(config, plan(config, spec.resolution))) == found:
            return config
    except UserError:
        pass
    return replace(config, widths_g=found)


def _planned(config: StyleGAN3, spec: DataSpec, layers: list[Module]) -> StyleGAN3:
    """The plan of the layers: by the rule if it gives what they state, else spelled out."""
    given = layers[0].get("in_cutoff")
    if isinstance(given, (int, float)) and given > 0:
        config = replace(config, first_cutoff=float(given))
    reason = _difference(config, spec, layers)
    if reason is None:
        return config
    stated = [(layer.get("out_cutoff"), layer.get("out_half_width")) for layer in layers]
    if all(isinstance(n, (int, float)) and math.isfinite(n) for pair in stated for n in pair):
        cutoffs = tuple(float(cutoff) for cutoff, _ in stated)
        # A layer's filter has its transition end at the grid's limit, or at the stopband where that is beyond.
        stopbands = tuple(float(cutoff + half) for cutoff, half in stated)
        config = replace(config, cutoffs=cutoffs, stopbands=stopbands)
        reason = _difference(config, spec, layers)
    if reason is not None:
        raise RefusedError(reason)
    return config


def _difference(config: StyleGAN3, spec: DataSpec, layers: list[Module]) -> str | None:
    """In what the layers differ from our plan; None if they don't."""
    try:
        grids = plan(config, spec.resolution)
    except UserError as error:
        return error.what
    for index, (layer, before, after) in enumerate(zip(layers, [grids[0], *grids[:-1]], grids, strict=True)):
        ours = {
            "in_size": before.size,
            "out_size": after.size,
            "in_sampling_rate": (before.rate,),
            "out_sampling_rate": (after.rate,),
            "in_cutoff": (before.cutoff,),
            "out_cutoff": (after.cutoff,),
            "in_half_width": (before.half_width,),
            "out_half_width": (after.half_width,),
        }
        for name, wanted in ours.items():
            stated = _numbers(layer.get(name))
            if stated is not None and not all(
                math.isclose(a, b, rel_tol=1e-6) for a, b in zip(stated * len(wanted), wanted, strict=False)
            ):
                return f"layer {index} has another {name} ({stated}) than its network's plan"
    return None


def _numbers(value: object) -> list[float] | None:
    if isinstance(value, Array) and math.prod(value.shape) <= 2:
        value = value.numpy().reshape(-1).tolist()
    if isinstance(value, (int, float)):
        value = [value]
    if isinstance(value, (list, tuple)) and all(isinstance(n, (int, float)) for n in value) and 1 <= len(value) <= 2:
        return [float(n) for n in value][::-1]  # theirs have the width first
    return None
