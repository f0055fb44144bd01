"""Labels: for each image a class, or a vector of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from organza.core.errors import UserError
from organza.core.jsons import read_json
from organza.core.sniff import HEAD, stand_in
from organza.core.text import printable
from organza.data.source import suffix
from organza.data.tables.columns import MOST_CLASSES, Column, typed
from organza.data.tables.names import find
from organza.data.tables.tables import KINDS, Table, check_column, read_table, split_wish
from organza.data.tables.values import Labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from organza.data.source import Entry, Source

JSON = "dataset.json"
_MOST_WORDS = 1000
"""Different words of one column, at most, unless each occurs twice on average."""
_MOST_BYTES = 1 << 30
"""Of label vectors."""


def take(labels: Labels, rows: Sequence[int], entries: Sequence[Entry]) -> Labels:
    """The labels of the images that are used.

    Raises:
        UserError: one of them has none.
    """
    missing = [entries[row].name for row in rows if row in labels.missing]
    if missing:
        what = f"{len(missing)} of {len(rows)} images have no label (first: {missing[0]})"
        what = f"{missing[0]} has no label" if len(rows) == 1 else what
        raise UserError(what, where=labels.where, hint="add them, or leave out --labels")
    return Labels(labels.values[np.asarray(rows, np.int64)], labels.names, least=labels.dim, about=labels.about)


def find_labels(source: Source, entries: Sequence[Entry], wish: str) -> Labels | None:
    """The labels that ``wish`` (see `DataOptions.labels`) asks for; None for an unlabelled set.

    Raises:
        UserError: they are missing, or wrong in a way that is named.
    """
    if wish == "none":
        return None
    if wish.startswith("own:"):
        return _from_own(source, entries, wish.removeprefix("own:"))
    if wish not in ("auto", "own", "folders", JSON):
        return _from_table(source, entries, wish)
    if wish in ("auto", "own", JSON):
        raw = source.side(JSON)
        if raw is not None:
            return _from_json(raw, entries, f"{source.path}/{JSON}")
        if wish == JSON:
            raise UserError(f"there is no {JSON} at its top", where=source.path, hint="leave out --labels")
        built_in = source.labels()
        if built_in is not None:
            return built_in
        if wish == "own":
            return None
    return _from_folders(entries, source)


def _from_folders(entries: Sequence[Entry], source: Source) -> Labels:
    folders = [e.name.split("/")[:-1] for e in entries]
    shared = 0
    while all(len(f) > shared and f[shared] == folders[0][shared] for f in folders):
        shared += 1
    loose = [e.name for e, f in zip(entries, folders, strict=True) if len(f) <= shared]
    if not entries or len(loose) == len(entries):
        raise UserError("no labels: all images lie in one folder", where=source.path, hint="leave out --labels")
    if loose:
        raise UserError(f"{len(loose)} images lie beside the class folders ({loose[0]})", where=source.path)
    names = sorted({f[shared] for f in folders})
    if len(names) > 1 and set(names) <= {"train", "val", "valid", "validation", "test"}:
        what = f"its folders {', '.join(names)} are parts of the set, not classes"
        raise UserError(what, where=source.path, hint=f"name one of them: {source.path}/{names[-1]}")
    index = {name: i for i, name in enumerate(names)}
    return Labels(np.array([index[f[shared]] for f in folders], np.int64), tuple(names))


# Tables


def _from_table(source: Source, entries: Sequence[Entry], wish: str) -> Labels:
    """``FILE:COLUMN,COLUMN``; a column may say what it holds: ``COLUMN=classes``, ``COLUMN=numbers``."""
    name, chosen = split_wish(wish)
    if suffix(name) not in KINDS:
        hint = f"choose none, own, auto, folders, {JSON}, or FILE:COLUMN,COLUMN"
        raise UserError(f"{wish!r} is unknown", where="--labels", hint=hint)
    table = read_table(source, name, entries)
    wishes = [wish.strip() for wish in chosen.split(",")] if chosen else list(table.columns)
    columns = _columns(table.columns, wishes, table.where)
    rows = [_row(places, columns, entry, table) for places, entry in zip(table.rows_of(entries), entries, strict=True)]
    return from_columns(columns, rows, entries, _place(table, columns, rows))


def _from_own(source: Source, entries: Sequence[Entry], chosen: str) -> Labels:
    """``own:COLUMN,COLUMN`` of a format that is a table itself."""
    where = str(source.path)
    titles = [wish.strip().partition("=")[0] for wish in chosen.split(",")]
    found = {title: cells for title in titles if (cells := source.column(title)) is not None}
    return from_columns(_columns(found, chosen.split(","), where), range(len(entries)), entries, where)


def _columns(cells: Mapping[str, Sequence[Any]], wishes: Sequence[str], where: str) -> list[Column]:
    signs = any(_of_signs(some) for some in cells.values())
    columns = []
    for wish in map(str.strip, wishes):
        title, kind = wish, ""
        if wish not in cells and "=" in wish:
            title, _, kind = wish.rpartition("=")
            if kind not in ("classes", "numbers"):
                hint = "say =classes or =numbers"
                raise UserError(f"a column can't be {kind!r}", where=f"--labels {wish}", hint=hint)
        columns.append(typed(title, check_column(cells, title, where), kind, signs=signs, where=where))
    return columns


def _of_signs(cells: Sequence[Any]) -> bool:
    different = {cell for cell in cells if isinstance(cell, (str, int))}
    return len(different) < 9 and {str(cell).strip() for cell in different} == {"1", "-1"}


def _row(places: Sequence[int], columns: Sequence[Column], entry: Entry, table: Table) -> int | None:
    """The row of an image."""
    if len(places) > 1 and len({tuple(repr(column.values[place]) for column in columns) for place in places}) > 1:
        first, second = (f"{table.row} {table.numbers[place]} ({table.keys[place]})" for place in places[:2])
        raise UserError(f"{first} and {second} say different things about {entry.name}", where=table.where)
    return places[0] if places else None


def _place(table: Table, columns: Sequence[Column], rows: Sequence[int | None]) -> str:
    """Where to look for what is missing: the first blank cell, where there is one."""
    for row in rows:
        for column in columns:
            if row is not None and column.values[row] is None:
                return f"{table.where} ({column.title} is blank in {table.row} {table.numbers[row]})"
    return table.where


def from_columns(columns: Sequence[Column], rows: Sequence[int | None], entries: Sequence[Entry], where: str) -> Labels:
    """The labels that columns give, one row for each image or None.

    Raises:
        UserError: no image has any; a number that is not finite; more different words than classes could be.
    """
    missing = frozenset(i for i, row in enumerate(rows) if row is None or any(c.values[row] is None for c in columns))
    filler = next((row for i, row in enumerate(rows) if row is not None and i not in missing), None)
    if filler is None:
        raise UserError("no image has a value in each of its columns", where=where)
    used = [filler if row is None or i in missing else row for i, row in enumerate(rows)]
    labels = _assembled(columns, used, entries, where)
    return replace(labels, missing=missing, about=tuple(column.about for column in columns))


def _assembled(columns: Sequence[Column], rows: Sequence[int], entries: Sequence[Entry], where: str) -> Labels:
    """One column of classes as it is; everything else as vectors side by side."""
    parts, names = [], []
    for column in columns:
        values = [column.values[row] for row in rows]
        if column.kind == "words":
            kinds, places = np.unique(values, return_inverse=True)
            if len(kinds) > max(_MOST_WORDS, len(values) // 2):
                raise UserError(f"column {column.title!r} has {len(kinds)} different values", where=where)
            values, titles = places.tolist(), tuple(kinds.tolist())
        elif column.kind == "classes":
            titles = tuple(map(str, range(1 + max(value for value in column.values if value is not None))))
        else:
            part = np.array(values, np.float64).reshape(len(values), -1)
            wide = part.shape[1] > 1
            names += [f"{column.title}{place}" for place in range(part.shape[1])] if wide else [column.title]
            with np.errstate(over="ignore"):
                parts.append(part.astype(np.float32))
            if not np.isfinite(parts[-1]).all():
                bad = entries[int(np.flatnonzero(~np.isfinite(parts[-1]).all(1))[0])].name
                raise UserError(f"{column.title} of {bad} is not finite", where=where)
            continue
        if len(columns) == 1:
            words = titles if column.kind == "words" else ()
            return Labels(np.array(values, np.int64), words, where=where, least=len(titles))
        if column.kind == "classes" and len(titles) == 2:
            parts.append(np.array(values, np.float32)[:, None])  # 0 and 1 beside other columns: an attribute
            names.append(column.title)
            continue
        if 4 * len(values) * (len(titles) + len(names)) > _MOST_BYTES:
            raise UserError(f"{column.title} would give each image {len(titles):,} numbers", where=where)
        parts.append((np.array(values)[:, None] == np.arange(len(titles))).astype(np.float32))
        names += [f"{column.title}={kind}" for kind in titles]
    return Labels(np.concatenate(parts, 1), tuple(names), where=where)


# Values of other formats


def from_values(values: Sequence[Any], names: Sequence[str], where: str) -> Labels:
    """Labels from plain values, as formats have them beside their images: all classes, or all vectors of one length.

    Args:
        values: of each image: an int, a list of numbers, or None for no label.
        names: of the images, for messages.
        where: for messages.

    Raises:
        UserError: neither; or a number that is no class, or not finite.

    Example:
        >>> from_values([2, None, 0], ["a", "b", "c"], "x.json").values.tolist()
        [2, 2, 0]
    """
    missing = frozenset(i for i, value in enumerate(values) if value is None)
    known = [(name, value) for name, value in zip(names, values, strict=True) if value is not None]
    if not known:
        raise UserError("it labels none of the images", where=where, hint="names must be paths inside the dataset")
    first, example = known[0]
    is_vector = isinstance(example, list)
    for name, value in known:
        if isinstance(value, list) != is_vector or (is_vector and len(value) != len(example)):
            raise UserError(
                f"labels differ in shape: {first} has {_shape(example)}, {name} {_shape(value)}", where=where
            )
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, bool) or not isinstance(number, (int, float)):
                raise UserError(f"the label of {name} is not a number: {printable(repr(number), 60)}", where=where)
            if not abs(number) <= 3e38:  # an int may be beyond any float; NaN is not anything
                shown = "too large" if isinstance(number, int) else number
                raise UserError(f"the label of {name} is not finite: {shown}", where=where)
        if not is_vector and (value != int(value) or value < 0):
            raise UserError(f"the class of {name} is {value}", where=where, hint="classes are 0, 1, 2 ...")
        if not is_vector and value >= MOST_CLASSES:
            raise UserError(f"the class of {name} is {value:.0f}, beyond a million", where=where)
    filled = [example if value is None else value for value in values]
    array = np.array(filled, np.float32) if is_vector else np.array(filled, np.int64)
    return Labels(array, missing=missing, where=where)


def _from_json(raw: bytes, entries: Sequence[Entry], where: str) -> Labels | None:
    """NVIDIA's file: ``{"labels": [[name, class or vector], ...]}``, or null for none."""
    if found := stand_in(raw[:HEAD]):
        raise UserError(f"this is {found[0]}", where=where, hint=found[1])
    content: Any = read_json(raw, where)
    pairs = content.get("labels") if isinstance(content, dict) else content
    if pairs is None:
        return None
    if isinstance(pairs, dict):
        pairs = list(pairs.items())
    if not isinstance(pairs, list) or not all(
        isinstance(p, (list, tuple)) and len(p) == 2 and isinstance(p[0], str) for p in pairs
    ):
        raise UserError('"labels" is not a list of [name, label]', where=where)
    values = []
    for entry, places in zip(entries, find([name for name, _ in pairs], [e.name for e in entries]), strict=True):
        for other in places[1:]:
            if repr(pairs[other][1]) != repr(pairs[places[0]][1]):
                what = f"entries {places[0] + 1} and {other + 1} give {entry.name} different labels"
                raise UserError(what, where=where)
        values.append(pairs[places[0]][1] if places else None)
    labels = from_values(values, [entry.name for entry in entries], where)
    names = content.get("label_names") if isinstance(content, dict) else None
    return replace(labels, names=tuple(names)) if _fitting(names, labels) else labels


def _fitting(names: Any, labels: Labels) -> TypeGuard[list[str]]:
    """Whether a file's names are one for each class, or for each place of a vector."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len({*names}) < len(names):
        return False
    return len(names) == labels.dim or (labels.values.ndim == 1 and len(names) > labels.dim)


def _shape(label: Any) -> str:
    return f"a vector of {len(label)}" if isinstance(label, list) else "one number"


def as_classes(vectors: NDArray[np.float32]) -> Labels:
    """Vectors ``[N, D]`` as labels; as classes where each is one-hot.

    Example:
        >>> as_classes(np.eye(3, dtype=np.float32)[[2, 0]]).values.tolist()
        [2, 0]
    """
    if ((vectors == 0) | (vectors == 1)).all() and (vectors.sum(1) == 1).all() and vectors.shape[1] > 1:
        return Labels(vectors.argmax(1).astype(np.int64), least=vectors.shape[1])
    return Labels(vectors)
