"""pix2pix and CycleGAN of PaddleGAN: NumPy arrays by name, all networks of a training in one file.

The networks and their names are junyanz'. Two things differ. Batch normalisation takes the batch's own statistics also
in their tests (``trainable_statistics``), so `Translation.mode` is "train"; nothing is dropped there, so a network with
batch normalisation is built without dropout. Instance normalisation has a gain and a bias, which their training leaves
at 1 and 0, and which are applied here, whatever they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace

import torch

from organza.contract.data import Direction
from organza.formats.ports.junyanz import RESNET, UNET, has_dropout, renamed, way_of
from organza.formats.ports.junyanz_names import Names, discriminator_names, resnet_names, unet_names
from organza.formats.ports.translators import Found, Held, cyclegan, norm_of, pix2pix
from organza.formats.weights import Weights
from organza.tensors.entry import constant
from organza.tensors.networks import Tensors, find
from organza.tensors.opening import Opened
from organza.tensors.records import Array, RefusedError

WHOSE = "PaddleGAN, Paddle"
CRITIC = ("model.0.weight", "model.2.weight")
_RENAMED = {"scale": "weight", "_mean": "running_mean", "_variance": "running_var"}


def understood(opened: Opened) -> Weights | None:
    """Our settings and tensors, if it is a file of this kind."""
    with suppress(RefusedError):
        for marks, names in ((UNET, unet_names), (RESNET, resnet_names)):
            generators = _networks(opened, marks)
            if generators:
                critics = {way[-1]: net for way, net in _networks(opened, CRITIC).items()}
                found = _found(generators, critics, names)
                return _unet(opened, found) if marks is UNET else _resnet(opened, found, generators)
    return None


def _unet(opened: Opened, found: Found) -> Weights:
    way, held = next(iter(found.generators.items()))
    batch = norm_of(held, "downs.1.norm", "downs.1.conv.bias") == "batch"
    one = replace(found, generators={way: held})
    return pix2pix(opened, WHOSE, one, mode="train" if batch else "eval")


def _resnet(opened: Opened, found: Found, theirs: dict[Direction, Tensors]) -> Weights:
    first = next(iter(found.generators))
    batch = norm_of(found.generators[first], "stem.norm", "stem.conv.bias") == "batch"
    dropout = not batch and has_dropout(theirs[first])
    return cyclegan(opened, WHOSE, found, first, mode="train" if batch else "eval", dropout=dropout)


def _found(
    generators: dict[Direction, Tensors], critics: dict[str, Tensors], names: Callable[[Iterable[str]], Names]
) -> Found:
    held, problems = dict[str, Held](), dict[str, str]()
    for seen, net in critics.items():
        try:
            held[seen] = _with_bias(renamed(net, discriminator_names))
        except RefusedError as error:
            problems[seen] = str(error)
    return Found({way: renamed(net, names) for way, net in generators.items()}, held, problems)


def _with_bias(critic: Held) -> Held:
    """Its first layer has no bias where there is batch normalisation further in; ours always has one."""
    weight = critic.get("layers.0.conv.weight")
    if weight is None or "layers.0.conv.bias" in critic:
        return critic
    return {**critic, "layers.0.conv.bias": constant(torch.zeros(weight.shape[0]))}


def _networks(opened: Opened, marks: tuple[str, ...]) -> dict[Direction, Tensors]:
    """Networks of one layout under PyTorch's names, by the way that their path names (``netG_A``, ``netD_A``)."""
    found: dict[Direction, Tensors] = {}
    for path, net in find(opened.tensors, *marks).items():
        if all(isinstance(tensor, Array) for tensor in net.tensors.values()):
            way: Direction = "BtoA" if re.search(r"net[GD]_B\b", path) else way_of(opened.path)
            found[way] = {_pytorchs(name): tensor for name, tensor in net.tensors.items()}
    return dict(sorted(found.items()))


def _pytorchs(name: str) -> str:
    """PyTorch's name of a tensor.

    Example:
        >>> _pytorchs("model.2._mean"), _pytorchs("model.2.scale")
        ('model.2.running_mean', 'model.2.weight')
    """
    path, _, last = name.rpartition(".")
    return f"{path}.{_RENAMED.get(last, last)}"
