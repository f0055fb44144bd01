"""Starting a training from other networks: a run, or any file that Organza reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from organza.contract.data import DataSpec
from organza.contract.method import MethodConfig
from organza.core.config import from_plain
from organza.core.errors import UserError
from organza.core.files import atomic_write
from organza.formats import locate, read_weights
from organza.formats.folder import LICENCE_FILE
from organza.methods.stylegan.stylegan2 import pyramid
from organza.models.load import newest
from organza.presets import METHODS, Run
from organza.training import checkpoint
from organza.training.state import State


@dataclass(frozen=True)
class Origin:
    """Networks to start from.

    Attributes:
        method: its name in `METHODS`.
        config, spec: what the networks were built from.
        nets, ema: tensors by network and name, ``"G.mapping.layers.0.weight"``.
        about: for ``config.json``: file, format, licence.
    """

    method: str
    config: MethodConfig
    spec: DataSpec
    nets: Mapping[str, Tensor]
    ema: Mapping[str, Tensor]
    about: dict[str, Any]


def read_origin(path: str | Path) -> Origin:
    """Open networks: whatever `organza.load` takes.

    Raises:
        UserError: nothing there that Organza can read.

    Example:
        >>> origin = read_origin(tiny_run)
        >>> origin.method, origin.about["format"]
        ('stylegan2', 'organza')
    """
    here = locate(path)
    return _foreign(here) if here.is_file() else newest(here, _ours)


def _foreign(file: Path) -> Origin:
    weights = read_weights(file)
    weights.announce()
    nets, averaged = weights.trained()
    return Origin(
        weights.method,
        weights.config,
        weights.spec,
        nets,
        averaged,
        {"file": file.name, "format": weights.format, "licence": weights.licence},
    )


def _ours(folder: Path) -> Origin:
    config = checkpoint.read_config(folder)
    method = config.get("method")
    if method not in METHODS:
        raise UserError(f"unknown method {method!r}", where=folder / "config.json", hint="update Organza")
    name = "/".join(folder.parts[-3:]) if folder.parent.name == "checkpoints" else folder.name
    licence = (config.get("source") or {}).get("licence")
    return Origin(
        method,
        from_plain(METHODS[method], config.get("config"), where=folder / "config.json: config"),
        from_plain(DataSpec, config.get("spec"), where=folder / "config.json: spec"),
        checkpoint.read_nets(folder, "nets"),
        checkpoint.read_nets(folder, "ema"),
        {"file": name.replace("/checkpoints/", "/"), "format": "organza", "licence": licence},
    )


def adopt(run: Run, origin: Origin, spec: DataSpec, explicit: Mapping[str, Any]) -> Run:
    """``run`` with the origin's architecture, and averages that keep the origin's for a while.

    Args:
        run: what should be trained.
        origin: where it starts.
        spec: the images.
        explicit: settings that the user gave; they must not contradict the architecture.

    Raises:
        UserError: another method, or a contradiction.
    """
    config = run.method
    if METHODS[origin.method] is not type(config):
        mine = next((name for name, kind in METHODS.items() if kind is type(config)), type(config).__name__)
        raise UserError(f"holds a network of {origin.method}, not of {mine}", where=origin.about["file"])
    adopted: MethodConfig = config.like(origin.config, spec)
    # A file without a discriminator (or encoder) knows nothing of its settings, so there is nothing to contradict.
    absent = tuple(f"_{net.lower()}" for net in "DE" if not any(name.startswith(net) for name in origin.nets))
    free = {f.name: getattr(config, f.name) for f in fields(adopted) if f.name.endswith(absent) and f.name in explicit}  # type: ignore[arg-type]
    adopted = replace(adopted, **free)  # type: ignore[type-var]
    for field in fields(adopted):  # type: ignore[arg-type]
        wish, has = getattr(config, field.name), getattr(adopted, field.name)
        if field.name in explicit and wish != has:
            option = "--" + field.name.replace("_", "-")
            raise UserError(
                f"{option} {wish} contradicts {origin.about['file']}, which has {has}", hint=f"leave {option} out"
            )
    config = adopted
    if "start_size" not in explicit and "G.grown" in origin.nets:  # what is there need not grow again
        config = replace(config, start_size=_grown_size(origin))  # type: ignore[type-var]
    training = run.training if "ema_rampup" in explicit else replace(run.training, ema_rampup=None)
    return replace(run, method=config, training=training)


def _grown_size(origin: Origin) -> int:
    """The greatest side of the images up to which networks have grown."""
    sides = origin.spec.resolution
    end = pyramid(sides)[1]
    level = max(0, min(end, int(origin.nets["G.grown"].floor())))
    return max(sides) >> (end - level)


def copy_weights(state: State, origin: Origin) -> str:
    """Copy what fits, by name and shape, into networks that are fresh; what was copied, as a line of text.

    Blocks of discriminators are counted from the largest image, those of generators from the smallest. So for another
    resolution, layers for the same size of image find each other.
    """
    counts, fresh = {}, []
    for name, net in state.method.nets.items():
        copied, missed = _copy(net, _of(name, origin.nets), from_the_end=name == state.method.model.critic)
        counts[name] = f"{copied} of {copied + len(missed)} tensors of {name}"
        fresh += [f"{name}.{tensor}" for tensor in missed]
        if name in state.ema:
            _copy(state.ema[name], _of(name, origin.ema), from_the_end=False)
        if not copied and _of(name, origin.nets):
            raise UserError(f"none of its tensors fits {name}", where=origin.about["file"])
    text = f"starting from {origin.about['file']}: {' and '.join(counts.values())}"
    return text + (f"; fresh: {', '.join(fresh[:3])}" + (", ..." if len(fresh) > 3 else "") if fresh else "")


def write_licence(origin: Mapping[str, Any], folder: Path) -> None:
    """Leave the origin's licence note in the run's folder."""
    if origin.get("licence"):
        text = f"These weights started from {origin['file']} ({origin['format']}).\n{origin['licence']}.\n"
        with atomic_write(folder / LICENCE_FILE) as temporary:
            temporary.write_text(text)


def _of(net: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(f"{net}."): value for name, value in tensors.items() if name.startswith(f"{net}.")}


@torch.no_grad()
def _copy(net: nn.Module, tensors: Mapping[str, Tensor], *, from_the_end: bool) -> tuple[int, list[str]]:
    wanted = net.state_dict()
    later = _blocks(wanted) - _blocks(tensors) if from_the_end and _blocks(tensors) else 0
    renamed = {_shifted(name, later): value for name, value in tensors.items()}
    missed = []
    for name, value in wanted.items():
        if name == "grown":  # how far networks have grown follows from the number of images
            continue
        given = renamed.get(name)
        if given is None or given.shape != value.shape:
            missed.append(name)
        else:
            value.copy_(given)
    count = len(wanted) - ("grown" in wanted)
    return count - len(missed), missed


def _blocks(tensors: Mapping[str, Tensor]) -> int:
    return max((int(m[1]) + 1 for name in tensors if (m := re.match(r"blocks\.(\d+)\.", name))), default=0)


def _shifted(name: str, by: int) -> str:
    """The same name, ``by`` blocks later.

    Example:
        >>> _shifted("blocks.0.conv0.weight", 2), _shifted("out.bias", 2)
        ('blocks.2.conv0.weight', 'out.bias')
    """
    return re.sub(r"^blocks\.(\d+)\.", lambda m: f"blocks.{int(m[1]) + by}.", name)
