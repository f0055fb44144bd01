"""Where weights are: a path, an address, or the name of a published network."""

from __future__ import annotations

import difflib
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from organza.core.errors import UserError
from organza.data.cache import cache_root
from organza.data.download import download
from organza.data.prepare import Progress


@dataclass(frozen=True)
class Published:
    """A network that somebody published.

    Attributes:
        address: where it is.
        sha256: of the file; None where its publisher states none.
    """

    address: str
    sha256: str | None = None


_ADA = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained"
_SOURCES = f"{_ADA}/transfer-learning-source-nets"
_TF = "https://nvlabs-fi-cdn.nvidia.com/stylegan2/networks"

PUBLISHED: dict[str, Published] = {
    "ffhq256": Published(f"{_SOURCES}/ffhq-res256-mirror-paper256-noaug.pkl"),
    "ffhq512": Published(f"{_SOURCES}/ffhq-res512-mirror-stylegan2-noaug.pkl"),
    "ffhq1024": Published(f"{_SOURCES}/ffhq-res1024-mirror-stylegan2-noaug.pkl"),
    "celebahq256": Published(f"{_SOURCES}/celebahq-res256-mirror-paper256-kimg100000-ada-target0.5.pkl"),
    "lsundog256": Published(f"{_SOURCES}/lsundog-res256-paper256-kimg100000-noaug.pkl"),
    "metfaces1024": Published(f"{_ADA}/metfaces.pkl"),
    "afhqcat512": Published(f"{_ADA}/afhqcat.pkl"),
    "afhqdog512": Published(f"{_ADA}/afhqdog.pkl"),
    "afhqwild512": Published(f"{_ADA}/afhqwild.pkl"),
    "brecahad512": Published(f"{_ADA}/brecahad.pkl"),
    "cifar10": Published(f"{_ADA}/cifar10.pkl"),
    "ffhq-config-f": Published(f"{_TF}/stylegan2-ffhq-config-f.pkl"),
    "car-config-f": Published(f"{_TF}/stylegan2-car-config-f.pkl"),
    "cat-config-f": Published(f"{_TF}/stylegan2-cat-config-f.pkl"),
    "church-config-f": Published(f"{_TF}/stylegan2-church-config-f.pkl"),
    "horse-config-f": Published(f"{_TF}/stylegan2-horse-config-f.pkl"),
}
"""Published networks by short name; all are NVIDIA's."""


def locate(where: str | Path, *, offline: bool | None = None, progress: Progress | None = None) -> Path:
    """The local path of weights; addresses and published names are fetched once and kept in the cache.

    Args:
        where: a path, an http(s) address, or a name in `PUBLISHED`. A path that exists wins over a name.
        offline: never use the network; None does as ``ORGANZA_OFFLINE`` says.
        progress: called as ``progress(bytes, total)``.

    Raises:
        UserError: it can't be fetched.

    Example:
        >>> locate("runs/mine").name
        'mine'
        >>> locate("ffhq256", offline=True)
        Traceback (most recent call last):
        ...
        organza.core.errors.UserError: https://...: not downloaded yet, and offline; ...
    """
    text = str(where)
    if match := re.match(r"(https?):/+(?=[^/])", text):  # a path that once was an address has lost a slash
        return _fetch(Published(f"{match[1]}://{text[match.end() :]}"), offline, progress)
    if text in PUBLISHED and not Path(where).exists():
        return _fetch(PUBLISHED[text], offline, progress)
    if not Path(where).exists() and re.fullmatch(r"[a-z0-9-]+", text):
        near = difflib.get_close_matches(text, PUBLISHED, n=1, cutoff=0.7)
        if near:
            raise UserError("does not exist", where=text, hint=f"did you mean the published network {near[0]}?")
    return Path(where)


def _fetch(network: Published, offline: bool | None, progress: Progress | None) -> Path:
    name = PurePosixPath(urlsplit(network.address).path).name or "network"
    folder = cache_root() / "weights" / hashlib.sha256(network.address.encode()).hexdigest()[:12]
    return download(network.address, folder / name, sha256=network.sha256, offline=offline, progress=progress)
