"""U-GAT-IT in PyTorch (``params_*.pt``, both generators and four discriminators in one file), and PaddleGAN's.

Both have the same names. Paddle's linear weights are ``[in, out]``, and its instance normalisation has a gain
(``scale``) and a bias. Widths, depths and the version (full or light) follow from shapes. The size of images follows
where the full version's style needs it, as a square; of the light version the usual one is taken.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

from organza.contract.data import DataSpec, Direction
from organza.core.errors import UserError
from organza.formats.weights import Weights, collect_all, usable
from organza.methods.translation.ugatit import UGATIT
from organza.nn.norms import Norm
from organza.tensors.entry import Entry, entry
from organza.tensors.networks import Network, find
from organza.tensors.opening import Opened
from organza.tensors.records import Array, RefusedError

GENERATOR = ("gap_fc.weight", "DownBlock.1.weight", "UpBlock1_1.norm1.rho", "UpBlock2.2.weight", "FC.0.weight")
CRITIC = ("gap_fc.weight_orig", "conv1x1.weight", "model.1.weight_orig", "conv.weight_orig")
PLACES = {
    "genA2B": "G_AtoB",
    "genB2A": "G_BtoA",
    "disGA": "D_A",
    "disLA": "D_A_local",
    "disGB": "D_B",
    "disLB": "D_B_local",
}
"""Where a network lies in the file, and what we call it."""
MOST_BLOCKS = 64


def recognise(opened: Opened) -> bool:
    """Whether it is a file of this kind. Photo2Cartoon's generators have hourglasses beside the same names."""
    found = find(opened.tensors, *GENERATOR)
    return bool(found) and not any("HourGlass" in name for net in found.values() for name in net.tensors)


def read(opened: Opened) -> Weights:
    """Our settings and tensors.

    Raises:
        UserError: a tensor is missing, unknown or misshaped.
    """
    generators, critics = find(opened.tensors, *GENERATOR), find(opened.tensors, *CRITIC)
    try:
        held = {place(path): renamed(net) for path, net in (generators | critics).items()}
        main = next((name for name in ("G_AtoB", "G_BtoA") if name in held), alone(opened.path))
        if main not in held:  # a generator by itself
            held[main] = renamed(next(iter(generators.values())))
        config, spec = _settings(held, main)
        problems: dict[str, str] = {}

        def collected(name: str) -> dict[str, Entry]:
            return collect_all(config, spec, name, held[name], lambda ours, shape: given(held[name], ours))

        names = [name for name in (main, *PLACES.values()) if name in held]
        nets = usable(dict.fromkeys(names), main, problems, collected)
    except RefusedError as error:
        raise UserError(f"a file of U-GAT-IT that can't be used: {error}", where=opened.path) from None
    paddle = any(isinstance(tensor, Array) for net in generators.values() for tensor in net.tensors.values())
    return Weights(
        path=opened.path,
        format=f"U-GAT-IT ({'PaddleGAN, Paddle' if paddle else 'PyTorch'})",
        method="ugatit",
        spec=spec,
        config=config,
        nets=nets,
        problems=problems,
        foreign=opened.foreign,
    )


def place(path: str) -> str:
    """Our name of the network at a path of the file; the path itself where it says nothing.

    Example:
        >>> place("genB2A."), place("nets.disLA."), place("")
        ('G_BtoA', 'D_A_local', '')
    """
    last = path.rstrip(".").rpartition(".")[2]
    return PLACES.get(last, path)


def alone(path: Path) -> str:
    """What a generator by itself is, by its file's name: A to B, unless it says B to A.

    Example:
        >>> alone(Path("photo2cartoon_genB2A_weight.pdparams")), alone(Path("weights.pt"))
        ('G_BtoA', 'G_AtoB')
    """
    return "G_BtoA" if re.search(r"B2A|BtoA", path.name) else "G_AtoB"


def _settings(held: Mapping[str, Mapping[str, Entry]], main: str) -> tuple[UGATIT, DataSpec]:
    net = held[main]
    width, source = sides(net, "stem.conv.weight")
    channels, blocks = sides(net, "head.weight")[0], count(net, "blocks")
    inputs = given(net, "style.0.weight").shape[-1]
    light, side = inputs == 4 * width, 256
    if not light:
        side = 4 * math.isqrt(inputs // (4 * width))
        if side * side // 4 * width != inputs:
            raise RefusedError("a style that comes from images which are no squares")
    norm: Norm = "instance-affine" if "stem.norm.weight" in net else "instance"
    found = {name: held.get(f"D_{name}") for name in ("A", "B", "A_local", "B_local")}
    layers = [count(critic, "layers") - 1 if critic else None for critic in (found["B"], found["B_local"])]
    critic = next((critic for critic in found.values() if critic), None)
    config = UGATIT(
        width=width,
        blocks=blocks,
        light=light,
        norm=norm,
        width_d=64 if critic is None else sides(critic, "layers.0.weight")[0],
        halvings_global=layers[0] or 5,
        halvings_local=layers[1] or 3,
    )
    direction: Direction = "AtoB" if main == "G_AtoB" else "BtoA"
    return config, DataSpec((side, side), channels, source=source, direction=direction)


def count(net: Mapping[str, Entry], layers: str) -> int:
    """How many layers ``layers.N.`` there are.

    Raises:
        RefusedError: none, or more than any network has.
    """
    numbers = [int(name.split(".")[1]) for name in net if re.match(rf"{layers}\.\d+\.", name)]
    if not numbers or max(numbers) >= MOST_BLOCKS:
        raise RefusedError(f"{max(numbers, default=-1) + 1} layers of one kind")
    return max(numbers) + 1


def given(net: Mapping[str, Entry], name: str) -> Entry:
    """A tensor by our name.

    Raises:
        RefusedError: it is missing.
    """
    if name not in net:
        raise RefusedError(f"the tensor for {name!r} is missing")
    return net[name]


def sides(net: Mapping[str, Entry], name: str) -> tuple[int, int]:
    """Outputs and inputs of a convolution.

    Raises:
        RefusedError: it is missing, or no such weight.
    """
    shape = given(net, name).shape
    if len(shape) != 4:
        raise RefusedError(f"the tensor for {name!r} is misshaped")
    return shape[0], shape[1]


_NAMES = (
    (r"gap_fc\.(.*)", r"attention.of_mean.\1"),
    (r"gmp_fc\.(.*)", r"attention.of_max.\1"),
    (r"conv1x1\.(.*)", r"attention.join.\1"),
    (r"FC\.([02])\.(weight)", r"style.\1.\2"),
    (r"gamma\.(weight)", r"gain.\1"),
    (r"beta\.(weight)", r"bias.\1"),
    (r"DownBlock\.1\.(weight)", r"stem.conv.\1"),
    (r"DownBlock\.2\.(weight|bias)", r"stem.norm.\1"),
    (r"UpBlock2\.11\.(weight)", r"head.\1"),
    (r"conv\.(.*)", r"head.\1"),
)
_PARTS = {"weight_orig": "weight", "weight_u": "u", "weight_v": "v", "scale": "weight", "gamma": "gain", "beta": "bias"}


def our_name(theirs: str) -> str:
    """Our name of one of their tensors, of a generator or a discriminator.

    Raises:
        RefusedError: neither has it.

    Example:
        >>> our_name("DownBlock.13.conv_block.5.weight"), our_name("UpBlock1_2.norm1.rho"), our_name("UpBlock2.8.gamma")
        ('blocks.1.conv2.weight', 'styled.1.norm1.rho', 'ups.1.norm.gain')
        >>> our_name("model.4.weight_u"), our_name("gap_fc.weight_orig"), our_name("conv.weight_v")
        ('layers.1.u', 'attention.of_mean.weight', 'head.v')
    """
    layer, _, part = theirs.rpartition(".")
    name = f"{layer}.{_PARTS.get(part, part)}"
    for pattern, ours in _NAMES:
        if re.fullmatch(pattern, name):
            return re.sub(pattern, ours, name)
    if match := re.fullmatch(r"DownBlock\.(\d\d?)\.(?:conv_block\.([1256])\.)?(weight|bias)", name):
        number, inner = int(match[1]), match[2]
        if inner is not None and number >= 12:
            return f"blocks.{number - 12}.{'conv' if inner in '15' else 'norm'}{1 if inner in '12' else 2}.{match[3]}"
        if inner is None and number in (5, 6, 9, 10):
            return f"downs.{(number - 5) // 4}.{'conv' if number in (5, 9) else 'norm'}.{match[3]}"
    if match := re.fullmatch(r"UpBlock1_(\d\d?)\.((?:conv|norm)[12]\.(?:weight|rho))", name):
        return f"styled.{int(match[1]) - 1}.{match[2]}"
    if match := re.fullmatch(r"UpBlock2\.([2378])\.(weight|rho|gain|bias)", name):
        return f"ups.{int(match[1]) // 7}.{'conv' if match[1] in '27' else 'norm'}.{match[2]}"
    if (match := re.fullmatch(r"model\.(\d\d?)\.(weight|bias|u|v)", name)) and int(match[1]) % 3 == 1:
        return f"layers.{int(match[1]) // 3}.{match[2]}"
    raise RefusedError(f"the tensor {theirs[:80]!r} is unknown")


def renamed(net: Network) -> dict[str, Entry]:
    """Their tensors under our names, in our shapes."""
    turned = any(isinstance(tensor, Array) for tensor in net.tensors.values())
    found = {}
    for theirs, tensor in net.tensors.items():
        name, item = our_name(theirs), entry(tensor)
        if re.search(r"\.(rho|gain)$|^ups\.\d+\.norm\.bias$", name):
            item = item.reshape(math.prod(item.shape))
        elif turned and len(item.shape) == 2:
            item = item.change((item.shape[1], item.shape[0]), lambda x: x.t().contiguous())
        found[name] = item
    return found
