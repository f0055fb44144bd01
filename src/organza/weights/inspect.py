"""What is in a file of weights? Looked at without running anything of it."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from organza.core.errors import UserError
from organza.formats import locate, understand
from organza.formats.folder import read_folder
from organza.formats.weights import Weights
from organza.models.load import newest
from organza.tensors.opening import Opened, open_file
from organza.tensors.pickle.machine import parts
from organza.tensors.records import RefusedError

MOST_NAMES = 40
"""Names of labels that a report lists."""


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
        return _known(newest(path, read_folder))
    opened = open_file(path)
    try:
        return _known(understand(opened))
    except UserError as error:
        return _strange(opened, error.what)


def _known(weights: Weights) -> Report:
    return Report(
        weights.path,
        weights.format,
        bool(weights.nets),
        (*(_network(name, held) for name, held in weights.nets.items()), *_problems(weights)),
        {**_spec(weights.spec), **_settings(weights.config), **weights.facts},
        (*([weights.licence] if weights.licence else []), *_foreign(weights.foreign)),
    )


def _network(name: str, held: Any) -> Network:
    return Network(name, len(held), sum(math.prod(item.shape) for item in held.values()))


def _problems(weights: Weights) -> list[Network]:
    return [Network(name, 0, 0, problem) for name, problem in weights.problems.items()]


def _spec(spec: Any) -> dict[str, Any]:
    height, width = spec.resolution
    found = {"resolution": f"{width}x{height}", "channels": spec.channels, "labels": spec.label_dim}
    if spec.words:
        found["words"] = f"{len(spec.words)}, at most {spec.text_length} in a text"
    if spec.label_names:
        names = spec.label_names[:MOST_NAMES]
        found["label names"] = ", ".join(names) + (" ..." if len(names) < len(spec.label_names) else "")
    return found


def _settings(config: Any) -> dict[str, Any]:
    """Settings that describe the networks rather than a training, and differ from the default."""
    training = ("lr", "r1_", "pl_", "style_mixing", "w_avg_decay", "noise")
    found = {}
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if value != item.default and not item.name.startswith(training):
            found[item.name] = value
    return found


def _foreign(found: tuple[str, ...]) -> list[str]:
    names = ", ".join(found[:8]) + (" ..." if len(found) > 8 else "")
    return [f"names foreign code, which was not run: {names}"] if names else []


def _strange(opened: Opened, reason: str) -> Report:
    """A file that can be opened but not used: how many tensors lie under each of its names."""
    tensors: dict[str, list[int]] = {}
    with contextlib.suppress(RefusedError):
        for name, tensor in opened.tensors.items():
            tensors.setdefault(name.partition(".")[0], []).append(math.prod(tensor.shape))
    networks = [Network(name, len(held), sum(held)) for name, held in list(tensors.items())[:100]]
    kinds = Counter(type(item).__name__ for item in parts(opened.value))
    about = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(3))
    notes = ((about,) if about and not networks else ()) + tuple(_foreign(opened.foreign))
    return Report(opened.path, f"{opened.container}: {reason}", False, tuple(networks), {}, notes)
