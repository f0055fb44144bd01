"""A folder of pictures, at any depth."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from organza.core.errors import UserError
from organza.data.names import beside, text_of
from organza.data.source import MAX_FILE, PICTURES, BadPicture, Entry, Source, find_side, may_be_picture, suffix

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class FolderSource(Source):
    """Pictures in a folder and its sub-folders; links to folders are followed once each."""

    kind = "folder"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._found: list[tuple[str, int, int]] | None = None

    def __reduce__(self) -> tuple[type[FolderSource], tuple[Path]]:
        return FolderSource, (self.path,)

    def _files(self) -> list[tuple[str, int, int]]:
        """(name, size, time of last change in ns) of every file, sorted by name."""
        if self._found is None:
            found: list[tuple[str, int, int]] = []
            seen: set[tuple[int, int]] = set()
            todo = [(str(self.path), "")]
            while todo:
                folder, prefix = todo.pop()
                about = os.stat(folder)
                if (about.st_dev, about.st_ino) in seen and about.st_ino:
                    continue  # a link that leads back up
                seen.add((about.st_dev, about.st_ino))
                try:
                    children = list(os.scandir(folder))
                except OSError as error:
                    raise UserError(f"can't list the folder ({error.strerror})", where=folder) from None
                for child in children:
                    name = prefix + child.name
                    if child.is_dir():
                        todo.append((child.path, name + "/"))
                    elif child.is_file():
                        stat = child.stat()
                        found.append((name, stat.st_size, stat.st_mtime_ns))
            self._found = sorted(found)
        return self._found

    def fingerprint(self) -> str:
        """Names, sizes and times of change: what a build tool looks at too."""
        digest = hashlib.sha256()
        for name, size, changed in self._files():
            digest.update(f"{name}\0{size}\0{changed}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def entries(self) -> list[Entry]:
        """Sorted by path."""
        return [Entry(n, size, None, suffix(n) in PICTURES) for n, size, _ in self._files() if may_be_picture(n)]

    def read(self, entry: Entry) -> bytes:
        """The file's bytes."""
        if entry.size > MAX_FILE:
            raise BadPicture(f"{entry.size / 2**20:.0f} MB is more than a picture file may have ({MAX_FILE >> 20} MB)")
        try:
            return (self.path / entry.name).read_bytes()
        except OSError as error:
            raise BadPicture(f"can't be read ({error.strerror})") from None

    def side(self, name: str) -> bytes | None:
        """A file in the folder."""
        found = find_side((n for n, _, _ in self._files()), name)
        return None if found is None else (self.path / found).read_bytes()

    def texts(self, entries: Sequence[Entry]) -> list[str | None]:
        """The ``.txt`` files beside the pictures."""
        found = beside([e.name for e in entries], (name for name, _, _ in self._files()), ".txt")
        return [None if name is None else text_of((self.path / name).read_bytes()).strip() for name in found]
