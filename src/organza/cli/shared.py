"""Options that the verbs for trained networks have in common."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from organza.cli.parse import parse_seeds
from organza.core.errors import UserError
from organza.core.ranges import Count, CountOrZero

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from organza.models.sampling import Sampling


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What every verb for a trained network asks."""

    network: Path
    """Folder of a run, such as runs/00000-stylegan2-faces, one of its checkpoints, or a file of somebody else's."""
    device: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """cpu, cuda, cuda:1 ...; the GPU where there is one."""


@dataclass(frozen=True, kw_only=True)
class Drawing(Trained):
    """What verbs that generate images of seeds ask as well."""

    precision: Literal["auto", "float32", "bf16"] = "auto"
    """float32 is exact, bf16 faster; auto: bf16 where it is native and off by under one level of 255 in the mean."""

    trunc: float = 1.0
    """Truncation psi: 1 gives the full variety, 0.7 safer images, 0 the average."""
    cutoff: Annotated[CountOrZero | None, tyro.conf.arg(metavar="N")] = None
    """Truncate only the first so many layers."""
    class_: Annotated[str | None, tyro.conf.arg(name="class", metavar="N|NAME")] = None
    """The class to generate, for networks with classes: its number or its name; or one for each seed: 0,1,4-6."""
    label: Annotated[str | None, tyro.conf.arg(metavar="0,1,0.5")] = None
    """A whole label vector instead, for networks with attributes: numbers, or the names of what is there:
    "char=A, font=alike"."""
    text: Annotated[tuple[str, ...], tyro.conf.arg(metavar="WORDS")] = ()
    """What to show, for networks that take text: "blonde hair blue eyes"."""
    noise: Literal["const", "random", "none"] = "const"
    """Fine detail: stored, fresh for each image, or none."""
    scale: Count = 1
    """Make each pixel a square of so many pixels."""

    @property
    def labels(self) -> int | list[int] | str | NDArray[np.float32] | None:
        """The class or classes as numbers, the name of one, or the label vector."""
        if self.label is not None:
            return parse_label(self.label, self.class_)
        if self.class_ is None:
            return None
        if not set(self.class_) <= set("0123456789,- "):
            return self.class_
        classes = parse_seeds(self.class_, "classes")
        return classes[0] if len(classes) == 1 else classes

    @property
    def sampling(self) -> Sampling:
        """All of that but the scale.

        Raises:
            UserError: a label that can't be read, or a number that can't be used.
        """
        from organza.models.sampling import Sampling

        if len(self.text) > 1:
            raise UserError(f"{len(self.text)} texts", hint="put one text into quotes; generate alone takes several")
        text = self.text[0] if self.text else None
        return Sampling(self.labels, self.trunc, self.cutoff, self.noise, text)


def seeds_of(text: str | None, grid: tuple[int, int] | None, otherwise: str) -> list[int]:
    """The seeds as typed; where none are, 0, 1 ... for each cell of the grid, or ``otherwise``.

    Example:
        >>> seeds_of(None, (4, 2), "0-15"), seeds_of("5,9", (4, 2), "0-15"), seeds_of(None, None, "0-2")
        ([0, 1, 2, 3, 4, 5, 6, 7], [5, 9], [0, 1, 2])
    """
    if text is None and grid is not None:
        text = f"0-{grid[0] * grid[1] - 1}"
    return parse_seeds(otherwise if text is None else text)


def class_columns(
    seeds: list[int], sampling: Sampling, grid: tuple[int, int] | None, typed: bool
) -> tuple[list[int], Sampling]:
    """A table of classes, where a grid of several rows has as many columns as there are classes: a seed for each row.

    Args:
        seeds: one for each cell, or as ``typed``: then a table needs one for each row.
        sampling: with the classes.
        grid: columns and rows.
        typed: whether a person named the seeds.

    Example:
        >>> from organza.models.sampling import Sampling
        >>> seeds, found = class_columns(list(range(6)), Sampling([4, 7, 9]), (3, 2), typed=False)
        >>> seeds, found.labels
        ([0, 0, 0, 1, 1, 1], [4, 7, 9, 4, 7, 9])
    """
    classes = sampling.labels
    columns, rows = (0, 0) if grid is None else grid
    fits = isinstance(classes, list) and len(classes) == columns and (not typed or len(seeds) == rows)
    if not (fits and isinstance(classes, list) and rows > 1):
        return seeds, sampling
    return [seed for seed in seeds[:rows] for _ in classes], replace(sampling, labels=classes * rows)


def parse_label(text: str, class_: str | None = None) -> NDArray[np.float32] | str:
    """A label vector: numbers joined by commas; or names, for the network to know.

    Raises:
        UserError: nothing is named, or there is a class as well.

    Example:
        >>> parse_label("0,1,0.5")
        array([0. , 1. , 0.5], dtype=float32)
        >>> parse_label("char=A, font=alike")
        'char=A, font=alike'
    """
    import numpy as np

    if class_ is not None:
        raise UserError("--class and --label say the same", hint="leave one of them out")
    try:
        return np.array([float(part) for part in text.split(",")], np.float32)
    except ValueError as error:
        if not any(letter.isalpha() for letter in text):
            raise UserError(f"can't read the label {text!r}", hint="write numbers such as 0,1,0.5") from error
    return text
