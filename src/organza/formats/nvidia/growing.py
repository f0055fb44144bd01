"""ProGAN and StyleGAN in NVIDIA's TensorFlow pickles (state versions 2 and 3).

Kernels are ``[height, width, in, out]``. A fused enlarging layer is a transposed convolution: its kernel acts
flipped, and ProGAN's has its last two axes exchanged as well. The variable ``lod`` says how many levels are not in
use yet.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol

import torch

from organza.contract.data import DataSpec
from organza.formats.weights import check_resolution, collect, in_block, sized
from organza.methods.stylegan.progan import ProGAN
from organza.methods.stylegan.stylegan import StyleGAN
from organza.ops import setup_filter
from organza.tensors.entry import Entry, constant, entry
from organza.tensors.records import RefusedError, brief

BLUR = (1, 2, 1)
FUSED_FROM = 128
"""StyleGAN's automatic choice: from this size on a layer resamples and convolves at once."""


class Network(Protocol):
    """What is needed of `organza.formats.nvidia.tensorflow.Network`."""

    arguments: dict[str, Any]
    variables: dict[str, Any]

    def shape(self, name: str) -> tuple[int, ...]:
        """Sizes of a variable."""
        ...

    def number(self, name: str, default: float | None, most: float) -> float | None:
        """A numeric argument."""
        ...

    def whole(self, name: str, default: int, most: int) -> int:
        """A whole argument."""
        ...


def progan_settings(nets: Mapping[str, Network], problems: dict[str, str]) -> tuple[DataSpec, ProGAN]:
    """What ProGAN's networks were built with.

    Args:
        nets: ``"G_ema"`` and ``"D"``.
        problems: takes the reason if the discriminator can't be used.

    Raises:
        RefusedError: a generator with parts that we don't have.
    """
    main = nets["G_ema"]
    spec = _spec(main)
    expected = {"use_wscale": True, "use_pixelnorm": True, "use_leakyrelu": True, "normalize_latents": True}
    _expect(main, expected | {"tanh_at_end": None, "pixelnorm_epsilon": 1e-8})
    sizes = _sizes(spec)
    inputs, outputs = main.shape("4x4/Dense/weight")
    widths = [outputs // 16, *(main.shape(f"{size}x{size}/Conv1/bias")[0] for size in sizes[1:])]
    found: dict[str, Any] = {"z_dim": inputs - spec.label_dim, "label_d": "auxiliary", "label_g": True}
    critic, widths_d = _critic(nets.get("D"), spec, widths[0], problems)
    critic["pool_first"] = "D" in nets and f"{sizes[-1]}x{sizes[-1]}/Conv1_down/weight" in nets["D"].variables
    return spec, ProGAN(**found, **critic, **sized(tuple(widths), widths_d))


def stylegan_settings(nets: Mapping[str, Network], problems: dict[str, str]) -> tuple[DataSpec, StyleGAN]:
    """The same for StyleGAN's.

    Raises:
        RefusedError: a generator with parts that we don't have.
    """
    main = nets["G_ema"]
    spec = _spec(main)
    expected: dict[str, Any] = {"use_wscale": True, "use_pixel_norm": False, "use_instance_norm": True}
    expected |= {"use_styles": True, "nonlinearity": "lrelu", "mapping_nonlinearity": "lrelu"}
    _expect(main, expected | {"normalize_latents": True, "fused_scale": ("auto", True, False)})
    sizes = _sizes(spec)
    layers = 0
    while f"Dense{layers}/weight" in main.variables:
        layers += 1
    if not layers:
        raise RefusedError("a mapping network without layers")
    inner = [main.shape(f"Dense{index}/weight") for index in range(layers)]
    hidden = {shape[1] for shape in inner[:-1]} or {inner[-1][1]}
    if len(hidden) > 1:
        raise RefusedError("a mapping network whose layers have different widths")
    w_dim, (hidden_dim,) = inner[-1][1], hidden
    first = "4x4/Const" if "4x4/Const/const" in main.variables else "4x4/Dense"
    widths = [main.shape(f"{first}/bias")[0], *(main.shape(f"{size}x{size}/Conv1/bias")[0] for size in sizes[1:])]
    beta, rate = main.number("dlatent_avg_beta", 0.995, 1), main.number("mapping_lrmul", 0.01, 1000)
    if not rate:
        raise RefusedError("a learning rate that is not a number")
    found: dict[str, Any] = {
        "z_dim": inner[0][0] // (2 if spec.label_dim else 1),
        "w_dim": w_dim,
        "mapping_layers": layers,
        "mapping_dim": None if hidden_dim == w_dim else hidden_dim,
        "mapping_lr": float(rate),
        "const_input": first == "4x4/Const",
        "noise": f"{first}/Noise/weight" in main.variables,
        "blur": _blur(main),
        "w_avg_decay": 0.995 if beta is None else float(beta),
        "label_d": "select",
    }
    critic, widths_d = _critic(nets.get("D"), spec, widths[0], problems)
    if "D" in nets and "D" not in problems:
        try:
            _expect(nets["D"], {"fused_scale": ("auto", True, False)})
            if _blur(nets["D"]) != found["blur"]:
                raise RefusedError("a discriminator with another filter than the generator")
        except RefusedError as error:
            problems["D"] = str(error)
    return spec, StyleGAN(**found, **critic, **sized(tuple(widths), widths_d))


def _spec(net: Network) -> DataSpec:
    resolution = check_resolution(net.arguments.get("resolution"))
    labels = net.whole("label_size", 0, 1 << 20)
    return DataSpec((resolution, resolution), net.whole("num_channels", 3, 16), labels)


def _sizes(spec: DataSpec) -> list[int]:
    return [4 << level for level in range(spec.resolution[0].bit_length() - 2)]


def _expect(net: Network, values: dict[str, Any]) -> None:
    """Refuse arguments that differ from those that our networks have; a tuple lists several."""
    for name, known in values.items():
        value = net.arguments.get(name)
        allowed = known if isinstance(known, tuple) else (known,)
        if name in net.arguments and value not in allowed and not (known is None and value is False):
            raise RefusedError(f"{name} is {brief(value)}")


def _blur(net: Network) -> bool:
    taps = net.arguments.get("blur_filter", list(BLUR))
    if taps is None or taps == [] or taps == ():
        return False
    if not isinstance(taps, (list, tuple)) or tuple(taps) != BLUR:
        raise RefusedError("another filter than [1, 2, 1]")
    return True


def _critic(
    net: Network | None, spec: DataSpec, width: int, problems: dict[str, str]
) -> tuple[dict[str, Any], tuple[int, ...] | None]:
    """A discriminator's settings, and its widths; none of them if there is none or it can't be used."""
    if net is None:
        return {}, None
    try:
        theirs = (
            net.arguments.get("resolution"),
            net.whole("num_channels", 3, 16),
            net.whole("label_size", 0, 1 << 20),
        )
        if theirs != (spec.resolution[0], spec.channels, spec.label_dim):
            raise RefusedError("a discriminator for other images than the generator makes")
        _expect(net, {"use_wscale": True, "nonlinearity": "lrelu", "mbstd_num_features": 1})
        sizes = _sizes(spec)
        widths = (net.shape("4x4/Conv/bias")[0], *(net.shape(f"{s}x{s}/Conv0/bias")[0] for s in sizes[1:]))
        dense = net.shape("4x4/Dense0/bias")[0]
        group = net.number("mbstd_group_size", 4, 1 << 20)
    except RefusedError as error:
        problems["D"] = str(error)
        return {}, None
    found: dict[str, Any] = {"mbstd_group": int(group or 0) if (group or 0) > 1 else 0}
    return found | ({"dense_d": dense} if dense != widths[0] else {}), widths


def collect_network(net: Network, player: str, config: ProGAN, spec: DataSpec) -> dict[str, Entry]:
    """Our tensors of one of these networks.

    Raises:
        RefusedError: one is missing, unknown or misshaped.
    """
    styled, end = isinstance(config, StyleGAN), spec.resolution[0].bit_length() - 3
    # The same function at our rate: what is stored times the rate must stay.
    theirs_rate = float(net.number("mapping_lrmul", 0.01, 1000) or 0.01)
    rate = theirs_rate / config.mapping_lr if isinstance(config, StyleGAN) else 1.0
    used = {"lod"}

    def source(name: str, shape: tuple[int, ...]) -> Entry:
        if name == "taps":
            return constant(setup_filter(BLUR))
        if name == "grown":
            return constant(torch.tensor(end - min(max(_lod(net), 0.0), float(end))))
        theirs = generator_name(name, end, net, styled) if player == "G" else discriminator_name(name, end, net)
        used.add(theirs)
        if theirs not in net.variables:
            if re.fullmatch(r"noise\d+", theirs) or theirs == "dlatent_avg":
                return constant(torch.zeros(shape))
            raise RefusedError(f"the variable {theirs!r} is missing")
        item = _turned(entry(net.variables[theirs]), theirs, net, styled)
        return item.scale(rate) if name.startswith("mapping.layers") else item

    found = collect(config, spec, player, source)
    if rest := sorted(set(net.variables) - used):
        raise RefusedError(f"the variable {rest[0][:80]!r} is unknown")
    return found


def _lod(net: Network) -> float:
    value = net.variables.get("lod", 0.0)
    item = entry(value)
    return float(item.read().reshape(-1)[0]) if item.shape in ((), (1,)) else 0.0


def _turned(item: Entry, name: str, net: Network, styled: bool) -> Entry:
    """A variable in PyTorch's layout."""
    shape = item.shape
    if name.endswith("weight") and len(shape) == 4:
        fused = "Conv0_up" in name
        if fused and styled:
            choice, size = net.arguments.get("fused_scale", "auto"), int(name.split("x")[0])
            fused = choice is True or (choice == "auto" and size >= FUSED_FROM)
        if fused and not styled:  # [height, width, out, in]
            return item.change(
                (shape[2], shape[3], *shape[:2]), lambda x: x.flip(0, 1).permute(2, 3, 0, 1).contiguous()
            )
        turned = (shape[3], shape[2], *shape[:2])
        return item.change(turned, lambda x: (x.flip(0, 1) if fused else x).permute(3, 2, 0, 1).contiguous())
    if name.endswith("weight") and len(shape) == 2 and not name.startswith("LabelConcat"):
        return item.change((shape[1], shape[0]), lambda x: x.t().contiguous())
    if name.endswith("/const") and len(shape) == 4:
        return item.reshape(*shape[1:])
    if re.fullmatch(r"noise\d+", name) and len(shape) == 4:
        return item.reshape(*shape[2:])
    return item


_STYLED = {"affine.weight": "StyleMod/weight", "affine.bias": "StyleMod/bias", "noise_strength": "Noise/weight"}


def generator_name(name: str, end: int, net: Network, styled: bool) -> str:
    """Their name of one of our generator's tensors."""
    if name == "w_avg":
        return "dlatent_avg"
    if name == "mapping.embed":
        return "LabelConcat/weight"
    if match := re.fullmatch(r"mapping\.layers\.(\d+)\.(\w+)", name):
        return f"Dense{match[1]}/{match[2]}"
    if match := re.fullmatch(r"dense\.(\w+)", name):
        return f"4x4/Dense/{match[1]}"
    level, layer, rest = in_block(name)
    size = 4 << level
    if name.endswith((".const", ".dense")):
        return "4x4/Const/const" if name.endswith("const") else "4x4/Dense/weight"
    if layer == "to_rgb":
        return f"ToRGB_lod{end - level}/{rest}"
    if rest == "noise_const":
        return f"noise{2 * level + (layer == 'conv1')}"
    if level == 0:
        first = "Const" if "4x4/Const/const" in net.variables else "Dense"
        theirs = "Conv" if layer == "conv1" or not styled else first
    elif layer == "conv0":
        theirs = "Conv0_up" if f"{size}x{size}/Conv0_up/weight" in net.variables else "Conv0"
    else:
        theirs = "Conv1"
    return f"{size}x{size}/{theirs}/{_STYLED.get(rest, rest)}"


def discriminator_name(name: str, end: int, net: Network) -> str:
    """Their name of one of our discriminator's tensors."""
    if match := re.fullmatch(r"blocks\.(\d+)\.(\w+)\.(\w+)", name):
        index = int(match[1])
        size = 4 << (end - index)
        if match[2] == "from_rgb":
            return f"FromRGB_lod{index}/{match[3]}"
        down = "Conv1_down" if f"{size}x{size}/Conv1_down/weight" in net.variables else "Conv1"
        return f"{size}x{size}/{'Conv0' if match[2] == 'conv0' else down}/{match[3]}"
    layer, _, rest = name.rpartition(".")
    if layer == "from_rgb":
        return f"FromRGB_lod{end}/{rest}"
    return f"4x4/{ {'conv': 'Conv', 'dense': 'Dense0', 'out': 'Dense1'}.get(layer, layer) }/{rest}"
