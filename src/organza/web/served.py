"""Networks under names, each with its lanes.

On a processor an image's last bits depend on how many are computed at once (products are summed in another order), not
on its neighbours. So a batch has always the same size, one unless somebody wants more, and is filled up: an image has
the same bits alone and among others. StyleGAN3's networks scale styles by the whole batch, so theirs is one.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from organza.contract.targets import label_names
from organza.core import cores
from organza.core.device import Precision
from organza.core.errors import UserError
from organza.core.files import user_path
from organza.core.messages import logger
from organza.data.photo import Photo
from organza.media.images import Pixels, to_pixels
from organza.models.generator import Generator, at_once
from organza.models.load import load
from organza.models.sampling import Noise, Sampling
from organza.models.translator import Size, Translator
from organza.studio.codes import codes, draw
from organza.web.lanes import Lanes
from organza.web.limits import Limits

log = logger(__name__)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_dice = threading.Lock()
"""Translators sample from PyTorch's one default generator: of all of them only one computes at a time."""


@dataclass(frozen=True)
class Seeded:
    """One image of a generator."""

    seed: int
    sampling: Sampling


@dataclass(frozen=True)
class Wish:
    """One translation: the source, and what it becomes."""

    photo: Photo
    labels: int | None = None
    target: str | None = None
    size: Size = "trained"
    seed: int = 0


@dataclass(frozen=True)
class Served:
    """A network that answers requests.

    Attributes:
        name: in addresses.
        network: what was loaded.
        lanes: who computes: `Seeded` or `Wish`, to pixels uint8 ``[H, W, C]``.
        batch: images that are computed at once.
    """

    name: str
    network: Generator | Translator
    lanes: Lanes[Any, Pixels]
    batch: int

    def about(self) -> dict[str, Any]:
        """What it is and what it takes, for whoever asks."""
        return {"name": self.name} | described(self.network)


def described(network: Generator | Translator) -> dict[str, Any]:
    """What a network is and what it takes, whoever serves it."""
    height, width = network.resolution
    told: dict[str, Any] = {
        "kind": network.kind,
        "height": height,
        "width": width,
        "channels": network.spec.channels,
    }
    if isinstance(network, Generator):
        text = network.latents.text is not None
        labels = 0 if text else network.label_dim
        return told | {
            "does": "generate",
            "labels": labels,
            "label_names": list(label_names(network.spec)) if labels else [],
            "text": text,
            "layers": network.num_ws,
        }
    return told | {"does": "translate", "targets": list(network.targets), "model": network.name}


class Named(NamedTuple):
    """A network's file or folder, and its name in addresses."""

    name: str
    path: str


def named(words: Sequence[str]) -> list[Named]:
    """Networks as one types them: ``PATH`` or ``NAME=PATH``.

    Raises:
        UserError: a name that can't stand in an address, or one name twice.

    Example:
        >>> named(["runs/00000-stylegan2-faces", "cats=runs/00003"])
        [Named(name='00000-stylegan2-faces', path='runs/00000-stylegan2-faces'), Named(name='cats', path='runs/00003')]
    """
    found: dict[str, Named] = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not equals or not NAME.fullmatch(name):
            if equals and "://" not in word and not user_path(word).exists():
                hint = "take letters, digits, dots, dashes and underscores: --network NAME=PATH"
                raise UserError(f"{name[:80]!r} can't be a part of an address", where="--network", hint=hint)
            path = word
            plain = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(word).name).strip("-.")
            name = plain.split(".")[0][:64] if NAME.fullmatch(plain[:64]) else ""
        if not name or not path:
            raise UserError("no name can be made of this", where=word, hint="give it one: --network NAME=PATH")
        if name in found:
            raise UserError(f"two networks are called {name}", hint="give them names: --network NAME=PATH")
        found[name] = Named(name, path)
    if not found:
        raise UserError("no network", hint="--network PATH, or --network NAME=PATH for several")
    return list(found.values())


def open_networks(
    words: Sequence[str], limits: Limits = Limits(), *, device: str | None = None, precision: Precision = "auto"
) -> dict[str, Served]:
    """Load networks and try each once; both ways of a translator that goes both are two, such as ``NAME-BtoA``.

    Raises:
        UserError: as `organza.load`, `named` and `serve`.
    """
    cores.keep()
    found: dict[str, Served] = {}
    for name, path in named(words):
        place = path if "://" in path else str(user_path(path))
        network = load(place, device=device, precision=precision)
        networks = {name: network}
        for other in network.names if isinstance(network, Translator) else ():
            if isinstance(network, Translator) and other != network.name:
                networks[f"{name}-{other}"] = load(place, model=other, device=device, precision=precision)
        for each, opened in networks.items():
            if each in found:
                raise UserError(f"two networks are called {each}", hint="give them names: --network NAME=PATH")
            found[each] = serve(each, opened, limits)
            log.info(f"{each}: {opened.kind}, {opened.resolution[1]}x{opened.resolution[0]}")
    return found


def serve(name: str, network: Generator | Translator, limits: Limits = Limits()) -> Served:
    """A network with its lanes, which have not begun.

    Raises:
        UserError: a batch whose images depend on their neighbours.
    """
    cpu = network.device.type == "cpu"
    lanes = limits.lanes or (max(1, _cores() // limits.threads) if cpu else 1)
    if isinstance(network, Translator):
        threads = lanes * limits.threads  # all that they have, since only one computes
        begin = partial(torch.set_num_threads, threads)
        one = Lanes[Any, Pixels](translating(network), count=1, capacity=limits.queue, begin=begin)
        return Served(name, network, one, 1)
    batch = min(limits.batch, at_once(network.resolution)) if cpu else limits.batch
    if batch < limits.batch:
        log.info(f"{name}: --batch {batch}, because more of this size are not faster here")
    check_neighbours(network, batch)
    several = Lanes[Any, Pixels](
        generating(network, batch),
        count=lanes,
        capacity=limits.queue,
        batch=batch,
        wait=limits.wait_ms / 1000 if batch > 1 else 0,
        alike=lambda ask: ask.sampling.noise,
        begin=partial(torch.set_num_threads, limits.threads),
    )
    return Served(name, network, several, batch)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def generating(G: Generator, batch: int = 1) -> Callable[[list[Seeded]], list[Pixels | Exception]]:
    """How ``G`` answers: an image uint8 ``[H, W, C]`` for each, or what is wrong with the request.

    An image is that of ``G.generate([seed])`` to the bit where ``batch`` is 1.
    """

    def compute(asks: list[Seeded]) -> list[Pixels | Exception]:
        answers: dict[int, Pixels | Exception] = {}
        ws: dict[int, Tensor] = {}
        for place, ask in enumerate(asks):
            try:
                ws[place] = codes(G, [ask.seed], ask.sampling)
            except UserError as error:
                answers[place] = error
        noise: Noise = asks[0].sampling.noise
        if noise == "random" or batch == 1:
            answers |= {place: draw(G, w, noise, [asks[place].seed])[0] for place, w in ws.items()}
        elif ws:
            rows = list(ws.values())
            full = torch.cat(rows + rows[-1:] * (batch - len(rows)))
            answers |= dict(zip(ws, to_pixels(G.synthesis(full, noise)), strict=False))
        return [answers[place] for place in range(len(asks))]

    return compute


def translating(T: Translator) -> Callable[[list[Wish]], list[Pixels | Exception]]:
    """How ``T`` answers: pixels uint8 ``[H, W, C]`` for each, or what is wrong with the request."""

    def compute(wishes: list[Wish]) -> list[Pixels | Exception]:
        answers: list[Pixels | Exception] = []
        for wish in wishes:
            try:
                with _dice:
                    photo = T.photo(wish.photo, wish.labels, target=wish.target, size=wish.size, seed=wish.seed)
                answers.append(photo.eight())
            except UserError as error:
                answers.append(error)
        return answers

    return compute


def check_neighbours(G: Generator, batch: int) -> None:
    """Generate some images, and see that they have the same bits in another order.

    Raises:
        UserError: they have not. On a GPU it is only told.
    """
    rows = torch.cat([G.mapping(z, _some_labels(G)) for z in torch.split(G.z(list(range(batch))), 1)])
    there, back = G.synthesis(rows), G.synthesis(rows.flip(0)).flip(0)
    if batch == 1 or torch.equal(there, back):
        return
    what = f"images of {G.kind} depend on what is computed with them, in their last bits"
    if G.device.type == "cpu":
        raise UserError(what, where=G.source, hint="leave --batch at 1")
    log.warning(f"{what}; with --batch 1 they don't")


def _some_labels(G: Generator) -> Tensor | None:
    return torch.zeros([1, G.label_dim]) if G.label_dim else None
