"""Where weights are: a path, an address, the name of a published network, of the zoo, or of the hub."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from organza.core.download import cache_path, download
from organza.core.errors import UserError
from organza.core.files import user_path
from organza.core.progress import Progress
from organza.core.zoo import in_zoo, zoo_folder
from organza.formats import hub


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
_SG3 = "https://api.ngc.nvidia.com/v2/models/nvidia/research/stylegan3/versions/1/files"
_SG2 = "https://api.ngc.nvidia.com/v2/models/nvidia/research/stylegan2/versions/1/files"


def _stylegan3() -> dict[str, Published]:
    """StyleGAN3's networks, under the names of their files."""
    sets = {"ffhq": 1024, "ffhqu": 1024, "metfaces": 1024, "metfacesu": 1024, "afhqv2": 512}
    names = [f"stylegan3-{config}-{what}-{size}x{size}" for what, size in sets.items() for config in "tr"]
    names += [f"stylegan3-{config}-ffhqu-256x256" for config in "tr"]
    return {name: Published(f"{_SG3}/{name}.pkl") for name in names}


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
    "cifar10u": Published(f"{_ADA}/paper-fig11b-cifar10/cifar10u-cifar-ada-best-fid.pkl"),
    "ffhqu256": Published(f"{_SG2}/stylegan2-ffhqu-256x256.pkl"),
    "ffhqu1024": Published(f"{_SG2}/stylegan2-ffhqu-1024x1024.pkl"),
    "metfacesu1024": Published(f"{_SG2}/stylegan2-metfacesu-1024x1024.pkl"),
    "afhqv2": Published(f"{_SG3}/stylegan3-t-afhqv2-512x512.pkl"),
    "ffhq-config-f": Published(f"{_TF}/stylegan2-ffhq-config-f.pkl"),
    "car-config-f": Published(f"{_TF}/stylegan2-car-config-f.pkl"),
    "cat-config-f": Published(f"{_TF}/stylegan2-cat-config-f.pkl"),
    "church-config-f": Published(f"{_TF}/stylegan2-church-config-f.pkl"),
    "horse-config-f": Published(f"{_TF}/stylegan2-horse-config-f.pkl"),
    **_stylegan3(),
}
"""Published networks by short name; all are NVIDIA's."""

WITHOUT_ADDRESS = {
    "anime": "the well-known anime portraits (StyleGAN2, 512x512, Skylion and Gwern) lie on a host that only a browser "
    "can fetch from: https://gwern.net/face#stylegan-2; fetch the .pkl there and give its path",
}
"""Names that people try and that lead nowhere, with the reason."""


def locate(where: str | Path, *, offline: bool | None = None, progress: Progress | None = None) -> Path:
    """The local path of weights; addresses and published names are fetched once and kept in the cache.

    Args:
        where: a path, an http(s) address, a name in `PUBLISHED`, ``zoo/NAME``, or ``hf:user/name``. A path that exists
            wins over a name.
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
    where = user_path(where)
    if text.startswith(hub.PREFIX) and not where.exists():
        return hub.fetch(text, offline=offline)
    if (name := in_zoo(text)) is not None and not where.exists():
        return zoo_folder(name)
    if text in PUBLISHED and not where.exists():
        return _fetch(PUBLISHED[text], offline, progress)
    if text in WITHOUT_ADDRESS and not where.exists():
        hint = "give the file or its address; NVIDIA's, rosinality's and lucidrains' formats are read"
        raise UserError(f"no network is kept under this name: {WITHOUT_ADDRESS[text]}", where=text, hint=hint)
    if not where.exists() and re.fullmatch(r"[a-z0-9-]+", text):
        near = difflib.get_close_matches(text, PUBLISHED, n=1, cutoff=0.7)
        if near:
            raise UserError("does not exist", where=text, hint=f"did you mean the published network {near[0]}?")
    return where


def _fetch(network: Published, offline: bool | None, progress: Progress | None) -> Path:
    dest = cache_path(network.address, "weights")
    return download(network.address, dest, sha256=network.sha256, offline=offline, progress=progress)
