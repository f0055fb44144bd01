"""voile64: a small feature network of our own, which needs no download.

Eight convolutions look at images of 64x64. What it was trained on and how is in ``docs/metrics.md`` and in the
metadata of the weights; ``bench/train_voile64.py`` does it again.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from organza.core.download import digest as file_digest
from organza.media.images import as_input
from organza.vision.features.resize import bicubic, to_rgb

SIZE, DIM = 64, 128
WEIGHTS = Path(__file__).parents[1] / "weights" / "voile64.safetensors"
RESIZE = "antialiased bicubic to 64x64"
VERSION = 1
"""Of the preparation of images: part of the digest."""

# Channels in, channels out, kernel, stride; stride 1 means a residual layer.
LAYERS = (
    (3, 24, 4, 2),
    (24, 24, 3, 1),
    (24, 48, 3, 2),
    (48, 48, 3, 1),
    (48, 96, 3, 2),
    (96, 96, 3, 1),
    (96, DIM, 3, 2),
    (DIM, DIM, 3, 1),
)


class Voile64(nn.Module):
    """Four halvings with a residual layer after each; the features are means over the last layer's 4x4 places."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(i, o, k, stride=s, padding=1) for i, o, k, s in LAYERS)
        self.scale = nn.Parameter(torch.ones(DIM))

    def stages(self, x: Tensor) -> list[Tensor]:
        """The activations after each halving and its residual layer, 32x32 to 4x4.

        Args:
            x: float ``[N, 3, 64, 64]``, values 0 to 255.
        """
        x = as_input(x).contiguous(memory_format=torch.channels_last)
        found = []
        for down, flat in zip(self.layers[::2], self.layers[1::2], strict=True):
            x = F.leaky_relu(down(x), 0.1)
            x = x + F.leaky_relu(flat(x), 0.1)
            found.append(x)
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Float ``[N, 3, 64, 64]``, values 0 to 255, to ``[N, 128]``."""
        return self.stages(x)[-1].mean((2, 3)) * self.scale


def prepare(images: Tensor) -> Tensor:
    """Float ``[N, 1 | 3 | 4, H, W]`` in 0..255 to the network's ``[N, 3, 64, 64]``."""
    return bicubic(to_rgb(images), SIZE, SIZE)


@cache
def digest() -> str:
    """SHA-256 of the weights."""
    return file_digest(WEIGHTS)


def load(device: torch.device) -> Voile64:
    """The network with the weights that come with the package."""
    net = Voile64()
    net.load_state_dict({name: value.float() for name, value in load_file(WEIGHTS).items()})
    return net.to(device).eval().requires_grad_(False)
