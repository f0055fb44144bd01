"""LSUN's LMDB folders: encoded pictures by key.

Source: F. Yu et al., "LSUN", arXiv 1506.03365; the format of github.com/fyu/lsun.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from organza.core.errors import UserError
from organza.data.source import BadPicture, Entry, Source

if TYPE_CHECKING:
    from pathlib import Path


class LmdbSource(Source):
    """A folder with ``data.mdb`` whose values are encoded pictures."""

    kind = "LMDB"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._env: Any = None

    def __reduce__(self) -> tuple[type[LmdbSource], tuple[Path]]:
        return LmdbSource, (self.path,)

    @classmethod
    def recognise(cls, path: Path) -> LmdbSource | None:
        """A folder with ``data.mdb``."""
        return cls(path) if path.is_dir() and (path / "data.mdb").is_file() else None

    def fingerprint(self) -> str:
        """Size and time of change."""
        about = (self.path / "data.mdb").stat()
        return hashlib.sha256(f"{about.st_size} {about.st_mtime_ns}".encode()).hexdigest()

    def _begin(self) -> Any:
        try:
            import lmdb
        except ImportError:
            hint = 'install it with pip install "organza[data]"'
            raise UserError("LMDB needs the package lmdb", where=self.path, hint=hint) from None
        try:
            if self._env is None:
                self._env = lmdb.open(str(self.path), readonly=True, lock=False, readahead=False, meminit=False)
            return self._env.begin(buffers=True)
        except lmdb.Error as error:
            raise UserError(f"not a whole LMDB ({error})", where=self.path, hint="download it again") from None

    def entries(self) -> list[Entry]:
        """Sorted by key."""
        with self._begin() as reading:
            found = [(bytes(key), len(value)) for key, value in reading.cursor().iternext(keys=True, values=True)]
        return [Entry(key.decode("utf-8", "backslashreplace"), size, key) for key, size in found]

    def read(self, entry: Entry) -> bytes:
        """The value of one key."""
        with self._begin() as reading:
            value = reading.get(entry.at)
            if value is None:
                raise BadPicture("it is no longer there")
            return bytes(value)
