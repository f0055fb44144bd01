"""Our StyleGAN2 in the layout of NVIDIA's PyTorch snapshots.

Tools that read such snapshots by their state can use the file as it is. NVIDIA's own loader runs the source code that
a snapshot carries; ours carries one line, which imports the networks from the checkout that the loader belongs to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from organza.contract.data import DataSpec
from organza.core.errors import UserError
from organza.core.files import atomic_write
from organza.formats.nvidia.pickle_write import Call, dumps, parameter, tensor
from organza.formats.nvidia.stylegan2 import WHOLE_BATCH, discriminator_name, generator_name
from organza.formats.weights import made
from organza.methods.stylegan.stylegan2 import StyleGAN2, critic_clamp
from organza.ops import ACTIVATIONS, setup_filter
from organza.tensors.records import Global

SOURCE = "from training.networks import *  # in a checkout of stylegan2-ada-pytorch\n"
UNUSED = (1, 3, 3, 1)
"""The filter of layers that don't resample, whatever the network's is."""
_BUFFERS = ("w_avg", "noise_const", "resample_filter")
_HOOKS = ("_backward_hooks", "_forward_hooks", "_forward_pre_hooks", "_state_dict_hooks", "_load_state_dict_pre_hooks")


def write_nvidia(
    spec: DataSpec,
    config: StyleGAN2,
    nets: Mapping[str, Mapping[str, Tensor]],
    dest: Path,
    licence: str | None = None,
) -> Path:
    """Write a snapshot.

    Args:
        spec, config: what the networks were built from.
        nets: ``"G_ema"``, and ``"G"`` and ``"D"`` where there are any: our tensor names and tensors.
        dest: a file ending in ``.pkl``.
        licence: a note that stays with the weights; None for the user's own.

    Raises:
        UserError: images that are not square with a power of two, another suffix, or the file can't be written.
    """
    height, width = spec.resolution
    if height != width or height & (height - 1):
        raise UserError(f"NVIDIA's StyleGAN2 has no images of {width}x{height}", hint="their sides are powers of two")
    if dest.suffix != ".pkl":
        raise UserError("the name of a snapshot ends in .pkl", where=dest)
    written: dict[str, Any] = {"training_set_kwargs": {}, "G": None, "D": None, "G_ema": None, "augment_pipe": None}
    written["organza"] = made(licence)
    for name, tensors in nets.items():
        written[name] = _Writer(spec, config, name[0], tensors).module("")
    if written["G"] is None:
        written["G"] = written["G_ema"]
    with atomic_write(dest) as temporary:
        temporary.write_bytes(dumps(written))
    return dest


class _Writer:
    """Modules of one network, from its tensors by their names."""

    def __init__(self, spec: DataSpec, config: StyleGAN2, player: str, tensors: Mapping[str, Tensor]) -> None:
        self.spec, self.config, self.player = spec, config, player
        self.size = spec.resolution[0]
        of_d = player == "D"
        self.taps = (of_d and config.resample_taps_d) or config.resample_taps
        self.clamp = critic_clamp(config) if of_d else config.conv_clamp
        self.act = config.activation_d if of_d else config.activation_g
        self.head = config.activation_head or config.activation_d
        self.mapped = (of_d and config.activation_mapping_d) or config.activation_mapping
        rename = generator_name if player == "G" else discriminator_name
        self.tensors = {rename(k, self.size): v for k, v in tensors.items() if not k.endswith("taps")}

    def module(self, path: str) -> Call:
        """The module at a dotted path ("" or ending in a dot), with everything in it."""
        held = {name[len(path) :]: value for name, value in self.tensors.items() if name.startswith(path)}
        kind, attributes = self.describe(path, held)
        own = {name: value for name, value in held.items() if "." not in name}
        parameters = tuple((name, parameter(value)) for name, value in own.items() if name not in _BUFFERS)
        buffers = [(name, tensor(value)) for name, value in own.items() if name in _BUFFERS]
        if kind in ("SynthesisLayer", "SynthesisBlock", "Conv2dLayer", "DiscriminatorBlock"):
            resamples = kind.endswith("Block") or {attributes.get("up", 1), attributes.get("down", 1)} != {1}
            buffers.append(("resample_filter", tensor(setup_filter(self.taps if resamples else UNUSED))))
        children = list(dict.fromkeys(name.split(".")[0] for name in held if "." in name))
        modules = [(name, self.module(f"{path}{name}.")) for name in children]
        if kind == "DiscriminatorEpilogue" and self.config.mbstd_channels:
            group = self.config.mbstd_group
            state = {"group_size": None if group == WHOLE_BATCH else group, "num_channels": self.config.mbstd_channels}
            modules.append(("mbstd", _persistent("MinibatchStdLayer", state | _base((), (), ()))))
        return _persistent(kind, attributes | _base(parameters, tuple(buffers), tuple(modules)))

    def describe(self, path: str, held: dict[str, Tensor]) -> tuple[str, dict[str, Any]]:
        """Class and plain attributes of the module at a path."""
        config, spec, size = self.config, self.spec, self.size
        name = path.rstrip(".").rpartition(".")[2]
        pictures = {"img_resolution": size, "img_channels": spec.channels}
        if path == "" and self.player == "G":
            sizes = {"z_dim": config.z_dim, "c_dim": spec.label_dim, "w_dim": config.w_dim, **pictures}
            kwargs: dict[str, Any] = {"synthesis_kwargs": self.widths()}
            kwargs["mapping_kwargs"] = {"num_layers": config.mapping_layers}
            return "Generator", sizes | {"num_ws": self.num_ws, "_init_args": (), "_init_kwargs": sizes | kwargs}
        if path == "":
            sizes = {"c_dim": spec.label_dim, **pictures}
            kwargs = {
                "architecture": config.architecture_d,
                "epilogue_kwargs": {"mbstd_group_size": config.mbstd_group},
            }
            blocks = [size >> i for i in range(size.bit_length() - 3)]
            more = {"img_resolution_log2": size.bit_length() - 1, "block_resolutions": blocks}
            return "Discriminator", sizes | more | {"_init_kwargs": sizes | kwargs | self.widths()}
        if name == "synthesis":
            blocks = [4 << i for i in range(size.bit_length() - 2)]
            more = {"w_dim": config.w_dim, "img_resolution_log2": size.bit_length() - 1, "num_ws": self.num_ws}
            return "SynthesisNetwork", pictures | more | {"block_resolutions": blocks}
        if name == "mapping":
            return "MappingNetwork", self.mapping(held)
        if re.fullmatch(r"b\d+", name):
            return self.block(int(name[1:]), held)
        if name == "affine" or name in ("embed", "fc", "out") or re.fullmatch(r"fc\d+", name):
            mapped = bool(re.fullmatch(r"fc\d+", name))
            rate = config.mapping_lr if mapped else 1.0
            act = self.mapped if mapped else self.head if name == "fc" else "linear"
            gain = rate / held["weight"].shape[1] ** 0.5
            return "FullyConnectedLayer", {"activation": act, "weight_gain": gain, "bias_gain": rate}
        if name == "torgb":
            return "ToRGBLayer", {"conv_clamp": self.clamp, "weight_gain": held["weight"].shape[1] ** -0.5}
        return self.convolution(path, name, held)

    @property
    def num_ws(self) -> int:
        """How many w's an image takes."""
        return 2 * (self.size.bit_length() - 2)

    def widths(self) -> dict[str, Any]:
        """Arguments that say how wide the layers are."""
        config = self.config
        return {"channel_base": config.channel_base, "channel_max": config.channel_max, "conv_clamp": self.clamp}

    def mapping(self, held: dict[str, Tensor]) -> dict[str, Any]:
        """Attributes of a mapping network."""
        layers = len([name for name in held if re.fullmatch(r"fc\d+\.weight", name)])
        last = held[f"fc{layers - 1}.weight"] if layers else held.get("embed.weight")
        of_g = self.player == "G"
        return {
            "z_dim": self.config.z_dim if of_g else 0,
            "c_dim": self.spec.label_dim,
            "w_dim": self.config.w_dim if last is None else last.shape[0],
            "num_ws": self.num_ws if of_g else None,
            "num_layers": layers,
            "w_avg_beta": self.config.w_avg_decay if of_g else None,
        }

    def block(self, size: int, held: dict[str, Tensor]) -> tuple[str, dict[str, Any]]:
        """Class and attributes of the block of an image size."""
        last = size == self.size
        about = {"resolution": size, "img_channels": self.spec.channels}
        if self.player == "G":
            kind = self.config.architecture_g
            counts = {"num_conv": 2 if size > 4 else 1, "num_torgb": int(last or kind == "skip")}
            inputs = held["conv0.weight"].shape[1] if size > 4 else 0
            fixed = {"w_dim": self.config.w_dim, "is_last": last, "use_fp16": False, "channels_last": False}
            return "SynthesisBlock", about | counts | fixed | {"in_channels": inputs, "architecture": kind}
        kind = self.config.architecture_d
        if size == 4:
            mapped = held["out.weight"].shape[0] if self.spec.label_dim else 0
            inputs = held["conv.weight"].shape[0]
            return "DiscriminatorEpilogue", about | {"in_channels": inputs, "cmap_dim": mapped, "architecture": kind}
        layers = len([name for name in held if name.endswith("weight")])
        index = layers * (self.size.bit_length() - size.bit_length())
        inputs = 0 if last else held["conv0.weight"].shape[1]
        fixed = {"first_layer_idx": index, "num_layers": layers, "use_fp16": False, "channels_last": False}
        return "DiscriminatorBlock", about | fixed | {"in_channels": inputs, "architecture": kind}

    def convolution(self, path: str, name: str, held: dict[str, Tensor]) -> tuple[str, dict[str, Any]]:
        """Class and attributes of a convolution."""
        weight, clamp = held["weight"], self.clamp
        act = self.head if self.player == "D" and path.startswith("b4.") else self.act
        gain = ACTIVATIONS[act].gain
        kernel = weight.shape[2]
        up = 2 if self.player == "G" and name in ("conv0", "skip") else 1
        down = 2 if self.player == "D" and name in ("conv1", "skip") else 1
        if self.player == "G" and name != "skip":
            size = int(path.split(".")[1][1:])
            about = {"resolution": size, "up": up, "use_noise": True, "activation": act, "conv_clamp": clamp}
            return "SynthesisLayer", about | {"padding": kernel // 2, "act_gain": gain}
        plain = name == "skip" or path == "b4.fromrgb."
        about = {"activation": "linear" if name == "skip" else act, "up": up, "down": down}
        gains = {"weight_gain": (weight.shape[1] * kernel**2) ** -0.5, "act_gain": 1.0 if name == "skip" else gain}
        nothing = {"bias": None} if name == "skip" else {}
        more = {"conv_clamp": None if plain else clamp, "padding": kernel // 2}
        return "Conv2dLayer", about | gains | more | nothing


def _base(parameters: tuple[Any, ...], buffers: tuple[Any, ...], modules: tuple[Any, ...]) -> dict[str, Any]:
    """What every module of PyTorch holds."""

    def ordered(pairs: tuple[Any, ...] = ()) -> Call:
        return Call(Global("collections", "OrderedDict"), (), pairs)

    found: dict[str, Any] = {"training": False, "_non_persistent_buffers_set": Call(Global("builtins", "set"), ([],))}
    found |= {name: ordered() for name in _HOOKS}
    return found | {
        "_parameters": ordered(parameters),
        "_buffers": ordered(buffers),
        "_modules": ordered(modules),
    }


def _persistent(kind: str, state: dict[str, Any]) -> Call:
    meta = {
        "type": "class",
        "version": 6,
        "module_src": SOURCE,
        "class_name": kind,
        "state": {"_init_args": (), "_init_kwargs": {}} | state,
    }
    return Call(Global("torch_utils.persistence", "_reconstruct_persistent_obj"), (meta,))
