"""ProGAN of two PyTorch projects: FAIR's pytorch_GAN_zoo and akanimax's pro_gan_pytorch.

Both scale weights at each use by ``sqrt(2 / inputs)``, in every layer. Our layers without activation have
``sqrt(1 / inputs)``, and FAIR scales biases too, so these factors go into what is stored. FAIR's alpha counts down: at
1 the old resolution is generated. akanimax's files don't state how far a network has grown, except in their names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import torch

from organza.contract.data import DataSpec
from organza.core.errors import UserError
from organza.formats.weights import Weights, check_resolution, collect, sized, usable
from organza.methods.stylegan.progan import ProGAN
from organza.tensors.entry import Entry, constant, entry
from organza.tensors.networks import Network, cast, find, near
from organza.tensors.opening import Opened
from organza.tensors.records import RefusedError, Stub, brief

SMALL = 16
"""Pixels of the smallest image, 4x4."""


def recognise(opened: Opened) -> bool:
    """Whether it is a file of one of them."""
    return bool(_fair(opened) or _akanimax(opened))


def read(opened: Opened) -> Weights:
    """Our settings and tensors.

    Raises:
        UserError: a tensor is missing, unknown or misshaped.
    """
    fair = _fair(opened)
    nets, label = (fair, "FAIR ProGAN (pytorch_GAN_zoo)") if fair else (_akanimax(opened), "akanimax ProGAN (PyTorch)")
    dialect: type[_Dialect] = _Fair if fair else _Akanimax
    problems: dict[str, str] = {}
    try:
        theirs = dialect(opened, nets)
        spec, config = theirs.settings(problems)
        found = usable(nets, "G_ema", problems, lambda name: theirs.collect(name, config, spec))
    except RefusedError as error:
        raise UserError(f"a ProGAN that can't be used: {error}", where=opened.path) from None
    return Weights(
        path=opened.path,
        format=label,
        method="progan",
        spec=spec,
        config=config,
        nets=found,
        problems=problems,
        foreign=opened.foreign,
    )


def _fair(opened: Opened) -> dict[str, Network]:
    generators = find(opened.tensors, "formatLayer.weight", "toRGBLayers.0.weight")
    return cast(generators, find(opened.tensors, "decisionLayer.weight", "fromRGBLayers.0.weight"))


def _akanimax(opened: Opened) -> dict[str, Network]:
    generators = find(opened.tensors, "rgb_converters.0.weight", "layers.0.conv_1.weight")
    return cast(generators, find(opened.tensors, "from_rgb.0.0.weight", "layers.0.conv_1.weight"))


class _Dialect:
    """How one project names, scales and lays out its tensors."""

    def __init__(self, opened: Opened, nets: dict[str, Network]) -> None:
        self.opened, self.nets = opened, nets
        self.parts = {name: {key: entry(value) for key, value in net.tensors.items()} for name, net in nets.items()}

    def shape(self, player: str, name: str, rank: int) -> tuple[int, ...]:
        """Sizes of a tensor."""
        found = self.parts[player].get(name)
        if found is None or len(found.shape) != rank or not all(found.shape):
            raise RefusedError(f"the tensor {name!r} is missing or misshaped")
        return found.shape

    def levels(self, player: str, pattern: str) -> int:
        """How many tensors follow each other under a numbered name."""
        count = 0
        while pattern.format(count) in self.parts[player]:
            count += 1
        if not count:
            raise RefusedError(f"the tensor {pattern.format(0)!r} is missing")
        check_resolution(4 << min(count - 1, 30))
        return count

    def settings(self, problems: dict[str, str]) -> tuple[DataSpec, ProGAN]:
        """What the networks were built with."""
        raise NotImplementedError

    def source(self, name: str, player: str, end: int) -> tuple[str, Callable[[Entry], Entry]]:
        """Where one of our tensors comes from, and how it changes."""
        raise NotImplementedError

    def grown(self, player: str, end: int) -> float:
        """How far a network has grown."""
        raise NotImplementedError

    def collect(self, net: str, config: ProGAN, spec: DataSpec) -> dict[str, Entry]:
        """Our tensors of one network."""
        end, player = spec.resolution[0].bit_length() - 3, net[0]
        left = dict(self.parts[net])

        def source(name: str, shape: tuple[int, ...]) -> Entry:
            if name == "grown":
                return constant(torch.tensor(self.grown(player, end)))
            theirs, change = self.source(name, player, end)
            if theirs not in left:
                raise RefusedError(f"the tensor {theirs!r} is missing")
            return change(left.pop(theirs))

        found = collect(config, spec, player, source)
        if left:
            raise RefusedError(f"the tensor {min(left)[:80]!r} is unknown")
        return found


def _inputs(shape: tuple[int, ...]) -> int:
    return math.prod(shape[1:])


class _Fair(_Dialect):
    def __init__(self, opened: Opened, nets: dict[str, Network]) -> None:
        super().__init__(opened, nets)
        config = near(opened.value, nets["G_ema"].path, "config")
        state = config.state if isinstance(config, Stub) else config
        self.config: dict[Any, Any] = state if isinstance(state, dict) else {}

    def settings(self, problems: dict[str, str]) -> tuple[DataSpec, ProGAN]:
        config = self.config
        for name, wanted in {"perChannelNormalization": True, "leakyReluLeak": 0.2}.items():
            if config.get(name, wanted) != wanted:
                raise RefusedError(f"its {name} is {brief(config[name])}")
        labels = config.get("categoryVectorDim", 0)
        if type(labels) is not int or not 0 <= labels < 1 << 16:
            raise RefusedError(f"its categoryVectorDim is {brief(labels)}")
        end = self.levels("G_ema", "toRGBLayers.{}.weight") - 1
        side = 4 << end
        spec = DataSpec((side, side), self.shape("G_ema", "toRGBLayers.0.weight", 4)[0], labels)
        widths = [self.shape("G_ema", f"toRGBLayers.{index}.weight", 4)[1] for index in range(end + 1)]
        found: dict[str, Any] = {"z_dim": self.shape("G_ema", "formatLayer.weight", 2)[1] - labels}
        found["dense_bias"] = "pixel"
        if found["z_dim"] < 1:
            raise RefusedError("a generator whose code is all label")
        widths_d = None
        if "D" in self.parts:
            try:
                if labels:
                    raise RefusedError("a discriminator with labels, whose outputs we can't tell apart")
                if self.levels("D", "fromRGBLayers.{}.weight") != end + 1:
                    raise RefusedError("a discriminator for other images than the generator makes")
                widths_d = tuple(self.shape("D", f"fromRGBLayers.{index}.weight", 4)[0] for index in range(end + 1))
                deviation = self.shape("D", "groupScaleZero.0.weight", 4)[1] > widths_d[0]
                dense = self.shape("D", "groupScaleZero.1.weight", 2)[0]
                found |= {"mbstd_group": 4 if deviation else 0, "mbstd": "fair"}
                found |= {"dense_d": dense} if dense != widths_d[0] else {}
            except RefusedError as error:
                problems["D"] = str(error)
        return spec, ProGAN(**found, **sized(tuple(widths), widths_d))

    def grown(self, player: str, end: int) -> float:
        alpha = self.config.get("alpha", 0.0)
        alpha = float(alpha) if isinstance(alpha, (int, float)) and 0 <= alpha <= 1 else 0.0
        if end == 0 or (player == "D" and end == 1):  # their discriminator doesn't blend at its first step
            return float(end)
        return end - alpha

    def source(self, name: str, player: str, end: int) -> tuple[str, Callable[[Entry], Entry]]:
        layer, _, kind = name.rpartition(".")
        linear = layer.endswith("to_rgb") or layer == "out"
        theirs = self._layer(layer, player, end)
        weight = self.parts["G_ema" if player == "G" else "D"].get(f"{theirs}.weight")
        if weight is None:
            raise RefusedError(f"the tensor {theirs + '.weight'!r} is missing")
        # Without equalised rates theirs has no factor; ours always has.
        equal = self.config.get("equalizedlR", True) is not False
        ours = (1 if linear else 2) / _inputs(weight.shape)
        if player == "G" and layer == "dense":
            ours /= SMALL
        factor = (2 / _inputs(weight.shape)) ** 0.5 if equal else 1.0
        return f"{theirs}.{kind}", lambda item: item.scale(factor if kind == "bias" else factor / ours**0.5)

    def _layer(self, layer: str, player: str, end: int) -> str:
        if player == "G":
            if layer == "dense":
                return "formatLayer"
            level, part = re.fullmatch(r"blocks\.(\d+)\.(\w+)", layer).groups()  # type: ignore[union-attr]
            if part == "to_rgb":
                return f"toRGBLayers.{level}"
            return "groupScale0.0" if level == "0" else f"scaleLayers.{int(level) - 1}.{int(part == 'conv1')}"
        fixed = {"from_rgb": "fromRGBLayers.0", "conv": "groupScaleZero.0", "dense": "groupScaleZero.1"}
        if not layer.startswith("blocks."):
            return fixed.get(layer, "decisionLayer")
        index, part = re.fullmatch(r"blocks\.(\d+)\.(\w+)", layer).groups()  # type: ignore[union-attr]
        level = str(end - int(index))
        if part == "from_rgb":
            return f"fromRGBLayers.{level}"
        return f"scaleLayers.{int(level) - 1}.{int(part == 'conv1')}"


class _Akanimax(_Dialect):
    def __init__(self, opened: Opened, nets: dict[str, Network]) -> None:
        super().__init__(opened, nets)
        stated = {name: near(opened.value, net.path, "conf") for name, net in nets.items()}
        self.conf = {name: conf if isinstance(conf, dict) else {} for name, conf in stated.items()}

    def settings(self, problems: dict[str, str]) -> tuple[DataSpec, ProGAN]:
        end = self.levels("G_ema", "rgb_converters.{}.weight") - 1
        side = 4 << end
        spec = DataSpec((side, side), self.shape("G_ema", "rgb_converters.0.weight", 4)[0])
        widths = [self.shape("G_ema", f"rgb_converters.{index}.weight", 4)[1] for index in range(end + 1)]
        found: dict[str, Any] = {"z_dim": self.shape("G_ema", "layers.0.conv_1.weight", 4)[0], "label_g": False}
        found |= {"norm_first": False, "label_d": "projection"}
        widths_d = None
        if "D" in self.parts:
            try:
                if self.levels("D", "from_rgb.{}.0.weight") != end + 1:
                    raise RefusedError("a discriminator for other images than the generator makes")
                outputs = [self.shape("D", f"from_rgb.{index}.0.weight", 4)[0] for index in range(end + 1)]
                widths_d = tuple(outputs[::-1])
                last = f"layers.{end}"
                deviation = self.shape("D", f"{last}.conv_1.weight", 4)[1] > widths_d[0]
                dense = self.shape("D", f"{last}.conv_2.weight", 4)[0]
                found |= {"mbstd_group": 4 if deviation else 0}
                found |= {"dense_d": dense} if dense != widths_d[0] else {}
                if f"{last}.label_embedder.weight" in self.parts["D"]:
                    labels = self.shape("D", f"{last}.label_embedder.weight", 2)[0]
                    spec = DataSpec(spec.resolution, spec.channels, labels)
            except RefusedError as error:
                problems["D"] = str(error)
        return spec, ProGAN(**found, **sized(tuple(widths), widths_d))

    def grown(self, player: str, end: int) -> float:
        """By the file's name, which counts resolutions from 2x2: ``depth_5_epoch_12.bin`` has reached 32x32."""
        said = re.match(r"depth_(\d{1,2})_", self.opened.path.name)
        return float(min(max(int(said[1]) - 2, 0), end) if said else end)

    def source(self, name: str, player: str, end: int) -> tuple[str, Callable[[Entry], Entry]]:
        if name == "embed":
            return f"layers.{end}.label_embedder.weight", lambda item: item
        layer, _, kind = name.rpartition(".")
        theirs = f"{self._layer(layer, player, end)}.{kind}"
        net = "G_ema" if player == "G" else "D"
        equal = self.conf[net].get("use_eql", True) is not False
        if layer == "dense" and player == "G":
            return theirs, lambda item: _first(item, equal) if kind == "weight" else item
        linear = layer.endswith("to_rgb") or layer == "out"

        def change(item: Entry) -> Entry:
            if kind == "bias":
                return item
            ours = (1 if linear else 2) / _inputs(item.shape)
            factor = (2 / _inputs(item.shape) if equal else 1.0) / ours
            flat = layer in ("dense", "out")
            return (item.reshape(item.shape[0], _inputs(item.shape)) if flat else item).scale(factor**0.5)

        return theirs, change

    def _layer(self, layer: str, player: str, end: int) -> str:
        parts = {"conv0": "conv_1", "conv1": "conv_2", "conv": "conv_1", "dense": "conv_2", "out": "conv_3"}
        match = re.fullmatch(r"blocks\.(\d+)\.(\w+)", layer)
        if player == "G":
            if match is None:
                return "layers.0.conv_1"
            return f"rgb_converters.{match[1]}" if match[2] == "to_rgb" else f"layers.{match[1]}.{parts[match[2]]}"
        if match is None:
            return f"from_rgb.{end}.0" if layer == "from_rgb" else f"layers.{end}.{parts[layer]}"
        return f"from_rgb.{match[1]}.0" if match[2] == "from_rgb" else f"layers.{match[1]}.{parts[match[2]]}"


def _first(item: Entry, equal: bool) -> Entry:
    """A transposed convolution ``[in, out, 4, 4]`` on one pixel as a matrix ``[out * 16, in]``."""
    if len(item.shape) != 4 or item.shape[2:] != (4, 4):
        raise RefusedError("a first layer of an odd shape")
    inputs, outputs = item.shape[:2]
    factor = SMALL**0.5 * (1.0 if equal else (inputs / 2) ** 0.5)
    return item.change(
        (outputs * SMALL, inputs), lambda x: x.permute(1, 2, 3, 0).reshape(outputs * SMALL, inputs).contiguous()
    ).scale(factor)
