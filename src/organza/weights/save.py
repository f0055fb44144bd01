"""A generator made from others, as a checkpoint folder that `organza.load` opens."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from organza.core.errors import UserError
from organza.core.files import user_path
from organza.training import checkpoint

if TYPE_CHECKING:
    from organza.models.generator import Generator


def own_checkpoint(G: Generator) -> Path:
    """The checkpoint folder that ``G`` was read from.

    Raises:
        UserError: it came from elsewhere, or a training that goes on has removed it.
    """
    if G.source is not None and not G.source.exists():
        raise UserError("is gone", where=G.source, hint="give another checkpoint, or copy one that is to stay")
    if G.source is None or not G.source.is_dir():
        where = "the network" if G.source is None else G.source
        raise UserError("was not trained here: no checkpoint to build on", where=where, hint="convert it first")
    return G.source


def check_new(folder: str | os.PathLike[str]) -> Path:
    """``folder``, if nothing is there: worth asking before the work.

    Raises:
        UserError: something is.
    """
    path = user_path(folder)
    if path.exists():
        raise UserError("exists already", where=path, hint="choose another name")
    return path


def averaged(G: Generator) -> dict[str, Tensor]:
    """The tensors of ``G``'s generator, named as in its checkpoint."""
    return checkpoint.flatten({G.latents.net: G.net})


def save_network(G: Generator, tensors: Mapping[str, Tensor], folder: str | os.PathLike[str], how: str) -> Path:
    """Write ``tensors`` as a checkpoint in a new ``folder``, whole or not at all.

    Args:
        G: a network from `organza.load` whose settings it shares.
        tensors: the generator's; what else the checkpoint of ``G`` holds is copied.
        folder: a name not taken yet.
        how: what made it, for its ``config.json``.

    Raises:
        UserError: ``G`` has no checkpoint, ``folder`` exists or can't be written.
    """
    source, path = own_checkpoint(G), check_new(folder)
    config = {**checkpoint.read_config(source), "made": how}
    checkpoint.write(path, config, {"ema": {**checkpoint.read_nets(source, "ema"), **tensors}})
    return path
