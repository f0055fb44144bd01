"""Networks that are kept open for the page, each with a lane of its own and what need not be computed twice."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from organza.core.errors import UserError
from organza.core.messages import logger
from organza.core.zoo import read_card
from organza.models.generator import Generator
from organza.models.load import load
from organza.models.translator import Translator
from organza.web.lanes import Lanes
from organza.web.served import described
from organza.web.studio.recipe import Kept
from organza.web.studio.settings import OPENED, WAITING
from organza.web.studio.workspace import Workspace

log = logger(__name__)

Work = Callable[[], Any]


@dataclass(eq=False)
class Opened:
    """A network that is open.

    Attributes:
        id: in the workspace.
        network: what was loaded.
        mark: what tells whether its files are still the same.
        lanes: computes what is asked of it, one thing after the other.
        kept: what need not be computed twice.
        cartoonist: the stages of `organza cartoon` around a translator, once they were asked for.
    """

    id: str
    network: Generator | Translator
    mark: Any
    lanes: Lanes[Work, Any]
    kept: Kept = field(default_factory=Kept)
    cartoonist: Any = None
    _noisy: bool | None = None

    def noisy(self) -> bool:
        """Whether the noise inputs of a generator are seen: tried once."""
        if self._noisy is None:
            G = self.generator
            ws = G.w_avg.reshape(1, 1, -1).expand(1, G.num_ws, -1)
            self._noisy = not torch.equal(G.synthesis(ws, "const"), G.synthesis(ws, "none"))
        return self._noisy

    @property
    def generator(self) -> Generator:
        """The network, where it is a generator.

        Raises:
            UserError: it is a translator.
        """
        if isinstance(self.network, Generator):
            return self.network
        hint = "use /api/translate"
        raise UserError(f"{self.network.kind} makes images from images, not from seeds", where=self.id, hint=hint)

    @property
    def translator(self) -> Translator:
        """The network, where it is a translator.

        Raises:
            UserError: it is a generator.
        """
        if isinstance(self.network, Translator):
            return self.network
        raise UserError(f"{self.network.kind} makes images from seeds", where=self.id, hint="use /api/image")


class Networks:
    """At most `OPENED` networks; the one that was used least recently goes first.

    Args:
        workspace: where ids are looked up.
        device: see `organza.load`.
    """

    def __init__(self, workspace: Workspace, device: str | None = None) -> None:
        self._workspace, self._device = workspace, device
        self._lock, self._reading = threading.Lock(), threading.Lock()
        self._open: OrderedDict[tuple[str, str | None], Opened] = OrderedDict()

    def open(self, id: str, model: str | None = None) -> Opened:
        """A network, newly read where its files have changed.

        Raises:
            UserError: it is not there, or can't be read.
        """
        path = self._workspace.path(id)
        mark, key = _mark(path), (id, model)
        if (found := self._there(key, mark)) is not None:
            return found
        with self._reading:  # one at a time
            if (found := self._there(key, mark)) is not None:
                return found
            try:
                network = load(path, model=model, device=self._device, precision="auto")
            except UserError as error:  # where it lies on this machine is nobody's business
                raise UserError(error.what, where=id, hint=error.hint) from None
            lanes = Lanes[Work, Any](_computing, count=1, capacity=WAITING)
            lanes.start()
            new = Opened(id, network, mark, lanes)
            self._keep(key, new)
        log.info(f"{id}: {network.kind}, {network.resolution[1]}x{network.resolution[0]}")
        return new

    def _there(self, key: tuple[str, str | None], mark: Any) -> Opened | None:
        with self._lock:
            found = self._open.get(key)
            if found is None or found.mark != mark:
                return None
            self._open.move_to_end(key)
            return found

    def _keep(self, key: tuple[str, str | None], new: Opened) -> None:
        with self._lock:
            gone = [self._open.pop(key)] if key in self._open else []
            self._open[key] = new
            while len(self._open) > OPENED:
                gone.append(self._open.popitem(last=False)[1])
        for each in gone:
            threading.Thread(target=each.lanes.close, daemon=True).start()

    def close(self) -> None:
        """Close all of them; what waits is still computed."""
        with self._lock:
            for each in self._open.values():
                each.lanes.close()
            self._open.clear()


def _computing(asks: Sequence[Work]) -> list[Any]:
    answers: list[Any] = []
    for ask in asks:
        try:
            answers.append(ask())
        except Exception as error:  # of one request; it is told to that one
            answers.append(error)
    return answers


def _mark(path: Path) -> Any:
    """What changes when a network's files do: of a run, when there is a newer checkpoint."""
    marks: list[Any] = []
    for each in (path, path / "ema.safetensors", path / "checkpoints" / "latest", path / "latest"):
        try:
            stat = each.stat()
        except OSError:
            continue
        if each.is_file():
            marks.append((each.name, stat.st_mtime_ns, stat.st_size))
    return tuple(marks)


def about(opened: Opened, folder: Path) -> dict[str, Any]:
    """What a network is and what it can do, for ``POST /api/network``."""
    network = opened.network
    told: dict[str, Any] = {
        "id": opened.id,
        "models": [],
        "model": None,
        "licence": _licence(folder),
        "note": _note(folder),
        "targets": [],
        "codes": False,
        "precision": network.precision,
        "device": network.device.type,
    } | described(network)
    if isinstance(network, Generator):
        latents = network.latents
        return told | {
            "noise": opened.noisy(),
            "w_dim": network.w_dim,
            "z_dim": network.z_dim,
            "classes": bool(told["labels"]) and all(each.kind == "classes" for each in network.spec.label_sets),
            "truncation": True,
            "styles": network.num_ws > 1,
            "directions": latents.styles is not None or latents.first is not None or network.num_ws > 1,
            "encoder": network.encoder is not None,
        }
    return told | {
        "models": list(network.names),
        "layers": 0,
        "noise": False,
        "w_dim": 0,
        "labels": network.model.label_dim,
        "label_names": list(network.targets),
        "text": False,
        "truncation": False,
        "styles": False,
        "codes": bool(network.model.z_dim),
    }


def _licence(folder: Path) -> str | None:
    try:
        card = read_card(folder)
    except UserError:
        card = None
    if card is not None:
        return card.licence
    note = _text(folder / "LICENCE-NOTE.txt")
    return " ".join(note.split())[:300] or None


def _note(folder: Path) -> str:
    try:
        card = read_card(folder)
    except UserError:
        return ""
    if card is None:
        return ""
    return ". ".join(part.rstrip(".") for part in (card.summary, card.limits) if part)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(4096).decode("utf-8", "replace")
    except OSError:
        return ""
