"""A trained network as a file that other programs run."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from organza.core.config import to_plain
from organza.core.errors import UserError
from organza.core.files import atomic_write, user_path
from organza.core.messages import logger
from organza.core.version import __version__
from organza.formats import locate, read_weights
from organza.formats.folder import read_folder
from organza.models.generator import Generator
from organza.models.load import load, newest
from organza.models.translator import Translator
from organza.weights.export.compact import compact, library
from organza.weights.export.graph import as_onnx, as_torchscript, check_opset
from organza.weights.export.parity import Parity, compared
from organza.weights.export.parts import Exporting, Half, Part, part_of
from organza.weights.export.runtime import runtime as find_runtime
from organza.weights.export.web import write_web

log = logger(__name__)

Format = Literal["onnx", "torchscript", "web"]
SUFFIXES: dict[str, tuple[str, ...]] = {"onnx": (".onnx",), "torchscript": (".pt", ".ts", ".torchscript"), "web": ()}
LEAST_PSNR = 40.0
"""Decibels; below, a file is told to be off."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: the file or folder.
        parity: how far it is from PyTorch; None where nothing here could run it.
        notes: what differs from Organza's own use of the network.
    """

    path: Path
    parity: Parity | None = None
    notes: tuple[str, ...] = field(default=())


def export(
    where: str | Path,
    dest: str | Path,
    format: Format = "onnx",
    how: Exporting | None = None,
    *,
    model: str | None = None,
    title: str | None = None,
    runtime: Path | None = None,
    webgpu: bool = False,
    offline: bool | None = None,
) -> Exported:
    """Write the network at ``where`` for other programs, and compare what is written with PyTorch.

    Args:
        where: whatever `organza.load` takes.
        dest: a new file, ``.onnx`` or ``.pt``; of a page a new folder, or a ``.zip``.
        format: ONNX, TorchScript, or a folder with a page for browsers.
        how: see `Exporting`.
        model: which, where a method trains several: ``"AtoB"`` or ``"BtoA"``; None takes the first.
        title: of the page.
        runtime, webgpu: of the page, see `organza.weights.export.runtime.runtime`.
        offline: never use the network.

    Raises:
        UserError: the network can't be loaded or written so, or ``dest`` is there or can't be written.

    Example:
        >>> found = export(tiny_run, folder / "mine.pt", "torchscript")
        >>> found.path.name, found.parity is not None and found.parity.largest < 1e-4
        ('mine.pt', True)
    """
    how = how or Exporting()
    path = check_dest(dest, SUFFIXES[format])
    check_opset(how.opset)
    if format == "torchscript" and how.weights != "fp32":
        raise UserError("TorchScript files hold float32 alone", hint="leave --weights out")
    if format == "web" and how.part != "whole":
        raise UserError("a page has the whole network", hint="leave --part out")
    if format != "torchscript":
        library()
    held = find_runtime(runtime, webgpu, offline=offline) if format == "web" else None
    network = load(locate(where, offline=offline), model=model, device="cpu")
    licence = licence_of(network)
    began = time.monotonic()
    log.info(f"exporting {network.kind} to {path.name}")
    parts = {name: part_of(network, half, how) for name, half in halves(network, format, how.part).items()}
    if held is not None:
        found = write_web(path, network, parts, how.weights, how.opset, held, licence, title)
        size = sum(file.stat().st_size for file in (path.iterdir() if path.is_dir() else [path]))
    else:
        (part,) = parts.values()
        about = described(network, part, licence)
        onnx = format == "onnx"
        file = compact(as_onnx(part, about, how.opset), how.weights) if onnx else as_torchscript(part, about)
        parity = compared(part, file)
        with atomic_write(path) as temporary:
            temporary.write_bytes(file)
        found, size = {} if parity is None else {how.part: parity}, path.stat().st_size
    notes = tuple(note for part in parts.values() for note in part.notes)
    for note in notes:
        log.warning(f"{path.name}: {note}")
    worst = max(found.values(), key=lambda parity: parity.largest, default=None)
    log.info(f"{path.name}: {size / 1e6:.2f} MB in {time.monotonic() - began:.1f} s, {told(worst)}")
    if worst is not None and worst.psnr < LEAST_PSNR:
        log.warning(f"{path.name}: images are visibly off; take --weights fp16")
    return Exported(path, worst, notes)


def halves(network: Generator | Translator, format: Format, part: Half) -> dict[str, Half]:
    """The graphs that are written, by the names that a page knows them by."""
    if format != "web":
        return {"network": part}
    return {"network": "whole"} if isinstance(network, Translator) else {"mapping": "mapping", "synthesis": "synthesis"}


def told(parity: Parity | None) -> str:
    """How a file compares with PyTorch, in words."""
    if parity is None:
        return 'not compared with PyTorch: that needs onnxruntime (pip install "organza[onnx]")'
    return str(parity)


def described(network: Generator | Translator, part: Part, licence: str | None) -> dict[str, Any]:
    """What a file says of itself."""
    found = {
        "organza": __version__,
        "method": network.kind,
        "licence": licence or "not stated",
        "spec": to_plain(network.spec),
        "inputs": [asdict(port) for port in part.inputs],
        "output": asdict(part.output),
        "normalisation": "in: x = level / 127.5 - 1; out: level = floor(127.5 * x + 128), clamped to 0..255",
        "notes": list(part.notes),
    }
    if isinstance(network, Translator):
        found |= {"model": network.name, "multiple": network.multiple, "least": network.model.least}
    elif network.latents.text is not None:
        found["words"] = list(network.spec.words)
    return found


def licence_of(network: Generator | Translator) -> str | None:
    """The note on the licence of a loaded network's weights; None where there is none."""
    source = network.source
    if source is None:
        return None
    return read_weights(source).licence if source.is_file() else newest(source, read_folder).licence


def check_dest(dest: str | Path, suffixes: tuple[str, ...]) -> Path:
    """``dest``, if nothing is there and its name ends so: asked before the work.

    Raises:
        UserError: something is there, or the name ends otherwise.
    """
    path = user_path(dest)
    if path.exists():
        raise UserError("is there already", where=path, hint="give a new name")
    if suffixes and path.suffix.lower() not in suffixes:
        raise UserError("is no name for such a file", where=path, hint=f"end it in {' or '.join(suffixes)}")
    return path
