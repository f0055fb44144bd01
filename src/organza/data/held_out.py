"""Images that a training never sees, to tell whether the discriminator has memorised the others."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Literal

from organza.core.errors import UserError
from organza.data.dataset import Dataset, open_dataset
from organza.data.hashing import permutation
from organza.data.options import DataOptions

_SEED = 0x8E1D  # the choice depends on nothing but the number of images, so that runs can be compared


def split(dataset: Dataset, options: DataOptions) -> tuple[Dataset, Dataset | None]:
    """The images to train on, and those that ``options.held_out`` sets aside (None without it).

    Raises:
        UserError: ``held_out`` is no number of images, no share and no dataset; or one with other labels.

    Example:
        >>> data = open_dataset(faces)
        >>> train, held_out = split(data, DataOptions(held_out="25%"))
        >>> len(train), len(held_out), set(train.names) & set(held_out.names)
        (36, 12, set())
    """
    if options.held_out is None:
        return dataset, None
    train, held_out = _parted(dataset, options, options.held_out)
    return train.apart("training"), held_out.apart("held-out")


def _parted(dataset: Dataset, options: DataOptions, wish: str) -> tuple[Dataset, Dataset]:
    if not re.fullmatch(r"\d*\.?\d+%?", wish):
        return dataset, _other(wish, dataset, options)
    count = _count(wish, len(dataset))
    order = permutation(len(dataset), _SEED, 0)
    return dataset.select(sorted(order[count:])), dataset.select(order[:count])


def _count(text: str, n: int) -> int:
    share = float(text.rstrip("%")) / (100 if text.endswith("%") else 1)
    count = round(share * n) if text.endswith("%") or "." in text else int(text)
    if not 0 < count < n:
        raise UserError(
            f"{text} of {n} images can't be set aside", where="--held-out", hint="write a number (500) or share (5%)"
        )
    return count


def _other(path: str, dataset: Dataset, options: DataOptions) -> Dataset:
    height, width = dataset.spec.resolution
    channels: dict[int, Literal["1", "3", "4"]] = {1: "1", 3: "3", 4: "4"}
    size = f"{height}x{width}"
    other = replace(options, resolution=size, channels=channels[dataset.spec.channels], max_images=None, held_out=None)
    if not Path(path).exists():
        raise UserError("there is no such dataset", where=f"--held-out {path}", hint="or write 500, or 5%")
    found = open_dataset(path, other)
    if found.spec != dataset.spec:
        raise UserError(
            f"has labels of {found.spec.label_dim} numbers, the training images of {dataset.spec.label_dim}",
            where=path,
        )
    return found
