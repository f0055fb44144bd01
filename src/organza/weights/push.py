"""A trained network to the Hugging Face hub: the folder that `organza.load` takes, a card for people, and samples."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from organza.core.download import offline_wished
from organza.core.errors import UserError
from organza.core.files import atomic_write
from organza.core.messages import logger
from organza.core.text import printable
from organza.core.version import __version__
from organza.core.zoo import CARD, Card, read_card
from organza.formats import hub, locate, read_weights
from organza.formats.folder import read_folder
from organza.formats.weights import Weights
from organza.media.images import make_grid, save_picture
from organza.models.generator import Generator
from organza.models.load import load, newest
from organza.weights.slim import Dtype, write_slim

log = logger(__name__)
COLUMNS, ROWS = 8, 2


@dataclass(frozen=True)
class Told:
    """What its author says of a network.

    Attributes:
        licence: of the weights; None: what the weights say, or that nothing is stated.
        summary: what it makes, in a line.
        data: what it was trained on, and whose that is.
        limits: what it can't do, or must not be used for.
    """

    licence: str | None = None
    summary: str | None = None
    data: str | None = None
    limits: str | None = None


def push(
    where: str | Path,
    dest: str,
    told: Told | None = None,
    *,
    dtype: Dtype = "float32",
    private: bool = False,
) -> str:
    """Send a network to the hub, where ``--network hf:user/name`` finds it.

    Args:
        where: whatever `organza.load` takes.
        dest: ``hf:user/name``; it is made where it is not there yet, and gets a new revision where it is.
        told: what the card says.
        dtype: of the weights, see `write_slim`.
        private: make it so that only its owner sees it.

    Returns:
        Its address.

    Raises:
        UserError: the network can't be read, the client is not installed, or the hub refuses.
    """
    name, revision = hub.repository(dest)
    if revision is not None:
        raise UserError("a revision can't be chosen: each push makes one", where=dest, hint=f"write hf:{name}")
    client = hub.client(dest)
    if offline_wished():
        raise UserError("offline, so nothing can be sent", where=dest, hint="go online, and leave --offline out")
    path = locate(where)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "network"
        write_model(path, folder, dest, told or Told(), dtype)
        size = sum(file.stat().st_size for file in folder.iterdir())
        log.info(f"sending {size / 1e6:.1f} MB to {dest}")
        with hub.understood(dest):
            api = hub.api(client)
            made: Any = api.create_repo(name, private=private, exist_ok=True)
            api.upload_folder(
                repo_id=name, folder_path=folder, commit_message=f"Organza {__version__}", allow_patterns=["*"]
            )
    return str(made)


def write_model(path: Path, folder: Path, dest: str, told: Told, dtype: Dtype) -> None:
    """Write what is sent: weights, settings, ``card.json``, ``README.md`` and ``samples.png``.

    Args:
        path: a run, a checkpoint or a file of weights.
        folder: a new folder.
        dest: where it will be found.
        told, dtype: see `push`.

    Raises:
        UserError: the network can't be read.
    """
    weights = read_weights(path) if path.is_file() else newest(path, read_folder)
    card = card_of(path, weights, told)
    notes = {CARD: json.dumps(vars(card), indent=2) + "\n"} if card.command else {}
    samples = sample_grid(path, weights)
    write_slim(weights, folder, dtype, {**notes, "README.md": readme(dest, weights, card, samples is not None)})
    if isinstance(samples, Path):
        with atomic_write(folder / "samples.png") as temporary:
            shutil.copyfile(samples, temporary)
    elif samples is not None:
        save_picture(samples, folder / "samples.png")


def card_of(path: Path, weights: Weights, told: Told) -> Card:
    """The card: the folder's own where it has one, what its run says of itself, and what its author tells."""
    own = read_card(weights.path) if weights.path.is_dir() else None
    found = own or Card(
        summary=f"Images of {weights.spec.resolution[1]}x{weights.spec.resolution[0]} pixels by {weights.method}",
        data="not stated",
        licence=weights.licence or "not stated",
        command="",
        kimg=_kimg(weights.path),
        minutes=0.0,
        machine="",
    )
    return Card(**{**vars(found), **{name: value for name, value in vars(told).items() if value is not None}})


def _kimg(checkpoint: Path) -> float:
    """How much a checkpoint of a run was shown, by its name; 0 of another."""
    return int(checkpoint.name) / 1000 if checkpoint.is_dir() and checkpoint.name.isdigit() else 0.0


def sample_grid(path: Path, weights: Weights) -> Any:
    """Images of seeds; of a translator the newest grid of its run, a path; None where there is none."""
    spec = weights.spec
    network = load(path, device="cpu")
    if not isinstance(network, Generator):
        grids = sorted((weights.path.parent.parent / "samples").glob("*.png")) if weights.path.is_dir() else []
        return grids[-1] if grids else None
    if network.latents.text is not None and network.reader is None:
        return None
    seeds = list(range(COLUMNS * ROWS))
    labels = [seed % spec.label_dim for seed in seeds] if network.label_dim and not network.latents.text else None
    text = " ".join(spec.words[:1]) if network.latents.text is not None else None
    return make_grid(network.generate(seeds, labels, text=text), COLUMNS)


def readme(dest: str, weights: Weights, card: Card, samples: bool) -> str:
    """The card for people, in Markdown, with the fields that the hub reads in front."""
    translator = bool(weights.spec.source)
    task = "image-to-image" if translator else "unconditional-image-generation"
    use = (
        f"organza translate --network {dest} --input photo.jpg --output result.png"
        if translator
        else f"organza generate --network {dest} --seeds 0-15 --grid 8x2 --output images.png"
    )
    height, width = weights.spec.resolution
    rows = {
        "method": weights.method,
        "images": f"{width}x{height}, {weights.spec.channels} channels",
        "labels": ", ".join(weights.spec.label_names[:20]),
        "data": card.data,
        "licence": card.licence,
        "trained on": f"{card.kimg:g} thousand images" if card.kimg else "",
        "time": f"{card.minutes:g} minutes, {card.machine}" if card.minutes else "",
        "command": f"`{card.command}`" if card.command else "",
        **{name: f"{value:g}" for name, value in card.figures.items()},
        "limits": card.limits,
    }
    lines = [
        *("---", "library_name: organza", f"pipeline_tag: {task}", f"tags: [gan, organza, {weights.method}]"),
        *("license: other", "---", "", f"# {dest.split('/')[-1]}", "", f"{_line(card.summary)}.", ""),
        *(["![Samples](samples.png)", ""] if samples else []),
        *("```", 'pip install "organza[hub]"', use, "```", "", "| | |", "|---|---|"),
        *(f"| {name} | {_line(value)} |" for name, value in rows.items() if value),
        "",
        f"Made with Organza {__version__}. The files hold tensors and settings alone; opening them runs no code.",
        "",
    ]
    return "\n".join(lines)


def _line(text: str) -> str:
    """One line that ends no cell of a table."""
    return printable(text).replace("|", "\\|").strip().rstrip(".")
