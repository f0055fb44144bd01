"""Which statistics of normalisation a translator is used with: measured, not guessed.

pix2pix is tested with the statistics of the single image and with dropout, as it was trained (Isola et al. 2017, arXiv
1611.07004, section 3.3); other networks come out wrong that way, or the other way. So after a training each `NormMode`
is tried on images that it never learned from, and the checkpoint says which one came nearest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from organza.contract.model import NormMode
from organza.core.errors import UserError
from organza.data.dataset import Dataset
from organza.data.domains import Domains
from organza.media.images import to_tensor
from organza.models.translator import Translator
from organza.nn.norms import depends_on_mode
from organza.training import checkpoint

FILE = "norm"
"""What is found lies in the checkpoint as ``norm.safetensors``."""
MEASURED, CALIBRATED = 24, 200
"""Images by which modes are compared, and images over which statistics are taken."""


@dataclass(frozen=True)
class Measured:
    """How near each mode comes.

    Attributes:
        best: the mode with the lowest distance.
        distances: mean L1 distance, in levels of 255, of translations from their targets, or of what comes back of a
            cycle from what went in.
        by: what was compared, in words.
    """

    best: NormMode
    distances: Mapping[NormMode, float]
    by: str

    def __str__(self) -> str:
        found = ", ".join(f"{mode} {distance:.2f}" for mode, distance in self.distances.items())
        return f"normalisation and dropout: {found} (L1 in levels, {self.by}); {self.best} is stored as the best"


def measure(models: Mapping[str, Translator], held_out: Domains, whose: str) -> Measured | None:
    """Compare the modes that the translators of a checkpoint can be used in.

    Args:
        models: both directions where there are two; calibrated ones are compared in that mode, too.
        held_out: images by which they are compared.
        whose: ``"held-out"`` or ``"training"``, for the report.

    Returns:
        None where all modes are one, or where there is nothing to compare with: no pairs and no way back.
    """
    there, *back = models.values()
    if not any(depends_on_mode(T.net) for T in models.values()):
        return None
    images = min(MEASURED, len(held_out.source))
    if held_out.paired:
        by = f"from the targets of {images} {whose} pairs"
    elif back:
        by = f"after a cycle of {images} {whose} images"
    else:
        return None
    others = [mode for mode in get_args(NormMode) if mode != there.mode and (mode != "calibrated" or there.statistics)]
    distances: dict[NormMode, float] = {}
    for mode in (there.mode, *others):
        found = []
        for index in range(images):
            x, wanted = (_image(side, index) for side in (held_out.source, held_out.target))
            torch.manual_seed(index)  # dropout
            y = there.apply(x, mode=mode)
            y, wanted = (y, wanted) if held_out.paired else (back[0].apply(y, mode=mode), x)
            found.append(float((y.cpu() - wanted).abs().mean()) * 127.5)
        distances[mode] = float(np.mean(found))
    return Measured(min(distances, key=lambda mode: distances[mode]), distances, by)


def calibrate(models: Mapping[str, Translator], training: Domains, batch: int) -> dict[str, Translator]:
    """The same translators with statistics over training images, ``batch`` at a time, at most `CALIBRATED` in all."""
    found = {}
    for (name, T), side in zip(models.items(), (training.source, training.target), strict=False):
        order = np.random.RandomState(0).permutation(len(side))[:CALIBRATED]
        parts = np.split(order, range(batch, len(order), batch))
        found[name] = T.calibrate(to_tensor(side.fetch(np.sort(part))[0]) for part in parts)
    return found


def store(folder: Path, models: Mapping[str, Translator], best: Measured) -> None:
    """Write into the checkpoint ``folder`` which mode is right, with calibrated statistics.

    Raises:
        UserError: it can't be written.
    """
    tensors = {f"{T.model.net}.{key}": value for T in models.values() for key, value in T.statistics.items()}
    about = {"mode": best.best, "distances": json.dumps(best.distances), "by": best.by}
    checkpoint.add(folder, FILE, tensors, about)


def stored(folder: Path | None, T: Translator) -> Translator:
    """``T`` as its checkpoint says that it should be used; as it is where that says nothing.

    Raises:
        UserError: what it says is broken.
    """
    if folder is None or not (folder / f"{FILE}.safetensors").exists():
        return T
    tensors, about = checkpoint.read_added(folder, FILE)
    own = {
        key.removeprefix(f"{T.model.net}."): value
        for key, value in tensors.items()
        if key.startswith(f"{T.model.net}.")
    }
    where = folder / f"{FILE}.safetensors"
    mode = about.get("mode")
    if mode not in get_args(NormMode) or (mode == "calibrated" and not own):
        raise UserError(f"it stores no known mode ({str(mode)[:20]!r})", where=where, hint="delete this file")
    return T.using(own, mode, where)  # type: ignore[arg-type]


def _image(side: Dataset, index: int) -> Tensor:
    return to_tensor(side.fetch([index])[0])
