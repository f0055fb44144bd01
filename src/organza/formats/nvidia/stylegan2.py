"""StyleGAN2 networks in NVIDIA's PyTorch snapshots, and what StyleGAN3's have in common with them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, get_args

import torch
from torch import Tensor

from organza.contract.data import DataSpec
from organza.formats.weights import check_resolution, collect, even, sized, whole_taps
from organza.methods.stylegan.stylegan2 import Act, StyleGAN2
from organza.methods.stylegan.stylegan3 import StyleGAN3
from organza.tensors.entry import Entry, constant, entry
from organza.tensors.records import Module, RefusedError, brief

WHOLE_BATCH = 1 << 20
"""A group of the minibatch standard deviation that is larger than any batch."""


def _modules(net: Module) -> Iterator[tuple[str, Module]]:
    """Everything in the module, by last name."""
    waiting, visits = list(net.children().items()), 0
    while waiting:
        name, module = waiting.pop()
        visits += 1
        if visits > 20_000:
            raise RefusedError("its modules are nested without end")
        yield name, module
        waiting += module.children().items()


def whole(net: Module, name: str, most: int, default: int | None = None) -> int:
    """A whole attribute from 0 to ``most``.

    Raises:
        RefusedError: another value, or none and no default.
    """
    value = net.get(name, default)
    if type(value) is not int or not 0 <= value <= most:
        raise RefusedError(f"its {name} is {brief(value)}")
    return value


def clamp_of(value: object) -> float | None:
    """A limit on activations, or None for none.

    Raises:
        RefusedError: it is no number above 0.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise RefusedError("a clamp that is not a number")
    return float(value)


def _blocks(net: Module, resolution: int, lowest: int) -> list[Module]:
    """The blocks ``b4``, ``b8`` ... in order of size."""
    found = []
    while lowest <= resolution:
        block = net.child(f"b{lowest}")
        if block is None:
            raise RefusedError(f"the block b{lowest} is missing")
        found.append(block)
        lowest *= 2
    return found


def _outputs(tensors: dict[str, Any], name: str) -> int:
    """First size of a weight."""
    found = tensors.get(name)
    if found is None or not found.shape:
        raise RefusedError(f"the tensor {name!r} is missing")
    return int(found.shape[0])


def _mapping_widths(mapping: Module) -> tuple[int, ...]:
    """The embedding's width and each layer's."""
    tensors = mapping.tensors()
    count = len([name for name in mapping.children() if re.fullmatch(r"fc\d+", name)])
    layers = [_outputs(tensors, f"fc{i}.weight") for i in range(count)]
    last = layers[-1] if layers else whole(mapping, "w_dim", 1 << 16)
    return (_outputs(tensors, "embed.weight") if "embed.weight" in tensors else last, *layers)


def _common(net: Module, resampling: str) -> dict[str, Any]:
    """Settings that our networks have once and theirs in each layer: clamp, filter and activation.

    Args:
        net: theirs.
        resampling: the last names of modules whose filter is used; the others keep one that nothing is done with.
    """
    modules = list(_modules(net))
    clamps = {m.get("conv_clamp") for name, m in modules if name in ("conv", "conv0", "conv1", "torgb")}
    filters = {
        _taps(tensor.tensor())
        for name, tensor in net.tensors().items()
        if re.fullmatch(rf"(?:.+\.)?(?:b\d+|skip|{resampling})\.resample_filter", name)
    }
    last = net.child("b4") if resampling == "conv1" else None  # a discriminator's
    head = [] if last is None else list(last.children().values())
    layers = [m for name, m in modules if name in ("conv0", "conv1", "fromrgb") and m not in head]
    for name, tensor in net.tensors().items():
        if re.search(r"\bconv[01]?\.weight$", name) and tensor.shape[2:] != (3, 3):
            raise RefusedError(f"convolutions of {'x'.join(map(str, tensor.shape[2:]))} pixels instead of 3x3")
    return {
        "conv_clamp": clamp_of(even("clamps", clamps, None)),
        "resample_taps": even("filters", filters, (1, 3, 3, 1)),
        "activation": _activation(layers),
    }


def _taps(plane: Tensor) -> tuple[int, ...]:
    """One axis of a filter, which NVIDIA keeps as a plane, or as a line where it has 8 taps or more."""
    if (
        not 1 <= plane.ndim <= 2
        or not 1 <= plane.shape[0] <= 64
        or (plane.ndim == 2 and plane.shape[0] != plane.shape[1])
    ):
        raise RefusedError("a resampling filter of an odd size")
    line = plane.sum(0) if plane.ndim == 2 else plane
    if plane.ndim == 2 and not torch.allclose(torch.outer(plane.sum(1), line), plane * plane.sum(), atol=1e-5):
        raise RefusedError("a resampling filter that is not one line for both axes")
    return whole_taps(tuple(line.tolist()))


def _activation(layers: Iterable[Module]) -> str:
    found = even("activations", {brief(layer.get("activation", "lrelu")).strip("'") for layer in layers}, "lrelu")
    if found not in get_args(Act):
        raise RefusedError(f"the activation {found}")
    return str(found)


def mapping_rate(mapping: Module) -> float:
    """A mapping network's factor on the learning rate, which the layers' gains contain."""
    gains = {m.get("bias_gain") for name, m in mapping.children().items() if name.startswith("fc")}
    gain = even("learning rates", gains, 0.01)
    if not isinstance(gain, (int, float)) or not 0 < gain <= 1000:
        raise RefusedError("a learning rate that is not a number")
    return float(gain)


def mapping_activation(mapping: Module | None) -> str:
    """The activation of a mapping network's layers."""
    layers = {} if mapping is None else mapping.children()
    return _activation(layer for name, layer in layers.items() if re.fullmatch(r"fc\d+", name))


def mapping_settings(net: Module) -> dict[str, Any]:
    """Settings of a generator's mapping network.

    Raises:
        RefusedError: it has none, or of odd sizes.
    """
    mapping = net.child("mapping")
    if mapping is None:
        raise RefusedError("a generator without mapping")
    w_dim, inner = whole(net, "w_dim", 1 << 16), _mapping_widths(mapping)
    beta = mapping.get("w_avg_beta")
    found: dict[str, Any] = {
        "z_dim": whole(net, "z_dim", 1 << 16),
        "w_dim": w_dim,
        "mapping_layers": len(inner) - 1,
        "mapping_lr": mapping_rate(mapping),
        "activation_mapping": mapping_activation(mapping),
        "w_avg_decay": float(beta) if isinstance(beta, float) and 0 <= beta <= 1 else 0.995,
    }
    if inner != (w_dim,) * len(inner):
        found["mapping_g"] = inner
    return found


def settings(nets: Mapping[str, Module], main: Module, problems: dict[str, str]) -> tuple[DataSpec, StyleGAN2]:
    """What the networks of a snapshot were built with.

    Args:
        nets: all of them.
        main: the generator to go by.
        problems: takes the reason if the discriminator can't be used.

    Raises:
        RefusedError: a generator with parts that we don't have.
    """
    synthesis = main.child("synthesis")
    assert synthesis is not None
    resolution = check_resolution(main.get("img_resolution"))
    spec = DataSpec((resolution, resolution), whole(main, "img_channels", 16), whole(main, "c_dim", 1 << 20))
    tensors, blocks, common = synthesis.tensors(), _blocks(synthesis, resolution, 4), _common(synthesis, "conv0")
    outputs = tuple(_outputs(tensors, f"b{4 << i}.conv1.weight") for i in range(len(blocks)))
    found = mapping_settings(main) | {"architecture_g": _architecture(blocks)}
    critic = discriminator_settings(nets.get("D"), spec, found["activation_mapping"], problems)
    sizes = sized(outputs, critic.pop("widths", None))
    if critic:
        taps, clamp = critic.pop("resample_taps"), critic.pop("conv_clamp")
        if clamp != common["conv_clamp"]:
            critic["conv_clamp_d"] = clamp
        if taps != common["resample_taps"]:
            critic["resample_taps_d"] = taps
    common["activation_g"] = common.pop("activation")
    return spec, StyleGAN2(**found, **critic, **common, **sizes).resolve(spec, batch=32)


def _architecture(blocks: list[Module]) -> str:
    found = even("architectures", {brief(block.get("architecture")).strip("'") for block in blocks}, "skip")
    if found not in ("skip", "resnet", "orig"):
        raise RefusedError(f"the architecture {found}")
    return str(found)


def discriminator_settings(
    net: Module | None, spec: DataSpec, mapping: str, problems: dict[str, str]
) -> dict[str, Any]:
    """Settings of a discriminator under their names in `StyleGAN2`, with its ``widths``.

    Args:
        net: the network; None gives none.
        spec: the images that the generator generates.
        mapping: the activation of the generator's mapping network.
        problems: takes the reason if it can't be used; then there are no settings.
    """
    try:
        return {} if net is None else _discriminator_settings(net, spec, mapping)
    except RefusedError as error:
        problems["D"] = str(error)
        return {}


def _discriminator_settings(net: Module, spec: DataSpec, mapping: str) -> dict[str, Any]:
    resolution = check_resolution(net.get("img_resolution"))
    theirs = (resolution, net.get("img_channels"), net.get("c_dim"))
    if theirs != (spec.resolution[0], spec.channels, spec.label_dim):
        raise RefusedError("a discriminator for other images than the generator makes")
    blocks, last = _blocks(net, resolution, 8), net.child("b4")
    if last is None:
        raise RefusedError("the block b4 is missing")
    mbstd = last.child("mbstd")
    group = None if mbstd is None else mbstd.get("group_size")
    if group is not None and (type(group) is not int or group < 1):
        raise RefusedError("a group size that is not a number")
    tensors = net.tensors()
    widths = [_outputs(tensors, "b4.conv.weight")]
    widths += [_outputs(tensors, f"b{8 << i}.conv0.weight") for i in range(len(blocks))]
    found: dict[str, Any] = {
        "widths": tuple(widths),
        "architecture_d": _architecture([*blocks, last]),
        "mbstd_group": min(group or WHOLE_BATCH, WHOLE_BATCH),
        "mbstd_channels": 0 if mbstd is None else whole(mbstd, "num_channels", 1 << 16),
        **_common(net, "conv1"),
    }
    head = _activation(layer for name, layer in last.children().items() if name in ("conv", "fromrgb", "fc"))
    inner = found.pop("activation")
    found["activation_d"] = inner if blocks else head
    if head != found["activation_d"]:
        found["activation_head"] = head
    about = net.child("mapping")
    if about is not None and spec.label_dim:
        if (mapped := mapping_activation(about)) != mapping:
            found["activation_mapping_d"] = mapped
        inner = _mapping_widths(about)
        if inner != (widths[0],) * 9:
            found["mapping_d"] = inner
    return found


def rate_factor(net: Module, ours: float) -> float:
    """What a mapping network's stored weights are multiplied by, so that at our rate it stays the same function."""
    mapping = net.child("mapping")
    return mapping_rate(mapping) / ours if mapping is not None and mapping.child("fc0") is not None else 1.0


def collect_network(
    net: Module,
    config: StyleGAN2 | StyleGAN3,
    spec: DataSpec,
    player: str,
    rename: Callable[[str], str],
    designed: Mapping[str, Tensor] | None = None,
) -> dict[str, Entry]:
    """Our tensors of a network.

    Args:
        net: theirs.
        config, spec: what ours is built from.
        player: ``"G"`` or ``"D"``.
        rename: their name for ours.
        designed: tensors that may be left out, because the settings give them.

    Raises:
        RefusedError: one is missing, unknown or misshaped.
    """
    tensors, factor = dict(net.tensors()), rate_factor(net, config.mapping_lr)

    def source(name: str, shape: tuple[int, ...]) -> Entry:
        theirs = rename(name)
        found = tensors.pop(theirs, None)
        if found is not None:
            item = entry(found)
            return item.scale(factor) if theirs.startswith("mapping.fc") else item
        if theirs.endswith(("noise_const", "noise_strength")) or name == "w_avg":  # they may be left out
            return constant(torch.zeros(shape))
        if designed is not None and name in designed:
            return constant(designed[name])
        raise RefusedError(f"the tensor {theirs!r} is missing")

    found = collect(config, spec, player, source)
    if rest := sorted(name for name in tensors if not name.endswith("resample_filter")):
        raise RefusedError(f"the tensor {rest[0][:80]!r} is unknown")
    return found


def collect_networks(net: Module, player: str, config: StyleGAN2, spec: DataSpec) -> dict[str, Entry]:
    """Our tensors of a StyleGAN2 generator or discriminator."""
    rename = generator_name if player == "G" else discriminator_name
    return collect_network(net, config, spec, player, lambda name: rename(name, spec.resolution[0]))


def generator_name(name: str, resolution: int) -> str:
    """Their name of one of our generator's tensors.

    Example:
        >>> generator_name("synthesis.blocks.1.to_rgb.affine.weight", 32)
        'synthesis.b8.torgb.affine.weight'
    """
    if name == "w_avg":
        return "mapping.w_avg"
    name = re.sub(r"^mapping\.layers\.(\d+)", r"mapping.fc\1", name)
    name = re.sub(r"^synthesis\.blocks\.(\d+)", lambda m: f"synthesis.b{4 << int(m[1])}", name)
    return name.replace(".to_rgb.", ".torgb.")


def discriminator_name(name: str, resolution: int) -> str:
    """Their name of one of our discriminator's tensors.

    Example:
        >>> discriminator_name("blocks.0.from_rgb.weight", 32), discriminator_name("dense.bias", 32)
        ('b32.fromrgb.weight', 'b4.fc.bias')
    """
    name = name.replace("from_rgb.", "fromrgb.")
    if name.startswith("blocks."):
        return re.sub(r"^blocks\.(\d+)", lambda m: f"b{resolution >> int(m[1])}", name)
    if name.startswith("mapping."):
        return re.sub(r"^mapping\.layers\.(\d+)", r"mapping.fc\1", name)
    return "b4." + re.sub(r"^dense\.", "fc.", name)
