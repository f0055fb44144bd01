"""Datasets of which some images are labelled: which these are, and batches of both kinds.

Position p of the stream shows an image of the whole set without its label and a labelled one with it, each in an order
of its own. So a step has as many of both, however few are labelled, and a batch stays a pure function of its position.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from organza.contract.data import Batch
from organza.core.errors import UserError
from organza.data.hashing import permutation
from organza.data.loader import Loader

if TYPE_CHECKING:
    from organza.data.dataset import Dataset

_SEED = 0x1ABE1  # which labels are kept depends on the data and their number alone, so that runs can be compared


def with_labels(dataset: Dataset, count: int | None) -> Dataset:
    """The images whose labels are kept: of classes equally many each, as far as that goes.

    Args:
        dataset: with labels.
        count: how many; None all.

    Raises:
        UserError: more than there are.

    Example:
        >>> from organza import open_dataset
        >>> from organza.data.options import DataOptions
        >>> few = with_labels(open_dataset(faces, DataOptions(labels="auto")), 11)
        >>> len(few), int(few.labels(np.arange(11)).sum(0).max()) <= 2
        (11, True)
    """
    if count is None:
        return dataset
    if count > len(dataset):
        raise UserError(f"{count} labels of {len(dataset)} images can't be kept", hint="give --labelled fewer")
    order = permutation(len(dataset), _SEED, 0)
    (kind,) = {part.kind for part in dataset.spec.label_sets}
    if kind == "classes":
        # By turns: the first of each class, the second of each class, and so on, until there are enough.
        classes = dataset.labels(order).argmax(1)
        turn = np.zeros_like(order)
        for number in np.unique(classes):
            turn[classes == number] = np.arange((classes == number).sum())
        order = order[np.argsort(turn, kind="stable")]
    return dataset.select(sorted(order[:count]))


class PartLoader:
    """Batches of images, and beside each a labelled one as `Batch.source`: the labels are that one's.

    Args:
        whole: all images.
        labelled: those whose labels are known.
        seed, settings: as for `Loader`.

    Attributes:
        count: images in an epoch: of all.
    """

    def __init__(self, whole: Dataset, labelled: Dataset, *, seed: int, **settings: Any) -> None:
        # Any fixed change of the seed makes one order independent of the other.
        self._whole, self._labelled = Loader(whole, seed=seed, **settings), Loader(labelled, seed=~seed, **settings)
        self.count = len(whole)

    @property
    def waited(self) -> float:
        """Seconds that callers have waited, in all."""
        return self._whole.waited + self._labelled.waited

    def batch(self, seen: int, size: int) -> Batch:
        """What stands at positions ``[seen, seen + size)``."""
        labelled = self._labelled.batch(seen, size)
        return replace(self._whole.batch(seen, size), source=labelled.images, labels=labelled.labels)

    def close(self) -> None:
        """Stop reading ahead."""
        self._whole.close()
        self._labelled.close()

    def __enter__(self) -> PartLoader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
