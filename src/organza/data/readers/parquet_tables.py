"""The part of reading parquet and Arrow files that runs in a process of its own.

The library for it is native code that ends its process on some damaged files, whatever is caught around it.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Any

from organza.data.readers.parquet_pages import largest_page
from organza.data.source import suffix

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_ROWS = 16
"""Rows of a parquet file that are unpacked at a time, fewer where its pages are large."""
_MAX_BATCH, _MAX_COLUMN = 1 << 28, 1 << 28


class Tables:
    """A job for `organza.data.cache.parallel`: answers one question at a time.

    | question | answer |
    |---|---|
    | ``("about", file)`` | rows of each piece, and the types of the columns by name |
    | ``("image", file, piece, row)`` | the image of one row: bytes, or what names them |
    | ``("column", file, name)`` | all values of a column |

    Raises:
        ValueError: the file is damaged, or holds no images; says how.
    """

    def __init__(self, files: tuple[Path, ...]) -> None:
        self.files = files
        self._opened: tuple[int, _File] | None = None

    def __reduce__(self) -> tuple[type[Tables], tuple[tuple[Path, ...]]]:
        return Tables, (self.files,)

    def __call__(self, question: Sequence[Any]) -> Any:
        """The answer."""
        try:
            return self._answer(*question)
        except MemoryError:
            raise
        except Exception as error:  # pyarrow raises many kinds, which the other process may not know
            raise ValueError(" ".join(str(error).split())[:300] or type(error).__name__) from None

    def _answer(self, what: str, number: int, *rest: Any) -> Any:
        if self._opened is None or self._opened[0] != number:
            path = self.files[number]
            self._opened = number, _Arrow(path) if suffix(path.name) == ".arrow" else _Parquet(path)
        table = self._opened[1]
        if what == "about":
            return table.groups, table.types
        return table.value(*rest) if what == "image" else _limited(table.column(*rest))


def _limited(values: Iterator[Any]) -> list[Any]:
    found, size = [], 0
    for value in values:
        found.append(value)
        size += len(value) if isinstance(value, (str, bytes)) else 8
        if size > _MAX_COLUMN:
            raise ValueError(f"it holds more than {_MAX_COLUMN >> 20} MB")
    return found


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
            raise ValueError(f"no column with the bytes of images among {', '.join(self.types)}")
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
        self._rows = [self._at_a_time(group, self.picture) for group in range(len(self.groups))]
        self._group, self._start, self._batch = -1, 0, None
        self._batches: Iterator[Any] = iter(())

    def _iterate(self, group: int, name: str) -> Iterator[Any]:
        rows = self._rows[group] if name == self.picture else self._at_a_time(group, name)
        batches = self._file.iter_batches(rows, row_groups=[group], columns=[name], use_threads=False)
        return (batch.column(0) for batch in batches)

    def _at_a_time(self, group: int, name: str) -> int:
        """Rows of a column to be unpacked together, by the size of its pages.

        Raises:
            ValueError: they would unpack to far more than they hold.
        """
        about, largest = self._meta.row_group(group), 0
        with open(self._path, "rb") as file:
            for number in range(about.num_columns):
                column = about.column(number)
                if column.path_in_schema.split(".")[0] == name:
                    first = column.dictionary_page_offset
                    start = column.data_page_offset if first is None else min(first, column.data_page_offset)
                    largest = max(largest, largest_page(file, start, column.total_compressed_size))
        return max(1, min(_ROWS, _MAX_BATCH // max(1, largest)))

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
            batch.validate(full=True)

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
