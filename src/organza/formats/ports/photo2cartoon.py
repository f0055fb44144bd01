"""minivision's photo2cartoon (``photo2cartoon_weights.pt``: a generator; ``*_params_*.pt``: all six networks), and
PaddleGAN's generator (``photo2cartoon_genA2B_weight.pdparams``).

The discriminators are U-GAT-IT's, under the same names. Widths, depths and the version (full or light) follow from
shapes, as does the size of images that the full version needs, as a square. A block of an hourglass holds a fourth
convolution that their code never uses, and that is left out. PaddleGAN's layers have other names, its linear weights
are ``[in, out]``, and they have no biases, which are 0 here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch

from organza.contract.data import DataSpec, Direction
from organza.core.errors import UserError
from organza.formats.ports import ugatit
from organza.formats.weights import Weights, collect_all, usable
from organza.methods.translation.photo2cartoon import Photo2Cartoon
from organza.tensors.entry import Entry, constant, entry
from organza.tensors.networks import Network, find
from organza.tensors.opening import Opened
from organza.tensors.records import Array, RefusedError

MINIVISION = ("gap_fc.weight", "HourGlass1.Conv1.weight", "DecodeBlock1.norm1.w_gamma", "ConvBlock1.1.weight")
PADDLE = ("gap_fc.weight", "DownBlock.4.Conv1.weight", "DecodeBlock1.norm1.w_gamma", "DownBlock.1.weight")
MOST_LEVELS = 12


def understood(opened: Opened) -> Weights | None:
    """Our settings and tensors, if it is a file of this kind.

    Raises:
        UserError: it is, and a tensor is missing, unknown or misshaped.
    """
    generators = find(opened.tensors, *MINIVISION) or find(opened.tensors, *PADDLE)
    return _read(opened, generators) if generators else None


def _read(opened: Opened, generators: Mapping[str, Network]) -> Weights:
    try:
        held = {ugatit.place(path): _generator(net) for path, net in generators.items()}
        main = next((name for name in ("G_AtoB", "G_BtoA") if name in held), ugatit.alone(opened.path))
        if main not in held:  # a generator by itself
            held[main] = next(iter(held.values()))
        held |= {ugatit.place(path): ugatit.renamed(net) for path, net in find(opened.tensors, *ugatit.CRITIC).items()}
        config, spec = _settings(held, main)
        problems: dict[str, str] = {}

        def collected(name: str) -> dict[str, Entry]:
            return collect_all(config, spec, name, held[name], lambda ours, shape: ugatit.given(held[name], ours))

        names = [name for name in (main, *ugatit.PLACES.values()) if name in held]
        nets = usable(dict.fromkeys(names), main, problems, collected)
    except RefusedError as error:
        raise UserError(f"a file of Photo2Cartoon that can't be used: {error}", where=opened.path) from None
    paddle = any(_of_paddle(net) for net in generators.values())
    return Weights(
        path=opened.path,
        format=f"Photo2Cartoon ({'PaddleGAN, Paddle' if paddle else 'minivision, PyTorch'})",
        method="photo2cartoon",
        spec=spec,
        config=config,
        nets=nets,
        problems=problems,
        foreign=opened.foreign,
    )


def _settings(held: Mapping[str, Mapping[str, Entry]], main: str) -> tuple[Photo2Cartoon, DataSpec]:
    net = held[main]
    width, source = ugatit.sides(net, "stem.conv.weight")
    channels, blocks = ugatit.sides(net, "head.weight")[0], ugatit.count(net, "blocks")
    inputs = ugatit.given(net, "style.0.weight").shape[-1]
    light, side = inputs == 4 * width, 256
    if not light:
        side = 4 * math.isqrt(inputs // (4 * width))
        if side * side // 4 * width != inputs:
            raise RefusedError("a style that comes from images which are no squares")
    levels = len({name for name in net if re.fullmatch(r"before\.0\.glass\.skips\.\d+\.convs\.0\.weight", name)})
    if not 0 < levels <= MOST_LEVELS:
        raise RefusedError(f"hourglasses of {levels} levels")
    found = {name: held.get(f"D_{name}") for name in ("A", "B", "A_local", "B_local")}
    layers = [ugatit.count(critic, "layers") - 1 if critic else None for critic in (found["B"], found["B_local"])]
    critic = next((critic for critic in found.values() if critic), None)
    config = Photo2Cartoon(
        width=width,
        blocks=blocks,
        levels=levels,
        light=light,
        width_d=32 if critic is None else ugatit.sides(critic, "layers.0.weight")[0],
        halvings_global=layers[0] or 5,
        halvings_local=layers[1] or 3,
    )
    direction: Direction = "AtoB" if main == "G_AtoB" else "BtoA"
    return config, DataSpec((side, side), channels, source=source, direction=direction)


_GLASS = (
    (r"HG\.0\.ConvBlock(\d\d?)_1\.(.*)", r"glass.skips.\1.\2"),
    (r"HG\.0\.ConvBlock(\d\d?)_2\.(.*)", r"glass.downs.\1.\2"),
    (r"HG\.0\.ConvBlockskip(\d\d?)\.(.*)", r"glass.skips.\1.\2"),
    (r"HG\.0\.ConvBlock(\d\d?)\.(.*)", r"glass.rest.\1.\2"),
    (r"HG\.1\.(.*)", r"block.\1"),
    (r"HG\.2\.(weight)", r"conv.\1"),
    (r"Conv1\.(weight|bias)", r"to_image.\1"),
    (r"Conv2\.(weight|bias)", r"keep.\1"),
    (r"Conv3\.(weight|bias)", r"from_image.\1"),
)
_NAMES = (
    (r"(?:ConvBlock1|DownBlock)\.1\.(weight)", r"stem.conv.\1"),
    (r"EncodeBlock(\d\d?)\.conv_block\.1\.(weight)", r"blocks.#\1.conv1.\2"),
    (r"EncodeBlock(\d\d?)\.conv_block\.5\.(weight)", r"blocks.#\1.conv2.\2"),
    (r"gap_fc\.(weight|bias)", r"attention.of_mean.\1"),
    (r"gmp_fc\.(weight|bias)", r"attention.of_max.\1"),
    (r"conv1x1\.(weight|bias)", r"attention.join.\1"),
    (r"FC\.([02])\.(weight|bias)", r"style.\1.\2"),
    (r"DecodeBlock(\d\d?)\.(conv[12]\.weight)", r"styled.#\1.\2"),
    (r"DecodeBlock(\d\d?)\.(norm[12])\.norm\.rho", r"styled.#\1.\2.rho"),
    (r"DecodeBlock(\d\d?)\.(norm[12])\.w_gamma", r"styled.#\1.\2.w_gain"),
    (r"DecodeBlock(\d\d?)\.(norm[12])\.w_beta", r"styled.#\1.\2.w_bias"),
    (r"DecodeBlock(\d\d?)\.(norm[12])\.c_gamma\.([02]\.\w+)", r"styled.#\1.\2.content_gain.\3"),
    (r"DecodeBlock(\d\d?)\.(norm[12])\.c_beta\.([02]\.\w+)", r"styled.#\1.\2.content_bias.\3"),
    (r"DecodeBlock(\d\d?)\.(norm[12])\.s_gamma\.(\w+)", r"styled.#\1.\2.style_gain.\3"),
    (r"DecodeBlock(\d\d?)\.(norm[12])\.s_beta\.(\w+)", r"styled.#\1.\2.style_bias.\3"),
    (r"DownBlock([12])\.1\.(weight)", r"downs.#\1.conv.\2"),
    (r"UpBlock([12])\.2\.(weight)", r"ups.#\1.conv.\2"),
    (r"UpBlock([12])\.3\.rho", r"ups.#\1.norm.rho"),
    (r"UpBlock([12])\.3\.gamma", r"ups.#\1.norm.gain"),
    (r"UpBlock([12])\.3\.beta", r"ups.#\1.norm.bias"),
    (r"ConvBlock2\.1\.(weight)", r"head.\1"),
)
_PADDLES = (
    (r"DownBlock\.4\.(.*)", r"HourGlass1.\1"),
    (r"DownBlock\.5\.(.*)", r"HourGlass2.\1"),
    (r"DownBlock\.7\.", "DownBlock1.1."),
    (r"DownBlock\.11\.", "DownBlock2.1."),
    (r"UpBlock\.([23])\.", r"UpBlock1.\1."),
    (r"UpBlock\.7\.", "UpBlock2.2."),
    (r"UpBlock\.8\.", "UpBlock2.3."),
    (r"UpBlock\.10\.(.*)", r"HourGlass3.\1"),
    (r"UpBlock\.11\.(.*)", r"HourGlass4.\1"),
    (r"UpBlock\.13\.", "ConvBlock2.1."),
)
"""Where PaddleGAN's layers stand in minivision's network."""


def our_name(theirs: str, levels: int) -> str | None:
    """Our name of one of a generator's tensors; None of one that is never used.

    Args:
        theirs: minivision's name, or PaddleGAN's.
        levels: halvings of its hourglasses: their middle and their way up are numbered on from there.

    Raises:
        RefusedError: it has no such tensor.

    Example:
        >>> our_name("HourGlass1.HG.0.ConvBlock5.ConvBlock2.3.weight", 4)
        'before.0.glass.center.convs.1.weight'
        >>> our_name("UpBlock.11.HG.0.ConvBlock9.conv_block1.3.weight", 4)
        'after.1.glass.ups.3.convs.0.weight'
        >>> our_name("DecodeBlock4.norm2.w_gamma", 4), our_name("HourGlass3.HG.1.ConvBlock4.2.weight", 4)
        ('styled.3.norm2.w_gain', None)
    """
    name = theirs
    for pattern, usual in _PADDLES:
        name = re.sub(f"^{pattern}", usual, name)
    if match := re.fullmatch(r"HourGlass([1-4])\.(.*)", name):
        number = int(match[1])
        inner = _in_glass(match[2], levels)
        return None if inner is None else f"{'before' if number < 3 else 'after'}.{(number - 1) % 2}.{inner}"
    for pattern, ours in _NAMES:
        if re.fullmatch(pattern, name):
            return re.sub(r"#(\d+)", lambda found: str(int(found[1]) - 1), re.sub(pattern, ours, name))
    raise RefusedError(f"the tensor {theirs[:80]!r} is unknown")


def _in_glass(name: str, levels: int) -> str | None:
    if re.search(r"(ConvBlock4|conv_block4)\.2\.weight$", name):
        return None
    name = re.sub(r"(?:ConvBlock|conv_block)([123])\.3\.weight$", lambda m: f"convs.{int(m[1]) - 1}.weight", name)
    for pattern, ours in _GLASS:
        if re.fullmatch(pattern, name):
            name = re.sub(pattern, ours, name)
            break
    else:
        raise RefusedError(f"the tensor {name[:80]!r} of an hourglass is unknown")
    if match := re.fullmatch(r"glass\.(skips|downs|rest)\.(\d+)\.(.*)", name):
        part, number = match[1], int(match[2])
        if part == "rest" and number > levels:
            part, number = ("center", 0) if number == levels + 1 else ("ups", number - levels - 1)
        elif part == "rest":
            part = "downs"
        return f"glass.center.{match[3]}" if part == "center" else f"glass.{part}.{number - 1}.{match[3]}"
    return name


def _generator(net: Network) -> dict[str, Entry]:
    """Their tensors under our names, in our shapes."""
    paddle, found = _of_paddle(net), dict[str, Entry]()
    skips = [m for name in net.tensors if (m := re.search(r"HG\.0\.ConvBlock(?:skip(\d+)|(\d+)_1)\.", name))]
    levels = max((int(m[1] or m[2]) for m in skips), default=0)
    for theirs, tensor in net.tensors.items():
        name, item = our_name(theirs, levels), entry(tensor)
        if name is None:
            continue
        if re.search(r"\.(rho|gain|w_gain|w_bias)$|^ups\.\d+\.norm\.bias$", name):
            item = item.reshape(math.prod(item.shape))
        elif paddle and len(item.shape) == 2:
            item = item.change((item.shape[1], item.shape[0]), lambda x: x.t().contiguous())
        found[name] = item
        if paddle and len(item.shape) == 2:
            found.setdefault(f"{name.removesuffix('weight')}bias", constant(torch.zeros(item.shape[0])))
    return found


def _of_paddle(net: Network) -> bool:
    return any(isinstance(tensor, Array) for tensor in net.tensors.values())
