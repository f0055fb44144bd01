"""CUT's generator, in PyTorch: a residual network whose resampling layers blur.

A file holds one network's tensors under junyanz's names, with the filter of each blur beside them. Without any blur it
is a generator of CycleGAN to the letter, and is read as one. Discriminators and the feature heads F are files of their
own; they are named, and not read.
"""

from __future__ import annotations

import torch

from organza.contract.data import DataSpec
from organza.formats.ports.junyanz_names import resnet_names
from organza.formats.ports.translators import MOST_BLOCKS, first_network, norm_of, shape
from organza.formats.weights import Weights, collect_all
from organza.methods.translation.cut import CUT
from organza.tensors.entry import Entry, entry
from organza.tensors.networks import Network
from organza.tensors.opening import Opened
from organza.tensors.records import RefusedError

MARKS = ("model.1.weight", "model.4.weight")
FILTERS = {(3, 3): (1.0, 2.0, 1.0), (4, 4): (1.0, 3.0, 3.0, 1.0)}


def understood(opened: Opened) -> Weights | None:
    """Our settings and tensors; None where not all of a network's tensors have a place in one of ours, or none blurs.

    Raises:
        RefusedError: a blur with another filter than CUT's.
    """
    found = first_network(opened, MARKS, _weights)
    if found is None:
        return None
    weights, filters = found
    for name, filt in filters.items():
        taps = torch.tensor(FILTERS[filt.shape[2], filt.shape[3]])
        plane = torch.outer(taps, taps) / taps.sum() ** 2 * (4 if len(taps) == 4 else 1)
        if not torch.allclose(filt.read().float(), plane.expand(filt.shape), atol=1e-4):
            raise RefusedError(f"the blur {name!r} is not CUT's")
    return weights


def _weights(opened: Opened, network: Network) -> tuple[Weights, dict[str, Entry]]:
    """A network in our words, and its filters.

    Raises:
        RefusedError: a tensor is missing, unknown or misshaped, or there are no blurs.
    """
    filters = {name: entry(value) for name, value in network.tensors.items() if name.endswith(".filt")}
    names = resnet_names(name for name in network.tensors if name not in filters)
    held = {ours: entry(network.tensors[theirs]) for theirs, ours in names.items()}
    blocks = 1 + max(int(name.split(".")[1]) for name in held if name.startswith("blocks."))
    if blocks > MOST_BLOCKS:
        raise RefusedError(f"{blocks} residual blocks")
    width, source = shape(held, "stem.conv.weight")[:2]
    channels = shape(held, "head.weight")[0]
    sizes = [filt.shape[2:] for filt in filters.values()]
    if source != channels or not filters or any(len(filt.shape) != 4 for filt in filters.values()):
        raise RefusedError("not CUT's generator")
    if any(size not in FILTERS for size in sizes) or any(sizes.count(size) not in (0, 2) for size in FILTERS):
        raise RefusedError("blurs where CUT has none")
    config = CUT(
        width=width,
        blocks=blocks,
        norm=norm_of(held, "stem.norm", "stem.conv.bias"),
        dropout=_dropout(names),
        blur=(3, 3) in sizes,
        blur_up=(4, 4) in sizes,
        nce_layers=tuple(place for place in CUT().nce_layers if place <= (11 if (3, 3) in sizes else 9) + blocks),
    )

    def part(name: str, shape: tuple[int, ...]) -> Entry:
        if name not in held:
            raise RefusedError(f"the tensor for {name!r} is missing")
        return held[name]

    spec = DataSpec((256, 256), channels, source=source)
    tensors = collect_all(config, spec, "G", held, part)
    weights = Weights(
        path=opened.path,
        format="CUT (PyTorch)",
        method="cut",
        spec=spec,
        config=config,
        nets={"G": tensors},
        foreign=opened.foreign,
    )
    return weights, filters


def _dropout(names: dict[str, str]) -> bool:
    """The second convolution of a block stands one place later where there is dropout before it."""
    return any(
        theirs.endswith("conv_block.6.weight") and ours.endswith("conv2.weight") for theirs, ours in names.items()
    )
