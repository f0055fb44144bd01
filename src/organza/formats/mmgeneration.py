"""StyleGAN2 of mmgeneration and MMagic: a training's ``state_dict`` with the prefix of each network.

The networks have rosinality's layout under other names, so they are renamed and read as his.
"""

from __future__ import annotations

import re
from typing import Any

from organza.formats import rosinality
from organza.formats.opening import Opened
from organza.formats.records import Array, TensorRef
from organza.formats.weights import Weights, entry

PREFIXES = {"generator_ema.module.": "G_ema", "generator_ema.": "G_ema", "generator.": "G", "discriminator.": "D"}


def recognise(opened: Opened) -> bool:
    """Whether it is a file of this kind."""
    return any(
        "constant_input.weight" in part and "style_mapping" in " ".join(part) for part in _parts(opened).values()
    )


def read(opened: Opened) -> Weights:
    """Our settings and tensors.

    Raises:
        UserError: a tensor is missing, unknown or misshaped.
    """
    parts = {
        name: {their_name(key): entry(value) for key, value in part.items()} for name, part in _parts(opened).items()
    }
    return rosinality.assemble(opened, parts, None, "mmgeneration StyleGAN2 (PyTorch)", "a file of mmgeneration")


def _parts(opened: Opened) -> dict[str, dict[str, Any]]:
    value = opened.value
    if isinstance(value, dict) and isinstance(value.get("state_dict"), dict):
        value = value["state_dict"]
    if not isinstance(value, dict):
        return {}
    found: dict[str, dict[str, Any]] = {}
    for key, tensor in value.items():
        if not isinstance(key, str) or not isinstance(tensor, (TensorRef, Array)):
            continue
        # A generator alone has no prefix.
        prefix = next((prefix for prefix in PREFIXES if key.startswith(prefix)), None)
        name, rest = ("G_ema", key) if prefix is None else (PREFIXES[prefix], key[len(prefix) :])
        if rest != "steps" or tensor.shape:  # how often the average was taken
            found.setdefault(name, {})[rest] = tensor
    return found


_RENAMED = {
    r"^style_mapping\.": "style.",
    r"\.linear\.weight_orig$": ".weight",
    r"\.conv\.weight_orig$": ".weight",
    r"\.style_modulation\.": ".modulation.",
    r"\.noise_injector\.weight$": ".noise.weight",
    r"^constant_input\.weight$": "input.input",
    r"^injected_noise_(\d+)$": r"noises.noise_\1",
}


def their_name(name: str) -> str:
    """rosinality's name of one of mmgeneration's tensors.

    Example:
        >>> their_name("convs.0.conv.style_modulation.linear.weight_orig"), their_name("injected_noise_3")
        ('convs.0.conv.modulation.weight', 'noises.noise_3')
        >>> their_name("convs.1.conv2.1.conv.weight_orig")
        'convs.1.conv2.1.weight'
    """
    for pattern, new in _RENAMED.items():
        name = re.sub(pattern, new, name)
    return name
