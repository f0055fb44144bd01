"""Groups of images by what is known of each, such as age and sex; and stages that part them further and further.

What is known are words: ``{"age": "old", "sex": "male"}``. A stage names what it parts by, ``"age-sex"``, and a group
is called after its words, ``"old-male"``. The stage ``"all"`` has one group of that name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from organza.core.errors import UserError
from organza.data.domains import SPLITS, Domains, sides
from organza.data.source import Entry
from organza.data.tables.columns import typed
from organza.data.tables.names import find
from organza.data.tables.tables import check_column, read_table, split_wish

if TYPE_CHECKING:
    from pathlib import Path

    from organza.data.source import Source

ALL = "all"
Known = Mapping[str, str]
"""What is known of one image: by what it is parted, to its word."""
Stages = tuple[tuple[str, ...], ...]
"""By what each stage parts; the first by nothing."""
AGES = ("child", "young", "old")
SEXES = {"m": "male", "man": "male", "f": "female", "w": "female", "woman": "female"}
_SEX = ("sex", "gender")
_MOST_WORDS = 100


@dataclass(frozen=True)
class Group:
    """Images that are trained on together.

    Attributes:
        name: ``"all"``, or its words: ``"old-male"``.
        stage: ``"all"``, or by what it was parted: ``"age-sex"``.
        parent: the group of the stage before, or None.
        sources, targets: numbers of its images; ``targets`` is None where all of them are shown.
        merged: the group whose model stands for this one, which is too small; None where it has its own.
    """

    name: str
    stage: str
    parent: str | None
    sources: tuple[int, ...]
    targets: tuple[int, ...] | None
    merged: str | None = None


@dataclass(frozen=True)
class Chosen:
    """Some images of a dataset for translation, by their names.

    Attributes:
        path: the dataset, whatever `organza.data.domains.open_domains` takes.
        name: what they are called, for the run's folder.
        sources, targets: names in the dataset, of all its parts; None: all.
    """

    path: str | Path
    name: str
    sources: frozenset[str] | None
    targets: frozenset[str] | None

    def of(self, domains: Domains) -> Domains:
        """Those of them that are among ``domains``; perhaps none."""
        one, other = domains.source, domains.target
        if self.sources is not None:
            one = one.select([n for n, name in enumerate(one.names) if name in self.sources])
        if self.targets is not None:
            other = other.select([n for n, name in enumerate(other.names) if name in self.targets])
        return Domains(one, other, False)


def parse_stages(text: str) -> Stages:
    """Stages as one types them.

    Raises:
        UserError: they don't begin with all, or one does not part the groups of the one before it.

    Example:
        >>> parse_stages("all,age,age-sex")
        ((), ('age',), ('age', 'sex'))
    """
    named = [word.strip() for word in text.split(",")]
    found = tuple(() if word == ALL else tuple(word.split("-")) for word in named)
    hint = "write all,age,age-sex"
    if found[0] != () or len(found) > 6:
        raise UserError(f"--stages {text!r}: the first stage is all, and there are at most 6", hint=hint)
    for before, after, word in zip(found, found[1:], named[1:], strict=False):
        if not all(after) or len({*after}) < len(after) or after[: len(before)] != before or len(after) == len(before):
            what = f"--stages {text!r}: {word!r} does not part the groups of the stage before it"
            raise UserError(what, hint=hint)
    return found


def parse_ages(text: str) -> tuple[float, float]:
    """Two ages in years: a child is younger than the first, somebody old has the second or more.

    Raises:
        UserError: something else.

    Example:
        >>> parse_ages("15,40")
        (15.0, 40.0)
    """
    found = re.fullmatch(r"\s*(\d{1,3})\s*,\s*(\d{1,3})\s*", text, re.ASCII)
    if found is None or not int(found[1]) < int(found[2]):
        raise UserError(
            f"--ages {text!r} are not two ages", hint="write 15,40: children are younger than 15, old from 40"
        )
    return float(found[1]), float(found[2])


def age_word(years: float, ages: tuple[float, float]) -> str:
    """What somebody of that age is called.

    Example:
        >>> [age_word(years, (15, 40)) for years in (3, 15, 39.5, 40)]
        ['child', 'young', 'young', 'old']
    """
    return AGES[sum(years >= bound for bound in ages)]


def by_folders(names: Sequence[str], prefix: str, factors: Sequence[str]) -> list[Known]:
    """What the folders of images say, the outermost first.

    Args:
        names: of the images, with their folders.
        prefix: of all of them, which says nothing.
        factors: what the folders are.

    Example:
        >>> by_folders(["trainA/old/male/1.png", "trainA/2.png"], "trainA/", ["age", "sex"])
        [{'age': 'old', 'sex': 'male'}, {}]
    """
    found: list[Known] = []
    for name in names:
        parts = name.removeprefix(prefix).split("/")[:-1]
        found.append({factor: _word(factor, part) for factor, part in zip(factors, parts, strict=False) if part})
    return found


def by_table(
    source: Source,
    wish: str,
    names: Sequence[str],
    factors: Sequence[str],
    ages: tuple[float, float],
    *,
    insist: bool = True,
) -> list[Known]:
    """What a table says of images.

    Args:
        source: the dataset; the table may lie in it.
        wish: ``FILE:COLUMN,COLUMN``, a column for each of ``factors``; or the file alone, whose columns have their
            names.
        names: of the images.
        factors: what is asked for.
        ages: see `parse_ages`; a column of numbers called age is read by them.
        insist: refuse a table that names none of the images.

    Raises:
        UserError: no such table or column, rows that contradict each other, or a column that makes no groups.
    """
    file, listed = split_wish(wish)
    titles = [word.strip() for word in listed.split(",")] if listed else list(factors)
    if len(titles) != len(factors):
        raise UserError(f"{len(titles)} columns for {' and '.join(factors)}", where=wish, hint="name one for each")
    table = read_table(source, file, [Entry(name, 0, None) for name in names])
    rows = table.rows_of([Entry(name, 0, None) for name in names]) if insist else find(table.keys, names)
    found: list[dict[str, str]] = [{} for _ in names]
    for factor, title in zip(factors, titles, strict=True):
        words = _words(factor, title, check_column(table.columns, title, table.where), ages, table.where)
        for place, mine in enumerate(rows):
            said = {word for row in mine if (word := words[row]) is not None}
            if len(said) > 1:
                what = f"its rows about {names[place]} say both {' and '.join(sorted(said))}"
                raise UserError(what, where=table.where)
            if said:
                found[place][factor] = said.pop()
    return list(found)


def _words(
    factor: str, title: str, cells: Sequence[Any], ages: tuple[float, float], where: str
) -> Sequence[str | None]:
    """A word for each row of a column."""
    if factor == "age" and (years := _numbers(title, cells, where)) is not None:
        return [None if year is None else age_word(year, ages) for year in years]
    column = typed(title, cells, where=where)
    if column.kind in ("numbers", "vectors"):
        what = f"the column {title!r} holds {column.kind}, which make no groups"
        raise UserError(what, where=where, hint="give a column of words or classes")
    if column.kind == "words":
        words = [None if value is None else _word(factor, str(value)) for value in column.values]
    elif column.kind == "attribute":
        yes, no = _word(factor, title), f"no_{_word(factor, title)}"
        if yes == "male" and factor in _SEX:  # CelebA's column
            no = "female"
        words = [None if value is None else yes if value else no for value in column.values]
    else:
        words = [None if value is None else f"{_word(factor, title)}{value}" for value in column.values]
    if (count := len({*words})) > _MOST_WORDS:
        raise UserError(f"the column {title!r} has {count} different words", where=where, hint="name another column")
    return words


def _numbers(title: str, cells: Sequence[Any], where: str) -> list[float | None] | None:
    """The cells as numbers; None where they are words.

    Raises:
        UserError: some are numbers and some words: a slip would make each age a group of its own.
    """
    found: list[float | None] = []
    words: list[str] = []
    for cell in cells:
        text = "" if cell is None else str(cell).strip()
        if re.fullmatch(r"\d{1,3}(\.\d{1,20})?", text, re.ASCII):
            found.append(float(text))
        elif text.lower() in ("", "na", "n/a", "nan", "null", "none", "?", "-"):
            found.append(None)
        else:
            words.append(text)
    if words and any(year is not None for year in found):
        what = f"the column {title!r} holds ages in years, and {words[0][:40]!r}"
        raise UserError(what, where=where, hint="correct it, leave the cell empty, or write words in all of them")
    return None if words else found


def _word(factor: str, text: str) -> str:
    """A word that may be part of a group's name and of a folder's."""
    plain = re.sub(r"[^\w.]+", "_", text.strip().casefold()).strip("._")[:40] or "other"
    return SEXES.get(plain, plain) if factor in _SEX else plain


def side_prefix(whole: Source, names: Sequence[str]) -> str:
    """The folder of the side of a dataset for translation in which images lie; "" if there is none."""
    found = {""}
    for split in SPLITS:
        try:
            one, other, _ = sides(whole, split)
        except UserError:
            continue
        found |= {one.prefix, other.prefix}
    return max((prefix for prefix in found if all(name.startswith(prefix) for name in names)), key=len)


def make_groups(stages: Stages, sources: Sequence[Known], targets: Sequence[Known] | None, least: int) -> list[Group]:
    """The groups of all stages, each after its parent.

    Args:
        stages: by what each parts.
        sources: what is known of each source image. One of which a stage's words are not known is in none of its
            groups.
        targets: the same of target images; None: each group is shown all of them.
        least: a group with fewer images on a side that is parted is merged into its parent.

    Example:
        >>> known = [{"age": "old"}] * 3 + [{"age": "child"}] + [{}]
        >>> [(group.name, group.sources, group.merged) for group in make_groups(((), ("age",)), known, None, 2)]
        [('all', (0, 1, 2, 3, 4), None), ('child', (3,), 'all'), ('old', (0, 1, 2), None)]
    """
    every = None if targets is None else tuple(range(len(targets)))
    found = {ALL: Group(ALL, ALL, None, tuple(range(len(sources))), None)}
    for before, factors in pairwise(stages):
        words = sorted({mine for known in sources if (mine := _of(known, factors)) is not None})
        for mine in words:
            parent = found["-".join(mine[: len(before)]) or ALL]
            ours = tuple(n for n, known in enumerate(sources) if _of(known, factors) == mine)
            theirs = None
            if targets is not None and every is not None:
                theirs = tuple(n for n in every if _of(targets[n], factors) == mine)
            small = parent.merged is not None or len(ours) < least or (theirs is not None and len(theirs) < least)
            name = "-".join(mine)
            if name in found:
                raise UserError(f"two groups are called {name}", hint="name one of them otherwise")
            merged = (parent.merged or parent.name) if small else None
            found[name] = Group(name, "-".join(factors), parent.name, ours, theirs, merged)
    return list(found.values())


def _of(known: Known, factors: Sequence[str]) -> tuple[str, ...] | None:
    """The words of an image, where all are known."""
    return tuple(known[factor] for factor in factors) if all(factor in known for factor in factors) else None
