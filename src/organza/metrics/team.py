"""Sharing the work among the processes of torchrun, and putting it together again in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from organza.core import distributed
from organza.core.progress import Progress

T = TypeVar("T")


@dataclass(frozen=True)
class Team:
    """Processes that work together; ``Team()`` is one alone, whatever others there are.

    Example:
        >>> Team().spread(5, 2, lambda indices: int(indices.sum()))
        [1, 5, 4]
    """

    rank: int = 0
    world: int = 1

    @classmethod
    def all(cls) -> Team:
        """Every process that torchrun started."""
        return cls(distributed.rank(), distributed.world())

    def gather(self, value: T) -> list[T]:
        """Everybody's value, in order of rank, on all of them."""
        return [value] if self.world == 1 else distributed.gather(value)

    def spread(
        self,
        count: int,
        batch: int,
        work: Callable[[NDArray[np.int64]], T],
        progress: Progress | None = None,
        cuts: tuple[int, ...] = (),
    ) -> list[T]:
        """``work`` on batches of the numbers 0 to ``count - 1``, shared among all; the results in order.

        Args:
            count, batch: of the numbers.
            work: takes numbers ``[N]``.
            progress: called with the numbers done and wanted.
            cuts: no batch reaches over these numbers.
        """
        spans = spans_of(count, batch, cuts)
        mine = []
        for start, stop in spans[self.rank :: self.world]:
            mine.append(work(np.arange(start, stop)))
            if progress is not None:
                progress(min(count, start + (stop - start) * self.world), count)
        everybody: list[list[Any]] = self.gather(mine)
        return [everybody[index % self.world][index // self.world] for index in range(len(spans))]


def spans_of(count: int, batch: int, cuts: tuple[int, ...] = ()) -> list[tuple[int, int]]:
    """Batches (start, stop) of 0 to ``count``.

    Example:
        >>> spans_of(10, 4, cuts=(5,))
        [(0, 4), (4, 5), (5, 9), (9, 10)]
    """
    ends = sorted({cut for cut in cuts if 0 < cut < count} | {count})
    starts = [0, *ends[:-1]]
    return [(i, min(i + batch, end)) for start, end in zip(starts, ends, strict=True) for i in range(start, end, batch)]
