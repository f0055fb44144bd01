"""A trained network as a file that other programs run."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from organza.contract.model import NormMode
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
from organza.weights.export.compact import Weights, compact
from organza.weights.export.graph import OPSET, check_opset, write_onnx, write_torchscript
from organza.weights.export.parity import Parity, compared
from organza.weights.export.parts import Half, Noise, Part, part_of

log = logger(__name__)

Format = Literal["onnx", "torchscript"]
SUFFIXES = {"onnx": (".onnx",), "torchscript": (".pt", ".ts", ".torchscript")}


@dataclass(frozen=True)
class Exporting:
    """How a network is written down.

    Attributes:
        part: of a generator: all of it, z to w (``"mapping"``), or w to images (``"synthesis"``).
        cutoff: of a generator: truncate only the first so many layers; None all.
        noise: of a generator: its stored noise maps as constants, or none.
        mode: of a translator, see `NormMode`; None: its own.
        weights: how an ONNX file stores them; it computes in float32 in any case.
        opset: version of ONNX's operators.
    """

    part: Half = "whole"
    cutoff: int | None = None
    noise: Noise = "const"
    mode: NormMode | None = None
    weights: Weights = "fp32"
    opset: int = OPSET


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
    offline: bool | None = None,
) -> Exported:
    """Write the network at ``where`` as a file that other programs run, and compare the two.

    Args:
        where: whatever `organza.load` takes.
        dest: a new file, ``.onnx`` or ``.pt``.
        format: ONNX, or TorchScript.
        how: see `Exporting`.
        model: which, where a method trains several: ``"AtoB"`` or ``"BtoA"``; None takes the first.
        offline: never use the network.

    Raises:
        UserError: the network can't be loaded or written so, or ``dest`` is there or can't be written.

    Example:
        >>> found = export(tiny_run, folder / "mine.onnx")
        >>> found.path.name, found.parity is None or found.parity.largest < 1e-4
        ('mine.onnx', True)
    """
    how = how or Exporting()
    path = check_dest(dest, SUFFIXES[format])
    check_opset(how.opset)
    if format == "torchscript" and how.weights != "fp32":
        raise UserError("TorchScript files hold float32 alone", hint="leave --weights out")
    network = load(locate(where, offline=offline), model=model, device="cpu")
    part = part_of(network, how.part, cutoff=how.cutoff, noise=how.noise, mode=how.mode)
    metadata = described(network, part, licence_of(network))
    began = time.monotonic()
    log.info(f"writing {path.name}: {network.kind}, {how.part}, {format}")
    with atomic_write(path) as temporary:
        if format == "onnx":
            write_onnx(part, temporary, metadata, how.opset)
            compact(temporary, how.weights)
        else:
            write_torchscript(part, temporary, metadata)
        parity = compared(part, temporary)
    for note in part.notes:
        log.warning(f"{path.name}: {note}")
    log.info(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB in {time.monotonic() - began:.1f} s, {told(parity)}")
    return Exported(path, parity, part.notes)


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
        "normalisation": "images in [-1, 1]: x = level / 127.5 - 1; levels out: floor(127.5 * x + 128), clamped to 0..255",
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
