"""pix2pix and CycleGAN of mmgeneration and MMagic: ``generators.DOMAIN`` and ``discriminators.DOMAIN`` in one file.

A domain's generator makes images of it. The domain that comes first is taken for A, as in their configurations of
CycleGAN; a single generator translates A to B.

Their images are blue, green, red, unless the configuration in the file says ``channel_order='rgb'``. Images here are
red, green, blue; so the weights of layers at images change places, and the network does for RGB what it did for BGR.
Their tests run in training mode.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace

from organza.contract.data import Direction
from organza.formats.ports.junyanz_names import Names
from organza.formats.ports.translators import Found, Held, cyclegan, pix2pix
from organza.formats.weights import Weights
from organza.tensors.entry import Entry, entry
from organza.tensors.networks import Tensors, find, near
from organza.tensors.opening import Opened
from organza.tensors.records import RefusedError

WHOSE = "mmgeneration, PyTorch"
UNET = ("model.model.0.conv.weight", "model.model.1.model.0.conv.weight")
RESNET = ("model.0.conv.weight", "model.3.block.0.conv.weight")
CRITIC = ("model.0.conv.weight", "model.1.conv.weight")
_LAYER = r"(conv|bn|in|norm)\.(\w+)"


def understood(opened: Opened) -> Weights | None:
    """Our settings and tensors, if it is a file of this kind."""
    with suppress(RefusedError):
        for marks, names in ((UNET, unet_names), (RESNET, resnet_names)):
            generators = _networks(opened, "generators", marks)
            if generators:
                return _weights(opened, generators, names)
    return None


def _weights(opened: Opened, generators: dict[str, Tensors], names: Callable[[Iterable[str]], Names]) -> Weights:
    domains = list(generators)
    # With two, the first one's generator makes images of A, and the second one's of B.
    ways: dict[str, Direction] = dict(zip(reversed(domains), ("AtoB", "BtoA"), strict=False))
    swapped = "channel_order='rgb'" not in str(near(opened.value, "", "meta"))
    held = {ways[domain]: _renamed(net, names) for domain, net in generators.items() if domain in ways}
    critics, problems = dict[str, Held](), dict[str, str]()
    for domain, net in _networks(opened, "discriminators", CRITIC).items():
        if domain in ways:
            try:
                critics[ways[domain][-1]] = _renamed(net, discriminator_names)
            except RefusedError as error:
                problems[ways[domain][-1]] = str(error)
    if swapped:
        first = next(iter(held.values()))
        outside = [first[name].shape[axis] for name, axis in _outside(first).items() if name.endswith("weight")]
        if len(outside) != 2:
            raise RefusedError("a generator without its first or its last layer")
        held = {way: _swapped(net, *outside) for way, net in held.items()}
        critics = {seen: _swapped(net, *outside) for seen, net in critics.items()}
    held = {way: held[way] for way in ("AtoB", "BtoA") if way in held}
    found = Found(held, critics, problems)
    if names is unet_names:
        weights = pix2pix(opened, WHOSE, Found({"AtoB": held["AtoB"]}, critics, problems))
    else:
        shifted = any(re.fullmatch(r"model\.\d+\.block\.2\.conv\.weight", name) for name in generators[domains[0]])
        weights = cyclegan(opened, WHOSE, found, "AtoB", dropout=shifted)
    order = "trained with blue, green, red; layers at images are turned, so that it takes and gives red, green, blue"
    read = {domain: way for domain, way in ways.items() if way == "AtoB" or names is resnet_names}
    facts = {"domains": ", ".join(f"{way}: makes {domain}" for domain, way in read.items())}
    return replace(weights, facts=facts | ({"channel order": order} if swapped else {}))


def _networks(opened: Opened, kind: str, marks: tuple[str, ...]) -> dict[str, Tensors]:
    """Networks of one layout by their domain."""
    found = {}
    for path, net in find(opened.tensors, *marks).items():
        if match := re.fullmatch(rf"(?:.*\.)?{kind}\.([^.]+)\.", path):
            found[match[1]] = net.tensors
    return found


def _renamed(tensors: Tensors, names: Callable[[Iterable[str]], Names]) -> Held:
    return {ours: entry(tensors[theirs]) for theirs, ours in names(tensors).items()}


def unet_names(theirs: Iterable[str]) -> Names:
    """Of a U-Net, for `organza.nn.unet.UNetGenerator`: each level lies inside ``model.1`` of the one before.

    Raises:
        RefusedError: a name that no U-Net has.

    Example:
        >>> names = unet_names(["model.model.1.model.0.conv.weight", "model.model.1.model.1.bn.bias"])
        >>> names["model.model.1.model.0.conv.weight"], names["model.model.1.model.1.bn.bias"]
        ('downs.1.conv.weight', 'ups.1.norm.bias')
    """
    found: Names = {}
    for name in theirs:
        match = re.fullmatch(rf"model\.model\.((?:1\.model\.){{0,20}})([012])\.{_LAYER}", name)
        if match is None:
            raise _unknown(name)
        side = "downs" if match[2] == "0" else "ups"  # the innermost level has no other inside, so its way up is 1
        found[name] = f"{side}.{match[1].count('model')}.{_layer(match[3])}.{match[4]}"
    return found


def resnet_names(theirs: Iterable[str]) -> Names:
    """Of a residual generator, for `organza.nn.resnet.ResNetGenerator`, with dropout or without.

    Raises:
        RefusedError: a name that no such network has.

    Example:
        >>> names = ["model.0.conv.bias", "model.3.block.2.conv.bias", "model.6.conv.bias"]
        >>> resnet_names(names)["model.3.block.2.conv.bias"]
        'blocks.0.conv2.bias'
    """
    parsed = {}
    for name in theirs:
        match = re.fullmatch(rf"model\.(\d{{1,3}})\.(?:block\.([012])\.)?{_LAYER}", name)
        if match is None:
            raise _unknown(name)
        parsed[name] = match
    blocks = sorted({int(match[1]) for match in parsed.values() if match[2]})
    last = max(int(match[1]) for match in parsed.values())
    found: Names = {}
    for name, match in parsed.items():
        place, layer = int(match[1]), _layer(match[3])
        if match[2]:
            found[name] = f"blocks.{place - blocks[0]}.{layer}{1 if match[2] == '0' else 2}.{match[4]}"
        elif place == last:
            found[name] = f"head.{match[4]}"
        elif place < blocks[0]:
            found[name] = f"{'stem' if place == 0 else f'downs.{place - 1}'}.{layer}.{match[4]}"
        else:
            found[name] = f"ups.{place - blocks[-1] - 1}.{layer}.{match[4]}"
    return found


def discriminator_names(theirs: Iterable[str]) -> Names:
    """Of a PatchGAN, for `organza.nn.patchgan.PatchGAN`; its last layer is a bare convolution.

    Raises:
        RefusedError: a name that no such network has.

    Example:
        >>> discriminator_names(["model.1.bn.weight", "model.4.bias"]).values()
        dict_values(['layers.1.norm.weight', 'layers.4.conv.bias'])
    """
    found: Names = {}
    for name in theirs:
        match = re.fullmatch(rf"model\.(\d{{1,2}})\.(?:{_LAYER}|(weight|bias))", name)
        if match is None:
            raise _unknown(name)
        layer, part = ("conv", match[4]) if match[4] else (_layer(match[2]), match[3])
        found[name] = f"layers.{match[1]}.{layer}.{part}"
    return found


def _layer(theirs: str) -> str:
    return "conv" if theirs == "conv" else "norm"


def _unknown(name: str) -> RefusedError:
    return RefusedError(f"the tensor {name[:80]!r} is unknown")


_AT_IMAGES = (
    {"layers.0.conv.weight": 1},
    {"stem.conv.weight": 1, "head.weight": 0, "head.bias": 0},
    {"downs.0.conv.weight": 1, "ups.0.conv.weight": 1, "ups.0.conv.bias": 0},
)
"""Of a discriminator, a residual generator, a U-Net: the tensors of layers at images, and the axis that is colours."""


def _outside(held: Held) -> dict[str, int]:
    return {name: axis for name, axis in next(n for n in _AT_IMAGES if next(iter(n)) in held).items() if name in held}


def _swapped(held: Held, source: int, target: int) -> Held:
    """A network that did for blue, green, red what it is to do for red, green, blue.

    Args:
        held: its tensors.
        source, target: channels of a generator's images. A discriminator may see both at once, the source first.
    """
    found = dict(held)
    for name, axis in _outside(held).items():
        count = found[name].shape[axis]
        found[name] = _turned(found[name], axis, (source, target) if count == source + target else (count,))
    return found


def _turned(item: Entry, axis: int, images: tuple[int, ...]) -> Entry:
    """The channels of each image with three of them, the other way round."""
    order: list[int] = []
    for count in images:
        own = range(len(order), len(order) + count)
        order += reversed(own) if count == 3 else own
    return item.change(item.shape, lambda x: x.index_select(axis, x.new_tensor(order).long()))
