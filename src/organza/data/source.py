"""Where pictures come from: one small contract, one file per format in `organza.data.readers`."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from organza.data.labels import Labels

PICTURES = frozenset(f".{kind}" for kind in "png jpg jpeg jpe jfif webp bmp dib gif tif tiff ppm pgm".split())  # noqa: SIM905
"""Names that promise a picture: one that does not hold it is reported. Other names are looked into quietly."""

_SIDE_FILES = """
    json jsonl csv tsv txt md rst html htm xml yaml yml toml py ipynb log pdf sh bat mat npy npz pkl pt pth ckpt
    safetensors zip tar gz tgz 7z rar mdb tfrecords labels db ini lnk mp4 mov wav mp3 parquet arrow
"""
NOT_PICTURES = frozenset(f".{kind}" for kind in _SIDE_FILES.split())
"""Names that are never looked into: side files of a data set."""

MAX_FILE = 1 << 28
"""A single picture file larger than this many bytes is refused before it is read."""


class BadPicture(Exception):
    """One entry that can't be used; the text is the reason, without the entry's name."""


class Entry(NamedTuple):
    """One picture of a source.

    Attributes:
        name: its path inside the source, with ``/``.
        size: bytes, before any decoding.
        at: how the reader finds it again; its own business.
        claimed: the name promises a picture, so anything else in there is an error worth reporting.
    """

    name: str
    size: int
    at: Any
    claimed: bool = True


class Source(ABC):
    """A place with pictures. Listing is lazy; instances can be pickled and sent to worker processes.

    Attributes:
        kind: for people: "folder", "zip" ...
        path: where it is.
    """

    kind: str
    path: Path

    @property
    def name(self) -> str:
        """Short, for run folders and logs."""
        return dataset_name(self.path)

    @abstractmethod
    def fingerprint(self) -> str:
        """A string that changes whenever the content does; cheap even for 100,000 pictures."""

    @abstractmethod
    def entries(self) -> list[Entry]:
        """All candidate pictures, sorted by name."""

    @abstractmethod
    def read(self, entry: Entry) -> bytes | NDArray[np.uint8]:
        """The encoded picture, or its pixels ``[H, W]`` or ``[H, W, C]`` where the format stores those.

        Raises:
            BadPicture: the entry can't be read.
        """

    def side(self, name: str) -> bytes | None:
        """The content of a side file (``dataset.json``, a CSV) by its name, or None."""
        return None

    def texts(self, entries: Sequence[Entry]) -> list[str | None]:
        """The content of the ``.txt`` file beside each entry, where there is one."""
        return [None] * len(entries)

    def column(self, title: str) -> Sequence[Any] | None:
        """Where the format itself is a table: the column of that name, in the order of all `entries`."""
        return None

    def labels(self) -> Labels | None:
        """Where the format itself has labels: those of all `entries`, in their order."""
        return None


def may_be_picture(name: str) -> bool:
    """Whether an entry of this name is looked into.

    Example:
        >>> [may_be_picture(n) for n in ("a/b.png", "noname", "captions.csv", "__MACOSX/a.png", "a/.DS_Store")]
        [True, True, False, False, False]
    """
    parts = name.split("/")
    if (
        any(p.startswith(".") and p not in (".", "..") for p in parts)
        or "__MACOSX" in parts
        or parts[-1] == "Thumbs.db"
    ):
        return False
    return suffix(name) not in NOT_PICTURES


def suffix(name: str) -> str:
    """The lower-case extension with its dot, or ``""``."""
    found = re.search(r"\.[^./\\]+$", name)
    return found.group().lower() if found else ""


def dataset_name(path: Path) -> str:
    """A short name for run folders and logs.

    Example:
        >>> dataset_name(Path("data/anime faces.zip"))
        'anime_faces'
    """
    stem = path.resolve().name if path.is_dir() else path.stem
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in stem)[:60] or "data"


def find_side(names: Iterable[str], wanted: str) -> str | None:
    """The side file among ``names``: itself, or of that name in the highest folder.

    Example:
        >>> find_side(["b/c/list.csv", "b/list.csv"], "list.csv")
        'b/list.csv'
    """
    found = [name for name in names if name == wanted or name.endswith("/" + wanted)]
    return min(found, key=lambda name: (name != wanted, name.count("/"), name), default=None)
