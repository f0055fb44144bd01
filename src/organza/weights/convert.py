"""Weights from one layout to another."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from organza.core.errors import UserError
from organza.core.files import user_path
from organza.formats import locate, read_weights
from organza.formats.folder import read_folder, write_folder
from organza.formats.nvidia.write import write_nvidia
from organza.formats.ports.junyanz_write import write_junyanz
from organza.formats.ports.rosinality_write import write_rosinality
from organza.formats.ports.vid2vid_write import write_vid2vid
from organza.formats.weights import Weights
from organza.methods.stylegan.stylegan2 import StyleGAN2
from organza.models.load import newest
from organza.weights.slim import Dtype, write_slim

Layout = Literal["organza", "nvidia", "rosinality", "junyanz", "vid2vid"]


def convert(
    where: str | Path,
    dest: str | Path,
    to: Layout = "organza",
    *,
    dtype: Dtype | None = None,
    offline: bool | None = None,
) -> Path:
    """Write the weights at ``where`` to ``dest`` in another layout.

    Args:
        where: whatever `organza.load` takes.
        dest: a new folder (``"organza"``, ``"junyanz"``, ``"vid2vid"``), or a file ending in ``.pkl`` (``"nvidia"``) or
            ``.pt`` (``"rosinality"``).
        to: the layout.
        dtype: of Organza's own layout: write only what generates or translates, in this format of numbers.
        offline: never use the network.

    Returns:
        What was written.

    Raises:
        UserError: the weights can't be read, the layout can't hold them, or ``dest`` can't be written.

    Example:
        >>> convert(tiny_run, folder / "mine.pkl", "nvidia").name
        'mine.pkl'
        >>> copy = convert(folder / "mine.pkl", folder / "copy")
        >>> from organza import load
        >>> bool((load(copy).generate([0]) == load(tiny_run).generate([0])).all())
        True
    """
    path, dest = locate(where, offline=offline), user_path(dest)
    if dtype is not None:
        if to != "organza":
            raise UserError(f"the layout of {to} has a format of numbers of its own", hint="leave --dtype or --to out")
        if path.is_file():
            return write_slim(read_weights(path), dest, dtype)
        return newest(path, lambda folder: write_slim(read_folder(folder), dest, dtype))
    if path.is_file():
        weights = read_weights(path)
        weights.announce()
        return write_folder(weights, dest) if to == "organza" else _write(weights, dest, to)
    if to == "organza":
        hint = "choose --to nvidia, rosinality, junyanz or vid2vid, or --dtype bf16, or copy the folder"
        raise UserError("is Organza's own layout already", where=path, hint=hint)
    return newest(path, lambda folder: _write(read_folder(folder), dest, to))


def _write(weights: Weights, dest: Path, to: Layout) -> Path:
    if to == "junyanz":
        return write_junyanz(weights, dest)
    if to == "vid2vid":
        return write_vid2vid(weights, dest)
    config = weights.config
    if not isinstance(config, StyleGAN2):
        whose = "NVIDIA's layout" if to == "nvidia" else "rosinality's layout"
        raise UserError(f"{whose} holds StyleGAN2, not {type(config).__name__}", where=weights.path)
    return WRITERS[to](
        weights.spec, config, {name: weights.tensors(name) for name in weights.nets}, dest, weights.licence
    )


WRITERS = {"nvidia": write_nvidia, "rosinality": write_rosinality}
