"""How a training stands: from its run's folder alone, so that it does not matter who trains."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from organza.core.errors import UserError
from organza.runs.compare import flat
from organza.training.monitor import read_log
from organza.web.studio import process
from organza.web.studio.workspace import Workspace, allowed

POINTS = 500
"""Of a curve."""
_NOT_CURVES = ("seen", "kimg", "seconds")


def held(folder: Path) -> bool:
    """Whether somebody trains this run now."""
    pid = holder(folder)
    if pid is None or process.birth(pid) is None:
        return False
    try:
        with open(folder / ".lock", "rb") as file:
            return _is_locked(file.fileno())
    except OSError:
        return False


def holder(folder: Path) -> int | None:
    """The process that holds a run, or held it last, by its ``.lock``."""
    try:
        with open(folder / ".lock", "rb") as file:
            text = file.read(200).decode("utf-8", "replace")
    except OSError:
        return None
    match = re.match(r"process (\d{1,9}) on ", text)
    return None if match is None else int(match[1])


def _is_locked(handle: int) -> bool:
    """Whether another process has the lock. A look takes it for a moment: only where its last holder still lives."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    fcntl.flock(handle, fcntl.LOCK_UN)
    return False


def last_tick(folder: Path) -> dict[str, Any]:
    """The last entry of a run's log that has a speed; {} where there is none."""
    try:
        with open(folder / "log.jsonl", "rb") as file:
            file.seek(0, 2)
            size = file.tell()
            file.seek(max(0, size - (1 << 15)))
            lines = file.read().split(b"\n")
    except OSError:
        return {}
    for line in reversed(lines):
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and "images_per_second" in found and _number(found.get("kimg")):
            return found
    return {}


def training_progress(folder: Path, config: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What ``progress`` of a job is for a training; None before its first entry."""
    tick = last_tick(folder)
    training = (config or {}).get("training")
    total = training.get("kimg") if isinstance(training, dict) else None
    if not tick or total is None or not _number(total):
        return None
    rate = tick["images_per_second"] / 1000 if _number(tick["images_per_second"]) else None
    left = max(0.0, float(total) - tick["kimg"])
    eta = None if not rate else round(left / rate, 1)
    return {
        "title": "training",
        "done": round(tick["kimg"], 4),
        "total": total,
        "unit": "kimg",
        "rate": None if rate is None else round(rate, 5),
        "eta": eta,
    }


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def thinned(points: Sequence[list[float]], most: int = POINTS) -> list[list[float]]:
    """At most so many points of a curve, the first and the last among them.

    Example:
        >>> thinned([[0, 1.0], [1, 2.0], [2, 3.0], [3, 4.0]], 2)
        [[0, 1.0], [3, 4.0]]
    """
    if len(points) <= most:
        return list(points)
    places = [round(index * (len(points) - 1) / (most - 1)) for index in range(most)]
    return [points[place] for place in places]


def series(records: Sequence[Mapping[str, Any]]) -> tuple[dict[str, list[list[float]]], dict[str, list[list[float]]]]:
    """The curves of a log by name, and those of metrics: ``[[kimg, value] ...]``."""
    curves: dict[str, list[list[float]]] = {}
    metrics: dict[str, list[list[float]]] = {}
    for record in records:
        if not isinstance(record, dict) or not _number(record.get("kimg")):
            continue
        for name, value in record.items():
            if name in _NOT_CURVES or not _number(value):
                continue
            if name.startswith("metrics/"):
                if name.count("/") == 1 and name != "metrics/seconds":
                    metrics.setdefault(name.removeprefix("metrics/"), []).append([record["kimg"], value])
            else:
                curves.setdefault(name, []).append([record["kimg"], value])
    return {k: thinned(v) for k, v in curves.items()}, {k: thinned(v) for k, v in metrics.items()}


def run_facts(workspace: Workspace, id: str, config: Mapping[str, Any], lines: Sequence[str]) -> dict[str, Any]:
    """How a training stands, for ``GET /api/runs``.

    Args:
        workspace: where it lies.
        id: of its folder.
        config: its ``config.json``.
        lines: of its job's log, for advice; [] without.
    """
    folder = workspace.path(id)
    try:
        records = read_log(folder)
    except (OSError, UserError, ValueError):
        records = []
    curves, metrics = series(records)
    told = training_progress(folder, config) or {}
    samples = folder / "samples"
    names = sorted(path.name for path in samples.glob("[0-9]*.png")) if samples.is_dir() else []
    grids = [{"kimg": int(name[:-4]) / 1000, "id": f"{id}/samples/{name}"} for name in names if _numbered(name)]
    settings = {name: value for name, value in flat(config).items() if not isinstance(value, (dict, list)) or value}
    advice = [line.removeprefix("warning: ") for line in lines if _advises(line)]
    return {
        "rate": told.get("rate"),
        "eta": told.get("eta"),
        "series": curves,
        "metrics": metrics,
        "grids": grids,
        "advice": list(dict.fromkeys(advice))[-20:],
        "settings": settings,
        "plot": f"{id}/plot.png" if (folder / "plot.png").is_file() else None,
    }


def _numbered(name: str) -> bool:
    return allowed(name) and name[:-4].isdecimal()


_ADVICE = ("warning: ", "stopped: ", "metrics: ")


def _advises(line: str) -> bool:
    words = ("may memorise", "may have collapsed", "nothing is translated", "--augment ada")
    return line.startswith(_ADVICE) or any(word in line for word in words)
