"""A folder of images, at any depth."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from organza.core.errors import UserError
from organza.data.source import BadPicture, Entry, FileSource, file_entry

if TYPE_CHECKING:
    from pathlib import Path


class FolderSource(FileSource):
    """Images in a folder and its sub-folders; links to folders are followed once each."""

    kind = "folder"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._found: list[Entry] | None = None

    def __reduce__(self) -> tuple[type[FolderSource], tuple[Path]]:
        return FolderSource, (self.path,)

    def files(self) -> list[Entry]:
        """Every file, with its size, and the time of its last change in ns (0 for a link that leads nowhere)."""
        if self._found is None:
            found: list[Entry] = []
            seen: set[tuple[int, int]] = set()
            todo, links = [(str(self.path), "")], list[tuple[str, str]]()
            while todo or links:
                # Links last: what they lead to is listed under its own name if it is in here as well.
                folder, prefix = todo.pop() if todo else links.pop()
                try:
                    about = os.stat(folder)
                    if (about.st_dev, about.st_ino) in seen and about.st_ino:
                        continue  # a link that leads back up
                    seen.add((about.st_dev, about.st_ino))
                    children = sorted(os.scandir(folder), key=lambda child: child.name)
                except OSError as error:
                    raise UserError(f"can't list the folder ({error.strerror})", where=folder) from None
                for child in children:
                    if _is_folder(child):
                        (links if child.is_symlink() else todo).append((child.path, f"{prefix}{child.name}/"))
                    else:
                        found.append(file_entry(prefix + child.name, *_about(child)))
            self._found = sorted(found)
        return self._found

    def fingerprint(self) -> str:
        """Names, sizes and times of change: what a build tool looks at too."""
        digest = hashlib.sha256()
        for file in self.files():
            digest.update(f"{file.name}\0{file.size}\0{file.at}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def fetch(self, file: Entry) -> bytes:
        """The file's bytes."""
        if not file.at:
            raise BadPicture("a link that leads nowhere, or no file")
        try:
            return (self.path / file.name).read_bytes()
        except OSError as error:
            raise BadPicture(f"can't be read ({error.strerror})") from None


def _is_folder(child: os.DirEntry[str]) -> bool:
    try:
        return child.is_dir()
    except OSError:  # links in a circle
        return False


def _about(child: os.DirEntry[str]) -> tuple[int, int]:
    try:
        if child.is_file():  # a pipe or a device may have no end
            stat = child.stat()
            return stat.st_size, max(1, stat.st_mtime_ns)
    except OSError:
        pass
    return 0, 0
