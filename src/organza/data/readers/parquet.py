"""Hugging Face datasets: parquet files, or the arrow files of ``save_to_disk``, with a column of images."""

from __future__ import annotations

import hashlib
import re
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from weakref import finalize

from organza.core.errors import UserError
from organza.core.sniff import refuse_stand_in
from organza.data.cache import parallel
from organza.data.readers.parquet_tables import Tables
from organza.data.source import MAX_FILE, MIN_STORED, PICTURES, BadPicture, Contents, Entry, Source, suffix
from organza.data.tables.columns import typed
from organza.data.tables.labels import from_columns
from organza.data.tables.values import Labels

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_LABELS = ("label", "labels", "fine_label", "class")
_WORDS = ("caption", "text", "description", "prompt")
_PLAIN = r"u?int\d+|float|double|bool|(large_)?string|list<.*"


class ParquetSource(Source):
    """Rows of one or several tables, with a class column and a caption column where there are such."""

    kind = "parquet"

    def __init__(self, path: Path, files: tuple[Path, ...], beside: tuple[str, ...] = ()) -> None:
        self.path, self.files, self._beside = path, files, beside
        self._reader: parallel.Worker[Any, Any] | None = None
        self._types: list[dict[str, str]] = []
        self._contents: Contents | None = None

    def __reduce__(self) -> tuple[type[ParquetSource], tuple[Path, tuple[Path, ...], tuple[str, ...]]]:
        return ParquetSource, (self.path, self.files, self._beside)

    @classmethod
    def recognise(cls, path: Path) -> ParquetSource | None:
        """A parquet or arrow file, or a folder with such files at its top or one below."""
        if path.is_file():
            with open(path, "rb") as file:
                head = file.read(8)
            return cls(path, (path,)) if head[:4] == b"PAR1" or (suffix(path.name) == ".arrow") else None
        if any(suffix(f.name) in PICTURES for f in path.iterdir()):
            return None  # a folder of images with a table about them
        folders = [path, *(f for name in ("data", "train", "default") if (f := path / name).is_dir())]
        inside = [f for folder in folders for f in sorted(folder.iterdir()) if f.is_file()]
        files = [f for f in inside if suffix(f.name) in (".parquet", ".arrow")]
        training = [f for f in files if "train" in f.name or "train" in f.parent.name]
        chosen = training or files
        left = tuple(f.relative_to(path).as_posix() for f in inside if f not in chosen)
        return cls(path, tuple(chosen), left) if chosen else None

    def fingerprint(self) -> str:
        """Sizes and times of change."""
        about = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in self.files]
        return hashlib.sha256(repr(about).encode()).hexdigest()

    def _ask(self, what: str, number: int, *rest: Any) -> Any:
        """The answer of the process that reads the tables.

        Raises:
            ValueError: what is wrong with the table.
            UserError: there is no such package, or the process ended.
        """
        if self._reader is None:
            if find_spec("pyarrow") is None:
                hint = 'install it with pip install "organza[parquet]"'
                raise UserError("parquet needs the package pyarrow", where=self.path, hint=hint)
            for path in self.files:
                refuse_stand_in(path)
            self._reader = parallel.Worker(Tables(self.files))
            finalize(self, self._reader.__exit__)
        try:
            return self._reader.ask((what, number, *rest))
        except ChildProcessError:
            what = "not a whole table (the library that reads it crashed)"
            raise UserError(what, where=self.files[number], hint="download it again") from None

    def contents(self) -> Contents:
        """In the order of files and rows."""
        if self._contents is None:
            found: list[Entry] = []
            self._types = []
            for number, path in enumerate(self.files):
                refuse_stand_in(path)
                try:
                    groups, types = self._ask("about", number)
                except ValueError as error:
                    raise UserError(f"not a whole table ({error})", where=path) from None
                self._types.append(types)
                if sum(groups) * MIN_STORED > path.stat().st_size:
                    raise UserError(f"{sum(groups):,} rows in {path.stat().st_size:,} bytes", where=path)
                for group, rows in enumerate(groups):
                    found += [Entry(f"{number}/{group}/{row}", 0, (number, group, row)) for row in range(rows)]
            self._contents = Contents(found, [(name, _beside(name)) for name in self._beside])
        return self._contents

    def read(self, entry: Entry) -> bytes:
        """The encoded image of one row, or the file beside the table that it names."""
        number, group, row = entry.at
        try:
            value = self._ask("image", number, group, row)
        except ValueError as error:
            raise BadPicture(f"damaged ({error})") from None
        data, name = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
        if isinstance(data, bytes):
            return data
        if isinstance(name, str):
            return _file_beside(self.files[number].parent, name)
        raise BadPicture("the row holds no image")

    def _all(self, names: tuple[str, ...], kind: str) -> list[Any] | None:
        """A column over all files, if each has one of these names and of a type that ``kind`` matches."""
        self.contents()
        values: list[Any] = []
        for number, (path, types) in enumerate(zip(self.files, self._types, strict=True)):
            name = next((n for n in names if re.fullmatch(kind, types.get(n, ""))), None)
            if name is None:
                return None
            try:
                values += self._ask("column", number, name)
            except ValueError as error:
                raise UserError(f"column {name!r} is damaged ({error})", where=path) from None
        return values

    def labels(self) -> Labels | None:
        """From the column of that name."""
        values = self._all(_LABELS, _PLAIN)
        if values is None:
            return None
        column = typed("label", values, where=str(self.path))
        return from_columns([column], range(len(values)), self.entries(), str(self.path))

    def column(self, title: str) -> list[Any] | None:
        """A column of all files."""
        return self._all((title,), _PLAIN)

    def texts(self, entries: Sequence[Entry]) -> list[str | None]:
        """From a column of words."""
        values = self._all(_WORDS, "(large_)?string")
        return [None] * len(entries) if values is None else values


def _beside(name: str) -> str:
    kind = suffix(name)
    return "another split" if kind in (".parquet", ".arrow") else kind or "another file"


def _file_beside(folder: Path, name: str) -> bytes:
    """The file that a row names: one below the table's folder, nowhere else."""
    only = f"the row holds no image, only the path {name[:200]!r}"
    try:
        file = (folder / name).resolve()
        if not file.is_relative_to(folder.resolve()) or not file.is_file() or file.stat().st_size > MAX_FILE:
            raise BadPicture(f"{only} (no such file beside the table: embed the images' bytes)")
        return file.read_bytes()
    except (OSError, ValueError) as error:
        raise BadPicture(f"{only} ({error})") from None
