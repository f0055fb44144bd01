"""What is in a file of weights? Looked at without running anything of it."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from organza.core.errors import UserError
from organza.formats import locate, understand
from organza.formats.opening import Opened, open_file
from organza.formats.records import Array, Module, Stub, TensorRef, brief
from organza.formats.unpickle import parts
from organza.formats.weights import Weights
from organza.generator import newest
from organza.training import checkpoint


@dataclass(frozen=True)
class Network:
    """One network of a file.

    Attributes:
        name: as Organza calls it; ``"G_ema"`` is the averaged generator.
        tensors, numbers: how many.
        problem: why it can't be used; None if it can.
    """

    name: str
    tensors: int
    numbers: int
    problem: str | None = None


@dataclass(frozen=True)
class Report:
    """What `inspect` found.

    Attributes:
        path: the file or folder.
        kind: what it is, in words.
        usable: whether `organza.load` takes it.
        networks: what is in it.
        settings: what the networks were built with, as far as it differs from Organza's defaults.
        notes: the licence, foreign names, reasons.
    """

    path: Path
    kind: str
    usable: bool
    networks: tuple[Network, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def inspect(where: str | Path, *, offline: bool | None = None) -> Report:
    """Look into a checkpoint of ours, a file of somebody else's, or anything that claims to be one.

    Args:
        where: whatever `organza.load` takes.
        offline: never use the network.

    Raises:
        UserError: broken or hostile; says how.

    Example:
        >>> report = inspect(tiny_run)
        >>> report.kind, [network.name for network in report.networks], report.settings["resolution"]
        ('Organza checkpoint (stylegan2)', ['G_ema', 'D', 'G'], '16x16')
    """
    path = locate(where, offline=offline)
    if not path.is_file():
        return newest(path, _ours)
    opened = open_file(path)
    try:
        weights = understand(opened)
    except UserError as error:
        return _strange(opened, error.what)
    return Report(
        path,
        weights.format,
        "G_ema" in weights.nets,
        (*(_network(name, held) for name, held in weights.nets.items()), *_problems(weights)),
        {**_spec(weights.spec), **_settings(weights.config), **weights.facts},
        (*([weights.licence] if weights.licence else []), *_foreign(opened)),
    )


def _ours(folder: Path) -> Report:
    config = checkpoint.read_config(folder)
    networks = []
    for file, label in (("ema", "{}_ema"), ("nets", "{}")):
        tensors = checkpoint.read_nets(folder, file)
        for name in dict.fromkeys(key.split(".")[0] for key in tensors):
            mine = [tensor for key, tensor in tensors.items() if key.split(".")[0] == name]
            networks.append(Network(label.format(name), len(mine), sum(tensor.numel() for tensor in mine)))
    spec, settings, source = (config.get(name) or {} for name in ("spec", "config", "source"))
    height, width = spec.get("resolution", (0, 0))
    notes = [str(source["licence"])] if source.get("licence") else []
    shown = {"resolution": f"{width}x{height}", "channels": spec.get("channels"), "labels": spec.get("label_dim")}
    shown |= {name: value for name, value in settings.items() if value is not None}
    return Report(folder, f"Organza checkpoint ({config.get('method')})", True, tuple(networks), shown, tuple(notes))


def _network(name: str, held: Any) -> Network:
    return Network(name, len(held), sum(math.prod(item.shape) for item in held.values()))


def _problems(weights: Weights) -> list[Network]:
    return [Network(name, 0, 0, problem) for name, problem in weights.problems.items()]


def _spec(spec: Any) -> dict[str, Any]:
    height, width = spec.resolution
    return {"resolution": f"{width}x{height}", "channels": spec.channels, "labels": spec.label_dim}


def _settings(config: Any) -> dict[str, Any]:
    """Settings that describe the networks rather than a training, and differ from the default."""
    training = ("lr", "r1_", "pl_", "style_mixing", "w_avg_decay", "noise")
    found = {}
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if value != item.default and not item.name.startswith(training):
            found[item.name] = value
    return found


def _foreign(opened: Opened) -> list[str]:
    names = ", ".join(opened.foreign[:8]) + (" ..." if len(opened.foreign) > 8 else "")
    return [f"names foreign code, which was not run: {names}"] if names else []


def _strange(opened: Opened, reason: str) -> Report:
    """A file that can be opened but not used: its keys and how many tensors each holds."""
    value = opened.value
    networks = []
    if isinstance(value, dict):
        for key, held in list(value.items())[:100]:
            shapes = _shapes(held)
            if shapes:
                networks.append(Network(brief(key).strip("'"), len(shapes), sum(math.prod(shape) for shape in shapes)))
    kinds = Counter(type(item).__name__ for item in parts(value)) if not isinstance(value, Module) else Counter()
    about = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(3))
    notes = (json.dumps(about)[1:-1],) if about and not networks else ()
    return Report(opened.path, f"{opened.container}: {reason}", False, tuple(networks), {}, (*notes, *_foreign(opened)))


def _shapes(value: Any) -> list[tuple[int, ...]]:
    """The shapes of all tensors in a value."""
    found: list[tuple[int, ...]] = []
    waiting, seen = [value], {id(value)}
    while waiting and len(found) < 100_000:
        item = waiting.pop()
        if isinstance(item, (TensorRef, Array)):
            found.append(item.shape)
        elif isinstance(item, (dict, list, tuple, Stub, Module)):
            for part in parts(item):
                if id(part) not in seen:
                    seen.add(id(part))
                    waiting.append(part)
    return found
