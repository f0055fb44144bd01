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
from organza.generator import candidates
from organza.methods.stylegan2 import StyleGAN2
from organza.training import checkpoint

Layout = Literal["organza", "nvidia"]


def convert(where: str | Path, dest: str | Path, to: Layout = "organza", *, offline: bool | None = None) -> Path:
    """Write the weights at ``where`` to ``dest`` in another layout.

    Args:
        where: whatever `organza.load` takes.
        dest: a new folder (``"organza"``), or a file ending in ``.pkl`` (``"nvidia"``).
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
        return write_nvidia(weights.spec, _stylegan2(weights.config, path), nets, dest)
    if to == "organza":
        raise UserError("is Organza's own layout already", where=path, hint="choose --to nvidia, or copy the folder")
    folder = candidates(path)[0]
    config = checkpoint.read_config(folder)
    spec = from_plain(DataSpec, config.get("spec"), where=folder / "config.json: spec")
    if config.get("method") != "stylegan2":
        raise UserError(f"NVIDIA's layout holds StyleGAN2, not {config.get('method')}", where=folder)
    settings = from_plain(StyleGAN2, config.get("config"), where=folder / "config.json: config")
    nets = {"G_ema": _part(checkpoint.read_nets(folder, "ema"), "G")}
    raw = checkpoint.read_nets(folder, "nets")
    nets |= {name: part for name in ("G", "D") if (part := _part(raw, name))}
    return write_nvidia(spec, settings, nets, dest)


def _stylegan2(config: MethodConfig, path: Path) -> StyleGAN2:
    if not isinstance(config, StyleGAN2):
        raise UserError(f"NVIDIA's layout holds StyleGAN2, not {type(config).__name__}", where=path)
    return config


def _part(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key[len(name) + 1 :]: value for key, value in tensors.items() if key.startswith(f"{name}.")}
