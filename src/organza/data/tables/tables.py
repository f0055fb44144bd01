"""Tables that say something about each image: CSV and its relatives, JSON, JSON lines, parquet, CelebA's lists.

A table is read as it stands, whoever wrote it: with commas, semicolons, tabs or blanks between its columns, with or
without a header, quoted or not, in UTF-8, UTF-16 or Windows' own encoding. Which column names the images is found by
looking for the images' names in it. `organza.data.tables.columns` says what the other columns hold.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from organza.core.errors import UserError
from organza.core.files import user_path
from organza.core.jsons import read_json
from organza.core.sniff import HEAD, instead
from organza.data.cache import parallel
from organza.data.readers.parquet_pages import largest_page
from organza.data.source import MAX_FILE, PICTURES, suffix
from organza.data.tables.names import Known, find, text_of

if TYPE_CHECKING:
    from pathlib import Path

    from organza.data.source import Entry, Source

KINDS = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".parquet")
_KEYS = ("file", "file_name", "filename", "image", "image_id", "path", "name", "id")
"""Usual headers of the column that names the images, the surest first."""
_SAMPLE = 200
"""Rows that decide about separators and about the column of names."""
_MOST = 1 << 24
"""Cells of a table, at most: they take about a gigabyte."""


@dataclass(frozen=True)
class Table:
    """Rows that belong to images.

    Attributes:
        where: for messages.
        row: what a row is called in messages: ``"line"`` or ``"entry"``.
        numbers: of the rows, as an editor counts them.
        keys: how each row names its image.
        columns: the others, by their header: text as it stands in a CSV, plain values of JSON, None for nothing.
    """

    where: str
    row: str
    numbers: Sequence[int]
    keys: Sequence[str]
    columns: Mapping[str, Sequence[Any]]

    def rows_of(self, entries: Sequence[Entry]) -> list[list[int]]:
        """The rows of each image: none, one, or several.

        Raises:
            UserError: there is none for any image.
        """
        found = find(self.keys, [entry.name for entry in entries])
        if not any(found):
            first = f" (its first row is about {self.keys[0]}; the first image is {entries[0].name})" if entries else ""
            raise UserError(f"it names none of the images{first}", where=self.where)
        return found


def check_column(columns: Mapping[str, Sequence[Any]], title: str, where: str) -> Sequence[Any]:
    """The cells of one column.

    Raises:
        UserError: it is not there.
    """
    if title not in columns:
        known = f"it has: {', '.join(columns)}" if columns else None
        raise UserError(f"there is no column {title!r}", where=where, hint=known)
    return columns[title]


def split_wish(wish: str) -> tuple[str, str]:
    """``FILE:COLUMN,COLUMN`` in its two parts; colons may be part of the file's path.

    Example:
        >>> split_wish("C:/sets/a.csv:hair,eyes"), split_wish("own")
        (('C:/sets/a.csv', 'hair,eyes'), ('own', ''))
    """
    found = re.fullmatch(rf"(.*?(?:{'|'.join(map(re.escape, KINDS))})):(.*)", wish, re.IGNORECASE | re.DOTALL)
    return (found[1], found[2]) if found else (wish, "")


def read_side(source: Source, name: str) -> tuple[bytes, str]:
    """A side file: inside the dataset, or anywhere on disk. Gives its bytes and its place for messages.

    Raises:
        UserError: there is none, or it can't be read.
    """
    raw = source.side(name)
    if raw is not None:
        return raw, f"{source.path}/{name}"
    path = user_path(name)
    about = _stat(path)
    if about is None:
        raise UserError(f"there is no {name} in it", where=source.path, hint="name a file in the dataset or on disk")
    if about.st_size > MAX_FILE:
        raise UserError(f"a table of {about.st_size >> 20} MB (at most {MAX_FILE >> 20})", where=path)
    try:
        return path.read_bytes(), str(path)
    except OSError as error:
        raise UserError(f"can't be read ({error.strerror})", where=path) from None


def table_stamp(source: Source, wish: str) -> tuple[int, int] | None:
    """Size and time of change of a table that lies outside the dataset, whose fingerprint does not cover it."""
    name, _ = split_wish(wish)
    if suffix(name) not in KINDS or source.side(name) is not None:
        return None
    about = _stat(user_path(name))
    return None if about is None else (about.st_size, about.st_mtime_ns)


def _stat(path: Path) -> os.stat_result | None:
    """What the system says about a file; None where there is none."""
    try:
        return path.stat() if path.is_file() else None
    except OSError:  # a name that is too long
        return None


def read_table(source: Source, name: str, entries: Sequence[Entry]) -> Table:
    """The table called ``name``.

    Args:
        source: the dataset.
        name: of a file in the dataset, or a path.
        entries: the images; which column names them, and whether the first row is a header, is found by their names.

    Raises:
        UserError: not there, or not a table.
    """
    raw, where = read_side(source, name)
    if (other := instead(raw[:HEAD])) is not None and other[0] != "a parquet file":
        raise UserError(f"this is {other[0]}, not a table", where=where, hint=other[1] or None)
    known = Known(entry.name for entry in entries)
    if suffix(name) == ".parquet":
        columns = _parquet(raw, where)
        return _keyed(columns, range(1, 1 + len(next(iter(columns.values())))), known, where, "row")
    text = text_of(raw)
    if suffix(name) in (".json", ".jsonl"):
        return _from_json(text, known, where)
    if (cells := text.count("\n") + sum(map(text.count, ",;\t"))) > _MOST:
        raise UserError(f"a table of {cells:,} cells (at most {_MOST:,})", where=where)
    return _from_lines(text, known, where, tabs=suffix(name) == ".tsv")


# Lines and separators


def _from_lines(text: str, known: Known, where: str, *, tabs: bool) -> Table:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    counted = lines[0].strip().isdigit()  # CelebA's lists begin with the number of images
    separators = ["\t", ",", ";", "|", " "] if tabs else [",", ";", "\t", "|", " "]
    some = "\n".join(lines[counted : counted + _SAMPLE])
    cut = len(lines) > counted + _SAMPLE
    fits = {separator: start for separator in separators if (start := _fitting(some, separator, where, cut=cut))}
    # Of several that could part the columns, the one that leaves the images' names.
    separator = next((s for s, start in fits.items() if _about(start, known)), next(iter(fits), separators[0]))
    rows = _split("\n" * counted + "\n".join(lines[counted:]), separator, where)
    if not rows or len(rows[0][1]) < 2:
        raise UserError("not a table: it should have at least two columns", where=where)
    header = _header(rows[0][1], known)
    body = rows if header is None else rows[1:]
    if not body:
        raise UserError("not a table: it has no rows", where=where)
    width = len(body[0][1])
    if header is None:
        header = ["file", "label"] if width == 2 else [f"column{place}" for place in range(1, 1 + width)]
    elif separator == " " and (counted or width == len(header) + 1):
        header = ["file", *header]  # CelebA's lists name all columns but this
    for number, row in body:
        if len(row) != len(header):
            raise UserError(f"line {number} has {len(row)} values for {len(header)} columns", where=where)
    if twice := next((title for title in header if header.count(title) > 1), None):
        raise UserError(f"two columns are called {twice!r}", where=where)
    columns = {title: [row[place] for _, row in body] for place, title in enumerate(header)}
    if separator == ";":  # where commas part decimals
        columns = {title: [_with_point(cell) for cell in cells] for title, cells in columns.items()}
    return _keyed(columns, [number for number, _ in body], known, where, "line")


def _split(text: str, separator: str, where: str) -> list[tuple[int, list[str]]]:
    """(line, cells) of each row that is not blank."""
    if separator == " ":
        return [(number, line.split()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    reader = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    try:
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise UserError(f"not a table ({error})", where=where) from None
    return [(number, row) for number, row in rows if any(row)]


def _fitting(text: str, separator: str, where: str, *, cut: bool) -> list[list[str]]:
    """The rows, if all have equally many columns, two at least (the last row may be cut within)."""
    rows = [row for _, row in _split(text, separator, where)]
    rows = rows[:-1] if cut else rows
    if not rows or len(widths := {len(row) for row in rows[1:] or rows}) > 1 or min(widths) < 2:
        return []
    return rows if min(widths) - len(rows[0]) in ((0, 1) if separator == " " else (0,)) else []


def _about(rows: Sequence[Sequence[str]], known: Known) -> bool:
    """Whether a cell names an image."""
    return any(cell in known for row in rows for cell in row)


def _header(first: list[str], known: Known) -> list[str] | None:
    """The first row, unless it is about an image already."""
    if not first[0] or any(cell.lower() in _KEYS for cell in first):
        return first
    image = any(suffix(cell) in PICTURES for cell in first) or _about([first], known)
    return None if image or any(re.fullmatch(r"[+-]?\d+([.,]\d+)?", cell) for cell in first[1:]) else first


def _with_point(cell: str) -> str:
    return cell.replace(",", ".") if re.fullmatch(r"[+-]?\d+,\d+", cell) else cell


# JSON and parquet


def _from_json(text: str, known: Known, where: str) -> Table:
    numbers, content = _values(text, where)
    title = "value"
    if isinstance(content, dict) and len(content) == 1 and isinstance(next(iter(content.values())), (dict, list)):
        title, content = next(iter(content.items()))  # {"labels": ...}, {"captions": ...}
        title = title.removesuffix("s")
    if isinstance(content, dict):
        content = [{"file": k, **(v if isinstance(v, dict) else {title: v})} for k, v in content.items()]
    if isinstance(content, list) and all(isinstance(row, list) and len(row) == 2 for row in content):
        content = [{"file": row[0], title: row[1]} for row in content]
    if not isinstance(content, list) or not content or not all(isinstance(row, dict) for row in content):
        raise UserError("not a table: give {name: value} or a list of objects", where=where)
    titles = dict.fromkeys(key for row in content for key in row)
    if len(titles) * len(content) > _MOST:
        raise UserError(f"a table of {len(titles)} columns and {len(content)} rows is too large", where=where)
    columns = {title: [row.get(title) for row in content] for title in titles}
    return _keyed(columns, numbers or range(1, 1 + len(content)), known, where, "line" if numbers else "entry")


def _values(text: str, where: str) -> tuple[list[int], Any]:
    """The value of a JSON file; or the values of its lines, and their numbers."""
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if len(lines) > 1 and all(line.lstrip()[0] == "{" and line.rstrip()[-1] == "}" for _, line in lines):
        try:
            return [number for number, _ in lines], read_json("[" + ",".join(line for _, line in lines) + "]", where)
        except UserError:
            for number, line in lines:
                read_json(line, f"{where}, line {number}")
            raise
    content = read_json(text, where)
    one = isinstance(content, dict) and any(isinstance(content.get(key), str) for key in _KEYS)
    return [], [content] if one else content


def _parquet(raw: bytes, where: str) -> dict[str, list[Any]]:
    """The columns of a parquet file, in a process of its own: its library ends that on some damaged files."""
    if find_spec("pyarrow") is None:
        hint = 'install it with pip install "organza[parquet]"'
        raise UserError("parquet needs the package pyarrow", where=where, hint=hint)
    try:
        with parallel.Worker(ParquetColumns()) as worker:
            columns = worker.ask([raw])
    except (ValueError, ChildProcessError, MemoryError) as error:
        raise UserError(f"not a whole table ({error})", where=where) from None
    if not columns or not next(iter(columns.values())):
        raise UserError("not a table: it has no rows", where=where)
    return columns


class ParquetColumns:
    """A job for `organza.data.cache.parallel`: the bytes of a parquet file -> its columns, but for those of images."""

    def __call__(self, files: Sequence[bytes]) -> dict[str, list[Any]]:
        """The columns of the only file."""
        import pyarrow
        import pyarrow.parquet

        try:
            file = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(files[0]))
            titles = [field.name for field in file.schema_arrow if "binary" not in str(field.type)]
            meta = file.metadata
            chunks = [meta.row_group(i).column(j) for i in range(meta.num_row_groups) for j in range(meta.num_columns)]
            for chunk in chunks:
                if chunk.path_in_schema.split(".")[0] in titles:
                    start = chunk.dictionary_page_offset or chunk.data_page_offset
                    largest_page(io.BytesIO(files[0]), start, chunk.total_compressed_size)
            if meta.num_rows * len(titles) > _MOST:
                raise ValueError(f"{meta.num_rows * len(titles):,} cells")
            return dict(file.read(titles).to_pydict())
        except MemoryError:
            raise
        except Exception as error:  # pyarrow raises many kinds, which the other process may not know
            raise ValueError(" ".join(str(error).split())[:300] or type(error).__name__) from None


# Which column names the images


def _keyed(columns: Mapping[str, Sequence[Any]], numbers: Sequence[int], known: Known, where: str, row: str) -> Table:
    """The table of ``columns``, one of which names the images."""
    full = [title for title, cells in columns.items() if all(isinstance(cell, (str, int)) for cell in cells)]
    if not full or len(columns) < 2:
        raise UserError("not a table: it should have a column of names and others", where=where)
    usual = {title: _KEYS.index(title.lower()) if title.lower() in _KEYS else len(_KEYS) for title in full}
    key = min(full, key=lambda title: (-_certainty(columns[title], known), usual[title]))
    others = {title: cells for title, cells in columns.items() if title != key}
    return Table(where, row, numbers, [str(cell) for cell in columns[key]], others)


def _certainty(cells: Sequence[Any], known: Known) -> float:
    """How well a column names images: best if some are there, if they have extensions, and if few occur twice."""
    sample = [str(cell) for cell in cells[:: max(1, len(cells) // _SAMPLE)]]
    found, written = sum(key in known for key in sample), sum(suffix(key) in PICTURES for key in sample)
    return (found > 0) + written / len(sample) + found / len(sample) * len(set(sample)) / len(sample)
