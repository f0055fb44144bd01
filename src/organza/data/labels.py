"""Labels: for each picture a class, or a vector of numbers."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from organza.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from organza.data.source import Entry, Source
from organza.data.source import suffix
from organza.data.tables import by_entry, read_table

JSON = "dataset.json"


@dataclass(frozen=True)
class Labels:
    """Labels in the order of the entries.

    Attributes:
        values: classes int64 ``[N]``, or vectors float32 ``[N, D]``.
        names: of the classes or of the vector's places, where known.
    """

    values: NDArray[np.int64] | NDArray[np.float32]
    names: tuple[str, ...] = ()
    missing: frozenset[int] = frozenset()
    """Places whose picture has no label; an error only if that picture is used."""
    where: str = ""
    least: int = 0
    """Class labels have at least this length as vectors (a part of a set keeps the classes of the whole)."""

    @property
    def dim(self) -> int:
        """Length of a label vector; classes count as one-hot.

        Example:
            >>> Labels(np.array([0, 2, 1])).dim
            3
        """
        if self.values.ndim == 2:
            return int(self.values.shape[1])
        return max(self.least, len(self.names), int(self.values.max(initial=-1)) + 1)


def take(labels: Labels, rows: Sequence[int], entries: Sequence[Entry]) -> Labels:
    """The labels of the pictures that are used.

    Raises:
        UserError: one of them has none.
    """
    missing = [entries[row].name for row in rows if row in labels.missing]
    if missing:
        what = f"{len(missing)} of {len(rows)} pictures have no label (first: {missing[0]})"
        what = f"{missing[0]} has no label" if len(rows) == 1 else what
        raise UserError(what, where=labels.where, hint="add them, or leave out --labels")
    return Labels(labels.values[np.asarray(rows, np.int64)], labels.names, least=labels.dim)


def find_labels(source: Source, entries: Sequence[Entry], wish: str) -> Labels | None:
    """The labels that ``wish`` (see `DataOptions.labels`) asks for; None for an unlabelled set.

    Raises:
        UserError: they are missing, or wrong in a way that is named.
    """
    if wish == "none":
        return None
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
        raise UserError("no labels: all pictures lie in one folder", where=source.path, hint="leave out --labels")
    if loose:
        raise UserError(f"{len(loose)} pictures lie beside the class folders ({loose[0]})", where=source.path)
    names = sorted({f[shared] for f in folders})
    index = {name: i for i, name in enumerate(names)}
    return Labels(np.array([index[f[shared]] for f in folders], np.int64), tuple(names))


def _from_table(source: Source, entries: Sequence[Entry], wish: str) -> Labels:
    """``FILE:COLUMN,COLUMN``: numbers as they are, words as one-hot; a single column of words gives classes."""
    name, _, chosen = wish.partition(":")
    if suffix(name) not in (".csv", ".tsv", ".txt", ".json", ".jsonl"):
        hint = f"choose none, own, auto, folders, {JSON}, or FILE:COLUMN,COLUMN"
        raise UserError(f"{wish!r} is unknown", where="--labels", hint=hint)
    table = read_table(source, name)
    columns = [c.strip() for c in chosen.split(",")] if chosen else list(table.columns)
    for column in columns:
        if column not in table.columns:
            known = ", ".join(table.columns)
            raise UserError(f"there is no column {column!r}", where=table.where, hint=f"it has: {known}")
    found = by_entry(table.rows, entries)
    missing = frozenset(i for i, row in enumerate(found) if row is None)
    rows = [row for row in found if row is not None]
    if not rows:
        raise UserError("it names none of the pictures", where=table.where)
    filled = [row or rows[0] for row in found]
    parts, names = [], []
    for column in columns:
        at = table.columns.index(column)
        words = [row[at] for row in filled]
        numbers = _numbers(words)
        if numbers is not None:
            if not np.isfinite(numbers).all():
                bad = entries[int(np.flatnonzero(~np.isfinite(numbers))[0])].name
                raise UserError(f"{column} of {bad} is not finite", where=table.where)
            parts.append(numbers[:, None])
            names.append(column)
            continue
        kinds, classes = np.unique(words, return_inverse=True)
        if len(kinds) > 10_000:
            raise UserError(f"column {column!r} has {len(kinds)} different values", where=table.where)
        if len(columns) == 1:
            return Labels(classes.astype(np.int64), tuple(kinds.tolist()), missing, table.where)
        parts.append(np.eye(len(kinds), dtype=np.float32)[classes])
        names += [f"{column}={kind}" for kind in kinds.tolist()]
    return Labels(np.concatenate(parts, 1), tuple(names), missing, table.where)


def _numbers(words: list[str]) -> NDArray[np.float32] | None:
    try:
        return np.array([float(word) for word in words], np.float32)
    except ValueError:
        return None


def _from_json(raw: bytes, entries: Sequence[Entry], where: str) -> Labels | None:
    """NVIDIA's file: ``{"labels": [[name, class or vector], ...]}``, or null for none."""
    try:
        content: Any = json.loads(raw)
    except ValueError as error:
        raise UserError(f"not valid JSON ({error})", where=where) from None
    pairs = content.get("labels") if isinstance(content, dict) else content
    if pairs is None:
        return None
    if isinstance(pairs, dict):
        pairs = list(pairs.items())
    if not isinstance(pairs, list) or not all(
        isinstance(p, (list, tuple)) and len(p) == 2 and isinstance(p[0], str) for p in pairs
    ):
        raise UserError('"labels" is not a list of [name, label]', where=where)
    found = by_entry(dict(pairs), entries)
    missing = frozenset(i for i, label in enumerate(found) if label is None)
    if len(missing) == len(entries):
        raise UserError("it labels none of the pictures", where=where, hint="names must be paths inside the data set")
    filler = next(label for label in found if label is not None)
    pairs = [(e.name, filler if label is None else label) for e, label in zip(entries, found, strict=True)]
    values = _checked(pairs, where)
    return Labels(values, missing=missing, where=where)


def _checked(pairs: list[tuple[str, Any]], where: str) -> NDArray[np.int64] | NDArray[np.float32]:
    """All classes, or all vectors of one length with finite numbers."""
    is_vector = bool(pairs) and isinstance(pairs[0][1], list)
    for name, label in pairs:
        numbers = label if isinstance(label, list) else [label]
        if isinstance(label, list) != is_vector or (is_vector and len(label) != len(pairs[0][1])):
            raise UserError(
                f"labels differ in shape: {pairs[0][0]} has {_shape(pairs[0][1])}, {name} {_shape(label)}", where=where
            )
        for number in numbers:
            if isinstance(number, bool) or not isinstance(number, (int, float)):
                raise UserError(f"the label of {name} is not a number: {number!r}", where=where)
            if not math.isfinite(number):
                raise UserError(f"the label of {name} is not finite: {number}", where=where)
        if not is_vector and (label != int(label) or label < 0):
            raise UserError(f"the class of {name} is {label}", where=where, hint="classes are 0, 1, 2 ...")
        if not is_vector and label >= 1 << 20:
            raise UserError(f"the class of {name} is {label}, beyond a million", where=where)
    values = [label for _, label in pairs]
    return np.array(values, np.float32) if is_vector else np.array(values, np.int64)


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
