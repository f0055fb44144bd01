"""What a translator with labels can be asked for, by name: label vectors from words.

The vector holds everything that an image should be, not only what should change. An attribute that nobody names is as
in the source where its labels are known, and 0 where they are not. Hair colours and the values of one column exclude
each other: to ask for one clears the others (Choi et al. 2018, arXiv 1711.09020, as in the authors' code).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from organza.contract.data import DataSpec, LabelSet
from organza.core.errors import UserError

_HAIR = re.compile(r"(black|blond|blonde|brown|gray|grey|red)[_ -]hair", re.IGNORECASE)


def label_sets(spec: DataSpec) -> tuple[LabelSet, ...]:
    """What a label vector is made of: `DataSpec.label_sets`, or one set of numbers where it says nothing."""
    return spec.label_sets or (LabelSet(spec.label_dim, "numbers"),)


def label_names(spec: DataSpec) -> tuple[str, ...]:
    """A name for each label of all sets; the number of one that nobody named.

    Example:
        >>> label_names(DataSpec((8, 8), label_dim=2)), label_names(DataSpec((8, 8), 3, 1, label_names=("Young",)))
        (('0', '1'), ('Young',))
    """
    count = sum(part.size for part in label_sets(spec))
    return (*spec.label_names, *map(str, range(len(spec.label_names), count)))[:count]


def target_vector(spec: DataSpec, wish: str, labels: Sequence[float] | None = None) -> list[float]:
    """The label vector that ``wish`` asks for.

    Args:
        spec: of the network.
        wish: names with commas between them: ``"Blond_Hair, no Male"``; ``-Male`` and ``Male=0`` mean ``no Male``. One
            name, where they are classes.
        labels: of the source image, ``spec.label_dim`` numbers, where they are known.

    Returns:
        ``spec.label_dim`` numbers.

    Raises:
        UserError: a name that is not there, names that exclude each other, or none.

    Example:
        >>> spec = DataSpec((8, 8), label_dim=3, label_names=("Black_Hair", "Blond_Hair", "Male"))
        >>> target_vector(spec, "Blond_Hair"), target_vector(spec, "Blond_Hair", labels=[1, 0, 1])
        ([0.0, 1.0, 0.0], [0.0, 1.0, 1.0])
    """
    names = label_names(spec)
    asked = [_asked(word, names) for word in filter(None, map(str.strip, wish.split(",")))]
    if not asked:
        raise UserError("no target is named", hint=f"choose of {_listed(names)}")
    which = {_set_of(spec, place) for place, _ in asked}
    if len(which) > 1:
        first, other = (next(names[p] for p, _ in asked if _set_of(spec, p) == k) for k in sorted(which)[:2])
        raise UserError(f"{first} and {other} are labels of two datasets", hint="name targets of one of them")
    start, part = _placed(spec, which.pop())
    wanted = {place: value for place, value in asked if value}
    if part.kind == "classes" and (len(asked) > 1 or len(wanted) != 1):
        raise UserError(f"{wish!r} is not one class", hint=f"choose one of {_listed(names[start : start + part.size])}")
    for group in exclusive(names):
        if len(both := [names[place] for place in wanted if place in group]) > 1:
            raise UserError(f"{both[0]} and {both[1]} exclude each other", hint="name one of them")
    vector = _start(spec, start, part, labels)
    for place, value in asked:
        _put(vector, place, value, names)
    return vector


def taken_for_no(spec: DataSpec, wish: str) -> list[str]:
    """The attributes that ``wish`` does not name, nor excludes: where nobody knows the source's labels, they are 0.

    Raises:
        UserError: as `target_vector`.

    Example:
        >>> taken_for_no(DataSpec((8, 8), label_dim=2, label_names=("Male", "Young")), "Young")
        ['Male']
    """
    names = label_names(spec)
    target_vector(spec, wish)
    asked = [_asked(word, names) for word in filter(None, map(str.strip, wish.split(",")))]
    start, part = _placed(spec, _set_of(spec, asked[0][0]))
    said = {place for place, _ in asked}
    for group in exclusive(names):
        if any(value and place in group for place, value in asked):
            said |= group
    if part.kind == "classes":
        return []
    return [names[place] for place in range(start, start + part.size) if place not in said]


def every_target(spec: DataSpec, labels: Sequence[float] | None = None) -> dict[str, list[float]]:
    """A label vector for each name: of a class, that class; of an attribute, the source with it changed.

    Args:
        spec: of the network.
        labels: of the source image, where they are known: an attribute that it has is then taken away.

    Example:
        >>> spec = DataSpec((8, 8), label_dim=2, label_names=("Male", "Young"))
        >>> every_target(spec, [1, 0])
        {'no Male': [0.0, 0.0], 'Young': [1.0, 1.0]}
    """
    names, found = label_names(spec), {}
    alone = {place for group in exclusive(names) for place in group}
    for number in range(len(label_sets(spec))):
        start, part = _placed(spec, number)
        for place in range(start, start + part.size):
            vector = _start(spec, start, part, labels)
            taken = bool(vector[place]) and part.kind == "numbers" and place not in alone
            _put(vector, place, 0.0 if taken else 1.0, names)
            found[f"no {names[place]}" if taken else names[place]] = vector
    return found


def known_vector(spec: DataSpec, names: Sequence[str], values: Sequence[float]) -> list[float]:
    """The label vector of an image of which some labels are known.

    Args:
        spec: of the network.
        names: of the labels that are known, in any order.
        values: a number for each.

    Raises:
        UserError: the network knows no such label, or they are labels of two datasets.

    Example:
        >>> known_vector(DataSpec((8, 8), label_dim=2, label_names=("Male", "Young")), ["Young"], [1])
        [0.0, 1.0]
    """
    all_names, vector = label_names(spec), [0.0] * spec.label_dim
    places = [check_name(name, all_names) for name in names]
    which = {_set_of(spec, place) for place in places}
    if len(which) > 1:
        raise UserError(f"labels of two datasets: {_listed(names)}", hint="give those of one of them")
    if len(label_sets(spec)) > 1:
        vector[len(all_names) + which.pop()] = 1.0
    for place, value in zip(places, values, strict=True):
        vector[place] = float(value)
    return vector


def exclusive(names: Sequence[str]) -> list[frozenset[int]]:
    """Groups of names of which at most one is true: hair colours, and words of one column (``title=word``).

    Example:
        >>> exclusive(["Male", "Black_Hair", "hat=red", "Blond_Hair", "hat=blue"])
        [frozenset({1, 3}), frozenset({2, 4})]
    """
    groups: dict[str, set[int]] = {}
    for place, name in enumerate(names):
        title, equals, _ = name.partition("=")
        if _HAIR.fullmatch(name) or equals:
            groups.setdefault(title if equals else "", set()).add(place)
    return [frozenset(group) for group in groups.values() if len(group) > 1]


def check_name(word: str, names: Sequence[str]) -> int:
    """The place of a name, in any letters.

    Raises:
        UserError: it is not there; the message names the nearest.

    Example:
        >>> check_name("blond hair", ["Male", "Blond_Hair"])
        1
    """
    plain = [_plain(name) for name in names]
    if word in names:
        return list(names).index(word)
    if plain.count(_plain(word)) == 1:
        return plain.index(_plain(word))
    near = difflib.get_close_matches(_plain(word), plain, n=2)
    hint = " or ".join(names[plain.index(name)] for name in near)
    raise UserError(f"there is no {word!r}", hint=f"did you mean {hint}?" if near else f"choose of {_listed(names)}")


def _asked(word: str, names: Sequence[str]) -> tuple[int, float]:
    """The place that a word names, and the value that it wants there."""
    if word in names:
        return list(names).index(word), 1.0
    if match := re.fullmatch(r"(?:-|no |not )\s*(.+)", word, re.IGNORECASE):
        return check_name(match[1], names), 0.0
    if match := re.fullmatch(r"(.+)=([01](?:\.0*)?|0?\.\d+)", word):
        return check_name(match[1], names), float(match[2])
    return check_name(word, names), 1.0


def _plain(name: str) -> str:
    return re.sub(r"[_ -]+", " ", name.strip().lower())


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (" ..." if len(names) > 12 else "")


def _placed(spec: DataSpec, number: int) -> tuple[int, LabelSet]:
    """Where a set begins in the vector, and what it is."""
    sets = label_sets(spec)
    return sum(part.size for part in sets[:number]), sets[number]


def _set_of(spec: DataSpec, place: int) -> int:
    return max(k for k in range(len(label_sets(spec))) if _placed(spec, k)[0] <= place)


def _start(spec: DataSpec, start: int, part: LabelSet, labels: Sequence[float] | None) -> list[float]:
    """The vector before anything is asked for: the source's, as far as it says anything about this set."""
    sets, vector = label_sets(spec), [0.0] * spec.label_dim
    number = _set_of(spec, start)
    first_mask = sum(each.size for each in sets)
    if len(sets) > 1:
        vector[first_mask + number] = 1.0
    known = labels is not None and (len(sets) == 1 or bool(labels[first_mask + number]))
    if labels is not None and known and part.kind == "numbers":
        vector[start : start + part.size] = map(float, labels[start : start + part.size])
    return vector


def _put(vector: list[float], place: int, value: float, names: Sequence[str]) -> None:
    """Set one label; one that comes to be true clears those that it excludes."""
    if value:
        for group in exclusive(names):
            for other in group if place in group else ():
                vector[other] = 0.0
    vector[place] = value
