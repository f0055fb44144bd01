"""What is in a workspace, for the page: looked at from outside, so that no tensor is read and nothing is run."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from organza.core.errors import UserError
from organza.core.jsons import read_json
from organza.core.zoo import PREFIX, read_card, zoo_folder, zoo_names
from organza.web.studio.jobs import kind_of
from organza.web.studio.progress import held, last_tick
from organza.web.studio.workspace import Workspace, allowed

MOST = 1000
"""Things of a kind that are listed."""
ENTRIES = 2000
"""Files of a folder, and of what is in it, that are looked at."""
_COUNTS: dict[tuple[str, int], int] = {}
_WEIGHTS = (".pkl", ".pt", ".pth", ".ckpt", ".safetensors", ".onnx", ".h5", ".pdparams")
_IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif")
_ARCHIVES = (".zip", ".tar", ".tfrecords", ".tfrecord", ".parquet", ".lmdb")
_CODES = (".npz", ".npy")
_KINDS = ("networks", "runs", "datasets", "images", "videos", "directions", "codes", "encoders", "tables", "results")
_DATASETS = ("-dataset-build", "-dataset-align", "-faces")
"""Jobs whose images are datasets; those of others are results."""
_DIRECTIONS = b"organza-directions-1"


def contents(workspace: Workspace) -> dict[str, list[dict[str, Any]]]:
    """Networks, runs, datasets, images, directions, codes and results; what can't be read is left out."""
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in _KINDS}
    for name in zoo_names():
        folder = zoo_folder(name)
        if (config := _config(folder)) is not None:
            found["networks"].append(_network(f"{PREFIX}{name}", name, "zoo", config, folder))
    for folder in _folders(workspace.runs, [5 * ENTRIES]):
        _look_at_run(workspace, folder, found)
    for path in _entries(workspace.root, [ENTRIES]):
        if path.name not in ("runs", "studio", "zoo"):
            _look(workspace, path, found, [ENTRIES], depth=2)
    for path in _entries(workspace.uploads, [5 * ENTRIES]):
        _look(workspace, path, found, [ENTRIES], depth=2)
    for job in _folders(workspace.jobs, [5 * ENTRIES]):
        if (job / "out").is_dir():
            made = not job.name.endswith(_DATASETS)
            for path in _entries(job / "out", [ENTRIES]):
                _look(workspace, path, found, [ENTRIES], depth=2, made=made)
    for path in sorted(_entries(workspace.results, [5 * ENTRIES]), key=_age, reverse=True):
        if path.is_file():
            each = {"id": workspace.id_of(path), "name": path.name, "kind": kind_of(path), "made": _age(path)}
            found["results"].append(each)
            if path.suffix.lower() in _CODES:
                found["codes"].append({"id": each["id"], "name": path.name})
    return {name: things[:MOST] for name, things in found.items()}


def _look(
    workspace: Workspace,
    path: Path,
    found: dict[str, list[dict[str, Any]]],
    left: list[int],
    depth: int,
    made: bool = False,
) -> None:
    """Sort one thing in, or what is in it."""
    id = workspace.id_of(path)
    if path.is_dir():
        if (path / "ema.safetensors").is_file():
            if (config := _config(path)) is not None:
                found["networks"].append(_network(id, path.name, "files", config, path))
            return
        if (path / "checkpoints").is_dir() and (path / "config.json").is_file():
            _look_at_run(workspace, path, found)
            return
        inside = list(_entries(path, left))
        images = [each for each in inside if each.suffix.lower() in _IMAGES and each.is_file()]
        folders = [each for each in inside if each.is_dir()]
        if not made and (images or _holds_images(folders, left)):
            count = _count(path) if images and not folders else None
            found["datasets"].append({"id": id, "name": path.name, "count": count})
        if depth > 1:
            for each in folders + [one for one in inside if one not in images and one.is_file()]:
                _look(workspace, each, found, left, depth - 1, made)
        return
    if not path.is_file():  # a pipe, which would never end
        return
    ending, thing = path.suffix.lower(), {"id": id, "name": path.name}
    if ending in _IMAGES:
        if not made:
            found["images"].append(thing)
    elif kind_of(path) == "video":
        if not made:
            found["videos"].append(thing)
    elif ending == ".safetensors" and (kind := _kind_of_tensors(path)) != "networks":
        found[kind].append(thing)
    elif ending in _WEIGHTS:
        found["networks"].append(
            {"id": id, "name": path.name, "where": "files", "kind": None, "does": None}
            | {"width": None, "height": None, "licence": None, "sample": None}
        )
    elif ending in _CODES:
        found["codes"].append(thing)
    elif ending == ".csv":
        found["tables"].append(thing)
    elif ending in _ARCHIVES:
        found["datasets"].append(thing | {"count": None})


def _look_at_run(workspace: Workspace, folder: Path, found: dict[str, list[dict[str, Any]]]) -> None:
    config = _config(folder)
    if config is None or not allowed(folder.name):
        return
    found["runs"].append(run_of(workspace, folder, config))
    if any(folder.glob("checkpoints/[0-9]*")):
        found["networks"].append(_network(workspace.id_of(folder), folder.name, "runs", config, folder))


def run_of(workspace: Workspace, folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    """How a training stands, without its log."""
    tick = last_tick(folder)
    training = config.get("training")
    total = training.get("kimg") if isinstance(training, dict) else None
    total = float(total) if isinstance(total, (int, float)) else None
    kimg = float(tick.get("kimg", 0.0))
    state = "running" if held(folder) else "finished" if total is not None and kimg >= total else "stopped"
    return {
        "id": workspace.id_of(folder),
        "name": folder.name,
        "preset": config.get("preset") or config.get("method"),
        "state": state,
        "kimg": kimg,
        "total_kimg": total,
        "job": None,
    }


def _network(id: str, name: str, where: str, config: dict[str, Any], folder: Path) -> dict[str, Any]:
    spec = config.get("spec")
    spec = spec if isinstance(spec, dict) else {}
    size = spec.get("resolution")
    height, width = size if isinstance(size, list) and len(size) == 2 else (None, None)
    try:
        card = read_card(folder)
    except UserError:
        card = None
    return {
        "id": id,
        "name": name,
        "where": where,
        "kind": config.get("method"),
        "does": "translate" if spec.get("source") else "generate",
        "width": width,
        "height": height,
        "licence": None if card is None else card.licence,
        "sample": _sample(id, folder),
    }


def _sample(id: str, folder: Path) -> str | None:
    """An image of what a network makes, where there is one already."""
    if (folder / "samples.png").is_file():
        return f"{id}/samples.png"
    grids = sorted(path.name for path in folder.glob("samples/[0-9]*.png"))
    return f"{id}/samples/{grids[-1]}" if grids else None


def read_config(folder: Path) -> dict[str, Any] | None:
    """The ``config.json`` of a run or of a network's folder; None where there is none that can be read."""
    path = folder / "config.json"
    try:
        if not path.is_file() or path.stat().st_size > 1 << 20:
            return None
        found = read_json(path.read_bytes(), path, max_memory=1 << 26)
    except (OSError, UserError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("method"), str) else None


_config = read_config


def _entries(folder: Path, left: list[int]) -> Iterator[Path]:
    """What is in a folder, by name; links that lead out of it, and names that no request can say, are left out."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in itertools.islice(entries, max(0, left[0])))
    except OSError:
        return
    for name in names:
        if left[0] <= 0:
            return
        left[0] -= 1
        path = folder / name
        if allowed(name) and not path.is_symlink():
            yield path


def _count(folder: Path) -> int | None:
    """Images of a folder, counted again only when it has changed."""
    try:
        key = (str(folder), folder.stat().st_mtime_ns)
        if key not in _COUNTS:
            while len(_COUNTS) > 1000:
                _COUNTS.pop(next(iter(_COUNTS)))
            with os.scandir(folder) as entries:
                _COUNTS[key] = sum(os.path.splitext(entry.name)[1].lower() in _IMAGES for entry in entries)
    except OSError:
        return None
    return _COUNTS[key]


def _folders(folder: Path, left: list[int]) -> Iterator[Path]:
    return (path for path in _entries(folder, left) if path.is_dir())


def _holds_images(folders: list[Path], left: list[int]) -> bool:
    for folder in folders[:4]:
        for number, path in enumerate(_entries(folder, left)):
            if path.suffix.lower() in _IMAGES:
                return True
            if number > 20:
                break
    return False


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _kind_of_tensors(path: Path) -> str:
    """What a small ``.safetensors`` is, by its header."""
    try:
        with path.open("rb") as file:
            head = file.read(1 << 16)
    except OSError:
        return "networks"
    if _DIRECTIONS in head:
        return "directions"
    return "encoders" if b"organza-encoder" in head else "networks"
