"""lucidrains' stylegan2-pytorch: one dictionary of tensors for all networks, under ``GAN``.

Sizes are read from the shapes. The mapping's learning-rate factor is not in the file; it stands in ``.config.json``
beside it, and is 0.1 where that is missing. Neither are the mean w, which the package estimates from random codes
(we from fixed ones), and the noise image, which it draws anew each time (we keep one).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from organza.contract.data import DataSpec
from organza.core.errors import UserError
from organza.core.jsons import read_json
from organza.formats.weights import MAX_RESOLUTION, Weights, collect, usable
from organza.methods.stylegan.lucidrains import LucidStyleGAN2, Mapping
from organza.tensors.entry import Entry, constant, entry
from organza.tensors.networks import Network, Tensors, find
from organza.tensors.opening import Opened
from organza.tensors.records import RefusedError

PREFIXES = {"G_ema": ("SE.", "GE."), "G": ("S.", "G."), "D": ("", "D.")}


def recognise(opened: Opened) -> bool:
    """Whether it is a file of this kind."""
    return bool(_found(opened))


def _found(opened: Opened) -> dict[str, Network]:
    return find(opened.tensors, "SE.net.0.weight", "GE.blocks.0.to_style1.weight")


def read(opened: Opened) -> Weights:
    """Our settings and tensors.

    Raises:
        UserError: a tensor is missing, unknown or misshaped.
    """
    tensors = next(iter(_found(opened).values())).tensors
    problems: dict[str, str] = {}
    try:
        spec, config = _settings(tensors, _rate(opened.path))
        parts = {name: _renamed(tensors, *prefixes) for name, prefixes in PREFIXES.items()}
        names = [name for name, part in parts.items() if part]
        found = usable(names, "G_ema", problems, lambda name: _collect(parts[name], name[0], config, spec))
    except RefusedError as error:
        raise UserError(f"a file of lucidrains' code that can't be used: {error}", where=opened.path) from None
    return Weights(
        path=opened.path,
        format="lucidrains stylegan2-pytorch",
        method="lucidrains",
        spec=spec,
        config=config,
        nets=found,
        problems=problems,
        foreign=opened.foreign,
    )


def _rate(path: Path) -> float:
    """The mapping's learning-rate factor from the file beside."""
    try:
        rate = read_json((path.parent / ".config.json").read_bytes(), path)["lr_mlp"]
    except (OSError, UserError, KeyError, TypeError):
        return 0.1
    return float(rate) if isinstance(rate, (int, float)) and 0 < rate <= 1000 else 0.1


def _settings(tensors: Tensors, rate: float) -> tuple[DataSpec, LucidStyleGAN2]:
    def shape(name: str, rank: int) -> tuple[int, ...]:
        if name not in tensors or len(tensors[name].shape) != rank:
            raise RefusedError(f"the tensor {name!r} is missing or misshaped")
        return tensors[name].shape

    levels = 0
    while f"GE.blocks.{levels}.conv2.weight" in tensors:
        levels += 1
    size = 2 << min(levels, 30)
    if size > MAX_RESOLUTION:
        raise RefusedError(f"images of {size} pixels")
    widths = [shape(f"GE.blocks.{i}.conv2.weight", 4)[0] for i in range(levels)]
    capacity = max(1, widths[-1] // 2)
    clipped = [min(capacity * 2 ** (i + 1), 512) for i in range(levels)][::-1] != widths
    attended = {levels - int(m[1]) for name in tensors if (m := re.match(r"GE\.attns\.(\d{1,2})\.", name))}
    attended |= {int(m[1]) + 1 for name in tensors if (m := re.match(r"D\.attn_blocks\.(\d{1,2})\.", name))}
    config = LucidStyleGAN2(
        z_dim=shape("SE.net.0.weight", 2)[1],
        mapping_layers=len([name for name in tensors if re.fullmatch(r"SE\.net\.\d+\.weight", name)]),
        mapping_lr=rate,
        capacity=capacity,
        channel_max=max(widths) if clipped else 512,
        attention=tuple(sorted(attended)),
        no_const="GE.initial_block" not in tensors,
    )
    return DataSpec((size, size), shape("GE.blocks.0.to_rgb.conv.weight", 4)[0]), config


_ATTENTION = {
    "0.fn.norm.g": "norm1.gain",
    "0.fn.norm.b": "norm1.bias",
    "0.fn.fn.to_q.weight": "query.weight",
    "0.fn.fn.to_kv.net.0.weight": "depthwise.weight",
    "0.fn.fn.to_kv.net.1.weight": "keyvalue.weight",
    "0.fn.fn.to_out.weight": "out.weight",
    "0.fn.fn.to_out.bias": "out.bias",
    "1.fn.norm.g": "norm2.gain",
    "1.fn.norm.b": "norm2.bias",
    "1.fn.fn.0.weight": "wide.weight",
    "1.fn.fn.0.bias": "wide.bias",
    "1.fn.fn.2.weight": "narrow.weight",
    "1.fn.fn.2.bias": "narrow.bias",
}
_PARTS = {
    "initial_block": "const",
    "to_initial_block.weight": "start.weight",
    "initial_conv.": "conv.",
    "final_conv.": "conv.",
    "to_logit.": "out.",
}
_LAYERS = {
    "to_rgb.to_style": "rgb_style",
    "to_style": "style",
    "to_noise": "noise",
    "to_rgb.conv.weight": "rgb",
    "conv1.weight": "conv1",
    "conv2.weight": "conv2",
}


def our_name(theirs: str, player: str) -> str | None:
    """Our name of one of their tensors, without its network's prefix; None for filters, which never change.

    Example:
        >>> our_name("blocks.1.to_rgb.to_style.bias", "G"), our_name("blocks.0.net.2.weight", "D")
        ('blocks.1.rgb_style.bias', 'blocks.0.conv2.weight')
    """
    if theirs.endswith(".f"):
        return None
    if match := re.fullmatch(r"(?:attns|attn_blocks)\.(\d+)\.(.+)", theirs):
        return f"attention.{match[1]}.{_ATTENTION.get(match[2], match[2])}"
    if match := re.fullmatch(r"(blocks\.\d+\.)(.+)", theirs):
        rest = match[2]
        if player == "D":
            pairs = {"conv_res.": "skip.", "net.0.": "conv1.", "net.2.": "conv2.", "downsample.1.": "down."}
        else:
            pairs = _LAYERS
        for old, new in pairs.items():
            rest = rest.replace(old, new)
        return match[1] + rest
    for old, new in _PARTS.items():
        if theirs.startswith(old):
            return new + theirs[len(old) :]
    return theirs


def _renamed(tensors: Tensors, mapping: str, rest: str) -> Tensors:
    player = "D" if rest == "D." else "G"
    found = {}
    for name, value in tensors.items():
        if name.startswith(rest):
            ours = our_name(name[len(rest) :], player)
            if ours is not None:
                found[ours] = value
        elif mapping and (match := re.fullmatch(re.escape(mapping) + r"net\.(\d{1,4})\.(\w+)", name)):
            found[f"mapping.layers.{int(match[1]) // 2}.{match[2]}"] = value
    return found


def _collect(tensors: Tensors, player: str, config: LucidStyleGAN2, spec: DataSpec) -> dict[str, Entry]:
    left = dict(tensors)

    def source(name: str, shape: tuple[int, ...]) -> Entry:
        if name == "w_avg":
            return Entry(shape, lambda: _mean_w(config, tensors))
        if name == "noise":
            return constant(torch.rand(shape, generator=torch.Generator().manual_seed(0)))
        if name not in left:
            raise RefusedError(f"the tensor for {name!r} is missing")
        return entry(left.pop(name))

    found = collect(config, spec, player, source)
    if left:
        raise RefusedError(f"the tensor {min(left)[:80]!r} is unknown")
    return found


def _mean_w(config: LucidStyleGAN2, tensors: dict[str, Any]) -> Tensor:
    """The mean of w over 2000 fixed codes."""
    net = Mapping(config)
    net.load_state_dict({name: entry(tensors[f"mapping.{name}"]).read().float() for name in net.state_dict()})
    z = torch.randn(2000, config.z_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        w: Tensor = net(z).mean(0)
    return w
