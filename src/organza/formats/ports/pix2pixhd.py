"""pix2pixHD's networks (NVIDIA, PyTorch): a global generator, or one with local enhancers around it.

Beside ``latest_net_G.pth`` lie ``latest_net_D.pth`` and, of trainings with features, ``latest_net_E.pth``. A generator
of more than four input channels read label maps, one-hot with the borders of instances; classes are then taken for the
grey levels 0, 1, 2 ... of index images, as in the authors' data. A global generator with two halvings is one of
CycleGAN to the letter, and is read as such unless its discriminator says more. The files number discriminators from
the smallest size on.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch

from organza.contract.data import DataSpec
from organza.core.errors import UserError
from organza.formats.ports.junyanz import network, sibling
from organza.formats.ports.junyanz_names import Names, resnet_names, used
from organza.formats.ports.translators import MOST_BLOCKS, MOST_LAYERS, Held, assemble, norm_of, shape, unbiased
from organza.formats.weights import Weights
from organza.methods.translation.pix2pixhd import Pix2PixHD
from organza.methods.translation.pix2pixhd_nets import KEPT
from organza.nn.label_maps import LabelMaps
from organza.tensors.entry import Entry, constant, entry
from organza.tensors.networks import Tensors
from organza.tensors.opening import Opened, open_file
from organza.tensors.records import RefusedError

LOCAL = ("model1_1.1.weight", "model1_2.0.conv_block.1.weight", "model.1.weight")
GLOBAL = ("model.1.weight", "model.4.weight", "model.7.weight")
CRITICS = ("scale0_layer0.0.weight",), ("layer0.0.weight",)
PLAIN = 4
"""Images have at most so many channels; label maps have more."""


def understood(opened: Opened) -> Weights | None:
    """Our settings and tensors, if it is a generator of this kind."""
    with suppress(RefusedError):
        if (net := network(opened, LOCAL)) is not None:
            return _weights(opened, local_names(net.tensors), net.tensors)
        if (net := network(opened, GLOBAL)) is not None:
            names = {theirs: f"coarse.{ours}" for theirs, ours in resnet_names(net.tensors).items()}
            beside = sibling(opened.path, "D")
            ours = set(names.values())
            # Nobody else has biases before batch normalisation.
            marked = {"coarse.downs.0.conv.bias", "coarse.downs.0.norm.running_mean"} <= ours
            if marked or "coarse.downs.2.conv.weight" in ours or (beside is not None and _critic(beside)[0]):
                return _weights(opened, names, net.tensors)
    return None


def _weights(opened: Opened, names: Names, tensors: Tensors) -> Weights:
    held = unbiased({ours: entry(tensors[theirs]) for theirs, ours in names.items()})
    width, inputs = shape(held, "coarse.stem.conv.weight")[:2]
    enhancers, halvings = _count(held, r"enhancers\.(\d+)\."), _count(held, r"coarse\.downs\.(\d+)\.")
    blocks, local = _count(held, r"coarse\.blocks\.(\d+)\."), _count(held, r"enhancers\.0\.blocks\.(\d+)\.")
    if enhancers > 4 or halvings > MOST_LAYERS or not blocks <= MOST_BLOCKS or local > MOST_BLOCKS:
        raise RefusedError(f"{enhancers} enhancers, {halvings} halvings, {blocks} and {local} residual blocks")
    last = f"enhancers.{enhancers - 1}.head.weight" if enhancers else "coarse.head.weight"
    channels = shape(held, last)[0]
    config = Pix2PixHD(width=width, blocks=blocks, halvings=halvings, enhancers=enhancers, blocks_local=max(local, 1))
    config = replace(config, norm=norm_of(held, "coarse.stem.norm", "coarse.stem.conv.bias"), vgg_weight=0.0)
    problems: dict[str, str] = {}
    parts: dict[str, Held] = {}
    beside = sibling(opened.path, "E")
    encoder, reason = ({}, "") if beside is None else _encoder(beside)
    if reason:
        problems["E"] = reason
    features = shape(encoder, "head.weight")[0] if encoder else 0
    seen = inputs - features
    beside = sibling(opened.path, "D")
    critic, reason = ({}, "") if beside is None else _critic(beside)
    if reason:
        problems["D"] = reason
    if critic:
        width_d, its = shape(critic, "net.scales.0.layers.0.conv.weight")[:2]
        if 0 < inputs - (its - channels) < inputs:
            seen = its - channels
            features = inputs - seen
        layers = _count(critic, r"net\.scales\.0\.layers\.(\d+)\.") - 2
        if not 1 <= layers <= MOST_LAYERS:
            raise RefusedError(f"a discriminator of {layers} halvings")
        config = replace(config, width_d=width_d, layers_d=layers, scales=_count(critic, r"net\.scales\.(\d+)\."))
    labelled = seen > PLAIN
    palette = tuple((level,) for level in range(seen - 1)) if labelled else ()
    if features and not labelled:
        raise RefusedError("features of plain images")
    config = replace(config, features=features, perceptor="voile64")
    if encoder:
        deep = _count(encoder, r"downs\.(\d+)\.")
        config = replace(config, width_e=shape(encoder, "stem.conv.weight")[0])
        config = replace(config, halvings_e=None if deep == halvings else deep)
        parts["E"] = encoder
    side = 512 << enhancers
    spec = DataSpec((side, 2 * side), channels, source=1 if labelled else seen, palette=palette)
    own: dict[str, Entry] = {
        "enhanced": constant(torch.tensor(enhancers)),
        "memory": constant(torch.zeros(len(palette) if features else 0, KEPT, features)),
        "filled": constant(torch.zeros(len(palette) if features else 0, dtype=torch.int64)),
    }
    if enhancers:  # nobody keeps the coarse generator's own last layer
        own["coarse.head.weight"] = constant(torch.zeros(channels, width, 7, 7))
        own["coarse.head.bias"] = constant(torch.zeros(channels))
    colours = {"labels.palette": constant(LabelMaps(palette).palette)} if palette else {}
    parts["G"] = held | own | colours
    if critic:
        parts["D"] = critic | colours
    whole = assemble(opened, "pix2pixHD (NVIDIA, PyTorch)", "pix2pixhd", spec, config, parts, "G", problems)
    facts = {"generator": f"global, with {enhancers} local enhancer{'s' if enhancers > 1 else ''}"} if enhancers else {}
    facts = facts or {"generator": "global"}
    if labelled:
        facts["input"] = f"taken for label maps of {seen - 1} classes (grey levels from 0) with borders of instances"
    return replace(whole, facts=facts)


def _count(held: Mapping[str, object], pattern: str) -> int:
    return 1 + max((int(match[1]) for name in held if (match := re.match(pattern, name))), default=-1)


def local_names(theirs: Tensors) -> Names:
    """Of a generator with enhancers: ``model`` is the global one without its last layer, ``modelN_1`` and ``modelN_2``
    are the N-th enhancer.

    Raises:
        RefusedError: a name that no such network has, or not the layers that it has.
    """
    names = used(theirs)
    inner = [name for name in names if name.startswith("model.")]
    missing = ("model.900.weight", "model.900.bias")
    found = {name: f"coarse.{ours}" for name, ours in resnet_names([*inner, *missing]).items() if name not in missing}
    ends: dict[str, int] = defaultdict(int)
    for name in names:
        if match := re.fullmatch(r"model(\d)_2\.(\d{1,3})\.conv_block\.\d\.\w+", name):
            ends[match[1]] = max(ends[match[1]], int(match[2]) + 1)
    for name in names:
        if name in found:
            continue
        match = re.fullmatch(r"model(\d)_([12])\.(\d{1,3})\.(?:conv_block\.([1256])\.)?(\w+)", name)
        if match is None:
            raise RefusedError(f"the tensor {name[:80]!r} is unknown")
        number, part, place, block, kind = match.groups()
        at, up = int(place), ends[number]
        layers = {("1", 1): "stem.0", ("1", 2): "stem.1", ("1", 4): "down.0", ("1", 5): "down.1"}
        layers |= {("2", up): "up.0", ("2", up + 1): "up.1", ("2", up + 4): "head"}
        if block is not None and part == "2":
            layer = f"blocks.{at}.{'conv' if block in '15' else 'norm'}{1 if block in '12' else 2}"
        elif block is None and (part, at) in layers:
            layer = layers[part, at]
        else:
            raise RefusedError(f"the tensor {name[:80]!r} is unknown")
        found[name] = f"enhancers.{int(number) - 1}.{layer}.{kind}"
    return found


def _critic(path: Path) -> tuple[dict[str, Entry], str]:
    """The discriminator in a file, by our names; or nothing, and why."""
    try:
        net = network(open_file(path), *CRITICS)
        if net is None:
            raise RefusedError(f"{path.name} is no discriminator of pix2pixHD")
        names = critic_names(net.tensors)
        return unbiased({ours: entry(net.tensors[theirs]) for theirs, ours in names.items()}), ""
    except (UserError, RefusedError) as error:
        return {}, error.what if isinstance(error, UserError) else str(error)


def critic_names(theirs: Mapping[str, object]) -> Names:
    """Of discriminators at several sizes, in either form: with layers of their own, or in one chain for each size.

    Raises:
        RefusedError: a name that no such network has.

    Example:
        >>> critic_names(dict.fromkeys(["scale0_layer0.0.bias", "scale1_layer2.0.bias"]))["scale1_layer2.0.bias"]
        'net.scales.0.layers.2.conv.bias'
        >>> critic_names(dict.fromkeys(["layer0.0.bias", "layer0.2.bias", "layer0.5.bias"]))["layer0.5.bias"]
        'net.scales.0.layers.2.conv.bias'
    """
    found: dict[str, tuple[int, str]] = {}
    for name in used(theirs):
        if match := re.fullmatch(r"scale(\d)_layer(\d{1,2})\.([01])\.(\w+)", name):
            layer, kind = int(match[2]), "conv" if match[3] == "0" else "norm"
        elif match := re.fullmatch(r"layer(\d)\.()(\d{1,2})\.(\w+)", name):
            place = int(match[3])
            layer, kind = (place + 1) // 3, "norm" if place and place % 3 == 0 else "conv"
        else:
            raise RefusedError(f"the tensor {name[:80]!r} is unknown")
        found[name] = int(match[1]), f"layers.{layer}.{kind}.{match[4]}"
    most = max(number for number, _ in found.values())
    return {name: f"net.scales.{most - number}.{rest}" for name, (number, rest) in found.items()}


def _encoder(path: Path) -> tuple[dict[str, Entry], str]:
    try:
        net = network(open_file(path), GLOBAL)
        if net is None:
            raise RefusedError(f"{path.name} is no encoder of pix2pixHD")
        names = encoder_names(net.tensors)
        return unbiased({ours: entry(net.tensors[theirs]) for theirs, ours in names.items()}), ""
    except (UserError, RefusedError) as error:
        return {}, error.what if isinstance(error, UserError) else str(error)


def encoder_names(theirs: Mapping[str, object]) -> Names:
    """Of an encoder: a residual generator without residual blocks.

    Raises:
        RefusedError: a name that no such network has, or not the layers that it has.

    Example:
        >>> names = encoder_names(dict.fromkeys(f"model.{place}.weight" for place in (1, 4, 7, 11)))
        >>> names["model.7.weight"], names["model.11.weight"]
        ('ups.0.conv.weight', 'head.weight')
    """
    places: dict[int, list[str]] = defaultdict(list)
    for name in used(theirs):
        match = re.fullmatch(r"model\.(\d{1,3})\.\w+", name)
        if match is None:
            raise RefusedError(f"the tensor {name[:80]!r} is unknown")
        places[int(match[1])].append(name)
    norms = {place: places.pop(place) for place in sorted(places) if place - 1 in places}
    halvings = (len(places) - 2) // 2
    if len(places) != 2 * halvings + 2 or halvings < 1:
        raise RefusedError(f"an encoder of {len(places)} layers")
    ours = [
        "stem.conv",
        *(f"downs.{k}.conv" for k in range(halvings)),
        *(f"ups.{k}.conv" for k in range(halvings)),
        "head",
    ]
    layers = dict(zip(sorted(places), ours, strict=True))
    layers |= {place: layers[place - 1].replace("conv", "norm") for place in norms}
    return {name: f"{layer}.{name.rpartition('.')[2]}" for at, layer in layers.items() for name in (places | norms)[at]}
