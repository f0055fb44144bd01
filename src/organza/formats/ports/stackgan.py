"""StackGAN in PyTorch, by its authors: ``netG_epoch_600.pth``, with the discriminator if it lies beside.

A generator of the second stage has the first one's in it, under ``STAGE1_G``. Widths, depths and lengths follow from
shapes. The text encoder is in another file, of Torch for Lua, and not read: images are made from vectors of texts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import torch

from organza.contract.data import DataSpec
from organza.core.errors import UserError
from organza.formats.weights import Weights, collect_all, stored
from organza.methods.text.stackgan import StackGAN
from organza.tensors.entry import Entry, constant, entry
from organza.tensors.networks import Network, find
from organza.tensors.opening import Opened, open_file
from organza.tensors.records import RefusedError

FIRST = ("ca_net.fc.weight", "fc.0.weight", "upsample1.1.weight", "img.0.weight")
SECOND = ("ca_net.fc.weight", "hr_joint.0.weight", "encoder.0.weight", "STAGE1_G.fc.0.weight")
CRITIC = ("encode_img.0.weight", "get_cond_logits.outlogits.0.weight")
MOST = 64


def understood(opened: Opened) -> Weights | None:
    """Our settings and tensors; None where the file is of another kind.

    Raises:
        UserError: a tensor is missing, unknown or misshaped.
    """
    found = find(opened.tensors, *SECOND) or find(opened.tensors, *FIRST)
    if not found:
        return None
    problems: dict[str, str] = {}
    try:
        generator = _renamed(next(iter(found.values())))
        config, spec = _settings(generator)
        name, nets = f"D{config.stages}", {"G": _collected("G", generator, config, spec)}
    except RefusedError as error:
        raise UserError(f"a file of StackGAN that can't be used: {error}", where=opened.path) from None
    foreign = opened.foreign
    try:
        critic, more = _critic(opened)
        if critic is not None:
            held = {_name_in_critic(key, critic): entry(tensor) for key, tensor in critic.tensors.items()}
            fitting = replace(config, width_d=_shape(held, "first.conv.weight", 4)[0])
            nets[name] = _collected(name, held, fitting, spec)
            config, foreign = fitting, tuple(dict.fromkeys([*foreign, *more]))
    except (RefusedError, UserError) as error:
        problems[name] = error.what if isinstance(error, UserError) else str(error)
    return Weights(
        path=opened.path,
        format=f"StackGAN, stage {'I' * config.stages} (PyTorch)",
        method="stackgan",
        spec=spec,
        config=config,
        nets=nets,
        problems=problems,
        facts={"text": f"vectors of {spec.embedding_dim} numbers (--embeddings FILE); its encoder is in another file"},
        foreign=foreign,
    )


def _critic(opened: Opened) -> tuple[Network | None, tuple[str, ...]]:
    """The discriminator in the same file, or in one beside it; and foreign names in that."""
    if found := find(opened.tensors, *CRITIC):
        return next(iter(found.values())), ()
    name = opened.path.name
    for beside in (name.replace("netG", "netD"), "netD_epoch_last.pth"):
        path = opened.path.with_name(beside)
        if beside != name and path.is_file():
            other = open_file(path)
            if not (found := find(other.tensors, *CRITIC)):
                raise RefusedError(f"{beside} holds no discriminator of StackGAN")
            return next(iter(found.values())), other.foreign
    return None, ()


def _settings(net: Mapping[str, Entry]) -> tuple[StackGAN, DataSpec]:
    stages = 2 if "high.image.weight" in net else 1
    twice, text = _shape(net, "conditions.0.fc.weight", 2)
    maps, length = _shape(net, "low.fc.weight", 2)
    ups, more = _count(net, r"low\.ups\.(\d+)\."), _count(net, r"high\.ups\.(\d+)\.") - 2
    condition, channels = twice // 2, _shape(net, "low.image.weight", 4)[0]
    halvings, blocks = (more if stages == 2 else None), _count(net, r"high\.blocks\.(\d+)\.")
    if not 1 <= ups <= 8 or maps % 128 or length <= condition or (halvings is not None and halvings not in (1, 2)):
        raise RefusedError(f"{ups} and {more} doublings, and {maps} features of {length} numbers")
    side = 4 << (ups + (halvings or 0))
    config = StackGAN(
        stages=2 if stages == 2 else 1,
        halvings=halvings,
        z_dim=length - condition,
        condition=condition,
        width=maps // 128,
        blocks=blocks,
    )
    return config, DataSpec((side, side), channels, embedding_dim=text)


def _count(net: Mapping[str, Entry], pattern: str) -> int:
    found = [int(match[1]) for name in net if (match := re.match(pattern, name))]
    return min(max(found, default=-1) + 1, MOST)


def _collected(name: str, held: Mapping[str, Entry], config: StackGAN, spec: DataSpec) -> dict[str, Entry]:
    given = stored(held)

    def source(ours: str, shape: tuple[int, ...]) -> Entry:
        return constant(torch.tensor(float(config.stages))) if ours == "stage" else given(ours, shape)

    return collect_all(config, spec, name, held, source)


def our_name(theirs: str, second: bool) -> str:
    """Our name of one of the generator's tensors.

    Args:
        theirs: its name in the file.
        second: whether it is a file of the second stage.

    Raises:
        RefusedError: a generator has no such tensor.

    Example:
        >>> our_name("fc.0.weight", False), our_name("STAGE1_G.upsample2.2.bias", True), our_name("img.0.weight", True)
        ('low.fc.weight', 'low.ups.1.norm.bias', 'high.image.weight')
        >>> our_name("encoder.3.weight", True), our_name("residual.1.block.3.weight", True)
        ('high.reads.1.norm.weight', 'high.blocks.1.conv2.conv.weight')
    """
    inner = theirs.removeprefix("STAGE1_G.")
    high = second and inner == theirs
    room = "high" if high else "low"
    name, _, part = inner.rpartition(".")
    if name == "ca_net.fc":
        return f"conditions.{int(high)}.fc.{part}"
    if match := re.fullmatch(r"upsample([1-9])\.([12])", name):
        return f"{room}.ups.{int(match[1]) - 1}.{('conv', 'norm')[int(match[2]) - 1]}.{part}"
    layers = {"img.0": "image"}
    if high:
        layers |= {"encoder.0": "reads.0.conv", "hr_joint.0": "join.conv", "hr_joint.1": "join.norm"}
        layers |= {"encoder.2": "reads.1.conv", "encoder.3": "reads.1.norm"}
        layers |= {"encoder.5": "reads.2.conv", "encoder.6": "reads.2.norm"}
        if match := re.fullmatch(r"residual\.(\d{1,2})\.block\.([0134])", name):
            layer = f"conv{1 if match[2] in '01' else 2}.{'conv' if match[2] in '03' else 'norm'}"
            return f"high.blocks.{match[1]}.{layer}.{part}"
    else:
        layers |= {"fc.0": "fc", "fc.1": "norm"}
    if name not in layers:
        raise RefusedError(f"the tensor {theirs[:80]!r} is unknown")
    return f"{room}.{layers[name]}.{part}"


def _renamed(net: Network) -> dict[str, Entry]:
    second = "hr_joint.0.weight" in net.tensors
    return {our_name(name, second): entry(tensor) for name, tensor in net.tensors.items()}


def _name_in_critic(theirs: str, net: Network) -> str:
    """Our name of one of the discriminator's tensors: convolutions of 4x4 go down, those of 3x3 come after them."""
    heads = {
        "get_cond_logits.outlogits.0": "join.conv",
        "get_cond_logits.outlogits.1": "join.norm",
        "get_cond_logits.outlogits.3": "conditional_score",
        "get_uncond_logits.outlogits.0": "score",
        "encode_img.0": "first.conv",
    }
    name, _, part = theirs.rpartition(".")
    if name in heads:
        return f"{heads[name]}.{part}"
    match = re.fullmatch(r"encode_img\.(\d{1,2})", name)
    place = int(match[1]) if match else 0
    if place < 2 or place % 3 == 1:
        raise RefusedError(f"the tensor {theirs[:80]!r} is unknown")
    number, kind = (place - 2) // 3, "conv" if place % 3 == 2 else "norm"
    kernels = [net.tensors.get(f"encode_img.{2 + 3 * k}.weight") for k in range(number + 1)]
    sizes = [tuple(item.shape)[-1:] for item in kernels if item is not None]
    downs = sum(size == (4,) for size in sizes)
    if len(sizes) == number + 1 and sizes[number] == (4,):
        return f"downs.{number}.{kind}.{part}"
    return f"backs.{number - downs}.{kind}.{part}"


def _shape(net: Mapping[str, Entry], name: str, dims: int) -> tuple[int, ...]:
    found = net.get(name)
    if found is None or len(found.shape) != dims:
        raise RefusedError(f"the tensor for {name!r} is missing or misshaped")
    return found.shape
