"""Where images come from: one small contract, one file per format in `organza.data.readers`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from organza.core.errors import UserError
from organza.data.tables.names import NOT_PICTURES as NOT_PICTURES
from organza.data.tables.names import PICTURES as PICTURES
from organza.data.tables.names import RAWS as RAWS
from organza.data.tables.names import beside, text_of
from organza.data.tables.names import suffix as suffix

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from organza.data.tables.values import Labels

_SYSTEM = frozenset(("__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"))
_SYSTEM_FILES = frozenset(("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"))
"""What macOS, Windows and network drives put among images: copies of icons and thumbnails, and what was deleted."""

MAX_FILE = 1 << 28
"""A single image file larger than this many bytes is refused before it is read."""

MIN_STORED = 16
"""Bytes that an image takes on disk at least: a file that declares more images than it has room for is refused."""

RAW = "a camera's raw file, of which only the preview could be read: develop it to PNG or JPEG first"


class BadPicture(Exception):
    """One entry that can't be used; the text is the reason, without the entry's name."""


class Entry(NamedTuple):
    """One file or record of a source.

    Attributes:
        name: its path inside the source, with ``/``.
        size: bytes, before any decoding.
        at: how the reader finds it again; its own business.
        claimed: the name promises an image, so anything else in there is an error worth reporting.
    """

    name: str
    size: int
    at: Any
    claimed: bool = True


class Contents(NamedTuple):
    """All that a source holds, each thing in one of two places.

    Attributes:
        entries: what may be an image; each is used, or skipped with a reason.
        others: (name, what it is) of what is left aside unread: side files, hidden files, a second set beside it.
    """

    entries: list[Entry]
    others: list[tuple[str, str]]


class Source(ABC):
    """A place with images. Listing is lazy; instances can be pickled and sent to worker processes.

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
        """A string that changes whenever the content does; cheap even for 100,000 images."""

    @abstractmethod
    def contents(self) -> Contents:
        """Everything in it, counted from what is there and not from what a header says.

        Raises:
            UserError: it is cut short, or contradicts itself.
        """

    def entries(self) -> list[Entry]:
        """All candidate images, sorted by name."""
        return self.contents().entries

    @abstractmethod
    def read(self, entry: Entry) -> bytes | NDArray[np.uint8]:
        """The encoded image, or its pixels ``[H, W]`` or ``[H, W, C]`` where the format stores those.

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


class FileSource(Source):
    """A source made of named files: a folder, a zip, a tar."""

    _contents: Contents | None = None

    @abstractmethod
    def files(self) -> list[Entry]:
        """Every file in it, sorted by name.

        Raises:
            UserError: it is cut short, or contradicts itself.
        """

    @abstractmethod
    def fetch(self, file: Entry) -> bytes:
        """The bytes of a file of at most `MAX_FILE` bytes.

        Raises:
            BadPicture: they can't be read.
        """

    def contents(self) -> Contents:
        """What may be an image, and what is known by its name not to be."""
        if self._contents is None:
            self._contents = sort_out(self.files())
        return self._contents

    def read(self, entry: Entry) -> bytes:
        """The bytes of a file."""
        if entry.size > MAX_FILE:
            raise BadPicture(f"{entry.size / 2**20:.0f} MB is more than an image file may have ({MAX_FILE >> 20} MB)")
        return usable(entry.name, self.fetch(entry))

    def side(self, name: str) -> bytes | None:
        """A file by its name, in the highest folder that has one."""
        found = find_side((file.name for file in self.files()), name)
        return None if found is None else self._side(next(file for file in self.files() if file.name == found))

    def _side(self, file: Entry) -> bytes:
        try:
            return self.read(file)
        except BadPicture as error:
            raise UserError(str(error), where=f"{self.path}/{file.name}") from None

    def texts(self, entries: Sequence[Entry]) -> list[str | None]:
        """The ``.txt`` files beside the images."""
        return [None if raw is None else text_of(raw).strip() for raw in self.beside(entries, ".txt")]

    def beside(self, entries: Sequence[Entry], kind: str) -> list[bytes | None]:
        """The content of the file beside each entry that has its name but the extension ``kind``."""
        known = {file.name: file for file in self.files()}
        found = beside([entry.name for entry in entries], known, kind)
        return [None if name is None else self._side(known[name]) for name in found]


def sort_out(files: Sequence[Entry]) -> Contents:
    """Files of a folder or an archive -> what may be an image, and what is known not to be."""
    entries, others = [], []
    for file in files:
        if what := left_aside(file.name):
            others.append((file.name, what))
        else:
            entries.append(file)
    assert len(entries) + len(others) == len(files)
    return Contents(entries, others)


def check_some(source: Source) -> None:
    """See that there is something that may be an image.

    Raises:
        UserError: there is nothing; the message says what else lies there.
    """
    entries, others = source.contents()
    if entries:
        return
    count = Counter(kind for _, kind in others)
    kinds = ", ".join(f"{kind} {number:,}" for kind, number in count.most_common(6))
    what = f"no images found among other files: {kinds}" if kinds else "no images found"
    hint = "give a folder or a zip of PNG, JPEG or WebP files"
    if not count.keys().isdisjoint({".mp4", ".mov"}):
        hint = "vid2vid is trained on videos, and `organza translate` takes one video at a time; " + hint
    raise UserError(what, where=source.path, hint=hint)


def left_aside(name: str) -> str:
    """Why a file of this name is not looked into: what it is; "" if it may be an image.

    Example:
        >>> [left_aside(n) for n in ("a/b.png", "noname", "captions.csv", "__MACOSX/a.png", "a/.DS_Store")]
        ['', '', '.csv', 'hidden', 'hidden']
    """
    parts = name.split("/")
    if any(p.startswith(".") and p not in (".", "..") for p in parts) or not _SYSTEM.isdisjoint(parts):
        return "hidden"
    if parts[-1].lower() in _SYSTEM_FILES:
        return "hidden"
    kind = suffix(name)
    return kind if kind in NOT_PICTURES else ""


def usable(name: str, data: bytes) -> bytes:
    """``data`` of the file ``name``, unless the two together say that it is a camera's raw file: many are TIFFs.

    Raises:
        BadPicture: it is.
    """
    if suffix(name) in RAWS and data.startswith((b"II", b"MM")):
        raise BadPicture(RAW)
    return data


def file_entry(name: str, size: int, at: Any) -> Entry:
    """A file of a folder or an archive; its name says whether it claims to be an image."""
    return Entry(name, size, at, suffix(name) in PICTURES)


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
