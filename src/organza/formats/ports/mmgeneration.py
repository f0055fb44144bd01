"""StyleGAN2 of mmgeneration and MMagic: a training's ``state_dict`` with the prefix of each network.

The networks have rosinality's layout under other names, so they are renamed and read as his.
"""

from __future__ import annotations

import re
from dataclasses import replace

from organza.formats.ports import rosinality
from organza.formats.weights import Weights
from organza.tensors.entry import entry
from organza.tensors.networks import Tensors, cast, find
from organza.tensors.opening import Opened


def recognise(opened: Opened) -> bool:
    """Whether it is a file of this kind."""
    return any("style_mapping." in name for name in opened.tensors) and bool(
        find(_renamed(opened), *rosinality.GENERATOR)
    )


def read(opened: Opened) -> Weights:
    """Our settings and tensors.

    Raises:
        UserError: a tensor is missing, unknown or misshaped.
    """
    tensors = _renamed(opened)
    nets = cast(find(tensors, *rosinality.GENERATOR), find(tensors, *rosinality.CRITIC))
    parts = {name: {key: entry(value) for key, value in net.tensors.items()} for name, net in nets.items()}
    weights = rosinality.assemble(opened, parts, "mmgeneration StyleGAN2 (PyTorch)", "a file of mmgeneration")
    note = "mmgeneration trains with blue, green, red unless told otherwise; nothing is swapped here"
    return replace(weights, facts={**weights.facts, "channel order": note})


def _renamed(opened: Opened) -> Tensors:
    return {their_name(name): value for name, value in opened.tensors.items()}


_RENAMED = {
    r"\bstyle_mapping\.": "style.",
    r"\.linear\.weight_orig$": ".weight",
    r"\b((?:conv1|to_rgb1|(?:convs|to_rgbs)\.\d+)\.conv)\.weight_orig$": r"\1.weight",  # of a generator
    r"\.conv\.weight_orig$": ".weight",
    r"\.style_modulation\.": ".modulation.",
    r"\.noise_injector\.weight$": ".noise.weight",
    r"\bconstant_input\.(?:input|weight)$": "input.input",
    r"\binjected_noise_(\d+)$": r"noises.noise_\1",
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
