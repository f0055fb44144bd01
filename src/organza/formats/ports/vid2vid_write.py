"""Our vid2vid as files of the authors' repository: a folder with ``latest_net_G0.pth``, ``latest_net_G1.pth`` ...

Their code looks for that folder under ``checkpoints/NAME``. Read again here, every tensor is the same to the bit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import torch

from organza.core.errors import UserError
from organza.core.files import atomic_write
from organza.core.messages import logger
from organza.formats.ports.junyanz_names import Names
from organza.formats.ports.vid2vid import CHAINS, FOREGROUND, HEADS
from organza.formats.weights import Weights
from organza.methods.translation.vid2vid import Vid2Vid

log = logger(__name__)
_BLOCK = {"conv1": 1, "norm1": 2, "conv2": 5, "norm2": 6}


def write_vid2vid(weights: Weights, dest: Path) -> Path:
    """Write a file for each network that is there; what their test takes to open them is told on stderr.

    Args:
        weights: of vid2vid, whoever trained them.
        dest: a new folder.

    Raises:
        UserError: another method, a network that their code can't build, or ``dest`` exists or can't be written.
    """
    config = weights.config
    if not isinstance(config, Vid2Vid):
        raise UserError(f"vid2vid's layout holds vid2vid, not {weights.method}", where=weights.path)
    if config.foreground not in ((), (FOREGROUND,)):
        log.warning(f"{dest.name}: files don't say what is foreground: {', '.join(map(str, config.foreground))}")
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise UserError("is there already", where=dest, hint="give a new name")
    for file, content in _contents(weights, config).items():
        with atomic_write(dest / file) as temporary:
            torch.save(content, temporary)
    log.warning(f"{dest.name}: open it with {_options(config)}")
    return dest


def _contents(weights: Weights, config: Vid2Vid) -> dict[str, dict[str, torch.Tensor]]:
    files: dict[str, dict[str, torch.Tensor]] = {}
    held = weights.tensors("G")
    for level in range((config.enhancers or 0) + 1):
        start = f"enhancers.{level - 1}." if level else ""
        own = [
            name.removeprefix(start)
            for name in held
            if (name.startswith(start) if level else not name.startswith(("enhancers.", "labels.")))
            and name != "enhanced"
        ]
        names = generator_names(own, local=level > 0)
        files[f"G{level}"] = {theirs: held[start + ours] for ours, theirs in names.items()}
    for net, file in (("D", "D"), ("DT", "D_T"), ("DF", "D_f")):
        if net not in weights.nets:
            continue
        tensors = weights.tensors(net)
        for rate in range(config.rates) if net == "DT" else (None,):
            start = "net." if rate is None else f"rates.{rate}."
            own = [name.removeprefix(start) for name in tensors if name.startswith(start)]
            names = critic_names(own)
            number = "" if rate is None else rate
            files[f"{file}{number}"] = {theirs: tensors[start + ours] for ours, theirs in names.items()}
    return {
        f"latest_net_{name}.pth": {theirs: value.detach().cpu().clone() for theirs, value in content.items()}
        for name, content in files.items()
    }


def generator_names(ours: Iterable[str], local: bool) -> Names:
    """Names of a generator's tensors there, by ours; ``local``: of one that adds to a coarser one.

    Example:
        >>> ours = ["read_past.0.0.bias", "read_past.1.conv2.bias", "to_image.0.conv1.bias", "to_image.1.1.weight"]
        >>> list(generator_names([*ours, "flow.weight"], local=False).values())
        ['model_down_img.1.bias', 'model_down_img.4.conv_block.5.bias', 'model_res_img.0.conv_block.1.bias', \
'model_up_img.1.weight', 'model_final_flow.1.weight']
        >>> list(generator_names(ours, local=True).values())[2:]
        ['model_up_img.0.conv_block.1.bias', 'model_up_img.2.weight']
    """
    ours = list(ours)
    chains: dict[str, list[str]] = {}
    for theirs, name in CHAINS.items():
        chains.setdefault(name, []).append(theirs)
    heads = {name: theirs for theirs, name in HEADS.items()}
    found: Names = {}
    for name in ours:
        part, *inner, kind = name.split(".")
        if part in heads:
            found[name] = f"{heads[part]}.1.{kind}"
            continue
        place, layer = int(inner[0]), inner[1]
        layers = {int(m[1]) for other in ours if (m := re.match(rf"{part}\.(\d+)\.[01]\.", other))}
        blocks = {int(m[1]) for other in ours if (m := re.match(rf"{part}\.(\d+)\.conv1\.", other))}
        inside, up = chains[part][0], chains[part][-1]
        if part.startswith("read"):  # layers first, each of three places behind a padding
            at = 1 + 3 * len(layers) + place - len(layers) if layer in _BLOCK else 1 + 3 * place + int(layer)
        elif layer in _BLOCK:
            at, inside = place, up if local else inside
        else:
            at, inside = 3 * (place - len(blocks)) + int(layer) + (len(blocks) if local else 0), up
        found[name] = f"{inside}.{at}." + (f"conv_block.{_BLOCK[layer]}.{kind}" if layer in _BLOCK else kind)
    return found


def critic_names(ours: Iterable[str]) -> Names:
    """Names of discriminators' tensors there, by ours: sizes are numbered from the smallest on.

    Example:
        >>> list(critic_names(["scales.0.layers.0.conv.bias", "scales.1.layers.2.norm.weight"]).values())
        ['scale1_layer0.0.bias', 'scale0_layer2.1.weight']
    """
    split = {name: name.split(".") for name in ours}
    most = max(int(parts[1]) for parts in split.values())
    return {
        name: f"scale{most - int(parts[1])}_layer{parts[3]}.{0 if parts[4] == 'conv' else 1}.{parts[5]}"
        for name, parts in split.items()
    }


def _options(config: Vid2Vid) -> str:
    words = [f"--ngf {config.width}", f"--n_downsample_G {config.halvings}", f"--n_blocks {config.blocks}"]
    words += [f"--n_frames_G {config.memory + 1}", f"--norm {config.norm.removesuffix('-affine')}"]
    if config.enhancers:
        words += [f"--n_scales_spatial {config.enhancers + 1}", f"--n_blocks_local {config.blocks_local}"]
    if config.foreground:
        words += ["--fg", f"--fg_labels {','.join(map(str, config.foreground))}"]
    return " ".join(["--no_first_img", *words])
