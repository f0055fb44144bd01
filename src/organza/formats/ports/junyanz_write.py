"""Our pix2pix and CycleGAN as files of junyanz' repository: a folder with ``latest_net_G.pth`` and so on.

His code looks for that folder under ``checkpoints/NAME``. Read again here, every tensor is the same to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from organza.core.errors import UserError
from organza.core.files import atomic_write
from organza.core.messages import logger
from organza.formats.ports.junyanz_names import Names
from organza.formats.weights import Weights
from organza.methods.translation.cyclegan import CycleGAN
from organza.methods.translation.pix2pix import Pix2Pix

log = logger(__name__)
Tensors = Mapping[str, Tensor]


def write_junyanz(weights: Weights, dest: Path) -> Path:
    """Write a file for each network that is there; what his test takes to open them is told on stderr.

    Args:
        weights: of pix2pix or CycleGAN, whoever trained them.
        dest: a new folder.

    Raises:
        UserError: another method, a network that his code can't build, or ``dest`` exists or can't be written.
    """
    config = weights.config
    if not isinstance(config, (Pix2Pix, CycleGAN)):
        raise UserError(f"junyanz' layout holds pix2pix and CycleGAN, not {weights.method}", where=weights.path)
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise UserError("is there already", where=dest, hint="give a new name")
    files = _files(weights)
    contents = {file: _content(weights, config, net) for file, net in files.items()}
    for file, content in contents.items():
        with atomic_write(dest / file) as temporary:
            torch.save(content, temporary)
    log.warning(f"{dest.name}: open it with {_options(weights, config)}")
    return dest


def _files(weights: Weights) -> dict[str, str]:
    """Our network of each file. D_A is the one that G_A has to please: it looks at images of B."""
    names = {"G": "G", "D": "D"}
    if isinstance(weights.config, CycleGAN):
        names = {"G_A": "G_AtoB", "G_B": "G_BtoA", "D_A": "D_B", "D_B": "D_A"}
    return {f"latest_net_{theirs}.pth": ours for theirs, ours in names.items() if ours in weights.nets}


def _content(weights: Weights, config: Pix2Pix | CycleGAN, net: str) -> dict[str, Tensor]:
    tensors: Tensors = weights.tensors(net)
    if config.norm == "instance-affine":
        tensors = _without_gains(weights, tensors)
    if net.startswith("D"):
        names = discriminator_names(tensors)
    elif isinstance(config, Pix2Pix) and config.generator == "unet":
        names = unet_names(tensors)
    else:
        names = resnet_names(tensors, dropout=config.dropout)
    return {theirs: tensors[ours].detach().cpu().clone() for ours, theirs in names.items()}


def _without_gains(weights: Weights, tensors: Tensors) -> Tensors:
    """Instance normalisation whose gains are 1 and whose biases are 0 is his, without either.

    Raises:
        UserError: they are not.
    """
    found = {}
    for name, value in tensors.items():
        layer, _, part = name.rpartition(".")
        if not layer.rpartition(".")[2].startswith("norm"):
            found[name] = value
        elif bool((value != (1 if part == "weight" else 0)).any()):
            raise UserError("his instance normalisation has no gain and bias", where=weights.path)
    return found


def _options(weights: Weights, config: Pix2Pix | CycleGAN) -> str:
    norm = "instance" if config.norm == "instance-affine" else config.norm
    kind = f"resnet_{config.blocks}blocks"
    if isinstance(config, Pix2Pix) and config.generator == "unet":
        kind = f"unet_{2 ** (config.depth or 0)}"
    words = [f"--netG {kind}", f"--ngf {config.width}", f"--norm {norm}"]
    words += [] if config.dropout else ["--no_dropout"]
    words += [f"--direction {weights.spec.direction}"] if weights.spec.direction == "BtoA" else []
    return " ".join(words)


def unet_names(ours: Tensors) -> Names:
    """Names of a U-Net's tensors there, by ours.

    Example:
        >>> names = unet_names(dict.fromkeys(["downs.0.conv.weight", "ups.1.norm.bias", "downs.2.conv.bias"]))
        >>> names["ups.1.norm.bias"], names["downs.2.conv.bias"]
        ('model.model.1.model.6.bias', 'model.model.1.model.3.model.1.bias')
    """
    innermost = max(int(name.split(".")[1]) for name in ours)
    found = {}
    for name in ours:
        side, level, layer, part = name.split(".")
        number = int(level)
        if number == 0:
            place = 0 if side == "downs" else 3
        else:
            up = 3 if number == innermost else 5
            place = (1 if side == "downs" else up) + (layer == "norm")
        inside = "" if number == 0 else "1.model." + "3.model." * (number - 1)
        found[name] = f"model.model.{inside}{place}.{part}"
    return found


def resnet_names(ours: Tensors, *, dropout: bool) -> Names:
    """Names of a residual generator's tensors there, by ours; with dropout, a block's second convolution is one later.

    Example:
        >>> names = resnet_names(dict.fromkeys(["blocks.1.norm2.weight", "ups.1.conv.bias", "head.bias"]), dropout=True)
        >>> list(names.values())
        ['model.11.conv_block.7.weight', 'model.15.bias', 'model.19.bias']
    """
    blocks = 1 + max(int(name.split(".")[1]) for name in ours if name.startswith("blocks."))
    first = {"stem": 1, "downs": 4, "ups": 10 + blocks}
    found = {}
    for name in ours:
        group, *rest, part = name.split(".")
        if group == "head":
            found[name] = f"model.{17 + blocks}.{part}"
        elif group == "blocks":
            place = {"conv1": 1, "norm1": 2, "conv2": 5 + dropout, "norm2": 6 + dropout}[rest[1]]
            found[name] = f"model.{10 + int(rest[0])}.conv_block.{place}.{part}"
        else:
            number = int(rest[0]) if len(rest) > 1 else 0
            found[name] = f"model.{first[group] + 3 * number + (rest[-1] == 'norm')}.{part}"
    return found


def discriminator_names(ours: Tensors) -> Names:
    """Names of a `PatchGAN`'s tensors there, by ours.

    Example:
        >>> tensors = {"layers.0.conv.weight": torch.zeros(1, 1, 4, 4), "layers.1.norm.weight": torch.zeros(1)}
        >>> list(discriminator_names(tensors).values())
        ['model.0.weight', 'model.3.weight']
    """
    start = "net" if ours["layers.0.conv.weight"].shape[2] == 1 else "model"
    found = {}
    for name in ours:
        _, number, layer, part = name.split(".")
        place = 0 if number == "0" else 3 * int(number) - (layer == "conv")
        found[name] = f"{start}.{place}.{part}"
    return found
