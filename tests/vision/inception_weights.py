"""An Inception file with random numbers, the same on every machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from organza.vision.features.inception import Inception


def random_state(seed: int = 0) -> dict[str, torch.Tensor]:
    """A state dict with pytorch-fid's names; scaled so that activations neither vanish nor explode."""
    rng = np.random.RandomState(seed)
    with torch.device("meta"):
        wanted = Inception().state_dict()
    found = {}
    for name, value in wanted.items():
        if name.endswith("num_batches_tracked"):
            continue
        noise = torch.from_numpy(rng.random_sample(tuple(value.shape)).astype(np.float32)) * 2 - 1
        if name.endswith(("running_var", "bn.weight")):
            noise = 1 + 0.3 * noise
        elif value.ndim > 1:
            noise = noise * (6 / value[0].numel()) ** 0.5
        else:
            noise = 0.1 * noise
        found[name] = noise
    return found


def write(path: Path, seed: int = 0) -> Path:
    """The same as a file."""
    torch.save(random_state(seed), path)
    return path


def pictures() -> torch.Tensor:
    """Two smooth images, uint8 ``[2, 70, 50, 3]``."""
    y, x = torch.meshgrid(torch.arange(70.0), torch.arange(50.0), indexing="ij")
    waves = [torch.sin(x / (3 + c) + n) * torch.cos(y / (4 + c + 3 * n)) for n in range(2) for c in range(3)]
    return ((torch.stack(waves).reshape(2, 3, 70, 50).permute(0, 2, 3, 1) + 1) * 127.5).round().byte()
