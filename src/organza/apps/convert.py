"""Weights from one layout to another."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from torch import Tensor

from organza.core.config import from_plain
from organza.core.errors import UserError
from organza.core.method import DataSpec, MethodConfig
from organza.formats import locate, read_weights
from organza.formats.folder import write_folder
from organza.formats.nvidia_write import write_nvidia
from organza.formats.rosinality_write import write_rosinality
from organza.generator import newest
from organza.methods.stylegan2 import StyleGAN2
from organza.presets import METHODS
from organza.training import checkpoint

Layout = Literal["organza", "nvidia", "rosinality"]


def convert(where: str | Path, dest: str | Path, to: Layout = "organza", *, offline: bool | None = None) -> Path:
    """Write the weights at ``where`` to ``dest`` in another layout.

    Args:
        where: whatever `organza.load` takes.
        dest: a new folder (``"organza"``), or a file ending in ``.pkl`` (``"nvidia"``) or ``.pt`` (``"rosinality"``).
        to: the layout.
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
    path, dest = locate(where, offline=offline), Path(dest)
    if path.is_file():
        weights = read_weights(path)
        weights.announce()
        if to == "organza":
            return write_folder(weights, dest)
        nets = {name: weights.tensors(name) for name in weights.nets}
        return WRITERS[to](weights.spec, _stylegan2(weights.config, to, path), nets, dest)
    if to == "organza":
        hint = "choose --to nvidia or rosinality, or copy the folder"
        raise UserError("is Organza's own layout already", where=path, hint=hint)
    spec, settings, nets = newest(path, _ours)
    return WRITERS[to](spec, _stylegan2(settings, to, path), nets, dest)


def _ours(folder: Path) -> tuple[DataSpec, MethodConfig, dict[str, dict[str, Tensor]]]:
    config = checkpoint.read_config(folder)
    if config.get("method") not in METHODS:
        raise UserError(f"unknown method {config.get('method')!r}", where=folder / "config.json", hint="update Organza")
    spec = from_plain(DataSpec, config.get("spec"), where=folder / "config.json: spec")
    settings = from_plain(METHODS[config["method"]], config.get("config"), where=folder / "config.json: config")
    nets = {"G_ema": _part(checkpoint.read_nets(folder, "ema"), "G")}
    raw = checkpoint.read_nets(folder, "nets")
    return spec, settings, nets | {name: part for name in ("G", "D") if (part := _part(raw, name))}


WRITERS = {"nvidia": write_nvidia, "rosinality": write_rosinality}


def _stylegan2(config: MethodConfig, to: str, path: Path) -> StyleGAN2:
    if not isinstance(config, StyleGAN2):
        whose = "NVIDIA's layout" if to == "nvidia" else "rosinality's layout"
        raise UserError(f"{whose} holds StyleGAN2, not {type(config).__name__}", where=path)
    return config


def _part(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key[len(name) + 1 :]: value for key, value in tensors.items() if key.startswith(f"{name}.")}
