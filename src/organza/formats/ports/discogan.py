"""DiscoGAN's generators, in PyTorch: whole modules, pickled with the names of their classes. Nothing of them is run.

The authors read images with OpenCV, so the file's networks see blue, green and red; the outermost weights are turned
round here, and the network takes RGB as every other. ``generator_A`` makes images of A, from those of B. Discriminators
are files of their own; they are named, and not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from organza.contract.data import DataSpec, Direction
from organza.formats.ports.translators import first_network
from organza.formats.weights import Weights, collect_all
from organza.methods.translation.discogan import DiscoGAN
from organza.tensors.entry import Entry, entry
from organza.tensors.networks import Network
from organza.tensors.opening import Opened
from organza.tensors.records import RefusedError

MARKS = ("main.0.weight", "main.2.weight", "main.3.weight", "main.11.weight")
DEPTH, SIDE = 4, 64
_NAME = re.compile(r"gen(?:erator)?_?([AB])(?![a-z])")
CLASSES = re.compile(r"model\.Generator|torch\.nn\.modules\.\w+\.\w+|torch\.nn\.backends\.thnn\.\w+")


def understood(opened: Opened) -> Weights | None:
    """Our settings and tensors; None where not all of a network's tensors have a place in one of ours."""
    return first_network(opened, MARKS, _weights)


def _weights(opened: Opened, network: Network) -> Weights:
    """A network in our words.

    Raises:
        RefusedError: a tensor is missing, unknown or misshaped.
    """
    names, bottleneck = _names(network)
    held = {ours: entry(network.tensors[theirs]) for theirs, ours in names.items()}
    (width, source), channels = held["downs.0.conv.weight"].shape[:2], held["head.weight"].shape[1]
    said = _NAME.search(network.path) or _NAME.search(opened.path.name)
    direction: Direction = "BtoA" if said and said[1] == "A" else "AtoB"
    spec = DataSpec((SIDE, SIDE), channels, source=source, direction=direction)
    config, net = DiscoGAN(width=width, depth=DEPTH, bottleneck=bottleneck), f"G_{direction}"
    held["downs.0.conv.weight"] = _turned(held["downs.0.conv.weight"])
    held["head.weight"] = _turned(held["head.weight"])

    tensors = collect_all(config, spec, net, held)
    return Weights(
        path=opened.path,
        format="DiscoGAN (PyTorch)",
        method="discogan",
        spec=spec,
        config=config,
        nets={net: tensors},
        facts={"channel order": "blue, green, red in the file; red, green, blue here"},
        foreign=tuple(name for name in opened.foreign if not CLASSES.fullmatch(name)),
    )


def _names(network: Network) -> tuple[dict[str, str], int]:
    """Their names and ours, and the maps of the bottleneck.

    The layers are a chain: each convolution, its normalisation if it has one, its activation.

    Raises:
        RefusedError: a chain of another length, or names that no chain has.
    """
    layers: dict[int, list[str]] = {}
    for name in network.tensors:
        match = re.fullmatch(r"main\.(\d{1,2})\.(weight|bias|running_mean|running_var|num_batches_tracked)", name)
        if match is None:
            raise RefusedError(f"the tensor {name[:80]!r} is unknown")
        layers.setdefault(int(match[1]), []).append(name)
    convs = [place for place in sorted(layers) if len(network.tensors[f"main.{place}.weight"].shape) == 4]
    inner = len(convs) - 2 * DEPTH
    if inner not in (0, 2) or len({*layers} - {*convs}) != len(convs) - 2:
        raise RefusedError(f"{len(convs)} convolutions, not {2 * DEPTH} or {2 * DEPTH + 2}")
    ours = [f"downs.{k}" for k in range(DEPTH)] + [f"inner.{k}" for k in range(inner)]
    ours += [f"ups.{k}" for k in range(DEPTH - 1)]
    places: Mapping[int, str] = {place: f"{our}.conv" for place, our in zip(convs, ours, strict=False)}
    places = {**places, **{place + 1: our.replace("conv", "norm") for place, our in places.items()}, convs[-1]: "head"}
    if not {*layers} <= {*places}:
        raise RefusedError("layers between the convolutions")
    names = {name: f"{places[place]}.{name.split('.')[2]}" for place, held in layers.items() for name in held}
    maps = network.tensors[f"main.{convs[DEPTH]}.weight"].shape[0] if inner else 0
    return names, maps


def _turned(item: Entry) -> Entry:
    """The weight of an outermost convolution, whose second axis are the colours, in the other order."""
    return item.change(item.shape, lambda x: x.flip(1))
