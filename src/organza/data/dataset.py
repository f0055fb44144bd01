"""An opened dataset: random access to prepared images."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from organza.core.config import check
from organza.core.errors import UserError
from organza.core.progress import Progress
from organza.data.cache.pixels import Pixels
from organza.data.cache.prepare import Meta, listed, prepare
from organza.data.opening import open_source
from organza.data.options import DataOptions, parse_resolution
from organza.data.source import Source

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from organza.contract.data import DataSpec


def open_dataset(
    path: str | Path | Source,
    options: DataOptions | None = None,
    *,
    cache_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Open images for training; the first time, they are decoded into the cache by all cores.

    Args:
        path: a folder, a zip, or any other form of `organza.data.opening.open_source`; or that source.
        options: size, channels, labels ...
        cache_dir: instead of ``$ORGANZA_CACHE`` or the platform's own.
        progress: called as ``progress(done, total)`` while decoding.

    Raises:
        UserError: nothing there, nothing usable, options out of range, wrong labels, bad files under ``strict``, no
            room for the cache.

    Example:
        >>> import tempfile; from PIL import Image
        >>> with tempfile.TemporaryDirectory() as tmp:
        ...     folder = Path(tmp, "pets"); folder.mkdir()
        ...     Image.new("RGB", (20, 16), "red").save(folder / "a.png")
        ...     data = open_dataset(folder, cache_dir=tmp)
        ...     images, labels = data.fetch([0, 0])
        >>> data.name, len(data), images.shape, labels.shape
        ('pets', 1, (2, 16, 16, 3), (2, 0))
    """
    options = check(options or DataOptions())
    size = None if options.resolution is None else parse_resolution(options.resolution)
    source = open_source(path, crop=size) if not isinstance(path, Source) else path
    folder, meta = prepare(source, options, cache_dir=None if cache_dir is None else Path(cache_dir), progress=progress)
    if options.strict and meta.skipped:
        what = f"{len(meta.skipped)} bad files{listed(meta.skipped)}"
        raise UserError(what, where=source.path, hint="remove them, or leave out --strict to skip them")
    return Dataset(source.name, folder, meta, mirror=options.mirror)


class Dataset:
    """Prepared images, read from the cache as they are asked for: they may be larger than the memory.

    Attributes:
        name: short, for run folders.
        key: changes with the content, with every option that changes pixels or labels, and with `select`.
        mirror: whether a loader should flip half of what it shows.
        classes: names of the classes, where known.
        skipped: (name, reason) of each bad file.
        part: ``"training"`` or ``"held-out"`` where `organza.data.held_out.split` has parted a set; else ``"all"``.

    Example:
        >>> from organza import open_dataset
        >>> data = open_dataset(faces)
        >>> len(data), data.spec.resolution, data.skipped
        (48, (16, 16), [])
    """

    def __init__(self, name: str, folder: Path, meta: Meta, *, mirror: bool = False) -> None:
        self.name, self.mirror, self.kind = name, mirror, meta.kind
        self.key = folder.name.rpartition("-")[2]
        self.classes = meta.classes
        self.skipped, self.part = list(meta.skipped), "all"
        self._folder, self._meta = folder, meta
        self._pixels = Pixels(folder / "images.u8", (meta.total, *meta.resolution, meta.channels))
        self._slots = None if meta.slots is None else np.array(meta.slots, np.int64)
        self._rows: NDArray[np.int64] | None = None
        self._labels = np.load(folder / "labels.npy", mmap_mode="r") if meta.label_dim else None

    def named(self, name: str, key: str) -> Dataset:
        """The same images under another name and key: those of a whole that they stand for."""
        same = Dataset(name, self._folder, self._meta, mirror=self.mirror)
        same._rows, same.key = self._rows, key
        return same

    def apart(self, part: str) -> Dataset:
        """The same images as one part of a set that was parted."""
        same = self.named(self.name, self.key)
        same.part = part
        return same

    def __len__(self) -> int:
        return self._meta.count if self._rows is None else len(self._rows)

    @property
    def resolution(self) -> tuple[int, int]:
        """Height and width."""
        return self._meta.resolution

    def select(self, indices: ArrayLike) -> Dataset:
        """A dataset of some of the images, in the given order; nothing is copied.

        Raises:
            IndexError: a number is out of range.
        """
        chosen = Dataset(self.name, self._folder, self._meta, mirror=self.mirror)
        chosen._rows = self._stored(np.asarray(indices, np.int64).reshape(-1))
        chosen.key = hashlib.sha256(self.key.encode() + chosen._rows.tobytes()).hexdigest()[:20]
        return chosen

    def _stored(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers in this dataset -> numbers in the cache."""
        if indices.size and (indices.min() < 0 or indices.max() >= len(self)):
            raise IndexError(f"dataset {self.name} has {len(self)} images")
        return indices if self._rows is None else self._rows[indices]

    @property
    def spec(self) -> DataSpec:
        """What networks must know."""
        from organza.contract.data import DataSpec, LabelSet

        meta = self._meta
        sets: tuple[LabelSet, ...] = ()
        if self._labels is not None:
            sets = (LabelSet(meta.label_dim, "classes" if self._labels.ndim == 1 else "numbers"),)
        return DataSpec(meta.resolution, meta.channels, meta.label_dim, label_names=meta.classes, label_sets=sets)

    @cached_property
    def names(self) -> list[str]:
        """Where each image came from."""
        names: list[str] = json.loads((self._folder / "names.json").read_text("utf-8", "surrogatepass"))
        return names if self._rows is None else [names[row] for row in self._rows]

    @cached_property
    def captions(self) -> list[str] | None:
        """Words about each image (several captions: one a line), or None if `DataOptions.captions` asked for none."""
        file = self._folder / "captions.json"
        if not file.exists():
            return None
        captions: list[str] = json.loads(file.read_text("utf-8", "surrogatepass"))
        return captions if self._rows is None else [captions[row] for row in self._rows]

    def fetch(self, indices: ArrayLike) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Images and labels by number.

        Args:
            indices: integers in ``[0, len(self))``, shape ``[N]``; repeats are fine.

        Returns:
            uint8 ``[N, H, W, C]``, contiguous, and float32 ``[N, label_dim]``.

        Raises:
            IndexError: a number is out of range.
        """
        wanted = np.asarray(indices, np.int64).reshape(-1)
        stored = self._stored(wanted)
        images = self._pixels.take(stored if self._slots is None else self._slots[stored])
        return images, self.labels(wanted)

    def originals(self, indices: ArrayLike) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """What `shown` is given; here, `fetch`."""
        return self.fetch(indices)

    def shown(self, images: NDArray[np.uint8], positions: NDArray[np.int64], seed: int) -> NDArray[np.uint8]:
        """What a training sees of originals that stand at positions of its stream; here, these."""
        return images

    def labels(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Labels by number, float32 ``[N, label_dim]``; classes as one-hot vectors."""
        if self._labels is None:
            return np.zeros((len(indices), 0), np.float32)
        stored = self._stored(indices)
        if self._labels.ndim == 2:
            return np.asarray(self._labels[stored], np.float32)
        hot = np.zeros((len(indices), self._meta.label_dim), np.float32)
        hot[np.arange(len(indices)), self._labels[stored]] = 1
        return hot
