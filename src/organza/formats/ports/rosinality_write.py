"""Our StyleGAN2 in the layout of rosinality's PyTorch code: plain tensors by name under ``g_ema``, ``g`` and ``d``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from organza.contract.data import DataSpec
from organza.core.errors import UserError
from organza.core.files import atomic_write
from organza.core.messages import logger
from organza.formats.ports.rosinality import discriminator_name, generator_name
from organza.formats.weights import made
from organza.methods.stylegan.stylegan2 import StyleGAN2
from organza.ops import setup_filter

log = logger(__name__)
RATE = 0.01
"""The mapping's factor on the learning rate, which his code has and no file states."""


def write_rosinality(
    spec: DataSpec,
    config: StyleGAN2,
    nets: Mapping[str, Mapping[str, Tensor]],
    dest: Path,
    licence: str | None = None,
) -> Path:
    """Write a file as his ``convert_weight.py`` does.

    A network with another mapping rate has it multiplied into the mapping's weights, which may change their last bit.
    What his networks don't have is told on stderr.

    Args:
        spec, config: what the networks were built from.
        nets: ``"G_ema"``, and ``"G"`` and ``"D"`` where there are any: our tensor names and tensors.
        dest: a file ending in ``.pt``.
        licence: a note that stays with the weights; None for the user's own.

    Raises:
        UserError: networks that his code can't build, another suffix, or the file can't be written.
    """
    if dest.suffix != ".pt":
        raise UserError(f"no format is known for {dest.suffix!r}", where=dest, hint="end the name in .pt")
    if reason := _reason(spec, config):
        raise UserError(f"rosinality's layout holds no {reason}", where=dest)
    content: dict[str, object] = {"g_ema": _generator(config, nets["G_ema"])}
    if "G" in nets:
        content["g"] = _generator(config, nets["G"])
    if "D" in nets and _critic_reason(config) is None:
        content["d"] = _discriminator(config, nets["D"])
    content["organza"] = made(licence)
    content["latent_avg"] = nets["G_ema"]["w_avg"].detach().cpu().clone()
    for note in _lost(config, with_d="D" in nets):
        log.warning(f"organza: {note}")
    with atomic_write(dest) as temporary, open(temporary, "wb") as file:
        torch.save(content, file)
    return dest


def _reason(spec: DataSpec, config: StyleGAN2) -> str | None:
    """What his networks can't be."""
    height, width = spec.resolution
    if height != width or height & (height - 1) or height < 4:
        return f"images of {width}x{height} pixels"
    if spec.label_dim:
        return "labels"
    if config.architecture_g != "skip":
        return f"generator of the architecture {config.architecture_g}"
    if {config.activation_g, config.activation_mapping} != {"lrelu"}:
        return f"activations {config.activation_g} and {config.activation_mapping} instead of lrelu"
    if config.z_dim != config.w_dim or config.mapping_g is not None:
        return "mapping network whose layers have other widths than z"
    return None


def _critic_reason(config: StyleGAN2) -> str | None:
    """What his discriminator can't be."""
    if config.architecture_d != "resnet":
        return f"its architecture is {config.architecture_d}, not resnet"
    if odd := {config.activation_d, config.activation_head or "lrelu"} - {"lrelu"}:
        return f"its activation is {odd.pop()}, not lrelu"
    if config.mbstd_channels != 1:
        return f"its standard deviations fill {config.mbstd_channels} feature maps, not 1"
    return None


def _lost(config: StyleGAN2, *, with_d: bool) -> list[str]:
    """What gets lost, for people."""
    found = []
    if config.conv_clamp is not None:
        found.append(f"rosinality's networks don't limit activations; ours did, to {config.conv_clamp:g}")
    if with_d and (reason := _critic_reason(config)):
        found.append(f"the discriminator is left out: {reason}")
    elif with_d and config.mbstd_group != 4:
        found.append(f"rosinality's discriminator takes groups of 4 images; ours took {config.mbstd_group}")
    return found


def _taps(config: StyleGAN2, gain: float) -> Tensor:
    return setup_filter(config.resample_taps) * gain


def _generator(config: StyleGAN2, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    factor = config.mapping_lr / RATE
    found: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if name == "w_avg" or name.endswith("taps"):
            continue
        theirs, value = generator_name(name), value.detach().cpu().float()
        if theirs == "input.input":
            value = value[None]
        elif theirs.startswith("noises."):
            value = value[None, None]
        elif theirs.endswith("noise.weight"):
            value = value.reshape(1)
        elif theirs.startswith("to_rgb") and theirs.endswith(".bias") and "modulation" not in theirs:
            value = value.reshape(1, -1, 1, 1)
        elif theirs.endswith("conv.weight"):
            value = value[None]
        elif theirs.startswith("style.") and factor != 1:
            value = value * factor
        found[theirs] = value.contiguous().clone()
    # Filters are stored once for each layer that enlarges.
    levels = len([name for name in found if name.startswith("to_rgbs.") and name.endswith(".conv.weight")])
    for level in range(levels):
        found[f"convs.{2 * level}.conv.blur.kernel"] = _taps(config, 4.0)
        found[f"to_rgbs.{level}.upsample.kernel"] = _taps(config, 4.0)
    return found


def _discriminator(config: StyleGAN2, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = {
        discriminator_name(name): value.detach().cpu().float().contiguous().clone()
        for name, value in tensors.items()
        if not name.endswith("taps")
    }
    levels = len([name for name in found if name.endswith(".conv1.0.weight")])
    for level in range(levels):
        for layer in ("conv2", "skip"):
            found[f"convs.{level + 1}.{layer}.0.kernel"] = setup_filter(config.resample_taps_d or config.resample_taps)
    return found
