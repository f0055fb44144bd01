"""Networks of the CycleGAN and pix2pix repository (junyanz) in PyTorch: U-Nets and residual networks.

A file holds one network's tensors by name and nothing else; `organza.formats.ports.translators` says what follows from
them. People also put all networks of a training into one file, where each has a name. The other networks of its
training lie beside it under names like its own (``latest_net_G_A.pth``, ``latest_net_G_B.pth``, ``latest_net_D_A.pth``,
``latest_net_D_B.pth``), and are read as well. ``D_A`` is the one that G_A has to please, so it looks at images of B.
The authors' test takes the image's own statistics, and so does `Translation.mode` here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from organza.contract.data import Direction
from organza.core.errors import UserError
from organza.formats.ports.junyanz_names import Names, discriminator_names, resnet_names, unet_names
from organza.formats.ports.translators import Found, Held, cyclegan, pix2pix, shape
from organza.formats.weights import Weights
from organza.tensors.entry import entry
from organza.tensors.networks import Network, find
from organza.tensors.opening import Opened, open_file
from organza.tensors.records import Array, RefusedError

UNET = ("model.model.0.weight", "model.model.1.model.1.weight", "model.model.3.weight")
RESNET = ("model.1.weight", "model.4.weight", "model.10.conv_block.1.weight")
CRITICS = ("model.0.weight",), ("net.0.weight",)
WHOSE = "junyanz, PyTorch"


def understood(opened: Opened) -> Weights | None:
    """Our settings and tensors, if it is a file of this kind: all of a network's tensors have a place in one of ours.

    Relatives (CUT, pix2pixHD, BicycleGAN, PaddleGAN's) have names that fit in part.
    """
    with suppress(RefusedError):
        if nets := _inside(opened, UNET):
            way: Direction = "AtoB" if "AtoB" in nets else "BtoA"
            held = renamed(nets[way].tensors, unet_names)
            critics, problems = _critics(opened, {way: sibling(opened.path, "D")}, nets)
            return _told(pix2pix(opened, WHOSE, Found({way: held}, critics, problems)))
        if nets := _inside(opened, RESNET):
            paired = _of_pairs(opened, nets)
            return _cyclegan(opened, nets) if paired is None else paired
    return None


def _of_pairs(opened: Opened, nets: Mapping[Direction, Network]) -> Weights | None:
    """pix2pix with a residual generator: its discriminator sees source and output together."""
    if len(nets) > 1:
        return None
    ((way, net),) = nets.items()
    critics, problems = _critics(opened, {way: sibling(opened.path, "D")}, nets)
    held = renamed(net.tensors, resnet_names)
    seen = next((shape(critic, "layers.0.conv.weight")[1] for critic in critics.values()), 0)
    if seen != shape(held, "stem.conv.weight")[1] + shape(held, "head.weight")[0]:
        return None
    found = Found({way: held}, critics, problems)
    return _told(pix2pix(opened, WHOSE, found, dropout=has_dropout(net.tensors)))


def _cyclegan(opened: Opened, nets: Mapping[Direction, Network]) -> Weights:
    way: Direction = "AtoB" if "AtoB" in nets else "BtoA"
    back: Direction = "AtoB" if way == "BtoA" else "BtoA"
    generators = {way: renamed(nets[way].tensors, resnet_names)}
    critics = {way: sibling(opened.path, "D")}
    other = sibling(opened.path, "G", turned=True)
    if back in nets:
        generators[back] = renamed(nets[back].tensors, resnet_names)
    elif other is not None:
        critics[back] = sibling(opened.path, "D", turned=True)
        with suppress(UserError, RefusedError):
            beside = network(open_file(other), RESNET)
            if beside is not None:
                generators[back] = renamed(beside.tensors, resnet_names)
    found = Found(generators, *_critics(opened, critics, nets))
    return _told(cyclegan(opened, WHOSE, found, way, dropout=has_dropout(nets[way].tensors)))


def _inside(opened: Opened, *marks: tuple[str, ...]) -> dict[Direction, Network]:
    """PyTorch's networks of one layout in a file, by the way that their own names say, or the file's."""
    found: dict[Direction, Network] = {}
    for each in marks:
        for path, net in find(opened.tensors, *each).items():
            if not any(isinstance(tensor, Array) for tensor in net.tensors.values()):
                letter = re.search(r"(?:[GD]|gen|dis)_?([AB])(?![a-z])", path)
                way: Direction = "BtoA" if letter and letter[1] == "B" else "AtoB"
                found.setdefault(way if letter else way_of(opened.path), net)
    return found


def _told(weights: Weights) -> Weights:
    """With a note where nothing says which way the generator translates."""
    if re.search(r"G_?[AB](?![a-z])", weights.path.stem) or len(weights.nets.keys() & {"G_AtoB", "G_BtoA"}) > 1:
        return weights
    return replace(weights, facts={"direction": "A to B: its name says no other, as G_B would"})


def way_of(path: Path) -> Direction:
    """Which way a generator translates, by its file's name: A to B, unless it says B.

    Example:
        >>> way_of(Path("latest_net_G_B.pth")), way_of(Path("latest_net_G.pth"))
        ('BtoA', 'AtoB')
    """
    return "BtoA" if re.search(r"G_?B(?![a-z])", path.stem) else "AtoB"


def sibling(path: Path, net: str, *, turned: bool = False) -> Path | None:
    """The file of another network of a generator's training, if it lies there.

    Args:
        path: the generator's file.
        net: the other's letter.
        turned: of the other direction.

    Example:
        >>> for name in ("latest_net_G_A.pth", "latest_net_D_A.pth", "latest_net_G_B.pth"):
        ...     (folder / name).touch()
        >>> sibling(folder / "latest_net_G_A.pth", "D").name
        'latest_net_D_A.pth'
        >>> sibling(folder / "latest_net_G_A.pth", "G", turned=True).name
        'latest_net_G_B.pth'
    """
    match = re.fullmatch(r"(.*)G(_A|_B|)", path.stem)
    if match is None or (turned and not match[2]):
        return None
    side = match[2] if not turned else {"_A": "_B", "_B": "_A"}[match[2]]
    found = path.with_name(f"{match[1]}{net}{side}{path.suffix}")
    return found if found.is_file() else None


def _critics(
    opened: Opened, files: Mapping[Direction, Path | None], generators: Mapping[Direction, Network]
) -> tuple[dict[str, Held], dict[str, str]]:
    """Discriminators by the side they look at, and why those that are there can't be read.

    Where generators are named by both sides (``G_AB``, ``A2B``), a discriminator's letter is that of its images.
    """
    found, problems = dict[str, Held](), dict[str, str]()
    both = any(re.search(r"[AB](?:2|to|_to_)?[AB]", net.path) for net in generators.values())
    for way, net in _inside(opened, *CRITICS).items():
        if not net.path.startswith(tuple(other.path for other in generators.values())):
            with suppress(RefusedError):
                found[way[0] if both else way[-1]] = renamed(net.tensors, discriminator_names)
    for way, file in files.items():
        if file is None or way[-1] in found:
            continue
        try:
            beside = network(open_file(file), *CRITICS)
            if beside is None:
                raise RefusedError(f"{file.name} is no discriminator")
            found[way[-1]] = renamed(beside.tensors, discriminator_names)
        except (UserError, RefusedError) as error:
            problems[way[-1]] = error.what if isinstance(error, UserError) else str(error)
    return found, problems


def network(opened: Opened, *marks: tuple[str, ...]) -> Network | None:
    """The first network with one of these layouts that is PyTorch's."""
    for each in marks:
        for net in find(opened.tensors, *each).values():
            if not any(isinstance(tensor, Array) for tensor in net.tensors.values()):
                return net
    return None


def renamed(tensors: Mapping[str, object], names: Callable[[Iterable[str]], Names]) -> Held:
    """Tensors by our names.

    Raises:
        RefusedError: a name that is unknown.
    """
    return {ours: entry(tensors[theirs]) for theirs, ours in names(tensors).items()}


def has_dropout(theirs: Iterable[str]) -> bool:
    """Whether residual blocks have dropout: reflection, convolution, norm, ReLU, then perhaps dropout, then reflection
    and the second convolution at 5 or 6."""
    return "model.10.conv_block.5.weight" not in theirs
