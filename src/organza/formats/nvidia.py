"""NVIDIA's PyTorch snapshots: StyleGAN2-ADA, and StyleGAN2 networks of the StyleGAN3 repository.

A snapshot is a pickled dictionary with the networks ``G``, ``D`` and ``G_ema``. Each is stored as the attributes of
its modules, so that shapes and settings are read from what was built rather than from the arguments that built it.
The pickle also carries the source code of the networks; it is never looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import torch

from organza.core.errors import UserError
from organza.core.method import DataSpec
from organza.formats.opening import Opened
from organza.formats.records import Module, RefusedError, brief
from organza.formats.weights import (
    NVIDIA_LICENCE,
    Entry,
    Weights,
    check_resolution,
    collect,
    constant,
    entry,
    even,
    sized,
    whole_taps,
)
from organza.methods.stylegan2 import StyleGAN2

WHOLE_BATCH = 1 << 20
"""A group of the minibatch standard deviation that is larger than any batch."""


def recognise(opened: Opened) -> bool:
    """Whether it is a snapshot of NVIDIA's PyTorch code."""
    value = opened.value
    return isinstance(value, dict) and any(isinstance(value.get(name), Module) for name in ("G_ema", "G"))


def read(opened: Opened) -> Weights:
    """Our settings and tensors for a snapshot.

    Raises:
        UserError: another kind of network, or one with parts that we don't have.
    """
    nets = {name: opened.value[name] for name in ("G_ema", "G", "D") if isinstance(opened.value.get(name), Module)}
    main = nets.get("G_ema") or nets["G"]
    try:
        kind = _kind(main)
        if kind != "StyleGAN2":
            raise UserError(f"a {kind} network; not supported yet", where=opened.path)
        spec, settings = _generator_settings(main)
        problems: dict[str, str] = {}
        critic: dict[str, Any] = {}
        if "D" in nets:
            try:
                critic = _discriminator_settings(nets["D"], spec, settings)
            except RefusedError as error:
                problems["D"] = str(error)
        widths = sized(settings.pop("widths"), critic.pop("widths", None))
        config = StyleGAN2(**settings, **critic, **widths).resolve(spec, batch=32)
        found = {}
        for name, net in nets.items():
            if name in problems:
                continue
            try:
                found[name] = _collect(net, name[0], config, spec)
            except RefusedError as error:
                if net is main:
                    raise
                problems[name] = str(error)
    except RefusedError as error:
        raise UserError(f"a snapshot that can't be used: {error}", where=opened.path) from None
    found.setdefault("G_ema", found.get("G", {}))
    return Weights(
        path=opened.path,
        format="NVIDIA snapshot (PyTorch)",
        method="stylegan2",
        spec=spec,
        config=config,
        nets=found,
        problems=problems,
        facts=_facts(opened.value),
        licence=NVIDIA_LICENCE,
        foreign=opened.foreign,
    )


def _kind(net: Module) -> str:
    if net.version != 6:
        raise RefusedError(f"its networks are stored in version {brief(net.version)}, not 6")
    synthesis = net.child("synthesis")
    if synthesis is not None and synthesis.child("input") is not None:
        return "StyleGAN3"
    if synthesis is None or synthesis.child("b4") is None or net.child("mapping") is None:
        return "new kind of"
    return "StyleGAN2"


def _facts(snapshot: dict[Any, Any]) -> dict[str, str]:
    """What the snapshot tells of its training."""
    found = {}
    data = snapshot.get("training_set_kwargs")
    if isinstance(data, dict) and isinstance(data.get("path"), str):
        found["trained on"] = data["path"][:200]
    return found


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


def _whole(net: Module, name: str, most: int) -> int:
    value = net.get(name)
    if type(value) is not int or not 0 <= value <= most:
        raise RefusedError(f"its {name} is {brief(value)}")
    return value


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
    last = layers[-1] if layers else _whole(mapping, "w_dim", 1 << 16)
    return (_outputs(tensors, "embed.weight") if "embed.weight" in tensors else last, *layers)


def _common(net: Module) -> dict[str, Any]:
    """Settings that our networks have once and theirs in each layer."""
    modules = list(_modules(net))
    for _, module in modules:
        if module.get("activation", "lrelu") not in ("lrelu", "linear"):
            raise RefusedError(f"the activation {brief(module.get('activation'))}")
    clamps = {m.get("conv_clamp") for name, m in modules if name in ("conv0", "conv1", "torgb")}
    clamp = even("clamps", clamps, None)
    if clamp is not None and not (isinstance(clamp, (int, float)) and clamp > 0):
        raise RefusedError("a clamp that is not a number")
    found = {tuple(t.tensor().sum(0).tolist()) for name, t in net.tensors().items() if _is_filter(name, t.shape)}
    taps = even("filters", found, (0.125, 0.375, 0.375, 0.125))
    return {"conv_clamp": None if clamp is None else float(clamp), "resample_taps": whole_taps(taps)}


def _is_filter(name: str, shape: tuple[int, ...]) -> bool:
    return name.endswith("resample_filter") and len(shape) == 2 and shape[0] == shape[1] <= 16


def _lr(mapping: Module) -> float:
    """The mapping's factor on the learning rate, which the layers' gains contain."""
    gains = {m.get("bias_gain") for name, m in mapping.children().items() if name.startswith("fc")}
    gain = even("learning rates", gains, 0.01)
    if not isinstance(gain, (int, float)) or not 0 < gain <= 1000:
        raise RefusedError("a learning rate that is not a number")
    return float(gain)


def _generator_settings(net: Module) -> tuple[DataSpec, dict[str, Any]]:
    synthesis, mapping = net.child("synthesis"), net.child("mapping")
    assert synthesis is not None and mapping is not None
    resolution = check_resolution(net.get("img_resolution"))
    spec = DataSpec((resolution, resolution), _whole(net, "img_channels", 16), _whole(net, "c_dim", 1 << 20))
    tensors = synthesis.tensors()
    blocks = _blocks(synthesis, resolution, 4)
    w_dim, inner = _whole(net, "w_dim", 1 << 16), _mapping_widths(mapping)
    beta = mapping.get("w_avg_beta")
    settings: dict[str, Any] = {
        "z_dim": _whole(net, "z_dim", 1 << 16),
        "w_dim": w_dim,
        "mapping_layers": len(inner) - 1,
        "mapping_lr": _lr(mapping),
        "widths": tuple(_outputs(tensors, f"b{4 << i}.conv1.weight") for i in range(len(blocks))),
        "architecture_g": _architecture(blocks),
        "w_avg_decay": float(beta) if isinstance(beta, float) and 0 <= beta <= 1 else 0.995,
        **_common(synthesis),
    }
    if inner != (w_dim,) * len(inner):
        settings["mapping_g"] = inner
    return spec, settings


def _architecture(blocks: list[Module]) -> str:
    found = even("architectures", {brief(block.get("architecture")).strip("'") for block in blocks}, "skip")
    if found not in ("skip", "resnet", "orig"):
        raise RefusedError(f"the architecture {found}")
    return str(found)


def _discriminator_settings(net: Module, spec: DataSpec, settings: dict[str, Any]) -> dict[str, Any]:
    resolution = spec.resolution[0]
    theirs = (net.get("img_resolution"), net.get("img_channels"), net.get("c_dim"))
    if theirs != (resolution, spec.channels, spec.label_dim):
        raise RefusedError("a discriminator for other pictures than the generator draws")
    blocks, last = _blocks(net, resolution, 8), net.child("b4")
    mbstd = None if last is None else last.child("mbstd")
    if last is None or mbstd is None or mbstd.get("num_channels") != 1:
        raise RefusedError("a discriminator without the usual minibatch standard deviation")
    group = mbstd.get("group_size")
    if group is not None and (type(group) is not int or group < 1):
        raise RefusedError("a group size that is not a number")
    tensors = net.tensors()
    widths = [_outputs(tensors, "b4.conv.weight")]
    widths += [_outputs(tensors, f"b{8 << i}.conv0.weight") for i in range(len(blocks))]
    found: dict[str, Any] = {
        "widths": tuple(widths),
        "architecture_d": _architecture([*blocks, last]),
        "mbstd_group": min(group or WHOLE_BATCH, WHOLE_BATCH),
    }
    common = _common(net)
    if blocks and common["conv_clamp"] != settings["conv_clamp"]:
        raise RefusedError("a discriminator with another clamp than the generator")
    if common["resample_taps"] != settings["resample_taps"]:
        raise RefusedError("a discriminator with another filter than the generator")
    mapping = net.child("mapping")
    if mapping is not None and spec.label_dim:
        inner = _mapping_widths(mapping)
        if inner != (widths[0],) * 9:
            found["mapping_d"] = inner
    return found


def _collect(net: Module, player: str, config: StyleGAN2, spec: DataSpec) -> dict[str, Entry]:
    tensors = dict(net.tensors())
    rename = generator_name if player == "G" else discriminator_name
    mapping = net.child("mapping")
    # The same function at our rate: what is stored times the rate must stay.
    factor = _lr(mapping) / config.mapping_lr if mapping is not None and mapping.child("fc0") is not None else 1.0

    def source(name: str, shape: tuple[int, ...]) -> Entry:
        theirs = rename(name, spec.resolution[0])
        found = tensors.pop(theirs, None)
        if found is not None:
            item = entry(found)
            return item.scale(factor) if theirs.startswith("mapping.fc") else item
        if theirs.endswith(("noise_const", "noise_strength")) or name == "w_avg":  # they may be left out
            return constant(torch.zeros(shape))
        raise RefusedError(f"the tensor {theirs!r} is missing")

    found = collect(config, spec, player, source)
    if rest := sorted(name for name in tensors if not name.endswith("resample_filter")):
        raise RefusedError(f"the tensor {rest[0][:80]!r} is unknown")
    return found


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
