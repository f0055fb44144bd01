"""Labels as values: a class or a vector for each image, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from organza.core.errors import UserError
from organza.data.tables.columns import MOST_CLASSES

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Labels:
    """Labels in the order of the entries. Whatever they come from, they are checked here.

    Attributes:
        values: classes int64 ``[N]`` from 0 to `MOST_CLASSES`, or finite vectors float32 ``[N, D]``.
        names: of the classes or of the vector's places, where known.

    Raises:
        UserError: a class out of range, or a number that is not finite, of an image that has a label.
    """

    values: NDArray[np.int64] | NDArray[np.float32]
    names: tuple[str, ...] = ()
    missing: frozenset[int] = frozenset()
    """Places whose image has no label; an error only if that image is used."""
    where: str = ""
    least: int = 0
    """Class labels have at least this length as vectors (a part of a set keeps the classes of the whole)."""
    about: tuple[str, ...] = ()
    """What each column of a table was taken for."""

    def __post_init__(self) -> None:
        if self.values.ndim == 1:
            odd = self.values[(self.values < 0) | (self.values >= MOST_CLASSES)]
            if len(odd):
                raise UserError(f"the class {odd[0]} is not from 0 to {MOST_CLASSES - 1:,}", where=self.where or None)
        elif not np.isfinite(self.values).all():
            row = int(np.flatnonzero(~np.isfinite(self.values).all(1))[0])
            raise UserError(f"the label of image {row} is not finite", where=self.where or None)

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
