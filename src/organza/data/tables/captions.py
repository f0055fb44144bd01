"""Captions: some words about each image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from organza.core.errors import UserError
from organza.data.tables.columns import words_of
from organza.data.tables.tables import check_column, read_table, split_wish

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
            raise UserError("no image has a .txt file of its name beside it", where=source.path)
        for name in FILES:
            if source.side(name) is not None:
                return _from_table(source, entries, name, "")
        raise UserError("there are no captions", where=source.path, hint=f"looked for .txt files, {', '.join(FILES)}")
    return _from_table(source, entries, *split_wish(wish))


def _from_table(source: Source, entries: Sequence[Entry], name: str, column: str) -> list[str | None]:
    table = read_table(source, name, entries)
    wanted = column or next((c for c in COLUMNS if c in table.columns), "")
    chosen = [check_column(table.columns, wanted, table.where)] if wanted else table.columns.values()
    cells = zip(*chosen, strict=True)
    words = [", ".join(words_of(cell) for cell in row if cell not in (None, "")) for row in cells]
    # Several rows about one image are several captions.
    rows = table.rows_of(entries)
    return ["\n".join(dict.fromkeys(words[place] for place in places)) if places else None for places in rows]
