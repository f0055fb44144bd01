"""Names of tensors in files of the CycleGAN and pix2pix repository (junyanz), translated into ours.

The files name layers by their places in chains, so a name means something only beside the others: blocks with dropout
count differently. Each function takes all names of one network and returns ours by theirs, without those that we leave
out: files of 2018 hold running statistics of instance normalisation, which nothing uses today.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from organza.tensors.records import RefusedError

Names = dict[str, str]

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_PARTS = rf"(weight|bias|{'|'.join(STATISTICS)})"


def unet_names(theirs: Iterable[str]) -> Names:
    """Of a U-Net, for `organza.nn.unet.UNetGenerator`. Levels are nested: each lies inside ``model`` of the one before.

    Raises:
        RefusedError: a name that no U-Net has.

    Example:
        >>> unet_names(["model.model.0.weight", "model.model.1.model.5.weight", "model.model.3.bias"]).values()
        dict_values(['downs.0.conv.weight', 'ups.1.conv.weight', 'ups.0.conv.bias'])
    """
    found: Names = {}
    for name in used(theirs):
        match = re.fullmatch(rf"model\.model\.((?:[13]\.model\.){{0,20}})(\d)\.{_PARTS}", name)
        if match is None:
            raise _unknown(name)
        level, place = match[1].count("model"), int(match[2])
        # Outermost: conv, inner levels, ReLU, conv. Others: LeakyReLU, conv, norm, inner levels, ReLU, conv, norm;
        # the innermost has neither inner levels nor the norm before them.
        ours = {0: "downs.{}.conv", 3: "ups.{}.conv"} if level == 0 else _LEVEL
        if place not in ours:
            raise _unknown(name)
        found[name] = f"{ours[place].format(level)}.{match[3]}"
    return _distinct(found)


_LEVEL = {
    1: "downs.{}.conv",
    2: "downs.{}.norm",
    3: "ups.{}.conv",
    4: "ups.{}.norm",
    5: "ups.{}.conv",
    6: "ups.{}.norm",
}


def resnet_names(theirs: Iterable[str]) -> Names:
    """Of a residual generator, for `organza.nn.resnet.ResNetGenerator`; with dropout or without.

    Blocks that start with their convolution have a border of zeros, which no option of the authors' gives and no
    network here has in its blocks alone. (Borders of repeated pixels have the names of mirrored ones.)

    Raises:
        RefusedError: a name that no such network has, or not the layers that it has, or such blocks.

    Example:
        >>> chain = ["model.1.weight", "model.4.weight", "model.7.weight"]
        >>> block = ["model.10.conv_block.1.weight", "model.10.conv_block.5.weight"]
        >>> names = resnet_names([*chain, *block, "model.11.weight", "model.14.weight", "model.18.weight"])
        >>> names["model.10.conv_block.5.weight"], names["model.14.weight"], names["model.18.weight"]
        ('blocks.0.conv2.weight', 'ups.1.conv.weight', 'head.weight')
    """
    chain: dict[int, list[str]] = defaultdict(list)
    blocks: dict[int, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name in used(theirs):
        match = re.fullmatch(rf"model\.(\d{{1,3}})\.(?:conv_block\.(\d)\.)?{_PARTS}", name)
        if match is None:
            raise _unknown(name)
        layers = chain if match[2] is None else blocks[int(match[1])]
        layers[int(match[1] if match[2] is None else match[2])].append(name)
    if not blocks:
        raise RefusedError("a generator without residual blocks")
    if any(0 in layers for layers in blocks.values()):
        raise RefusedError("residual blocks with a border of zeros")
    first, last = min(blocks), max(blocks)
    before = [place for place in chain if place < first]
    after = [place for place in chain if place > last]
    if len(blocks) != last - first + 1 or len(before) + len(after) != len(chain):
        raise RefusedError("layers between the residual blocks")
    # Where norm layers have tensors, there are twice as many layers, but for the last one, which is bare.
    each = ("conv", "norm") if len(before) > len(after) else ("conv",)
    halvings = len(before) // len(each) - 1
    head = [f"stem.{part}" for part in each] + [f"downs.{k}.{part}" for k in range(halvings) for part in each]
    tail = [f"ups.{k}.{part}" for k in range(halvings) for part in each] + ["head"]
    found = _in_order({place: chain[place] for place in before}, head)
    found |= _in_order({place: chain[place] for place in after}, tail)
    inner = [f"{part}{k}" for k in (1, 2) for part in each]
    for number, place in enumerate(sorted(blocks)):
        found |= _in_order(blocks[place], [f"blocks.{number}.{part}" for part in inner])
    return found


def discriminator_names(theirs: Iterable[str]) -> Names:
    """Of a PatchGAN or PixelGAN, for `organza.nn.patchgan.PatchGAN`: conv, LeakyReLU, then conv, norm, LeakyReLU each.

    Raises:
        RefusedError: a name that no such network has.

    Example:
        >>> discriminator_names(["model.0.bias", "model.3.weight", "model.5.weight"]).values()
        dict_values(['layers.0.conv.bias', 'layers.1.norm.weight', 'layers.2.conv.weight'])
    """
    found: Names = {}
    for name in used(theirs):
        match = re.fullmatch(rf"(?:model|net)\.(\d{{1,3}})\.{_PARTS}", name)
        place = -1 if match is None else int(match[1])
        if match is None or place % 3 == 1:
            raise _unknown(name)
        layer = (place + 1) // 3
        found[name] = f"layers.{layer}.{'norm' if place and place % 3 == 0 else 'conv'}.{match[2]}"
    return _distinct(found)


def used(theirs: Iterable[str]) -> list[str]:
    """Without the statistics of normalisation layers that have no weight: such layers take the image's own."""
    names = set(theirs)
    return [
        name
        for name in sorted(names)
        if name.rpartition(".")[2] not in STATISTICS or f"{name.rpartition('.')[0]}.weight" in names
    ]


def _in_order(layers: dict[int, list[str]], ours: list[str]) -> Names:
    """Layers by their places in a chain, named in their order."""
    if len(layers) != len(ours):
        raise RefusedError(f"{len(layers)} layers with tensors where {len(ours)} were expected")
    return {
        name: f"{our}.{name.rpartition('.')[2]}"
        for place, our in zip(sorted(layers), ours, strict=True)
        for name in layers[place]
    }


def _distinct(found: Names) -> Names:
    if len(set(found.values())) < len(found):
        raise RefusedError("two tensors for the same place in a network")
    return found


def _unknown(name: str) -> RefusedError:
    return RefusedError(f"the tensor {name[:80]!r} is unknown")
