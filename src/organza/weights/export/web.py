"""A network as a folder, or a zip of it, that runs in a browser tab: a page, the network and ONNX Runtime as scripts.

A page that is opened from disk may not fetch its neighbours, but it may load scripts; so what is binary is packed and
written as text into those.
"""

from __future__ import annotations

import html
import json
import zipfile
from importlib import resources
from pathlib import Path
from typing import Any

from organza.contract.targets import every_target
from organza.core.errors import UserError
from organza.core.files import atomic_folder, atomic_write
from organza.core.version import __version__
from organza.models.generator import Generator
from organza.models.translator import Translator
from organza.weights.export.compact import compact
from organza.weights.export.graph import as_onnx
from organza.weights.export.parity import Parity, compared
from organza.weights.export.parts import Part, Weights
from organza.weights.export.runtime import PACKAGE, Runtime, packed

MIXES = 20
"""Steps between two seeds, of networks with one w."""
ZIP = ".zip"


def write_web(
    dest: Path,
    network: Generator | Translator,
    parts: dict[str, Part],
    weights: Weights,
    opset: int,
    runtime: Runtime,
    licence: str | None,
    title: str | None = None,
) -> dict[str, Parity]:
    """Write the folder, or a zip of it, whole or not at all.

    Args:
        dest: a new name; a zip where it ends in ``.zip``.
        network: what the page shows.
        parts: its graphs, by the names that the page knows: ``mapping`` and ``synthesis``, or ``network``.
        weights, opset: see `organza.weights.export.export.Exporting`.
        runtime: what runs them.
        licence: a note on the weights.
        title: of the page; None: the method's name.

    Returns:
        How each graph compares with PyTorch, where ONNX Runtime is there.

    Raises:
        UserError: the network can't be shown by a page, or ``dest`` can't be written.
    """
    info = described(network, parts, licence, title)
    found, models = {}, {}
    for key, part in parts.items():
        file = compact(as_onnx(part, {"organza": __version__}, opset), weights)
        if (parity := compared(part, file)) is not None:
            found[key] = parity
        models[key] = packed(file)
    texts = {
        "model.js": f"const organza = {json.dumps({'info': info, 'models': models})};\n",
        "runtime.js": f"organza.runtime = {json.dumps(runtime.packed)};\n",
        "index.html": page(info["title"]),
        "LICENCES.txt": licences(licence, runtime),
    }
    if dest.suffix.lower() == ZIP:
        with atomic_write(dest) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in texts.items():
                archive.writestr(f"{dest.stem}/{name}", text)
        return found
    with atomic_folder(dest) as work:
        for name, text in texts.items():
            (work / name).write_text(text, encoding="utf-8")
    return found


def page(title: str) -> str:
    """The page, with its style and its script in it."""
    frame, style, code = map(ours, ("index.html", "page.css", "page.js"))
    frame = frame.replace("<!--title-->", html.escape(title))
    return frame.replace("/*style*/", style).replace("/*script*/", code)


def ours(name: str) -> str:
    """A text that belongs to the page."""
    return resources.files("organza.weights.export").joinpath("page").joinpath(name).read_text("utf-8")


def licences(licence: str | None, runtime: Runtime) -> str:
    """What belongs to whom."""
    weights = licence or "not stated: whoever trained the network says under which terms it may be used."
    version = f" {runtime.version}" if runtime.version else ""
    return (
        f"The network (model.js): {weights}\n\n"
        f"{PACKAGE}{version} (runtime.js): Copyright (c) Microsoft Corporation, MIT licence:\n\n{ours('MIT.txt')}\n"
        f"The page (index.html): Organza {__version__}, Apache License 2.0.\n"
    )


def described(
    network: Generator | Translator, parts: dict[str, Part], licence: str | None, title: str | None
) -> dict[str, Any]:
    """What the page must know.

    Raises:
        UserError: it takes texts as vectors of an encoder that is not there.
    """
    height, width = network.resolution
    notes = [f"Made with Organza {__version__} and ONNX Runtime. Everything is computed on this device."]
    notes += [f"{note[:1].upper()}{note[1:]}." for part in parts.values() for note in part.notes]
    notes += [f"Licence of the network: {licence}."] if licence else []
    found: dict[str, Any] = {
        "title": title or network.kind,
        "about": f"{network.kind}, {width} x {height} pixels",
        "notes": notes,
        "width": width,
        "height": height,
        "label_dim": network.label_dim if isinstance(network, Generator) else network.model.label_dim,
    }
    if isinstance(network, Translator):
        return found | _of_translator(network)
    return found | _of_generator(network)


def _of_generator(network: Generator) -> dict[str, Any]:
    text = network.latents.text is not None
    if text and network.reader is None:
        raise UserError(
            "a page can't show this network: it takes texts as vectors of an encoder that is not in it",
            where=network.source,
            hint="take --format onnx",
        )
    layers = network.num_ws
    found = {"kind": "generator", "z_dim": network.z_dim, "psi": 1.0, "layers": layers}
    found["mixes"] = layers if layers > 1 else MIXES
    if text:
        words = network.spec.words
        found |= {"words": words, "text_length": network.spec.text_length, "text": " ".join(words[:1])}
    elif network.label_dim:
        found["targets"] = _targets(network)
    return found


def _of_translator(network: Translator) -> dict[str, Any]:
    how = network.model
    found = {
        "kind": "translator",
        "z_dim": how.z_dim,
        "psi": 1.0,
        "side": min(network.resolution),
        "multiple": how.multiple,
        "least": how.least,
        "fixed": how.only is not None,
        "source": how.source,
        "palette": bool(how.palette),
    }
    if how.only is not None:
        found |= {"height": how.only[0], "width": how.only[1]}
    return found | ({"targets": _targets(network)} if how.label_dim else {})


def _targets(network: Generator | Translator) -> list[Any]:
    """(name, the places of its label vector that are not 0 with what stands there) of what can be asked for."""
    return [
        (name, [(place, value) for place, value in enumerate(vector) if value])
        for name, vector in every_target(network.spec).items()
    ]
