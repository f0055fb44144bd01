"""PaddleGAN's StyleGAN2: NumPy arrays by name, in rosinality's layout, with linear weights ``[in, out]``."""

from __future__ import annotations

import re

from organza.formats.ports import rosinality
from organza.formats.weights import Weights
from organza.tensors.entry import Entry, entry
from organza.tensors.networks import Network, cast, find
from organza.tensors.opening import Opened
from organza.tensors.records import Array, TensorRef

_LINEAR = re.compile(r"(style\.\d+|.*\.modulation|final_linear\.\d+)\.weight")


def recognise(opened: Opened) -> bool:
    """Whether it is a file of this kind."""
    return any(_turned(net) for net in find(opened.tensors, *rosinality.GENERATOR).values())


def read(opened: Opened) -> Weights:
    """Our settings and tensors.

    Raises:
        UserError: a tensor is missing, unknown or misshaped.
    """
    nets = cast(find(opened.tensors, *rosinality.GENERATOR), find(opened.tensors, *rosinality.CRITIC))
    parts = {name: {key: _entry(key, value) for key, value in net.tensors.items()} for name, net in nets.items()}
    return rosinality.assemble(opened, parts, "PaddleGAN StyleGAN2 (Paddle)", "a file of PaddleGAN")


def _turned(net: Network) -> bool:
    """Whether a style's weight has its inputs in front. Where all are square, arrays are taken for Paddle's."""
    for name, value in net.tensors.items():
        style = net.tensors.get(name.removesuffix("weight") + "modulation.weight")
        if style is not None and len(style.shape) == 2 and len(value.shape) == 5 and style.shape[0] != style.shape[1]:
            return style.shape[1] == value.shape[2]
    return isinstance(net.tensors["conv1.conv.weight"], Array)


def _entry(name: str, value: TensorRef | Array) -> Entry:
    item = entry(value)
    if _LINEAR.fullmatch(name) and len(item.shape) == 2:
        return item.change((item.shape[1], item.shape[0]), lambda x: x.t().contiguous())
    return item
