"""Networks that come with the package, each a small checkpoint folder with a card that says where it comes from."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from pathlib import Path

from organza.core.config import from_plain
from organza.core.errors import UserError
from organza.core.files import read_error
from organza.core.jsons import read_json

FOLDER = Path(__file__).parent.parent / "zoo"
PREFIX = "zoo/"
CARD = "card.json"


@dataclass(frozen=True)
class Card:
    """What is known of a trained network.

    Attributes:
        summary: what it makes, in a line.
        data: what it was trained on, and whose that is.
        licence: of the network.
        command: with which it was trained.
        kimg: thousands of images that it was shown.
        minutes: that this took, on ``machine``.
        machine: in words.
        figures: what was measured, by name.
        limits: what it can't do, or must not be used for.
        seeds: of the images in ``samples.png``.
    """

    summary: str
    data: str
    licence: str
    command: str
    kimg: float
    minutes: float
    machine: str
    figures: dict[str, float] = field(default_factory=dict)
    limits: str = ""
    seeds: str = ""


def zoo_names() -> list[str]:
    """The networks that come with the package.

    Example:
        >>> "digits-vae" in zoo_names()
        True
    """
    return sorted(path.parent.name for path in FOLDER.glob(f"*/{CARD}"))


def zoo_folder(name: str) -> Path:
    """The checkpoint folder of one of `zoo_names`.

    Raises:
        UserError: there is none; the message names the nearest.

    Example:
        >>> zoo_folder("digit-vae")
        Traceback (most recent call last):
        ...
        organza.core.errors.UserError: zoo/digit-vae: no network of this name comes with Organza; did you mean ...?
    """
    names = zoo_names()
    if name in names:
        return FOLDER / name
    near = difflib.get_close_matches(name.lower(), names, n=2, cutoff=0.4)
    hint = f"did you mean {' or '.join(PREFIX + one for one in near)}?" if near else "`organza zoo` lists them"
    raise UserError("no network of this name comes with Organza", where=f"{PREFIX}{name}", hint=hint)


def in_zoo(text: str) -> str | None:
    """The name that follows ``zoo/``; None where that is not what ``text`` begins with.

    Example:
        >>> in_zoo("zoo/digits-vae"), in_zoo("runs/zoo/x")
        ('digits-vae', None)
    """
    match = re.fullmatch(r"zoo[/\\]([^/\\]*)[/\\]?", text)
    return None if match is None else match[1]


def read_card(folder: Path) -> Card | None:
    """The card of a network's folder; None where it has none.

    Raises:
        UserError: it can't be read.
    """
    path = folder / CARD
    if not path.is_file():
        return None
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise read_error(path, error) from error
    return from_plain(Card, read_json(raw, path, max_memory=1 << 24), where=path)
