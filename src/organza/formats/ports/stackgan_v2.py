"""StackGAN++ in PyTorch, by its authors: ``netG_24000.pth``, with ``netD0.pth``, ``netD1.pth`` ... beside it.

Widths, depths and lengths follow from shapes. The authors save averaged weights of the generator. In their joined
inputs the condition stands first, so the inputs of the first layer, and of a discriminator's joining one, change
places. Without ``ca_net`` the training had no texts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from organza.contract.data import DataSpec
from organza.core.errors import UserError
from organza.formats.weights import Weights, collect_all
from organza.methods.text.stackgan_v2 import StackGANv2
from organza.tensors.entry import Entry, entry
from organza.tensors.networks import Tensors, find
from organza.tensors.opening import Opened, open_file
from organza.tensors.records import RefusedError

GENERATOR = ("h_net1.fc.0.weight", "h_net1.upsample1.1.weight", "img_net1.img.0.weight")
CRITIC = ("img_code_s16.0.weight", "logits.0.weight")
CORE, MOST = 4, 64


def understood(opened: Opened) -> Weights | None:
    """Our settings and tensors; None where the file is of another kind.

    Raises:
        UserError: a tensor is missing, unknown or misshaped.
    """
    found = find(opened.tensors, *GENERATOR)
    if not found:
        return None
    try:
        theirs = next(iter(found.values())).tensors
        generator = {our_name(name): entry(tensor) for name, tensor in theirs.items()}
        config, spec = _settings(generator)
        if spec.embedding_dim:
            generator["fc.weight"] = _turned(generator["fc.weight"], config.condition)
        nets = {"G_ema": collect_all(config, spec, "G", generator)}
    except RefusedError as error:
        raise UserError(f"a file of StackGAN++ that can't be used: {error}", where=opened.path) from None
    problems: dict[str, str] = {}
    foreign = opened.foreign
    for number in range(1, 1 + (config.branches or 0)):
        file, name = opened.path.with_name(f"netD{number - 1}.pth"), f"D{number}"
        if file == opened.path or not file.is_file():
            continue
        try:
            other = open_file(file)
            if not (critics := find(other.tensors, *CRITIC)):
                raise RefusedError(f"{file.name} holds no discriminator of StackGAN++")
            held = _critic(next(iter(critics.values())).tensors, config.condition)
            fitting = replace(config, width_d=_shape(held, "first.conv.weight", 4)[0])
            if any(net != "G_ema" for net in nets) and fitting != config:
                raise RefusedError("it has another width than those of smaller images")
            nets[name] = collect_all(fitting, spec, name, held)
            config, foreign = fitting, tuple(dict.fromkeys([*foreign, *other.foreign]))
        except (RefusedError, UserError) as error:
            problems[name] = error.what if isinstance(error, UserError) else str(error)
    facts = {}
    if spec.embedding_dim:
        facts["text"] = f"vectors of {spec.embedding_dim} numbers (--embeddings FILE); its encoder is in another file"
    return Weights(
        path=opened.path,
        format="StackGAN++ (PyTorch)",
        method="stackgan-v2",
        spec=spec,
        config=config,
        nets=nets,
        problems=problems,
        facts=facts,
        foreign=foreign,
    )


def _settings(net: Mapping[str, Entry]) -> tuple[StackGANv2, DataSpec]:
    text, condition = 0, 0
    if "condition.fc.weight" in net:
        four, text = _shape(net, "condition.fc.weight", 2)
        condition = four // 4
    outputs, length = _shape(net, "fc.weight", 2)
    ups, nexts = _count(net, r"ups\.(\d+)\."), _count(net, r"nexts\.(\d+)\.")
    blocks = _count(net, r"nexts\.0\.blocks\.(\d+)\.")
    width, rest = divmod(outputs, 2 * CORE**2 << ups)
    if rest or not width or not 1 <= ups <= 8 or nexts > 5 or blocks >= MOST or length <= condition:
        raise RefusedError(f"{outputs} features of {length} numbers, {ups} doublings and {nexts} more sizes")
    config = StackGANv2(branches=1 + nexts, z_dim=length - condition, width=width, blocks=blocks)
    config = replace(config, colour_weight=0.0 if text else 50.0, condition=condition or config.condition)
    side = CORE << (ups + nexts)
    return config, DataSpec((side, side), _shape(net, "images.0.weight", 4)[0], embedding_dim=text)


def our_name(theirs: str) -> str:
    """Our name of one of the generator's tensors.

    Raises:
        RefusedError: a generator has no such tensor.

    Example:
        >>> our_name("h_net1.fc.1.bias"), our_name("h_net2.residual.1.block.4.bias"), our_name("img_net3.img.0.weight")
        ('norm.bias', 'nexts.0.blocks.1.conv2.norm.bias', 'images.2.weight')
    """
    name, _, part = theirs.rpartition(".")
    known = {"ca_net.fc": "condition.fc", "h_net1.fc.0": "fc", "h_net1.fc.1": "norm"}
    if name in known:
        return f"{known[name]}.{part}"
    if match := re.fullmatch(r"h_net1\.upsample([1-9])\.([12])", name):
        return f"ups.{int(match[1]) - 1}.{_KINDS[match[2]]}.{part}"
    if match := re.fullmatch(r"h_net([2-9])\.(jointConv\.[01]|upsample\.[12]|residual\.\d{1,2}\.block\.[0134])", name):
        inner, place = match[2].split("."), match[2][-1]
        layer = {"jointConv": "join", "upsample": "up"}.get(inner[0])
        if layer is None:
            layer, place = f"blocks.{inner[1]}.conv{1 if place in '01' else 2}", "1" if place in "03" else "2"
        elif layer == "join":
            place = str(int(place) + 1)
        return f"nexts.{int(match[1]) - 2}.{layer}.{_KINDS[place]}.{part}"
    if match := re.fullmatch(r"img_net([1-9])\.img\.0", name):
        return f"images.{int(match[1]) - 1}.{part}"
    raise RefusedError(f"the tensor {theirs[:80]!r} is unknown")


_KINDS = {"1": "conv", "2": "norm"}


def name_in_critic(theirs: str, told: bool) -> str:
    """Our name of one of a discriminator's tensors.

    Args:
        theirs: its name in the file.
        told: whether it reads texts as well; else its only score has the other's name.

    Raises:
        RefusedError: a discriminator has no such tensor.

    Example:
        >>> name_in_critic("img_code_s16.8.weight", True), name_in_critic("img_code_s32.1.bias", True)
        ('downs.2.conv.weight', 'downs.3.norm.bias')
        >>> name_in_critic("img_code_s64_2.0.weight", True), name_in_critic("logits.0.bias", False)
        ('backs.1.conv.weight', 'score.bias')
    """
    name, _, part = theirs.rpartition(".")
    heads = {"img_code_s16.0": "first.conv", "logits.0": "conditional_score" if told else "score"}
    if told:
        heads |= {"uncond_logits.0": "score", "jointConv.0": "join.conv", "jointConv.1": "join.norm"}
    if name in heads:
        return f"{heads[name]}.{part}"
    if (match := re.fullmatch(r"img_code_s16\.([235689])", name)) is not None:
        number, kind = divmod(int(match[1]) - 2, 3)
        return f"downs.{number}.{('conv', 'norm')[kind]}.{part}"
    if match := re.fullmatch(r"img_code_s(32|64|128|256)(?:_(\d))?\.([01])", name):
        layer = f"backs.{int(match[2]) - 1}" if match[2] else f"downs.{int(match[1]).bit_length() - 3}"
        return f"{layer}.{'conv' if match[3] == '0' else 'norm'}.{part}"
    raise RefusedError(f"the tensor {theirs[:80]!r} is unknown")


def _critic(theirs: Tensors, condition: int) -> dict[str, Entry]:
    told = "jointConv.0.weight" in theirs
    held = {name_in_critic(name, told): entry(tensor) for name, tensor in theirs.items()}
    return held | ({"join.conv.weight": _turned(held["join.conv.weight"], condition)} if told else {})


def _turned(weight: Entry, condition: int) -> Entry:
    """The inputs with those of the condition behind."""
    return weight.change(weight.shape, lambda x: x.roll(-condition, 1))


def _count(net: Mapping[str, Entry], pattern: str) -> int:
    found = [int(match[1]) for name in net if (match := re.match(pattern, name))]
    return min(max(found, default=-1) + 1, MOST)


def _shape(net: Mapping[str, Entry], name: str, dims: int) -> tuple[int, ...]:
    found = net.get(name)
    if found is None or len(found.shape) != dims:
        raise RefusedError(f"the tensor for {name!r} is missing or misshaped")
    return found.shape
