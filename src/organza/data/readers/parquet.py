"""Hugging Face datasets: parquet files, or the arrow files of ``save_to_disk``, with a column of images."""

from __future__ import annotations

import hashlib
import re
import struct
from typing import TYPE_CHECKING, Any

from organza.core.errors import UserError
from organza.core.sniff import refuse_stand_in
from organza.data.columns import typed
from organza.data.labels import Labels, from_columns
from organza.data.readers.parquet_pages import largest_page
from organza.data.source import MAX_FILE, MIN_STORED, PICTURES, BadPicture, Contents, Entry, Source, suffix

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_LABELS = ("label", "labels", "fine_label", "class")
_WORDS = ("caption", "text", "description", "prompt")
_PLAIN = r"u?int\d+|float|double|bool|(large_)?string|list<.*"
_ROWS = 16
"""Rows of a parquet file that are unpacked at a time, fewer where its pages are large."""
_MAX_PAGE, _MAX_BATCH, _MAX_WORDS = 1 << 29, 1 << 28, 1 << 28


class ParquetSource(Source):
    """Rows of one or several tables, with a class column and a caption column where there are such."""

    kind = "parquet"

    def __init__(self, path: Path, files: tuple[Path, ...], beside: tuple[str, ...] = ()) -> None:
        self.path, self.files, self._beside = path, files, beside
        self._opened: tuple[int, _File] | None = None
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

    def _table(self, number: int) -> _File:
        if self._opened is None or self._opened[0] != number:
            try:
                import pyarrow  # noqa: F401
            except ImportError:
                hint = 'install it with pip install "organza[parquet]"'
                raise UserError("parquet needs the package pyarrow", where=self.path, hint=hint) from None
            path = self.files[number]
            refuse_stand_in(path)
            try:
                self._opened = number, _Arrow(path) if suffix(path.name) == ".arrow" else _Parquet(path)
            except Exception as error:
                raise UserError(f"not a whole table ({error})", where=path) from None
        return self._opened[1]

    def contents(self) -> Contents:
        """In the order of files and rows."""
        if self._contents is None:
            found: list[Entry] = []
            for number, path in enumerate(self.files):
                groups = self._table(number).groups
                if sum(groups) * MIN_STORED > path.stat().st_size:
                    raise UserError(f"{sum(groups):,} rows in {path.stat().st_size:,} bytes", where=path)
                for group, rows in enumerate(groups):
                    found += [Entry(f"{number}/{group}/{row}", 0, (number, group, row)) for row in range(rows)]
            self._contents = Contents(found, [(name, _beside(name)) for name in self._beside])
        return self._contents

    def read(self, entry: Entry) -> bytes:
        """The encoded image of one row, or the file beside the table that it names."""
        number, group, row = entry.at
        table = self._table(number)
        try:
            value = table.value(group, row)
        except MemoryError:
            raise
        except Exception as error:  # pyarrow raises many kinds for a damaged page
            raise BadPicture(f"damaged ({' '.join(str(error).split())[:200]})") from None
        data, name = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
        if isinstance(data, bytes):
            return data
        if isinstance(name, str):
            return _file_beside(self.files[number].parent, name)
        raise BadPicture("the row holds no picture")

    def _all(self, names: tuple[str, ...], kind: str) -> list[Any] | None:
        """A column over all files, if each has one of these names and of a type that ``kind`` matches."""
        values: list[Any] = []
        size = 0
        for number, path in enumerate(self.files):
            file = self._table(number)
            name = next((n for n in names if re.fullmatch(kind, file.types.get(n, ""))), None)
            if name is None:
                return None
            try:
                for value in file.column(name):
                    values.append(value)
                    size += len(value) if isinstance(value, str) else 8
                    if size > _MAX_WORDS:
                        raise UserError(f"column {name!r} holds more than {_MAX_WORDS >> 20} MB", where=path)
            except (UserError, MemoryError):
                raise
            except Exception as error:
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
    only = f"the row holds no picture, only the path {name[:200]!r}"
    try:
        file = (folder / name).resolve()
        if not file.is_relative_to(folder.resolve()) or not file.is_file() or file.stat().st_size > MAX_FILE:
            raise BadPicture(f"{only} (no such file beside the table: embed the pictures' bytes)")
        return file.read_bytes()
    except (OSError, ValueError) as error:
        raise BadPicture(f"{only} ({error})") from None


class _File:
    """One table in pieces.

    Attributes:
        groups: rows of each piece.
        types: of the columns, by name.
        picture: the column with images.
    """

    def __init__(self, schema: Any, groups: list[int]) -> None:
        self.groups = groups
        self.types = {field.name: str(field.type) for field in schema}
        kinds = re.compile(r"struct<bytes.*|(large_)?binary")
        pictures = [name for name, kind in self.types.items() if kinds.match(kind)]
        if not pictures:
            raise ValueError(f"no column of pictures among {', '.join(self.types)}")
        self.picture = next((n for n in ("image", "img", "picture") if n in pictures), pictures[0])

    def value(self, group: int, row: int) -> Any:
        """The image of one row."""
        raise NotImplementedError

    def column(self, name: str) -> Iterator[Any]:
        """All values of a column."""
        raise NotImplementedError


class _Parquet(_File):
    """Row groups, unpacked a few rows at a time and in order: workers ask for neighbours."""

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet

        self._file = pyarrow.parquet.ParquetFile(path)
        self._path, self._meta = path, self._file.metadata
        super().__init__(
            self._file.schema_arrow, [self._meta.row_group(i).num_rows for i in range(self._meta.num_row_groups)]
        )
        self._group, self._start, self._batch = -1, 0, None
        self._batches: Iterator[Any] = iter(())

    def _iterate(self, group: int, name: str) -> Iterator[Any]:
        rows = max(1, min(_ROWS, _MAX_BATCH // max(1, self._largest(group, name))))
        batches = self._file.iter_batches(rows, row_groups=[group], columns=[name], use_threads=False)
        return (batch.column(0) for batch in batches)

    def _largest(self, group: int, name: str) -> int:
        """The unpacked size of the largest page of a column."""
        about, largest = self._meta.row_group(group), 0
        with open(self._path, "rb") as file:
            for number in range(about.num_columns):
                column = about.column(number)
                if column.path_in_schema.split(".")[0] == name:
                    first = column.dictionary_page_offset
                    start = column.data_page_offset if first is None else min(first, column.data_page_offset)
                    largest = max(largest, largest_page(file, start, column.total_compressed_size))
        if largest > _MAX_PAGE:
            raise ValueError(f"a page that unpacks to {largest >> 20} MB")
        return largest

    def value(self, group: int, row: int) -> Any:
        if group != self._group or row < self._start:
            self._group, self._start, self._batch = group, 0, None
            self._batches = self._iterate(group, self.picture)
        while self._batch is None or row >= self._start + len(self._batch):
            self._start += 0 if self._batch is None else len(self._batch)
            self._batch = next(self._batches, None)
            if self._batch is None:
                raise ValueError("fewer rows than it declares")
        return self._batch[row - self._start].as_py()

    def column(self, name: str) -> Iterator[Any]:
        for group in range(len(self.groups)):
            for batch in self._iterate(group, name):
                yield from batch.to_pylist()


class _Arrow(_File):
    """Record batches of a stream, in place in the mapped file; checked through before they are used."""

    def __init__(self, path: Path) -> None:
        import pyarrow.ipc

        source = pyarrow.memory_map(str(path))
        messages = pyarrow.ipc.MessageReader.open_stream(source)
        if any(_is_compressed(bytes(message.metadata)) for message in messages):
            raise ValueError("its buffers are compressed; save it again without")
        source.seek(0)
        reader = pyarrow.ipc.open_stream(source)
        self._all = list(reader)
        super().__init__(reader.schema, [len(batch) for batch in self._all])
        # Places inside a column come from the file: reading one that is wrong would end the process.
        for batch in self._all:
            for name in {self.picture, *_LABELS, *_WORDS} & self.types.keys():
                batch.column(name).validate(full=True)

    def value(self, group: int, row: int) -> Any:
        return self._all[group].column(self.picture)[row].as_py()

    def column(self, name: str) -> Iterator[Any]:
        for batch in self._all:
            for value in batch.column(name):
                yield value.as_py()


def _is_compressed(message: bytes) -> bool:
    """Whether the buffers of an Arrow message are compressed: to sizes that only they themselves know.

    Source: apache/arrow, ``format/Message.fbs``; google/flatbuffers, "FlatBuffer Internals".
    """

    def field(table: int, number: int) -> int:
        """Where a field of the table at ``table`` lies; 0 if it is not there."""
        about = table - struct.unpack_from("<i", message, table)[0]
        if 4 + 2 * number >= struct.unpack_from("<H", message, about)[0]:
            return 0
        place = struct.unpack_from("<H", message, about + 4 + 2 * number)[0]
        return table + place if place else 0

    def follow(place: int) -> int:
        return int(place + struct.unpack_from("<I", message, place)[0])

    root = follow(0)
    kind = message[field(root, 1)]
    if kind not in (_DICTIONARY, _BATCH):
        return False
    batch = follow(field(root, 2))
    return field(follow(field(batch, 1)) if kind == _DICTIONARY else batch, 3) != 0


_DICTIONARY, _BATCH = 2, 3
"""Kinds of messages that have buffers."""
