"""Random access to the pixels of a cache."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import numpy as np

from organza.core.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


class Pixels:
    """A file of uint8 ``[N, H, W, C]``, read in place by the system's own cache: memory does not grow with the file.

    Whatever precedes the pixels takes ``offset`` bytes.

    Pages of a memory map would count as this process's memory, all of the set in the end; so a map is used only where
    positioned reads are not to be had. Any number of threads may read at once.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int, int], offset: int = 0) -> None:
        self.path, self.shape, self.offset = path, shape, offset
        self._stride = int(np.prod(shape[1:], dtype=object))
        self._file = -1
        if sys.platform == "win32":
            self._map = np.memmap(path, np.uint8, "r", offset, shape)
        else:
            self._file = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if self._file >= 0:
            os.close(self._file)

    def __reduce__(self) -> tuple[type[Pixels], tuple[Path, tuple[int, int, int, int], int]]:
        return Pixels, (self.path, self.shape, self.offset)

    def take(self, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The images of these numbers, contiguous ``[len(numbers), H, W, C]``.

        Raises:
            UserError: the file was cut while in use.
        """
        if sys.platform == "win32":
            return np.asarray(np.take(self._map, numbers, axis=0))
        out = np.empty((len(numbers), *self.shape[1:]), np.uint8)
        for row, number in zip(out, numbers.tolist(), strict=True):
            if os.preadv(self._file, [row.data], self.offset + number * self._stride) != self._stride:
                raise UserError("the file was cut short while in use", where=self.path, hint="start again")
        return out
