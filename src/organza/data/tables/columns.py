"""What a column of a table holds: classes, yes or no, numbers, vectors, or words. One set of rules for all tables.

| the cells | are taken for |
|---|---|
| whole numbers that begin at 0 or 1, at most 50 of them, and at least half of those in between | classes |
| any whole numbers from 0 up in a column called label, class, category or target | classes |
| 1 and -1; true and false; yes and no | an attribute, 1 or 0 |
| other numbers | quantities, as they are |
| lists of numbers (JSON) | vectors |
| anything else | words: each a class |

A blank cell is no value, and neither is NaN, NA, null, none or ? among numbers: it does not change what the others are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from organza.core.errors import UserError

Kind = Literal["classes", "attribute", "numbers", "vectors", "words"]

MOST_CLASSES = 1 << 20
"""Classes are numbered below this."""
_LIKELY_CLASSES = 50
_CLASS_COLUMNS = re.compile(r"(.*_)?(label|class|category|target)(e?s|_?(id|idx|index|no))?|cls|y|value", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(inf|infinity)", re.IGNORECASE)
_BLANK = {"", "na", "n/a", "nan", "null", "none", "?", "-"}
_TRUTH = {"true": 1, "false": 0, "yes": 1, "no": 0, "y": 1, "n": 0}


@dataclass(frozen=True)
class Column:
    """A column and what it was taken for.

    Attributes:
        title: its header.
        kind: what it was taken for.
        values: of each row: an int (classes; attributes), a float, a list of floats, or a word; None where blank.
        about: what it was taken for and why, for people.
    """

    title: str
    kind: Kind
    values: Sequence[Any]
    about: str


def typed(title: str, cells: Sequence[Any], wish: str = "", *, signs: bool = False, where: str = "") -> Column:
    """Find out what a column holds.

    Args:
        title: its header.
        cells: text, or plain values of JSON; None for nothing.
        wish: ``"classes"`` or ``"numbers"`` where the user says which; "" finds out.
        signs: other columns of the table hold 1 and -1, so that one of nothing but 1 is an attribute as well.
        where: for messages.

    Raises:
        UserError: nothing in it, or not what the user says.

    Example:
        >>> typed("label", ["0", "2", "1"]).about
        'label: classes 0 to 2'
        >>> typed("age", ["35", "", "80"]).values, typed("smile", ["1", "-1"]).values
        ([35.0, None, 80.0], [1, 0])
    """
    values = [cell.strip() if isinstance(cell, str) else cell for cell in cells]
    text = all(isinstance(value, str) for value in values)
    different = list(dict.fromkeys(values)) if text else values  # in JSON true and 1 are not the same
    filled = [value for value in different if not _blank(value)]
    if wish == "numbers" and (odd := next((v for v in filled if _number(v) is None), None)) is not None:
        raise UserError(f"{title} holds {odd!r}, which is no number", where=where)
    if all(value in (None, "") for value in different):
        raise UserError(f"column {title!r} is empty", where=where)
    if not filled:  # "none", "?" and the like, and nothing that they could stand for
        return _words(title, values)
    kind, read, about = _decide(title, filled, wish, signs, where)
    if kind == "words":
        return _words(title, values)
    known = [None if _blank(value) else read(value) for value in different]
    meaning = dict(zip(different, known, strict=True)) if text else {}
    found = [meaning[value] for value in values] if text else known
    blanks = f"; {found.count(None):,} blank" if None in found else ""
    return Column(title, kind, found, f"{title}: {about}{blanks}")


def _decide(
    title: str, filled: Sequence[Any], wish: str, signs: bool, where: str
) -> tuple[Kind, Callable[[Any], Any], str]:
    if any(isinstance(value, list) for value in filled):
        return _vectors(title, filled, where)
    truths = [_truth(value) for value in filled]
    if None not in truths and wish != "numbers":
        return "attribute", _truth, "an attribute, 1 for yes and 0 for no"
    numbers = [_number(value) for value in filled]
    if None in numbers:
        return "words", str, ""
    different = {number for number in numbers if number is not None}
    if wish != "numbers" and different <= {1, -1} and (-1 in different or signs):
        return "attribute", lambda value: int(_number(value) == 1), "an attribute, 1 for 1 and 0 for -1"
    low, high = min(different), max(different)
    span = f"{low:.6g} to {high:.6g}"
    if not all(number.is_integer() for number in different):
        if wish == "classes":
            raise UserError(f"{title} holds {next(n for n in different if not n.is_integer())}, no class", where=where)
        return "numbers", _number, f"numbers, {span}"
    why = _no_classes(title, different, wish)
    if wish == "numbers" or (why and wish != "classes"):
        return "numbers", _number, f"numbers, {span}" + (f" ({why}; {title}=classes makes them classes)" if why else "")
    if low < 0 or high >= MOST_CLASSES:
        odd = low if low < 0 else high
        raise UserError(
            f"{title} has the class {odd:.0f}",
            where=where,
            hint=f"classes go from 0 to {MOST_CLASSES - 1:,}; {title}=numbers takes them as quantities",
        )
    return "classes", lambda value: int(_number(value) or 0), f"classes {span}"


def _no_classes(title: str, different: set[float], wish: str) -> str:
    """Why whole numbers are no classes; "" if they may be."""
    low, high = min(different), max(different)
    if _CLASS_COLUMNS.fullmatch(title) and low >= 0:
        return ""
    if low not in (0, 1):
        return "whole numbers that don't begin at 0 or 1"
    if len(different) > _LIKELY_CLASSES:
        return f"{len(different):,} different whole numbers"
    return "whole numbers with many left out" if len(different) < (high - low + 1) / 2 else ""


def _vectors(title: str, filled: Sequence[Any], where: str) -> tuple[Kind, Callable[[Any], Any], str]:
    if any(isinstance(item, str) for value in filled if isinstance(value, list) for item in value):
        return "words", str, ""
    lengths = {len(value) if isinstance(value, list) else -1 for value in filled}
    if len(lengths) > 1 or any(_number(item) is None for value in filled for item in value):
        raise UserError(f"{title} should hold lists of equally many numbers", where=where)
    return "vectors", lambda value: [_number(item) for item in value], f"vectors of {lengths.pop()}"


def _words(title: str, values: Sequence[Any]) -> Column:
    words = [None if value in (None, "") else words_of(value) for value in values]
    kinds = sorted({word for word in words if word is not None})
    listed = ", ".join(kinds[:5]) + (" ..." if len(kinds) > 5 else "")
    blanks = f"; {words.count(None):,} blank" if None in words else ""
    return Column(
        title, "words", words, f"{title}: words, each a class ({listed}; {len(kinds):,} in the table){blanks}"
    )


def words_of(value: Any) -> str:
    """A cell as words; several of them in a list: one a line.

    Example:
        >>> words_of(["a cat", "a black cat"]), words_of(3)
        ('a cat\\na black cat', '3')
    """
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


def _blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.lower() in _BLANK) or value != value  # NaN


def _truth(value: Any) -> int | None:
    if isinstance(value, bool):
        return int(value)
    return _TRUTH.get(value.lower()) if isinstance(value, str) else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        return None
    try:
        return float(value)
    except OverflowError:
        return float("inf")
