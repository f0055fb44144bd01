"""Side files that say something about each picture: CSV, JSON, CelebA's attribute list."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from organza.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from organza.data.source import Entry, Source

T = TypeVar("T")
_NAME_COLUMNS = ("file", "file_name", "filename", "image", "image_id", "path", "name", "id")


@dataclass(frozen=True)
class Table:
    """Columns by name, rows by picture.

    Attributes:
        columns: without the one that names the picture.
        rows: name of the picture -> one value for each column, as text.
        where: for messages.
    """

    columns: tuple[str, ...]
    rows: Mapping[str, tuple[str, ...]]
    where: str


def read_side(source: Source, name: str) -> tuple[bytes, str]:
    """A side file: inside the data set, or anywhere on disk. Gives its bytes and its place for messages.

    Raises:
        UserError: there is none.
    """
    raw = source.side(name)
    if raw is not None:
        return raw, f"{source.path}/{name}"
    if Path(name).is_file():
        return Path(name).read_bytes(), name
    raise UserError(f"there is no {name} in it", where=source.path, hint="name a file in the data set or on disk")


def table_stamp(source: Source, wish: str) -> tuple[int, int] | None:
    """Size and time of change of a table that lies outside the data set, whose fingerprint does not cover it."""
    file = Path(wish.partition(":")[0])
    if not file.suffix or not file.is_file() or source.side(str(file)) is not None:
        return None
    return file.stat().st_size, file.stat().st_mtime_ns


def read_table(source: Source, name: str) -> Table:
    """CSV or TSV with a header, JSON, JSON lines, or CelebA's ``list_attr_celeba.txt``.

    Raises:
        UserError: not there, or not a table.
    """
    raw, where = read_side(source, name)
    text = raw.decode("utf-8-sig", "replace")
    if name.lower().endswith((".json", ".jsonl")):
        return _from_json(text, where)
    lines = text.splitlines()
    if lines and lines[0].strip().isdigit():
        return _celeba(lines, where)
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter="\t" if name.lower().endswith(".tsv") else ","))
    except csv.Error as error:
        raise UserError(f"not a table ({error})", where=where) from None
    rows = [row for row in rows if row]
    if not rows or len(rows[0]) < 2:
        raise UserError("not a table: its first line should name at least two columns", where=where)
    return _table(rows[0], rows[1:], where)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], where: str) -> Table:
    header = [h.strip() for h in header]
    key = next((header.index(k) for k in _NAME_COLUMNS if k in header), 0)
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise UserError(f"line {number} has {len(row)} values for {len(header)} columns", where=where)
    rest = [i for i in range(len(header)) if i != key]
    found = {row[key].strip(): tuple(row[i].strip() for i in rest) for row in rows}
    return Table(tuple(header[i] for i in rest), found, where)


def _celeba(lines: list[str], where: str) -> Table:
    header = lines[1].split() if len(lines) > 1 else []
    found = {}
    for number, line in enumerate(lines[2:], 3):
        if line.strip():
            name, *values = line.split()
            if len(values) != len(header):
                raise UserError(f"line {number} has {len(values)} values for {len(header)} attributes", where=where)
            # In the file -1 says no; as a label 0 does.
            found[name] = tuple("0" if v == "-1" else v for v in values)
    return Table(tuple(header), found, where)


def _from_json(text: str, where: str) -> Table:
    try:
        content: Any = [json.loads(line) for line in text.splitlines() if line.strip()] if where.endswith("l") else None
        content = json.loads(text) if content is None else content
    except ValueError as error:
        raise UserError(f"not valid JSON ({error})", where=where) from None
    if isinstance(content, dict) and len(content) == 1 and isinstance(next(iter(content.values())), (dict, list)):
        content = next(iter(content.values()))  # {"captions": ...}
    if isinstance(content, dict):
        content = [{"file": k, **(v if isinstance(v, dict) else {"value": v})} for k, v in content.items()]
    if not isinstance(content, list) or not content:
        raise UserError("not a table: give {name: value} or a list of objects", where=where)
    if all(isinstance(row, list) and len(row) == 2 for row in content):
        content = [{"file": row[0], "value": row[1]} for row in content]
    if not all(isinstance(row, dict) for row in content):
        raise UserError("not a table: give {name: value} or a list of objects", where=where)
    header = list(dict.fromkeys(key for row in content for key in row))
    return _table(header, [[_text(row.get(key, "")) for key in header] for row in content], where)


def _text(value: Any) -> str:
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


def by_entry(values: Mapping[str, T], entries: Sequence[Entry]) -> list[T | None]:
    """The value for each entry: by its whole path, else by its file name, else by that without the extension.

    Example:
        >>> from organza.data.source import Entry
        >>> by_entry({"1.jpg": "a"}, [Entry("faces/1.jpg", 0, None), Entry("faces/2.jpg", 0, None)])
        ['a', None]
    """
    clean = {key.replace("\\", "/").removeprefix("./"): value for key, value in values.items()}
    ways = (lambda n: n, lambda n: PurePosixPath(n).name, lambda n: PurePosixPath(n).stem)
    for way in ways:
        found = [clean.get(way(entry.name)) for entry in entries]
        if any(value is not None for value in found):
            return found
    return [None] * len(entries)
