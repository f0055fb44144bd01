"""A plain chain of linear layers as the generator of a GAN for digits, such as many PyTorch tutorials train.

Names are those of ``torch.nn.Sequential``: a linear layer at every second place, an activation between. A file does not
say which activations; ReLU and tanh at the end are what such generators have. Images are squares, grey or RGB, by the
number of outputs. Chains that end in fewer than 8x8 pixels, or narrow down, are no generators.
"""

from __future__ import annotations

import math
import re
from itertools import pairwise

from organza.contract.data import DataSpec
from organza.formats.ports.translators import first_network
from organza.formats.weights import Weights, collect
from organza.methods.basic.gan import GAN
from organza.tensors.entry import entry
from organza.tensors.networks import Network
from organza.tensors.opening import Opened
from organza.tensors.records import RefusedError

MARKS = ("0.weight", "0.bias", "2.weight", "2.bias")
LEAST = 8


def understood(opened: Opened) -> Weights | None:
    """Our settings and tensors; None where the file holds anything but such a chain."""
    return first_network(opened, MARKS, _weights)


def _weights(opened: Opened, network: Network) -> Weights:
    """A chain in our words.

    Raises:
        RefusedError: another chain than that of a generator.
    """
    held = {name: entry(tensor) for name, tensor in network.tensors.items()}
    places = [2 * number for number in range(len(held) // 2)]
    if {*held} != {f"{place}.{part}" for place in places for part in ("weight", "bias")} or len(places) < 2:
        raise RefusedError("layers that are not a chain of linear ones")
    shapes = [held[f"{place}.weight"].shape for place in places]
    if any(len(shape) != 2 for shape in shapes) or any(one[0] != other[1] for one, other in pairwise(shapes)):
        raise RefusedError("linear layers that do not follow each other")
    (width, z_dim), (pixels, _) = shapes[0], shapes[-1]
    if any(shape[0] != width for shape in shapes[:-1]):
        raise RefusedError("hidden layers of several widths")
    channels, side = _square(pixels)
    if pixels <= z_dim:
        raise RefusedError("a chain that narrows down")
    config, spec = GAN(z_dim=z_dim, width=width, depth=len(places) - 1), DataSpec((side, side), channels)
    tensors = collect(config, spec, "G", lambda name, shape: held[re.sub(r"^layers\.", "", name)])
    return Weights(
        path=opened.path,
        format="a generator of linear layers (PyTorch)",
        method="gan",
        spec=spec,
        config=config,
        nets={"G": tensors},
        facts={"activations": "ReLU, tanh at the end; the file does not say"},
        foreign=opened.foreign,
    )


def _square(pixels: int) -> tuple[int, int]:
    """Channels and side of a square image of so many numbers.

    Raises:
        RefusedError: there is none.

    Example:
        >>> _square(784), _square(3072)
        ((1, 28), (3, 32))
    """
    for channels in (1, 3):
        side = math.isqrt(pixels // channels)
        if channels * side * side == pixels and side >= LEAST:
            return channels, side
    raise RefusedError(f"{pixels} outputs, which are no square image")
