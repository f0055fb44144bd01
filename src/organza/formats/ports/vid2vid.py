"""vid2vid's networks (NVIDIA, PyTorch): the generator at the coarsest size, which makes frames by itself.

``latest_net_G0.pth`` is that generator; ``latest_net_D.pth`` and ``latest_net_D_T0.pth``, ``D_T1`` ... may lie beside
it. Generators of finer sizes (``G1``, ``G2``) add to the features of coarser ones, and are not read. A generator that
takes more than four channels a frame read label maps, as in pix2pixHD's files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from organza.contract.data import DataSpec
from organza.core.errors import UserError
from organza.formats.ports.junyanz import network
from organza.formats.ports.junyanz_names import STATISTICS, Names, used
from organza.formats.ports.pix2pixhd import CRITICS, PLAIN, critic_names
from organza.formats.ports.translators import MOST_BLOCKS, MOST_LAYERS, Held, assemble, norm_of, shape
from organza.formats.weights import Weights
from organza.methods.translation.vid2vid import Vid2Vid
from organza.nn.label_maps import LabelMaps
from organza.tensors.entry import Entry, constant, entry
from organza.tensors.opening import Opened, open_file
from organza.tensors.records import RefusedError

COMPOSITE = ("model_down_seg.1.weight", "model_down_img.1.weight", "model_final_img.1.weight")
MOST_MEMORY, MOST_RATES = 8, 4
ENCODERS = {"model_down_seg": "read_source", "model_down_img": "read_past"}
DECODERS = {"img": "to_image", "flow": "to_motion"}
HEADS = {"img": "image", "flow": "flow", "w": "weight"}


def understood(opened: Opened) -> Weights | None:
    """Our settings and tensors, if it is a generator of this kind.

    Raises:
        RefusedError: it is one that can't be used by itself.
    """
    net = network(opened, COMPOSITE)
    if net is None:
        return None
    names = generator_names(net.tensors)
    held = {ours: entry(net.tensors[theirs]) for theirs, ours in names.items()}
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
    spec = DataSpec((256, 512), channels, source=1 if labelled else seen, palette=palette, frames=6)
    colours = {"labels.palette": constant(LabelMaps(palette).palette)} if palette else {}
    parts: dict[str, Held] = {"G": held | colours}
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
    if labelled:
        facts["input"] = f"taken for label maps of {seen - 1} classes (grey levels from 0) with borders of instances"
    finer = opened.path.with_name(re.sub(r"G0(?=\.)", "G1", opened.path.name))
    if finer != opened.path and finer.is_file():
        facts["finer"] = f"{finer.name} is not used: frames are of the coarsest size"
    return replace(whole, facts=facts)


def generator_names(theirs: Iterable[str]) -> Names:
    """Of a generator that makes frames by itself.

    Raises:
        RefusedError: a name that no such network has; or it adds to a coarser one, or has no flow.

    Example:
        >>> names = generator_names(f"model_down_{part}.{place}.weight" for part in ("seg", "img") for place in
        ...     ("1", "4", "7.conv_block.1", "7.conv_block.5"))
        >>> names["model_down_img.4.weight"], names["model_down_seg.7.conv_block.5.weight"]
        ('read_past.1.0.weight', 'read_source.2.conv2.weight')
    """
    names = used(theirs)
    blocks = [int(m[1]) for name in names if (m := re.match(r"model_down_seg\.(\d{1,3})\.conv_block\.", name))]
    if not blocks:
        raise RefusedError("a finer generator of vid2vid, which adds to a coarser one: give latest_net_G0.pth")
    before, inside = (min(blocks) - 1) // 3, _count(names, r"model_res_img\.(\d{1,3})\.")
    kind = rf"(weight|bias|{'|'.join(STATISTICS)})"
    found: Names = {}
    for name in names:
        if m := re.fullmatch(rf"(model_down_(?:seg|img))\.(\d{{1,3}})\.{kind}", name):
            layer, part = divmod(int(m[2]) - 1, 3)
            ours = f"{ENCODERS[m[1]]}.{layer}.{part}.{m[3]}" if part < 2 else ""
        elif m := re.fullmatch(rf"(model_down_(?:seg|img))\.(\d{{1,3}})\.conv_block\.([1256])\.{kind}", name):
            ours = f"{ENCODERS[m[1]]}.{int(m[2]) - min(blocks) + before}.{_BLOCK[m[3]]}.{m[4]}"
        elif m := re.fullmatch(rf"model_res_(img|flow)\.(\d{{1,3}})\.conv_block\.([1256])\.{kind}", name):
            ours = f"{DECODERS[m[1]]}.{int(m[2])}.{_BLOCK[m[3]]}.{m[4]}"
        elif m := re.fullmatch(rf"model_up_(img|flow)\.(\d{{1,3}})\.{kind}", name):
            layer, part = divmod(int(m[2]), 3)
            ours = f"{DECODERS[m[1]]}.{inside + layer}.{part}.{m[3]}" if part < 2 else ""
        elif m := re.fullmatch(r"model_final_(img|flow|w)\.1\.(weight|bias)", name):
            ours = f"{HEADS[m[1]]}.{m[2]}"
        else:
            ours = ""
        if not ours:
            raise RefusedError(
                f"the tensor {name[:80]!r} is unknown (vid2vid without flow, or with a foreground model?)"
            )
        found[name] = ours
    if len(set(found.values())) < len(found):
        raise RefusedError("two tensors for the same place in a network")
    return found


_BLOCK = {"1": "conv1", "2": "norm1", "5": "conv2", "6": "norm2"}


def _beside(path: Path, net: str, problems: dict[str, str]) -> dict[str, Entry]:
    """The tensors of a discriminator that lies beside a generator, by our names; {} without such."""
    file = path.with_name(re.sub(r"G0(?=\.)", net, path.name))
    if file == path or not file.is_file():
        return {}
    try:
        found = network(open_file(file), *CRITICS)
        if found is None:
            raise RefusedError(f"{file.name} is no discriminator of vid2vid")
        return {ours: entry(found.tensors[theirs]) for theirs, ours in critic_names(found.tensors).items()}
    except (UserError, RefusedError) as error:
        problems["D" if net == "D" else "DT"] = error.what if isinstance(error, UserError) else str(error)
        return {}


def _count(held: Iterable[str] | Mapping[str, object], pattern: str) -> int:
    return 1 + max((int(match[1]) for name in held if (match := re.match(pattern, name))), default=-1)
