"""NVIDIA's TensorFlow pickles: ProGAN and StyleGAN (state versions 2 and 3, see `nvidia_tf_growing`), StyleGAN2 (4) and
StyleGAN2-ADA (5).

A pickle holds three networks: the generator, the discriminator and the averaged generator. Each lists its variables
by name, as NumPy arrays with kernels ``[height, width, in, out]``. What differs from the PyTorch networks: kernels of
enlarging convolutions are flipped, and a style's bias is stored without the 1 that is added to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch

from organza.contract.data import DataSpec
from organza.core.errors import UserError
from organza.formats.nvidia import growing as growing
from organza.formats.weights import NVIDIA_LICENCE, Weights, check_resolution, collect, in_block, sized, usable
from organza.methods.stylegan.stylegan2 import StyleGAN2
from organza.tensors.entry import Entry, constant, entry
from organza.tensors.networks import objects
from organza.tensors.opening import Opened
from organza.tensors.records import RefusedError, Stub, brief

WHOLE_BATCH = 1 << 20
CLASSES = ("dnnlib.tflib.network.Network", "tfutils.Network", "network.Network")


def recognise(opened: Opened) -> bool:
    """Whether it holds TensorFlow networks."""
    return bool(_networks(opened))


def _networks(opened: Opened) -> dict[str, Network]:
    """Of three, the last is averaged; one alone is told by its colours' direction."""
    stubs = [stub for stub in objects(opened.value, Stub).values() if stub.named(*CLASSES)]
    nets = [Network(stub) for stub in stubs]
    if len(nets) == 3:
        return dict(zip(("G", "D", "G_ema"), nets, strict=True))
    generators = [net for net in nets if not any("FromRGB" in name for name in net.variables)]
    critics = [net for net in nets if net not in generators]
    return {name: part[0] for name, part in (("G_ema", generators[::-1]), ("D", critics)) if part and generators}


def read(opened: Opened) -> Weights:
    """Our settings and tensors.

    Raises:
        UserError: another kind of network, or one with parts that we don't have.
    """
    nets, problems = _networks(opened), dict[str, str]()
    main = nets["G_ema"]
    try:
        kind = _kind(main)
        if kind not in _KINDS:
            raise UserError(f"a {kind} network; not supported yet", where=opened.path)
        method, settings_of, collect_of = _KINDS[kind]
        spec, config = settings_of(nets, problems)
        found = usable(nets, "G_ema", problems, lambda name: collect_of(nets[name], name[0], config, spec))
    except RefusedError as error:
        raise UserError(f"TensorFlow networks that can't be used: {error}", where=opened.path) from None
    return Weights(
        path=opened.path,
        format=f"NVIDIA pickle (TensorFlow, version {main.version})",
        method=method,
        spec=spec,
        config=config,
        nets=found,
        problems=problems,
        licence=NVIDIA_LICENCE,
        foreign=opened.foreign,
    )


class Network:
    """A network's state: version, arguments, and variables with those of its components."""

    def __init__(self, stub: Stub) -> None:
        state = stub.state if isinstance(stub.state, dict) else {}
        self.version = state.get("version")
        self.arguments: dict[str, Any] = {}
        self.variables: dict[str, Any] = {}
        self._take(state)
        components = state.get("components")
        for part in components.values() if isinstance(components, dict) else ():
            if isinstance(part, Stub) and isinstance(part.state, dict):
                self._take(part.state)

    def _take(self, state: dict[Any, Any]) -> None:
        arguments, variables = state.get("static_kwargs"), state.get("variables")
        if isinstance(arguments, dict):
            self.arguments |= {name: value for name, value in arguments.items() if isinstance(name, str)}
        for item in variables if isinstance(variables, list) else ():
            if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str):
                self.variables[item[0]] = item[1]

    def shape(self, name: str) -> tuple[int, ...]:
        """Sizes of a variable."""
        found = self.variables.get(name)
        if found is None:
            raise RefusedError(f"the variable {name!r} is missing")
        return entry(found).shape

    def number(self, name: str, default: float | None, most: float) -> float | None:
        """A numeric argument."""
        value = self.arguments.get(name, default)
        if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= most):
            return value
        raise RefusedError(f"{name} is {brief(value)}")

    def whole(self, name: str, default: int, most: int) -> int:
        """A whole argument."""
        value = self.number(name, default, most)
        if type(value) is not int:
            raise RefusedError(f"{name} is {brief(value)}")
        return value


def _kind(net: Network) -> str:
    names = " ".join(net.variables)
    if "4x4/Conv/mod_weight" in names and "lod0" not in names:
        return "StyleGAN2"
    if "StyleMod" in names:
        return "StyleGAN"
    if "mod_weight" in names:
        return "growing StyleGAN2 (configs B to D)"
    return "ProGAN" if "4x4/Dense/weight" in names else "new kind of TensorFlow"


def _common(net: Network) -> dict[str, Any]:
    for name in ("nonlinearity", "act", "mapping_nonlinearity"):
        if net.arguments.get(name, "lrelu") != "lrelu":
            raise RefusedError(f"the activation {brief(net.arguments[name])}")
    if net.arguments.get("normalize_latents", True) is not True:
        raise RefusedError("latent codes that are not normalised")
    taps = net.arguments.get("resample_kernel") or [1, 3, 3, 1]
    if not isinstance(taps, (list, tuple)) or len(taps) > 16 or not all(type(tap) is int for tap in taps):
        raise RefusedError("a resampling filter that is not of whole numbers")
    clamp = net.number("conv_clamp", None, 1e9)
    return {"resample_taps": tuple(taps), "conv_clamp": float(clamp) if clamp else None}


def settings(nets: Mapping[str, Network], problems: dict[str, str]) -> tuple[DataSpec, StyleGAN2]:
    """What StyleGAN2's networks were built with.

    Args:
        nets: ``"G_ema"`` and ``"D"``.
        problems: takes the reason if the discriminator can't be used.

    Raises:
        RefusedError: a generator with parts that we don't have.
    """
    spec, found = _generator_settings(nets["G_ema"])
    extra: dict[str, Any] = {}
    try:
        extra = _discriminator_settings(nets["D"], spec, found) if "D" in nets else {}
    except RefusedError as error:
        problems["D"] = str(error)
    widths = sized(found.pop("widths"), extra.pop("widths", None))
    return spec, StyleGAN2(**found, **extra, **widths).resolve(spec, batch=32)


def _generator_settings(net: Network) -> tuple[DataSpec, dict[str, Any]]:
    resolution = check_resolution(net.arguments.get("resolution"))
    labels = net.whole("label_size", 0, 1 << 20)
    spec = DataSpec((resolution, resolution), net.whole("num_channels", 3, 16), labels)
    if labels and "LabelEmbed/weight" not in net.variables:
        raise RefusedError("labels are mixed in as in the first StyleGAN2, which is not supported")
    layers = 0
    while f"Dense{layers}/weight" in net.variables:
        layers += 1
    inner = tuple(net.shape(f"Dense{i}/weight")[-1] for i in range(layers))
    w_dim = net.shape("4x4/Conv/mod_weight")[0]
    inner = (net.shape("LabelEmbed/weight")[-1] if labels else (inner or (w_dim,))[-1], *inner)
    sizes = [4 << i for i in range(resolution.bit_length() - 2)]
    widths = [net.shape("4x4/Conv/bias")[0], *(net.shape(f"{size}x{size}/Conv1/bias")[0] for size in sizes[1:])]
    architecture = "skip" if "4x4/ToRGB/weight" in net.variables else "orig"
    if any(f"{size}x{size}/Skip/weight" in net.variables for size in sizes):
        architecture = "resnet"
    beta = net.number("dlatent_avg_beta", 0.995, 1)
    settings = {
        "z_dim": net.shape("Dense0/weight")[0] - (inner[0] if labels else 0) if layers else w_dim,
        "w_dim": w_dim,
        "mapping_layers": layers,
        "mapping_lr": _lr(net, 0.01),
        "widths": tuple(widths),
        "architecture_g": architecture,
        "w_avg_decay": 0.995 if beta is None else float(beta),
        **_common(net),
    }
    if inner != (w_dim,) * len(inner):
        settings["mapping_g"] = inner
    return spec, settings


def _lr(net: Network, default: float) -> float:
    rate = net.number("mapping_lrmul", default, 1000)
    if not rate:
        raise RefusedError("a learning rate that is not a number")
    return float(rate)


def _discriminator_settings(net: Network, spec: DataSpec, settings: dict[str, Any]) -> dict[str, Any]:
    resolution = spec.resolution[0]
    theirs = (net.arguments.get("resolution"), net.whole("num_channels", 3, 16), net.whole("label_size", 0, 1 << 20))
    if theirs != (resolution, spec.channels, spec.label_dim):
        raise RefusedError("a discriminator for other images than the generator makes")
    if net.whole("mbstd_num_features", 1, 100) != 1:
        raise RefusedError("a discriminator without the usual minibatch standard deviation")
    common = _common(net)
    if any(common[name] != settings[name] for name in common):
        raise RefusedError("a discriminator with another clamp or filter than the generator")
    # What the function itself takes when nobody says: 4 at first, everything since ADA.
    group = net.number("mbstd_group_size", 4 if net.version == 4 else None, 1 << 30)
    sizes = [8 << i for i in range(resolution.bit_length() - 3)]
    widths = (net.shape("4x4/Conv/bias")[0], *(net.shape(f"{size}x{size}/Conv0/bias")[0] for size in sizes))
    architecture = "skip" if "4x4/FromRGB/weight" in net.variables and sizes else "orig"
    if any(f"{size}x{size}/Skip/weight" in net.variables for size in sizes):
        architecture = "resnet"
    found: dict[str, Any] = {
        "widths": widths,
        "architecture_d": architecture,
        "mbstd_group": min(int(group or WHOLE_BATCH), WHOLE_BATCH),
    }
    if spec.label_dim:
        inner = [net.shape("LabelEmbed/weight")[-1]]
        while f"Mapping{len(inner) - 1}/weight" in net.variables:
            inner.append(net.shape(f"Mapping{len(inner) - 1}/weight")[-1])
        if tuple(inner) != (widths[0],) * 9:
            found["mapping_d"] = tuple(inner)
    return found


def _collect(net: Network, player: str, config: StyleGAN2, spec: DataSpec) -> dict[str, Entry]:
    rate = _lr(net, 0.01 if player == "G" else 0.1) / config.mapping_lr
    used = {"lod"}

    def source(name: str, shape: tuple[int, ...]) -> Entry:
        theirs = _generator_name(name) if player == "G" else _discriminator_name(name, spec.resolution[0])
        used.add(theirs)
        if theirs not in net.variables:
            if theirs.endswith("noise_strength") or re.fullmatch(r"noise\d+", theirs):
                return constant(torch.zeros(shape))
            raise RefusedError(f"the variable {theirs!r} is missing")
        item = _turned(entry(net.variables[theirs]), theirs)
        return item.scale(rate) if name.startswith("mapping.layers") else item

    found = collect(config, spec, player, source)
    if rest := sorted(set(net.variables) - used):
        raise RefusedError(f"the variable {rest[0][:80]!r} is unknown")
    return found


def _turned(item: Entry, name: str) -> Entry:
    """A TensorFlow variable in PyTorch's layout."""
    shape = item.shape
    if name.endswith("weight") and len(shape) == 4:
        up = "Conv0_up" in name
        turned = (shape[3], shape[2], shape[0], shape[1])
        return item.change(turned, lambda x: (x.flip(0, 1) if up else x).permute(3, 2, 0, 1).contiguous())
    if name.endswith("weight") and len(shape) == 2:
        return item.change((shape[1], shape[0]), lambda x: x.t().contiguous())
    if name.endswith("mod_bias"):
        return item.change(shape, lambda x: x + 1)
    if name.endswith("/const") and len(shape) == 4:
        return item.reshape(*shape[1:])
    if re.fullmatch(r"noise\d+", name) and len(shape) == 4:
        return item.reshape(*shape[2:])
    return item


_KINDS: dict[
    str,
    tuple[
        str,
        Callable[[Mapping[str, Network], dict[str, str]], tuple[DataSpec, Any]],
        Callable[[Network, str, Any, DataSpec], dict[str, Entry]],
    ],
] = {
    "StyleGAN2": ("stylegan2", settings, _collect),
    "StyleGAN": ("stylegan", growing.stylegan_settings, growing.collect_network),
    "ProGAN": ("progan", growing.progan_settings, growing.collect_network),
}
"""Our method, how to find its settings, how to find its tensors."""


def _generator_name(name: str) -> str:
    """Their name of one of our generator's tensors.

    Example:
        >>> _generator_name("synthesis.blocks.1.conv0.affine.bias")
        '8x8/Conv0_up/mod_bias'
        >>> _generator_name("synthesis.blocks.2.conv1.noise_const")
        'noise4'
    """
    if name == "w_avg":
        return "dlatent_avg"
    if match := re.fullmatch(r"mapping\.layers\.(\d+)\.(\w+)", name):
        return f"Dense{match[1]}/{match[2]}"
    if match := re.fullmatch(r"mapping\.embed\.(\w+)", name):
        return f"LabelEmbed/{match[1]}"
    level, layer, rest = in_block(name)
    if name.endswith(".const"):
        return "4x4/Const/const"
    if rest == "noise_const":
        return f"noise{2 * level - (layer == 'conv0')}"
    layer = {"conv0": "Conv0_up", "conv1": "Conv1" if level else "Conv", "to_rgb": "ToRGB", "skip": "Skip"}[layer]
    return f"{4 << level}x{4 << level}/{layer}/{rest.replace('affine.', 'mod_')}"


def _discriminator_name(name: str, resolution: int) -> str:
    """Their name of one of our discriminator's tensors.

    Example:
        >>> _discriminator_name("blocks.0.conv1.weight", 32), _discriminator_name("dense.bias", 32)
        ('32x32/Conv1_down/weight', '4x4/Dense0/bias')
    """
    layers = {"from_rgb": "FromRGB", "conv0": "Conv0", "conv1": "Conv1_down", "skip": "Skip", "conv": "Conv"}
    if match := re.fullmatch(r"mapping\.layers\.(\d+)\.(\w+)", name):
        return f"Mapping{match[1]}/{match[2]}"
    if match := re.fullmatch(r"blocks\.(\d+)\.(\w+)\.(\w+)", name):
        size = resolution >> int(match[1])
        return f"{size}x{size}/{layers[match[2]]}/{match[3]}"
    layer, _, rest = name.rpartition(".")
    if layer == "mapping.embed":
        return f"LabelEmbed/{rest}"
    if layer == "out":
        return f"Output/{rest}"
    return f"4x4/{'Dense0' if layer == 'dense' else layers[layer]}/{rest}"
