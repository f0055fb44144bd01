"""Captions: some words about each picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from organza.core.errors import UserError
from organza.data.tables import by_entry, read_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from organza.data.source import Entry, Source

COLUMNS = ("caption", "captions", "text", "description", "value")
FILES = ("captions.csv", "captions.json", "captions.jsonl", "metadata.csv", "metadata.jsonl")


def find_captions(source: Source, entries: Sequence[Entry], wish: str) -> list[str | None] | None:
    """The caption of each entry (several: one a line), as ``wish`` (see `DataOptions.captions`) asks.

    Raises:
        UserError: there are none.
    """
    if wish == "none":
        return None
    if wish in ("auto", "txt"):
        beside = source.texts(entries)
        if any(text is not None for text in beside):
            return beside
        if wish == "txt":
            raise UserError("no picture has a .txt file of its name beside it", where=source.path)
        for name in FILES:
            if source.side(name) is not None:
                return _from_table(source, entries, name, "")
        raise UserError("there are no captions", where=source.path, hint=f"looked for .txt files, {', '.join(FILES)}")
    name, _, column = wish.partition(":")
    return _from_table(source, entries, name, column)


def _from_table(source: Source, entries: Sequence[Entry], name: str, column: str) -> list[str | None]:
    table = read_table(source, name)
    if column and column not in table.columns:
        known = ", ".join(table.columns)
        raise UserError(f"there is no column {column!r}", where=table.where, hint=f"it has: {known}")
    wanted = column or next((c for c in COLUMNS if c in table.columns), "")
    if wanted:
        at = table.columns.index(wanted)
        words = {key: row[at] for key, row in table.rows.items()}
    else:
        words = {key: ", ".join(filter(None, row)) for key, row in table.rows.items()}
    found = by_entry(words, entries)
    if all(text is None for text in found):
        raise UserError("it names none of the pictures", where=table.where)
    return found
