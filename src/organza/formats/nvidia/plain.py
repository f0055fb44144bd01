"""State dicts under NVIDIA's names: the modules are put together again from the tensors' names and shapes.

A state dict lacks what modules state about themselves. Sizes, architecture and filters follow from the tensors; what
doesn't is taken as NVIDIA's training command sets it (`ASSUMED`).
"""

from __future__ import annotations

import re
from typing import Any

from organza.tensors.networks import Network, Tensors, find
from organza.tensors.records import Module, TensorRef

CLAMP, GROUP, RATE, CRITICAL = 256.0, 4, 0.01, 2
ASSUMED = (
    f"a clamp of {CLAMP:g}, a mapping rate of {RATE:g} and standard deviations over groups of {GROUP}, as NVIDIA's "
    "training sets them; the file doesn't say"
)
Found = dict[str, Any]


def modules(tensors: Tensors) -> dict[str, Module]:
    """The generators and discriminators among tensors by name, as modules with the attributes that we read."""
    found: dict[str, Module] = {}
    for path, net in find(tensors, "synthesis.b4.const", "synthesis.b4.conv1.affine.weight").items():
        found[path] = _grown(net, _style2(net.tensors))
    for path, net in find(tensors, "synthesis.input.freqs", "synthesis.input.affine.weight").items():
        found[path] = _grown(net, _style3(net.tensors))
    for path, net in find(tensors, "b4.conv.weight", "b4.fc.weight", "b4.out.weight").items():
        found[path] = _grown(net, _critic(net.tensors))
    return found


def _grown(net: Network, attributes: dict[str, Found]) -> Module:
    """Modules in modules, by the dots in the names; ``attributes``: of each path of modules."""
    top = _module()
    for name, tensor in net.tensors.items():
        *parts, last = name.split(".")
        if isinstance(tensor, TensorRef):
            _at(top, parts).state["_parameters"][last] = tensor
    for path, held in attributes.items():
        _at(top, [part for part in path.split(".") if part]).state.update(held)
    return top


def _module() -> Module:
    return Module("", 6, {"_parameters": {}, "_buffers": {}, "_modules": {}})


def _at(module: Module, parts: list[str]) -> Module:
    for part in parts:
        module = module.state["_modules"].setdefault(part, _module())
    return module


def _size(tensors: Tensors, name: str, axis: int) -> int:
    shape = tensors[name].shape if name in tensors else ()
    return shape[axis] if -len(shape) <= axis < len(shape) else 0


def _generator(tensors: Tensors, w_dim: int) -> Found:
    embedded = _size(tensors, "mapping.embed.weight", 0)
    first = _size(tensors, "mapping.fc0.weight", 1)
    labels = _size(tensors, "mapping.embed.weight", 1)
    return {"z_dim": first - embedded if first else w_dim, "c_dim": labels, "w_dim": w_dim}


def _mapping(tensors: Tensors, w_dim: int) -> dict[str, Found]:
    layers = [match[1] for name in tensors if (match := re.fullmatch(r"(mapping\.fc\d{1,3})\.weight", name))]
    return {"mapping": {"w_dim": w_dim}} | {layer: {"bias_gain": RATE} for layer in layers}


def _style2(tensors: Tensors) -> dict[str, Found]:
    sizes = sorted({int(match[1]) for name in tensors if (match := re.match(r"synthesis\.b(\d{1,5})\.", name))})
    w_dim = _size(tensors, "synthesis.b4.conv1.affine.weight", 1)
    skip = "synthesis.b4.torgb.weight" in tensors and len(sizes) > 1
    kind = _architecture("synthesis.", sizes, tensors, skip=skip)
    colours = _size(tensors, f"synthesis.b{sizes[-1]}.torgb.weight", 0)
    about = {"img_resolution": sizes[-1], "img_channels": colours}
    found: dict[str, Found] = {"": about | _generator(tensors, w_dim), "synthesis": about}
    found |= _mapping(tensors, w_dim)
    for size in sizes:
        found |= _block(tensors, f"synthesis.b{size}", kind)
    return found


def _critic(tensors: Tensors) -> dict[str, Found]:
    sizes = sorted({int(match[1]) for name in tensors if (match := re.match(r"b(\d{1,5})\.", name))})
    skip = "b4.fromrgb.weight" in tensors and len(sizes) > 1
    colours = _size(tensors, f"b{sizes[-1]}.fromrgb.weight", 1)
    found: dict[str, Found] = {"": {"img_resolution": sizes[-1], "img_channels": colours}}
    found[""]["c_dim"] = _size(tensors, "mapping.embed.weight", 1)
    if found[""]["c_dim"]:
        found |= _mapping(tensors, _size(tensors, "mapping.embed.weight", 0))
    kind = _architecture("", sizes, tensors, skip=skip)
    for size in sizes:
        found |= _block(tensors, f"b{size}", kind)
    extra = _size(tensors, "b4.conv.weight", 1) - _size(tensors, "b4.conv.weight", 0)
    if extra:
        found["b4.mbstd"] = {"group_size": GROUP, "num_channels": extra}
    return found


def _architecture(start: str, sizes: list[int], tensors: Tensors, *, skip: bool) -> str:
    if skip:
        return "skip"
    return "resnet" if any(f"{start}b{size}.skip.weight" in tensors for size in sizes) else "orig"


def _block(tensors: Tensors, path: str, kind: str) -> dict[str, Found]:
    layers = [f"{path}.{name}" for name in ("conv0", "conv1", "conv", "torgb", "fromrgb")]
    clamps: dict[str, Found] = {name: {"conv_clamp": CLAMP} for name in layers if f"{name}.weight" in tensors}
    return {path: {"architecture": kind}} | clamps


def _style3(tensors: Tensors) -> dict[str, Found]:
    matches = [match for name in tensors if (match := re.match(r"synthesis\.(L(\d{1,4})_(\d{1,6})_\d+)\.", name))]
    layers = {int(match[2]): (match[1], int(match[3])) for match in matches}
    last = max(layers, default=0)
    name, size = layers.get(last, ("", 0))
    w_dim = _size(tensors, "synthesis.input.affine.weight", 1)
    colours = _size(tensors, f"synthesis.{name}.weight", 0)
    found: dict[str, Found] = {"": {"img_resolution": size, "img_channels": colours} | _generator(tensors, w_dim)}
    for index, (name, size) in layers.items():
        filters = tensors.get(f"synthesis.{name}.down_filter")
        found[f"synthesis.{name}"] = {
            "is_torgb": index == last,
            "is_critically_sampled": last - CRITICAL <= index < last,
            "down_radial": filters is not None and len(filters.shape) == 2,
            "out_size": [size, size],
            "conv_clamp": CLAMP,
        }
    return found | _mapping(tensors, w_dim)
