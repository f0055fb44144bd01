"""Networks that everybody measures with: where their files lie, and their checksums."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from organza.core.cache import cache_root
from organza.core.download import download, offline_wished
from organza.core.errors import UserError
from organza.core.messages import logger

log = logger(__name__)


@dataclass(frozen=True)
class File:
    """A published file of weights.

    Attributes:
        url: where it is.
        sha256: of the file; of VGG-19, the first digits, which its name says.
        size: in MB, so that people know what they wait for.
    """

    url: str
    sha256: str
    size: float

    @property
    def name(self) -> str:
        """What the file is called."""
        return self.url.rsplit("/", 1)[1]


_TORCH = "https://download.pytorch.org/models"
_LPIPS = "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1"

PUBLISHED: dict[str, File] = {
    "inception": File(
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
        "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        96,
    ),
    "inception-torchscript": File(
        "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt",
        "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
        96,
    ),
    "vgg": File(
        f"{_TORCH}/vgg16-397923af.pth", "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0", 553
    ),
    "alex": File(
        f"{_TORCH}/alexnet-owt-7be5be79.pth", "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02", 244
    ),
    "vgg19": File(f"{_TORCH}/vgg19-dcbb9e9d.pth", "dcbb9e9d", 575),
    "squeeze": File(
        f"{_TORCH}/squeezenet1_1-b8a52dc0.pth", "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b", 5
    ),
    "vgg-heads": File(f"{_LPIPS}/vgg.pth", "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868", 0.01),
    "alex-heads": File(f"{_LPIPS}/alex.pth", "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0", 0.01),
    "squeeze-heads": File(
        f"{_LPIPS}/squeeze.pth", "4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76", 0.01
    ),
}
"""The 2015 Inception in two forms, the bodies of LPIPS as torchvision has them, with its linear heads v0.1, and VGG-19,
which translators learn by."""


_INSTEAD = "give evaluate --features inception:FILE, or take metrics without a download: fd_voile64_2k_full"


def place(name: str) -> Path:
    """Where in the cache a published file is, or will be: one may also put it there by hand.

    Example:
        >>> place("squeeze").name
        'squeezenet1_1-b8a52dc0.pth'
    """
    folder = "lpips-v0.1" if name.endswith("-heads") else "weights"
    return cache_root() / "metrics" / folder / PUBLISHED[name].name


def fetch(name: str) -> Path:
    """A published file from the cache; the first time, from the network, checked.

    Raises:
        UserError: offline, not reachable, or not what it should be.
    """
    file, path = PUBLISHED[name], place(name)
    if not path.is_file() and file.size > 1 and not offline_wished():
        log.info(f"{file.name} ({file.size:.0f} MB) is fetched once: {file.url}")
    try:
        return download(file.url, path, sha256=file.sha256)
    except UserError as error:
        hint = f"put the file at {path}, {_INSTEAD if name.startswith('inception') else 'or take --distance voile64'}"
        raise UserError(error.what, where=error.where, hint=hint) from error
