"""Several labelled datasets, trained on together: batches of one after the other, with labels of all and a mask.

Each pair of batches shows one of either set, which of them first by a hash of the pair's number: so a phase that runs
at every second step alone meets both. The batch at a position is a pure function of it, as everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from organza.contract.data import Batch, DataSpec
from organza.core.errors import UserError
from organza.data.dataset import Dataset
from organza.data.hashing import mix
from organza.data.loader import Loader


def joint_spec(datasets: Sequence[Dataset]) -> DataSpec:
    """What networks must know of datasets that are shown together.

    A label that two of them have by the same name is called by the name of its dataset as well.

    Raises:
        UserError: another size or other channels.
    """
    first = datasets[0].spec
    for dataset in datasets[1:]:
        if (dataset.spec.resolution, dataset.spec.channels) != (first.resolution, first.channels):
            raise UserError(f"{dataset.name} has images of another kind than {datasets[0].name}")
    names = [names_of(dataset) for dataset in datasets]
    twice = {name for one in names for name in one if sum(name in other for other in names) > 1}
    whole = (
        f"{dataset.name}:{name}" if name in twice else name
        for dataset, own in zip(datasets, names, strict=True)
        for name in own
    )
    sets = tuple(part for dataset in datasets for part in dataset.spec.label_sets)
    return replace(
        first,
        label_dim=sum(part.size for part in sets) + len(sets),
        count=sum(map(len, datasets)),
        label_names=tuple(whole),
        label_sets=sets,
    )


def names_of(dataset: Dataset) -> tuple[str, ...]:
    """A name for each of its labels; its number where it has none."""
    known = dataset.spec.label_names
    return (*known, *(str(place) for place in range(len(known), dataset.spec.label_dim)))


def joined(labels: Tensor, number: int, datasets: Sequence[Dataset]) -> Tensor:
    """Labels ``[N, own]`` of one dataset, in their place beside zeros for the others, with the mask."""
    sizes = [dataset.spec.label_dim for dataset in datasets]
    found = torch.zeros(len(labels), sum(sizes) + len(sizes))
    start = sum(sizes[:number])
    found[:, start : start + sizes[number]] = labels
    found[:, sum(sizes) + number] = 1
    return found


class JointLoader:
    """Batches by position, each of one dataset.

    Args:
        datasets: two of them.
        seed, settings: as for `Loader`.

    Attributes:
        count: images in an epoch: of both together.
    """

    def __init__(self, datasets: Sequence[Dataset], *, seed: int, **settings: Any) -> None:
        self.datasets, self.seed = datasets, seed
        self._loaders = [Loader(dataset, seed=seed + number, **settings) for number, dataset in enumerate(datasets)]
        self.count = sum(map(len, datasets))

    @property
    def waited(self) -> float:
        """Seconds that callers have waited, in all."""
        return sum(loader.waited for loader in self._loaders)

    def which(self, number: int) -> int:
        """The dataset of a batch by its number.

        Example:
            >>> from organza import open_dataset
            >>> with JointLoader([open_dataset(faces)] * 2, seed=0) as loader:
            ...     sorted([loader.which(6), loader.which(7)])
            [0, 1]
        """
        pair = np.array([number // 2], np.uint64)
        first = int(mix(mix(np.array([self.seed], np.uint64)) ^ pair)[0] >> np.uint64(63))
        return first ^ number % 2

    def batch(self, seen: int, size: int) -> Batch:
        """The batch at positions ``[seen, seen + size)``: the images of one dataset that follow those shown before."""
        number = seen // size
        which = self.which(number)
        own = self._loaders[which].batch(number // 2 * size, size)
        labels = joined(own.labels.cpu(), which, self.datasets).to(own.labels.device)
        return replace(own, labels=labels, seen=seen)

    def close(self) -> None:
        """Stop reading ahead."""
        for loader in self._loaders:
            loader.close()

    def __enter__(self) -> JointLoader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def first_images(datasets: Sequence[Dataset], count: int) -> tuple[NDArray[np.uint8], Tensor]:
    """``count`` images with their labels, of the datasets by turns, in an order that never changes."""
    images, labels = [], []
    orders = [np.random.RandomState(0).permutation(len(dataset)) for dataset in datasets]
    for place in range(count):
        number = place % len(datasets)
        order = orders[number]
        pixels, own = datasets[number].fetch([order[place // len(datasets) % len(order)]])
        images.append(pixels)
        labels.append(joined(torch.from_numpy(own), number, datasets))
    return np.concatenate(images), torch.cat(labels)
