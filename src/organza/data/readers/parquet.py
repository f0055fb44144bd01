"""Hugging Face data sets: parquet files, or the arrow files of ``save_to_disk``, with a column of pictures."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from organza.core.errors import UserError
from organza.data.columns import typed
from organza.data.labels import Labels, from_columns
from organza.data.source import BadPicture, Entry, Source, suffix

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_LABELS = ("label", "labels", "fine_label", "class")
_WORDS = ("caption", "text", "description", "prompt")


class ParquetSource(Source):
    """Rows of one or several tables, with a class column and a caption column where there are such."""

    kind = "parquet"

    def __init__(self, path: Path, files: tuple[Path, ...]) -> None:
        self.path, self.files = path, files
        self._last: tuple[tuple[int, int], list[Any]] | None = None

    def __reduce__(self) -> tuple[type[ParquetSource], tuple[Path, tuple[Path, ...]]]:
        return ParquetSource, (self.path, self.files)

    @classmethod
    def recognise(cls, path: Path) -> ParquetSource | None:
        """A parquet or arrow file, or a folder with such files at its top or one below."""
        if path.is_file():
            with open(path, "rb") as file:
                head = file.read(8)
            return cls(path, (path,)) if head[:4] == b"PAR1" or (suffix(path.name) == ".arrow") else None
        folders = [path, *(f for name in ("data", "train", "default") if (f := path / name).is_dir())]
        files = [f for folder in folders for kind in ("*.parquet", "*.arrow") for f in sorted(folder.glob(kind))]
        training = [f for f in files if "train" in f.name or "train" in f.parent.name]
        return cls(path, tuple(training or files)) if files else None

    def fingerprint(self) -> str:
        """Sizes and times of change."""
        about = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in self.files]
        return hashlib.sha256(repr(about).encode()).hexdigest()

    def _tables(self, number: int) -> _File:
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            hint = 'install it with pip install "organza[parquet]"'
            raise UserError("parquet needs the package pyarrow", where=self.path, hint=hint) from None
        try:
            return _File(self.files[number])
        except Exception as error:
            raise UserError(f"not a whole table ({error})", where=self.files[number]) from None

    def entries(self) -> list[Entry]:
        """In the order of files and rows."""
        found = []
        for number in range(len(self.files)):
            file = self._tables(number)
            for group, rows in enumerate(file.groups):
                found += [Entry(f"{number}/{group}/{row}", 0, (number, group, row)) for row in range(rows)]
        return found

    def read(self, entry: Entry) -> bytes:
        """The encoded picture of one row."""
        number, group, row = entry.at
        if self._last is None or self._last[0] != (number, group):
            file = self._tables(number)
            self._last = (number, group), file.column(group, file.picture)
        value = self._last[1][row]
        data = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(data, bytes):
            raise BadPicture("the row holds no picture (only a path or nothing)")
        return data

    def _all(self, names: tuple[str, ...]) -> list[Any] | None:
        values: list[Any] = []
        for number in range(len(self.files)):
            file = self._tables(number)
            name = next((n for n in names if n in file.names), None)
            if name is None:
                return None
            for group in range(len(file.groups)):
                values += file.column(group, name)
        return values

    def labels(self) -> Labels | None:
        """From the column of that name."""
        values = self._all(_LABELS)
        if values is None:
            return None
        return from_columns(
            [typed("label", values, where=str(self.path))], range(len(values)), self.entries(), str(self.path)
        )

    def column(self, title: str) -> list[Any] | None:
        """A column of all files."""
        return self._all((title,))

    def texts(self, entries: Sequence[Entry]) -> list[str | None]:
        """From a column of words."""
        values = self._all(_WORDS)
        return [None] * len(entries) if values is None else [None if v is None else str(v) for v in values]


class _File:
    """One table in pieces: parquet's row groups or arrow's batches."""

    def __init__(self, path: Path) -> None:
        import pyarrow.ipc
        import pyarrow.parquet

        self._parquet: Any = None
        self._batches: list[Any] = []
        if suffix(path.name) == ".arrow":
            self._batches = list(pyarrow.ipc.open_stream(pyarrow.memory_map(str(path))))
            schema = self._batches[0].schema
            self.groups = [len(batch) for batch in self._batches]
        else:
            self._parquet = pyarrow.parquet.ParquetFile(path)
            schema = self._parquet.schema_arrow
            meta = self._parquet.metadata
            self.groups = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
        self.names: list[str] = list(schema.names)
        pictures = [f.name for f in schema if str(f.type).startswith("struct<bytes") or str(f.type) == "binary"]
        if not pictures:
            raise ValueError(f"no column of pictures among {', '.join(self.names)}")
        self.picture = next((n for n in ("image", "img", "picture") if n in pictures), pictures[0])

    def column(self, group: int, name: str) -> list[Any]:
        table = self._batches[group] if self._parquet is None else self._parquet.read_row_group(group, [name])
        values: list[Any] = table.column(name).to_pylist()
        return values
