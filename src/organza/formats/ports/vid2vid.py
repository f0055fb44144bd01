"""vid2vid's networks (NVIDIA, PyTorch): the generator of the coarsest size, and those of finer ones around it.

``latest_net_G0.pth`` makes frames by itself; ``latest_net_G1.pth``, ``G2`` ... add to its features at twice the size
each. All of a training's generators are read together, whichever is given, with ``latest_net_D.pth`` and
``latest_net_D_T0.pth``, ``D_T1`` ... where they lie beside. A generator that takes more than four channels a frame read
label maps, as in pix2pixHD's files. Which classes a foreground network makes is in no file: class 26 (cars) is the
authors' usual one. A training without flow (``--no_flow``) leaves out its layers; here they are zeros, and the weight
of what is made anew is 1.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import torch

from organza.contract.data import DataSpec
from organza.core.errors import UserError
from organza.formats.ports.junyanz import network
from organza.formats.ports.junyanz_names import STATISTICS, Names, used
from organza.formats.ports.pix2pixhd import CRITICS, PLAIN, critic_names
from organza.formats.ports.translators import MOST_BLOCKS, MOST_LAYERS, Held, assemble, norm_of, shape, unbiased
from organza.formats.weights import Weights, skeleton
from organza.methods.translation.vid2vid import Vid2Vid
from organza.nn.label_maps import LabelMaps
from organza.tensors.entry import Entry, constant, entry
from organza.tensors.networks import Tensors
from organza.tensors.opening import Opened, open_file
from organza.tensors.records import RefusedError

COMPOSITE = ("model_down_seg.1.weight", "model_down_img.1.weight", "model_final_img.1.weight")
MOST_MEMORY, MOST_RATES, MOST_ENHANCERS = 8, 4, 4
FOREGROUND = 26
"""Cars, in the label maps of Cityscapes."""
SURE = 100
"""Its sigmoid is 1."""
CHAINS = {
    "model_down_seg": "read_source",
    "model_down_img": "read_past",
    "model_res_img": "to_image",
    "model_up_img": "to_image",
    "model_res_flow": "to_motion",
    "model_up_flow": "to_motion",
    "indv_down": "read_foreground",
    "indv_res": "to_foreground",
    "indv_up": "to_foreground",
}
HEADS = {
    "model_final_img": "image",
    "model_final_flow": "flow",
    "model_final_w": "weight",
    "indv_final": "foreground",
}


def understood(opened: Opened) -> Weights | None:
    """Our settings and tensors, if it is a generator of this kind.

    Raises:
        RefusedError: it is one that can't be used by itself.
    """
    net = network(opened, COMPOSITE)
    if net is None:
        return None
    scales, unused = _scales(opened, net.tensors)
    names = generator_names(scales[0])
    held = unbiased({ours: entry(scales[0][theirs]) for theirs, ours in names.items()})
    width, inputs = shape(held, "read_source.0.0.weight")[:2]
    channels, past = shape(held, "image.weight")[0], shape(held, "read_past.0.0.weight")[1]
    memory = past // channels
    if past != memory * channels or not 1 <= memory <= MOST_MEMORY or inputs % (memory + 1):
        raise RefusedError(f"{inputs} channels of sources with {past} of outputs of {channels}")
    seen = inputs // (memory + 1)
    blocks = _count(held, r"to_image\.(\d+)\.conv1\.")
    halvings = _count(held, r"to_image\.(\d+)\.0\.") - blocks
    before = _count(held, r"read_source\.(\d+)\.conv1\.") - 1 - halvings
    if not 1 <= halvings <= MOST_LAYERS or blocks + before > MOST_BLOCKS or not 0 <= before - blocks <= 1:
        raise RefusedError(f"{halvings} halvings, {before} and {blocks} residual blocks")
    config = Vid2Vid(width=width, blocks=before + blocks, halvings=halvings, memory=memory, vgg_weight=0.0)
    norm = norm_of(held, "read_source.0.1", "read_source.0.0.bias")
    config = replace(config, norm=norm, perceptor="voile64", test_mode="train")
    labelled = seen > PLAIN
    palette = tuple((level,) for level in range(seen - 1)) if labelled else ()
    if "foreground.weight" in held:
        if (FOREGROUND,) not in palette:
            raise RefusedError("a foreground network for classes that the file does not say")
        config = replace(config, foreground=(FOREGROUND,))
    for level, theirs in enumerate(scales[1:], 1):
        try:
            finer = unbiased({ours: entry(theirs[name]) for name, ours in generator_names(theirs).items()})
            local = _count(finer, r"to_image\.(\d+)\.conv1\.")
            first = shape(finer, "read_source.0.0.weight")[:2]
            if first != (width >> level, inputs) or not 1 <= local <= MOST_BLOCKS:
                raise RefusedError(
                    f"it has {first[0]} feature maps of {first[1]} channels, and {local} residual blocks"
                )
            if level > 1 and local != config.blocks_local:
                raise RefusedError(f"it has {local} residual blocks, the one before {config.blocks_local}")
            for part, what in (("foreground.weight", "a foreground network"), ("flow.weight", "flow")):
                if (part in finer) != (part in held):
                    raise RefusedError(f"not all of them have {what}")
        except RefusedError as error:
            unused = f"{_file(opened.path, level).name} is not used: {error}"
            break
        held |= {f"enhancers.{level - 1}.{ours}": tensor for ours, tensor in finer.items()}
        config = replace(config, blocks_local=local)
    enhancers = _count(held, r"enhancers\.(\d+)\.")
    config = replace(config, enhancers=enhancers)
    if enhancers:
        held["enhanced"] = constant(torch.tensor(enhancers))
    spec = DataSpec(
        *((256 << enhancers, 512 << enhancers), channels),
        source=1 if labelled else seen,
        palette=palette,
        frames=6,
    )
    colours = {"labels.palette": constant(LabelMaps(palette).palette)} if palette else {}
    still = "flow.weight" not in held
    parts: dict[str, Held] = {"G": held | colours | (_without_flow(config, spec) if still else {})}
    problems: dict[str, str] = {}
    critic = _beside(opened.path, "D", problems)
    if critic:
        width_d = shape(critic, "net.scales.0.layers.0.conv.weight")[0]
        layers = _count(critic, r"net\.scales\.0\.layers\.(\d+)\.") - 2
        if not 1 <= layers <= MOST_LAYERS:
            raise RefusedError(f"a discriminator of {layers} halvings")
        config = replace(config, width_d=width_d, layers_d=layers, scales=_count(critic, r"net\.scales\.(\d+)\."))
        parts["D"] = critic | colours
    rates: dict[str, Entry] = {}
    for rate in range(MOST_RATES):
        one = _beside(opened.path, f"D_T{rate}", problems)
        if not one:
            break
        rates |= {f"rates.{rate}.{ours.removeprefix('net.')}": tensor for ours, tensor in one.items()}
        config = replace(config, rates=rate + 1)
    if rates:
        parts["DT"] = rates
    whole = assemble(opened, "vid2vid (NVIDIA, PyTorch)", "vid2vid", spec, config, parts, "G", problems)
    facts = {"generator": f"frame by frame, with {memory} frames remembered"}
    if enhancers:
        facts["scales"] = f"{enhancers + 1}: with {', '.join(_file(opened.path, n).name for n in range(enhancers + 1))}"
    if labelled:
        facts["input"] = f"taken for label maps of {seen - 1} classes (grey levels from 0) with borders of instances"
    if config.foreground:
        facts["foreground"] = f"taken for class {FOREGROUND} of the label maps, the authors' usual one"
    if still:
        facts["flow"] = "none: each frame is made anew"
    if unused:
        facts["finer"] = unused
    return replace(whole, facts=facts)


def _without_flow(config: Vid2Vid, spec: DataSpec) -> dict[str, Entry]:
    """The layers of flow where there is none: nothing moves, and a weight of 1."""
    found = {}
    for name, value in skeleton(config, spec).nets["G"].state_dict().items():
        if match := re.match(r"(?:enhancers\.\d\.)?(to_motion|flow|weight)\.", name):
            number = SURE if match[1] == "weight" and name.endswith("bias") else 0
            found[name] = constant(torch.full(tuple(value.shape), number, dtype=value.dtype))
    return found


def _scales(opened: Opened, own: Tensors) -> tuple[list[Tensors], str]:
    """The tensors of all generators that belong together, the coarsest first; and which is not used, and why.

    Raises:
        RefusedError: the coarsest is not there, or the given one does not follow from it.
    """
    match, local = re.search(r"G(\d)(?=\.[^.]*$)", opened.path.name), is_local(own)
    number = int(match[1]) if match else 0
    if local and not number:
        raise RefusedError("a finer generator of vid2vid, which adds to a coarser one: give latest_net_G0.pth")
    if number and not local:
        number, match = 0, None  # a coarsest one under another name
    found: list[Tensors] = []
    for level in range(1 + MOST_ENHANCERS if match else 1):
        file = _file(opened.path, level)
        if level == number:
            found.append(own)
            continue
        if not file.is_file():
            if level < number:
                raise RefusedError(
                    f"a finer generator of vid2vid, which adds to a coarser one: {file.name} is not there"
                )
            break
        try:
            net = network(open_file(file), COMPOSITE)
            if net is None or is_local(net.tensors) != (level > 0):
                raise RefusedError("no such generator of vid2vid")
        except (UserError, RefusedError) as error:
            reason = f"{file.name} is not used: {error.what if isinstance(error, UserError) else error}"
            if level < number:
                raise RefusedError(reason) from error
            return found, reason
        found.append(net.tensors)
    return found, ""


def _file(path: Path, level: int) -> Path:
    """The generator of a scale beside another."""
    return path.with_name(re.sub(r"G\d(?=\.[^.]*$)", f"G{level}", path.name))


def is_local(theirs: Iterable[str]) -> bool:
    """Whether a generator adds to a coarser one: it has no residual blocks where sources are read.

    Example:
        >>> is_local(["model_down_seg.4.weight", "model_up_img.0.conv_block.1.weight"])
        True
    """
    return not any(re.match(r"model_down_seg\.\d{1,3}\.conv_block\.", name) for name in theirs)


def generator_names(theirs: Iterable[str]) -> Names:
    """Of a generator of one scale.

    Raises:
        RefusedError: a name that no such network has.

    Example:
        >>> names = generator_names(f"model_down_{part}.{place}.weight" for part in ("seg", "img") for place in
        ...     ("1", "4", "7.conv_block.1", "7.conv_block.5"))
        >>> names["model_down_img.4.weight"], names["model_down_seg.7.conv_block.5.weight"]
        ('read_past.1.0.weight', 'read_source.2.conv2.weight')
    """
    names = used(theirs)
    local, kind = is_local(names), rf"(weight|bias|{'|'.join(STATISTICS)})"
    blocks: dict[str, set[int]] = defaultdict(set)
    for name in names:
        if m := re.match(r"(\w+)\.(\d{1,3})\.conv_block\.", name):
            blocks[CHAINS.get(m[1], "")].add(int(m[2]))
    found: Names = {}
    for name in names:
        if m := re.fullmatch(rf"(\w+)\.(\d{{1,3}})\.(?:conv_block\.([1256])\.)?{kind}", name):
            ours, place = CHAINS.get(m[1], ""), int(m[2])
            inside = blocks[ours]
            if m[1] in HEADS and place == 1 and m[3] is None and m[4] in ("weight", "bias"):
                found[name] = f"{HEADS[m[1]]}.{m[4]}"
            elif ours and m[3] is not None:  # encoders have their layers first, decoders their blocks
                layers = (min(inside) - 1) // 3 - min(inside) if ours.startswith("read") else 0
                found[name] = f"{ours}.{place + layers}.{_BLOCK[m[3]]}.{m[4]}"
            elif ours:
                start = 1 if ours.startswith("read") else len(inside) if local else 0
                layer, part = divmod(place - start, 3)
                layer += 0 if ours.startswith("read") else len(inside)
                if part < 2:
                    found[name] = f"{ours}.{layer}.{part}.{m[4]}"
    for name in names:
        if name not in found:
            raise RefusedError(f"the tensor {name[:80]!r} is unknown")
    if len(set(found.values())) < len(found):
        raise RefusedError("two tensors for the same place in a network")
    return found


_BLOCK = {"1": "conv1", "2": "norm1", "5": "conv2", "6": "norm2"}


def _beside(path: Path, net: str, problems: dict[str, str]) -> dict[str, Entry]:
    """The tensors of a discriminator that lies beside a generator, by our names; {} without such."""
    file = path.with_name(re.sub(r"G\d(?=\.[^.]*$)", net, path.name))
    if file == path or not file.is_file():
        return {}
    try:
        found = network(open_file(file), *CRITICS)
        if found is None:
            raise RefusedError(f"{file.name} is no discriminator of vid2vid")
        return unbiased({ours: entry(found.tensors[theirs]) for theirs, ours in critic_names(found.tensors).items()})
    except (UserError, RefusedError) as error:
        problems["D" if net == "D" else "DT"] = error.what if isinstance(error, UserError) else str(error)
        return {}


def _count(held: Iterable[str] | Mapping[str, object], pattern: str) -> int:
    return 1 + max((int(match[1]) for name in held if (match := re.match(pattern, name))), default=-1)
