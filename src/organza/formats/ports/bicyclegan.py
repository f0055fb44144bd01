"""BicycleGAN's networks (junyanz, PyTorch): a U-Net that takes a code, with its encoder and discriminators beside it.

Where the code goes into the first layer alone (``--where_add input``), a generator's file does not say how long it is;
the encoder beside it (``latest_net_E.pth``) does. In skip connections, what comes from inside stands first there, and
last here, so the inputs of the decoder's convolutions change places.

Whether there is instance normalisation or none shows only in the places of layers, of a generator that takes the code
at all levels not even there: the encoder's or the discriminator's say it, and without them the authors' usual one,
instance normalisation, is taken.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch

from organza.contract.data import DataSpec
from organza.core.errors import UserError
from organza.formats.ports.junyanz import network, sibling, way_of
from organza.formats.ports.junyanz_names import Names, discriminator_names, used
from organza.formats.ports.translators import MOST_LAYERS, MOST_LEVELS, Held, assemble, norm_of, shape
from organza.formats.weights import Weights
from organza.methods.translation.bicyclegan import BicycleGAN
from organza.nn.patchgan import least_side
from organza.nn.style_encoder import Kind
from organza.tensors.entry import Entry, constant, entry
from organza.tensors.networks import Tensors
from organza.tensors.opening import Opened, open_file
from organza.tensors.records import RefusedError

ALL = ("model.down.0.weight", "model.submodule.down.1.weight")
INPUT = ("model.model.0.weight", "model.model.1.model.1.weight")
ENCODER = ("conv.0.weight", "fc.0.weight")
CRITICS = ("model.0.weight",), ("model_0.0.weight",), ("model0.0.weight",)
USUAL = 8
"""Numbers of a code, unless the authors' option says otherwise."""


def understood(opened: Opened) -> Weights | None:
    """Our settings and tensors, if it is a generator of this kind."""
    with suppress(RefusedError):
        if (net := network(opened, ALL)) is not None:
            return _weights(opened, net.tensors, all_names(net.tensors))
        if (net := network(opened, INPUT)) is not None:
            names = input_names(net.tensors)
            if _takes_code(opened.path, net.tensors, names):
                return _weights(opened, net.tensors, names)
    return None


def _takes_code(path: Path, tensors: Tensors, names: Names) -> bool:
    """Whether a U-Net's input has a code in it: pix2pix's has the same names.

    It has no biases but with instance normalisation. Then it is told by an encoder beside it, by a discriminator, which
    sees no code, or by more channels than one image has, or two.
    """
    ours = {name: theirs for theirs, name in names.items()}
    if not {"downs.1.conv.bias", "ups.0.conv.weight"} <= ours.keys():
        return False
    channels, kernel = tensors[ours["ups.0.conv.weight"]].shape[1:3]
    if "downs.1.norm.weight" in ours or kernel == 3 or bare(tensors) or sibling(path, "E") is not None:
        return True
    seen = tensors[ours["downs.0.conv.weight"]].shape[1]
    critic, _ = _beside(path, "D", *CRITICS)
    if (first := critic.get("model.0.weight")) is not None and first.shape[1:2] == (seen + channels,):
        return False
    return seen > 4 and seen != 6


def bare(theirs: Iterable[str]) -> bool:
    """Whether names of a generator, an encoder or a discriminator show that it has no normalisation: layers stand where
    it would be.

    Example:
        >>> [bare([name]) for name in ("model.model.1.model.2.model.1.bias", "conv.1.conv.1.bias", "model_0.4.bias")]
        [True, True, True]
        >>> bare(["model.model.1.model.3.model.1.bias", "conv.1.conv.2.bias", "conv.5.bias", "model_0.5.bias"])
        False
    """
    return any(
        re.match(r"model\.model\.1\.model\.2\.model\.|conv\.(1\.conv\.1|4)\.\w+$|model_?\d?\.4\.", n) for n in theirs
    )


def _weights(opened: Opened, tensors: Tensors, names: Names) -> Weights:
    held = {ours: entry(tensors[theirs]) for theirs, ours in names.items()}
    depth = 1 + max(int(name.split(".")[1]) for name in held)
    if not 2 <= depth <= MOST_LEVELS:
        raise RefusedError(f"a U-Net of {depth} levels")
    encoder, problems = _beside(opened.path, "E", ENCODER)
    width, seen = shape(held, "downs.0.conv.weight")[:2]
    inner = shape(held, "downs.1.conv.weight")[1] - width
    bilinear = shape(held, "ups.1.conv.weight")[2] == 3
    channels = shape(held, "ups.0.conv.weight")[0 if bilinear else 1]
    facts = {}
    z_dim = inner or (encoder["fc.0.weight"].shape[0] if encoder else 0)
    if not z_dim:
        z_dim = USUAL if seen - USUAL in (1, 3) else seen - 3 if seen > 3 else seen - 1
        facts["code"] = f"taken to have {z_dim} numbers; {opened.path.stem}'s encoder beside it would say it"
    if not 0 < z_dim < seen:
        raise RefusedError(f"a code of {z_dim} numbers in {seen} channels")
    for level in range(depth - 1):
        name = f"ups.{level}.conv.weight"
        held[name] = _turned(held[name], 1 if bilinear else 0)
    side = 2**depth
    spec = DataSpec((side, side), channels, source=seen - z_dim, direction=way_of(opened.path))
    config = BicycleGAN(
        z_dim=z_dim,
        z_into="all" if inner else "input",
        width=width,
        depth=depth,
        upsampling="bilinear" if bilinear else "transposed",
        norm=norm_of(held, "downs.1.norm", "downs.1.conv.bias"),
        dropout=False,
    ).resolve(spec, 2)
    parts: dict[str, Held] = {"G": held}
    critics = {name: _beside(opened.path, name, *CRITICS) for name in ("D", "D2")}
    if bare([*tensors, *encoder, *(name for critic, _ in critics.values() for name in critic)]):
        config = replace(config, norm="none")
    if encoder:
        with suppress(RefusedError):
            parts["E"], config = _encoder(encoder, config)
    for name, (critic, problem) in critics.items():
        problems |= problem
        if critic:
            try:
                parts[name], config = _critic(critic, config, spec)
            except RefusedError as error:
                problems[name] = str(error)
    while side < least_side(config.layers_d or 0, config.scales) or side < 2 ** (1 + (config.layers_e or 0)):
        side *= 2
    spec = replace(spec, resolution=(side, side))
    format = "BicycleGAN (junyanz, PyTorch)"
    return replace(assemble(opened, format, "bicyclegan", spec, config, parts, "G", problems), facts=facts)


def _beside(path: Path, net: str, *marks: tuple[str, ...]) -> tuple[dict[str, Entry], dict[str, str]]:
    """Another network of the training, by its own names; empty where there is none, with the reason if it is broken."""
    file = sibling(path, net)
    if file is None:
        return {}, {}
    try:
        found = network(open_file(file), *marks)
        if found is None:
            raise RefusedError(f"{file.name} is another network")
        return {name: entry(tensor) for name, tensor in found.tensors.items()}, {}
    except (UserError, RefusedError) as error:
        return {}, {net: error.what if isinstance(error, UserError) else str(error)}


def _turned(weight: Entry, axis: int) -> Entry:
    """The halves of a convolution's inputs, the other way round."""
    if len(weight.shape) != 4 or weight.shape[axis] % 2:
        raise RefusedError("a skip connection of two sizes")
    return weight.change(weight.shape, lambda x: x.roll(x.shape[axis] // 2, axis))


def _encoder(theirs: Mapping[str, Entry], config: BicycleGAN) -> tuple[Held, BicycleGAN]:
    names = encoder_names(theirs)
    held = {ours: theirs[name] for name, ours in names.items()}
    layers = 2 + max((int(name.split(".")[1]) for name in held if name.startswith("blocks.")), default=-1)
    if layers > MOST_LAYERS:
        raise RefusedError(f"an encoder of {layers} halvings")
    kind: Kind = "resnet" if any(".shortcut." in name for name in held) else "conv"
    width = shape(held, "stem.weight")[0]
    if "logvar.weight" not in held and "mu.weight" in held and "mu.bias" in held:
        held |= {name: constant(torch.zeros(held[name.replace("logvar", "mu")].shape)) for name in _VARIANCE}
    return held, replace(config, kind_e=kind, layers_e=layers, width_e=width)


_VARIANCE = ("logvar.weight", "logvar.bias")
"""What an encoder of a training without a variational part has not; then the variance is 1."""


def _critic(theirs: Mapping[str, Entry], config: BicycleGAN, spec: DataSpec) -> tuple[Held, BicycleGAN]:
    scales: dict[str, dict[str, Entry]] = defaultdict(dict)
    for name, tensor in theirs.items():
        match = re.fullmatch(r"model_?(\d?)\.(.+)", name)  # without the stroke in files of 2017; no number for one size
        if match is None:
            raise RefusedError(f"the tensor {name[:80]!r} is unknown")
        scales[match[1] or "0"][f"model.{match[2]}"] = tensor
    held = {
        f"scales.{number}.{ours}": tensors[name]
        for number, tensors in scales.items()
        for name, ours in _critic_names(tensors).items()
    }
    width, seen = shape(held, "scales.0.layers.0.conv.weight")[:2]
    layers = max(int(name.split(".")[3]) for name in held) - 1
    if layers > MOST_LAYERS:
        raise RefusedError(f"a discriminator of {layers} halvings")
    conditional = seen != spec.channels
    return held, replace(config, width_d=width, layers_d=layers, scales=len(scales), conditional=conditional)


def _critic_names(theirs: Iterable[str]) -> Names:
    """As `discriminator_names`; without normalisation, layers follow each other two places apart."""
    names = list(theirs)
    if not bare(names):
        return discriminator_names(names)
    found = {}
    for name in names:
        match = re.fullmatch(r"model\.(\d{1,2})\.(weight|bias)", name)
        if match is None or int(match[1]) % 2:
            raise RefusedError(f"the tensor {name[:80]!r} is unknown")
        found[name] = f"layers.{int(match[1]) // 2}.conv.{match[2]}"
    return found


def all_names(theirs: Iterable[str]) -> Names:
    """Of a U-Net that takes the code at all levels, each inside the ``submodule`` of the one before.

    Raises:
        RefusedError: a name that no such network has, or not the layers that it has.

    Example:
        >>> all_names(["model.down.0.weight", "model.submodule.up.3.weight"]).values()
        dict_values(['downs.0.conv.weight', 'ups.1.conv.weight'])
    """
    places: dict[tuple[int, str], dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name in used(theirs):
        match = re.fullmatch(r"model\.((?:submodule\.){0,20})(down|up)\.(\d)\.\w+", name)
        if match is None:
            raise RefusedError(f"the tensor {name[:80]!r} is unknown")
        places[match[1].count("submodule"), match[2]][int(match[3])].append(name)
    found: Names = {}
    for (level, part), layers in places.items():
        found |= _in_order(layers, [f"{part}s.{level}.{layer}" for layer in ("conv", "norm")])
    return found


def input_names(theirs: Iterable[str]) -> Names:
    """Of a U-Net that takes the code beside its input, each level inside one ``model`` of the one before.

    Raises:
        RefusedError: a name that no such network has, or not the layers that it has.

    Example:
        >>> names = ["model.model.0.weight", "model.model.1.model.1.weight", "model.model.1.model.3.bias"]
        >>> input_names([*names, "model.model.3.weight"])["model.model.1.model.3.bias"]
        'ups.1.conv.bias'
    """
    levels: dict[int, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    inside: dict[int, int] = {}
    for name in used(theirs):
        match = re.fullmatch(r"model\.model\.((?:\d\.model\.){0,20})(\d)\.\w+", name)
        if match is None:
            raise RefusedError(f"the tensor {name[:80]!r} is unknown")
        path = match[1].split(".model.")[:-1]
        inside |= {level: int(place) for level, place in enumerate(path)}
        levels[len(path)][int(match[2])].append(name)
    found: Names = {}
    for level, layers in levels.items():
        down, up = ([f"{part}.{level}.{layer}" for layer in ("conv", "norm")] for part in ("downs", "ups"))
        if level in inside:
            found |= _in_order({place: names for place, names in layers.items() if place < inside[level]}, down)
            found |= _in_order({place: names for place, names in layers.items() if place > inside[level]}, up)
        else:  # the innermost level, whose way down has no normalisation
            found |= _in_order(layers, [down[0], *up])
    return found


def encoder_names(theirs: Iterable[str]) -> Names:
    """Of an encoder, for `organza.nn.style_encoder.StyleEncoder`, of either kind.

    Raises:
        RefusedError: a name that no such network has, or not the layers that it has.

    Example:
        >>> names = encoder_names(["conv.0.bias", "conv.1.conv.2.bias", "conv.1.conv.5.0.bias", "fcVar.0.bias"])
        >>> names["conv.1.conv.5.0.bias"], names["fcVar.0.bias"]
        ('blocks.0.conv2.bias', 'logvar.bias')
    """
    found: Names = {}
    blocks: dict[int, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    chain: dict[int, list[str]] = defaultdict(list)
    for name in used(theirs):
        part = name.rpartition(".")[2]
        if match := re.fullmatch(r"(fc|fcVar)\.0\.(weight|bias)", name):
            found[name] = f"{'mu' if match[1] == 'fc' else 'logvar'}.{part}"
        elif match := re.fullmatch(r"conv\.(\d{1,2})\.shortcut\.1\.(weight|bias)", name):
            found[name] = f"blocks.{int(match[1]) - 1}.shortcut.{part}"
        elif match := re.fullmatch(r"conv\.(\d{1,2})\.conv\.(\d)\.(?:0\.)?\w+", name):
            blocks[int(match[1]) - 1][int(match[2])].append(name)
        elif match := re.fullmatch(r"conv\.(\d{1,2})\.\w+", name):
            chain[int(match[1])].append(name)
        else:
            raise RefusedError(f"the tensor {name[:80]!r} is unknown")
    plain = ["conv1", "conv2"]
    for number, layers in blocks.items():
        order = ["norm1", "conv1", "norm2", "conv2"] if len(layers) > 2 else plain
        found |= _in_order(layers, [f"blocks.{number}.{layer}" for layer in order])
    # Convolution, activation, then convolution, perhaps normalisation, and activation.
    found |= {name: f"stem.{name.rpartition('.')[2]}" for name in chain.pop(0, [])}
    number = -1
    for place in sorted(chain):
        is_norm = place - 1 in chain
        number += not is_norm
        layer = "norm" if is_norm else "conv"
        found |= {name: f"blocks.{number}.{layer}.{name.rpartition('.')[2]}" for name in chain[place]}
    return found


def _in_order(layers: Mapping[int, list[str]], ours: list[str]) -> Names:
    """Layers by their places in a chain, named in their order; the last ones of ``ours`` may be missing."""
    if len(layers) > len(ours):
        raise RefusedError(f"{len(layers)} layers with tensors where {len(ours)} were expected")
    return {
        name: f"{our}.{name.rpartition('.')[2]}"
        for place, our in zip(sorted(layers), ours, strict=False)
        for name in layers[place]
    }
