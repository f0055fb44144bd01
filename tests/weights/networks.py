"""Presets' tiny networks, as exports take them."""

from __future__ import annotations

from dataclasses import replace

import torch

from organza import Generator
from organza.contract.model import Latents
from organza.models.translator import Translator
from tests.shapes import spec_of, toy

CPU = torch.device("cpu")


def untrained(name: str, side: int = 16, **spec) -> Generator | Translator:
    """A preset's tiny networks, with numbers that show: noise that is heard, statistics that matter."""
    torch.manual_seed(0)
    what = replace(spec_of(name, side), **spec)
    method = toy(name).method.resolve(what, 4).build(what)
    model = method.model
    for net in method.nets.values():
        net.eval().requires_grad_(False)
    for key, value in method.nets[model.net].state_dict().items():
        if (
            value.ndim > 1 and value.numel() > 1 and value.std() < 0.1 and key.endswith("weight")
        ):  # DCGAN's: images would be grey
            value.normal_(std=value[0].numel() ** -0.5)
        elif key.endswith("noise_strength"):
            value.fill_(0.3)
        elif key.endswith("running_mean"):
            value.normal_(std=0.1)
        elif key.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif key.endswith("w_avg"):
            value.normal_()
    net = method.nets[model.net]
    if not isinstance(model, Latents):
        return Translator(name, what, model, net, None, CPU, torch.float32)
    words = model.text and model.text.encoder
    reader = method.nets[words] if words else None
    return Generator(name, what, model, net, None, CPU, torch.float32, reader=reader)
