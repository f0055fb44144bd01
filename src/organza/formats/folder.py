"""Somebody's weights as a checkpoint folder of ours, with the note on their licence."""

from __future__ import annotations

from pathlib import Path

import organza
from organza.core.config import to_plain
from organza.core.errors import UserError
from organza.formats.weights import Weights
from organza.training import checkpoint

LICENCE_FILE = "LICENCE-NOTE.txt"


def write_folder(weights: Weights, dest: Path) -> Path:
    """Write ``dest`` with settings and tensors: it appears whole or not at all.

    The averaged generator is what is drawn with. Where the file has no other generator, it also stands for the one
    that trains; a discriminator is there only if the file has one that can be used.

    Raises:
        UserError: ``dest`` is there already or can't be written, or the weights can't be read.
    """
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise UserError("is there already", where=dest, hint="give a new name")
    ema = weights.tensors("G_ema")
    nets = {"G": weights.tensors("G") if "G" in weights.nets else ema}
    if "D" in weights.nets:
        nets["D"] = weights.tensors("D")
    config = {
        "organza": organza.__version__,
        "method": weights.method,
        "spec": to_plain(weights.spec),
        "config": to_plain(weights.config),
        "source": {"file": weights.path.name, "format": weights.format, "licence": weights.licence},
    }
    notes = {}
    if weights.licence is not None:
        notes[LICENCE_FILE] = f"These weights come from {weights.path.name} ({weights.format}).\n{weights.licence}.\n"
    tensors = {
        "ema": {f"G.{name}": tensor for name, tensor in ema.items()},
        "nets": {f"{net}.{name}": tensor.clone() for net, held in nets.items() for name, tensor in held.items()},
    }
    checkpoint.write(dest, config, tensors, notes=notes)
    return dest
