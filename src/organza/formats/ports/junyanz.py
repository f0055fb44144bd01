"""Generators of the CycleGAN and pix2pix repository (junyanz) in PyTorch: U-Nets and residual networks.

A file holds one network's tensors by name and nothing else. Widths, depths, normalisation and the dropout of residual
blocks follow from names and shapes; the size of images in training does not, so the usual one is taken. Whether a U-Net
had dropout is not in the file either: it is left out, so that the same image gives the same result. The authors' test
takes the image's own statistics, and so does `Translation.mode` here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from organza.contract.data import DataSpec, Direction
from organza.contract.method import MethodConfig
from organza.formats.ports.junyanz_names import resnet_names, unet_names
from organza.formats.weights import Weights, collect
from organza.methods.translation.cyclegan import CycleGAN
from organza.methods.translation.pix2pix import Pix2Pix
from organza.nn.norms import Norm
from organza.tensors.entry import Entry, entry
from organza.tensors.networks import Network, find
from organza.tensors.opening import Opened
from organza.tensors.records import Array, RefusedError

UNET = ("model.model.0.weight", "model.model.1.model.1.weight", "model.model.3.weight")
RESNET = ("model.1.weight", "model.4.weight", "model.10.conv_block.1.weight")
MOST_LEVELS, MOST_BLOCKS = 12, 64


def recognise(opened: Opened) -> bool:
    """Whether it is a file of this kind: all of a network's tensors have a place in one of ours.

    Relatives (CUT, pix2pixHD, BicycleGAN, PaddleGAN's) have names that fit in part.
    """
    return _understood(opened) is not None


def read(opened: Opened) -> Weights:
    """Our settings and tensors. Call it only where `recognise` is true."""
    found = _understood(opened)
    assert found is not None
    return found


def _understood(opened: Opened) -> Weights | None:
    for kind, marks in (("unet", UNET), ("resnet", RESNET)):
        for network in find(opened.tensors, *marks).values():
            if not any(isinstance(tensor, Array) for tensor in network.tensors.values()):
                with suppress(RefusedError):
                    return _weights(opened, kind, network)
    return None


def _weights(opened: Opened, kind: str, network: Network) -> Weights:
    """A network in our words.

    Raises:
        RefusedError: a tensor is missing, unknown or misshaped.
    """
    direction: Direction = "BtoA" if re.search(r"G_?B(?![a-z])", opened.path.stem) else "AtoB"
    names = (unet_names if kind == "unet" else resnet_names)(network.tensors)
    held = {ours: entry(network.tensors[theirs]) for theirs, ours in names.items()}
    spec, config, net = (_unet if kind == "unet" else _resnet)(held, network.tensors, direction)

    def source(name: str, shape: tuple[int, ...]) -> Entry:
        if name not in held:
            raise RefusedError(f"the tensor for {name!r} is missing")
        return held[name]

    tensors = collect(config, spec, net, source)
    if len(tensors) < len(held):
        raise RefusedError(f"the tensor {sorted(held.keys() - tensors.keys())[0]!r} is too much")
    return Weights(
        path=opened.path,
        format=f"{'pix2pix' if kind == 'unet' else 'CycleGAN'} (junyanz, PyTorch)",
        method="pix2pix" if kind == "unet" else "cyclegan",
        spec=spec,
        config=config,
        nets={net: tensors},
        foreign=opened.foreign,
    )


def _unet(held: Mapping[str, Entry], theirs: Any, direction: Direction) -> tuple[DataSpec, MethodConfig, str]:
    depth = 1 + max(int(name.split(".")[1]) for name in held)
    if depth > MOST_LEVELS:
        raise RefusedError(f"a U-Net of {depth} levels")
    width, source = shape_of(held, "downs.0.conv.weight")[:2]
    channels = shape_of(held, "ups.0.conv.weight")[1]
    spec = DataSpec((2**depth, 2**depth), channels, source=source, direction=direction)
    norm = norm_of(held, "downs.1.norm.weight", "downs.1.conv.bias")
    return spec, Pix2Pix(width=width, depth=depth, norm=norm, dropout=False), "G"


def _resnet(held: Mapping[str, Entry], theirs: Any, direction: Direction) -> tuple[DataSpec, MethodConfig, str]:
    blocks = 1 + max(int(name.split(".")[1]) for name in held if name.startswith("blocks."))
    if blocks > MOST_BLOCKS:
        raise RefusedError(f"{blocks} residual blocks")
    # Reflection, convolution, norm, ReLU, then perhaps dropout, then reflection and the second convolution at 5 or 6.
    dropout = "model.10.conv_block.5.weight" not in theirs
    width, source = shape_of(held, "stem.conv.weight")[:2]
    channels = shape_of(held, "head.weight")[0]
    side = 128 if blocks < 9 else 256
    spec = DataSpec((side, side), channels, source=source, direction=direction)
    norm = norm_of(held, "stem.norm.weight", "stem.conv.bias")
    identity = 0.5 if source == channels else 0.0
    config = CycleGAN(width=width, blocks=blocks, norm=norm, dropout=dropout, identity_weight=identity)
    return spec, config, f"G_{direction}"


def norm_of(held: Mapping[str, Entry], weight: str, bias: str) -> Norm:
    """A network's normalisation: batch normalisation has weights; of the others, only instance normalisation goes with
    biases of convolutions."""
    if weight in held:
        return "batch"
    return "instance" if bias in held else "none"


def shape_of(held: Mapping[str, Entry], name: str) -> tuple[int, ...]:
    """The sizes of a convolution's weight.

    Raises:
        RefusedError: it is missing, or no convolution's.
    """
    found = held.get(name)
    if found is None or len(found.shape) != 4:
        raise RefusedError(f"the tensor for {name!r} is missing or misshaped")
    return found.shape
