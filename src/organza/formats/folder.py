"""Checkpoint folders of ours as `Weights`, and somebody's weights as such a folder with the note on their licence."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path

from organza.contract.data import DataSpec
from organza.core.config import from_plain, to_plain
from organza.core.errors import UserError
from organza.core.version import __version__
from organza.formats.weights import Weights, skeleton
from organza.presets import METHODS
from organza.tensors.entry import Entry
from organza.tensors.records import RefusedError, brief
from organza.tensors.tensor_file import read_header
from organza.training import checkpoint

LICENCE_FILE = "LICENCE-NOTE.txt"


def read_folder(folder: Path) -> Weights:
    """What a checkpoint says that it holds: its settings, and its files' headers. Tensors are read when asked for.

    Raises:
        UserError: missing, broken, or of a method that is not known here.
    """
    checkpoint.verify(folder, "config.json")
    config = checkpoint.read_config(folder)
    method, where = config.get("method"), folder / "config.json"
    if not isinstance(method, str) or method not in METHODS:
        raise UserError(f"unknown method {brief(method)}", where=where, hint="update Organza")
    spec = from_plain(DataSpec, config.get("spec"), where=f"{where}: spec")
    settings = from_plain(METHODS[method], config.get("config"), where=f"{where}: config")
    source = config.get("source")
    licence = source.get("licence") if isinstance(source, dict) else None
    nets, problems = _nets(folder, "ema", "{}_ema"), dict[str, str]()
    if (folder / "nets.safetensors").exists():
        try:
            nets |= _nets(folder, "nets", "{}")
        except UserError as error:
            with suppress(RefusedError):
                problems = dict.fromkeys(skeleton(settings, spec).nets, error.what)
    return Weights(
        path=folder,
        format=f"Organza checkpoint ({method})",
        method=method,
        spec=spec,
        config=settings,
        nets=nets,
        problems=problems,
        licence=licence if isinstance(licence, str) else None,
    )


def _nets(folder: Path, file: str, label: str) -> dict[str, dict[str, Entry]]:
    path = folder / f"{file}.safetensors"
    if at_once := file == "ema":  # what is always needed; the others are large, and verified when they are read
        checkpoint.verify(folder, path.name)
    try:
        header = read_header(path)
    except (RefusedError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"broken checkpoint ({reason})", where=path, hint="use an older checkpoint") from error
    read = cache(lambda: checkpoint.read_nets(folder, file, verified=at_once))

    def entry(key: str) -> Entry:
        return Entry(header[key].shape, lambda: read()[key])

    found: dict[str, dict[str, Entry]] = {}
    for key in header:
        net, _, name = key.partition(".")
        found.setdefault(label.format(net), {})[name] = entry(key)
    return found


def write_folder(weights: Weights, dest: Path) -> Path:
    """Write ``dest`` with settings and tensors: it appears whole or not at all.

    The averaged generator is what generates. Where the file has no other generator, it also stands for the one
    that trains; a discriminator is there only if the file has one that can be used.

    Raises:
        UserError: ``dest`` is there already or can't be written, or the weights can't be read.
    """
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise UserError("is there already", where=dest, hint="give a new name")
    nets, ema = weights.trained()
    config = {
        "organza": __version__,
        "method": weights.method,
        "spec": to_plain(weights.spec),
        "config": to_plain(weights.config),
        "source": {"file": weights.path.name, "format": weights.format, "licence": weights.licence},
    }
    notes = {}
    if weights.licence is not None:
        notes[LICENCE_FILE] = f"These weights come from {weights.path.name} ({weights.format}).\n{weights.licence}.\n"
    tensors = {
        "ema": ema,
        "nets": {name: tensor.clone() for name, tensor in nets.items()},
    }
    checkpoint.write(dest, config, tensors, notes=notes)
    return dest
