"""Helper networks that are not ours: where their files lie, where to get them, and which are there.

A folder of weights is laid out as ``mtcnn/pnet.pt``, ``faces/selfie.onnx`` and so on. The cache has such a folder as
well: what is fetched goes there, and what nobody publishes can be put there by hand.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from organza.core.cache import cache_root
from organza.core.doctor import Finding
from organza.core.download import digest, download, offline_wished
from organza.core.errors import UserError
from organza.core.files import user_path
from organza.core.messages import logger

log = logger(__name__)

_FACENET = "https://raw.githubusercontent.com/timesler/facenet-pytorch/master/data"


@dataclass(frozen=True)
class Helper:
    """A helper network.

    Attributes:
        about: what it is for.
        files: their places in a folder of weights -> the SHA-256 of those that Organza was tried with. Of several
            with ``any_one``, one is enough.
        licence: as far as it is known.
        get: where people get it, for messages.
        base: address of the publisher's files under the same names; None where none is known.
        any_one: whether the files are alternatives.
    """

    about: str
    files: dict[str, str]
    licence: str
    get: str
    base: str | None = None
    any_one: bool = False


HELPERS: dict[str, Helper] = {
    "mtcnn": Helper(
        "finds faces",
        {
            "mtcnn/pnet.pt": "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
            "mtcnn/rnet.pt": "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
            "mtcnn/onet.pt": "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
        },
        "MIT, of facenet-pytorch",
        "the package facenet-pytorch has them in its folder data",
        _FACENET,
    ),
    "selfie": Helper(
        "finds people in portraits",
        {"faces/selfie.onnx": "c13389bb7c683415171a255627c3eadb52de1e75660953574c7d3639d994db52"},
        "Apache 2.0 as far as known",
        "MediaPipe's selfie segmenter (256x256), converted to ONNX with the input x and the output alpha",
    ),
    "face-id": Helper(
        "compares faces",
        {
            "faces/model_mobilefacenet.pth": "",
            "faces/mobilefacenet.pth": "",
            "faces/faceres.onnx": "6d173743e0adb499f211cc51e7957d663890386aad113ae9590d2f026423e996",
        },
        "not known",
        "model_mobilefacenet.pth of minivision's photo2cartoon, or faceres of the human package, converted to ONNX",
        any_one=True,
    ),
}


def own_folder() -> Path:
    """The folder of weights in the cache."""
    return cache_root() / "weights"


def find_helper(name: str, folder: str | os.PathLike[str] | None = None) -> Path:
    """Where a helper's file lies, or its folder where it has several that belong together.

    Args:
        name: one of `HELPERS`.
        folder: a folder of weights; None takes that of the cache, and fetches into it what is published.

    Raises:
        UserError: it is not there, and can't be fetched.
    """
    helper = HELPERS[name]
    root = own_folder() if folder is None else user_path(folder)
    if folder is not None and not root.is_dir():
        raise UserError("is no folder", where=root, hint=f"give one with {_wanted(helper)}")
    if (found := _there(helper, root)) is not None:
        return found
    if folder is None and helper.base is not None and not helper.any_one:
        _fetch(name, helper, root)
        return root / Path(next(iter(helper.files))).parent
    hint = f"put {_wanted(helper)} there: {helper.get}"
    raise UserError(f"lacks the network that {helper.about}", where=root, hint=hint)


def has_helper(name: str) -> bool:
    """Whether one of `HELPERS` lies in the cache; nothing is fetched."""
    return _there(HELPERS[name], own_folder()) is not None


def examine_helpers(folder: str | os.PathLike[str] | None = None) -> Iterator[Finding]:
    """Which helper networks are there; nothing is fetched.

    Args:
        folder: a folder of weights; None looks into that of the cache.
    """
    root = own_folder() if folder is None else user_path(folder)
    for name, helper in HELPERS.items():
        found = _there(helper, root)
        if found is None:
            how = "it is fetched on first use, or " if helper.base is not None and folder is None else ""
            advice = f"it {helper.about}: {how}put {_wanted(helper)} into {root}; docs/cartoon.md says where from"
            yield Finding(f"helper {name}", "not there", advice)
            continue
        files = {place: root / place for place in helper.files if (root / place).is_file()}
        same = all(helper.files[place] in ("", digest(path)) for place, path in files.items())
        yield Finding(f"helper {name}", f"{found}{'' if same else ', another file than Organza was tried with'}")


def _there(helper: Helper, root: Path) -> Path | None:
    places = [root / place for place in helper.files]
    present = [os.path.isfile(place) for place in places]
    if helper.any_one or len(places) == 1:
        return next((place for place, there in zip(places, present, strict=True) if there), None)
    return places[0].parent if all(present) else None


def _wanted(helper: Helper) -> str:
    return (" or " if helper.any_one else ", ").join(helper.files)


def _fetch(name: str, helper: Helper, root: Path) -> None:
    if not offline_wished():
        log.info(f"{name}, which {helper.about}, is fetched once from {helper.base} (licence: {helper.licence})")
    for place, sha256 in helper.files.items():
        try:
            download(f"{helper.base}/{Path(place).name}", root / place, sha256=sha256)
        except UserError as error:
            hint = f"say --weights-dir, or put {_wanted(helper)} into {root}: {helper.get}"
            raise UserError(error.what, where=error.where, hint=hint) from error
