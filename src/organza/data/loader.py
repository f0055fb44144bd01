"""The endless stream of training images, as a pure function of position.

Position p lies in epoch ``p // n``; each epoch has its own permutation, computed from (seed, epoch). So resuming needs
no state but the count of images seen, and several processes share one stream by taking slices of it.

With ``mirror`` each position is flipped or not by a hash of (seed, p): an augmentation. (NVIDIA's tools double the data
set instead: each epoch shows every image both ways round.)
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from organza.contract.data import Batch
from organza.media.images import to_tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from organza.data.dataset import Dataset
    from organza.data.texts import Texts
from organza.data.domains import Domains
from organza.data.hashing import mix, permutation


def flips(positions: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """Whether each position is shown mirrored: half of them, by a hash."""
    salt = mix(np.array([seed & 0xFFFFFFFFFFFFFFFF], np.uint64)) ^ np.uint64(0xF11B)
    return np.asarray(mix(salt ^ positions.astype(np.uint64)) >> np.uint64(63) == 1)


def crops(
    images: NDArray[np.uint8], positions: NDArray[np.int64], seed: int, size: tuple[int, int]
) -> NDArray[np.uint8]:
    """A part of ``size`` of each image ``[N, H, W, C]``, anywhere in it by a hash of its position.

    Example:
        >>> crops(np.zeros((2, 9, 9, 3), np.uint8), np.arange(2), 0, (8, 8)).shape
        (2, 8, 8, 3)
    """
    salt = mix(np.array([seed & 0xFFFFFFFFFFFFFFFF], np.uint64)) ^ np.uint64(0xC209)
    drawn = mix(salt ^ positions.astype(np.uint64))
    room = images.shape[1] - size[0] + 1, images.shape[2] - size[1] + 1
    tops = (drawn >> np.uint64(32)) % np.uint64(room[0])
    lefts = (drawn & np.uint64(0xFFFFFFFF)) % np.uint64(room[1])
    found = np.empty((len(images), *size, images.shape[3]), np.uint8)
    for place, (image, top, left) in enumerate(zip(images, tops.tolist(), lefts.tolist(), strict=True)):
        found[place] = image[top : top + size[0], left : left + size[1]]
    return found


class Loader:
    """Batches by position. One background thread reads the batches that will be asked for next.

    Args:
        dataset: what to show.
        seed: of the order and of the mirroring.
        device: where batches should be.
        rank: this process among ``world`` processes, each of which gets its slice of every global batch.
        ahead: how many batches to read in advance.
        crop: height and width of the part that is shown of each image, at a place by a hash of (seed, p); None: all.
        texts: what is said about the images; of several texts about one, a hash of (seed, p) chooses.

    Attributes:
        waited: seconds that callers have waited in `batch`, in all.
        count: images in an epoch; 0 where nobody knows.
        length: of each epoch's permutation.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        seed: int,
        device: str | torch.device = "cpu",
        rank: int = 0,
        world: int = 1,
        ahead: int = 2,
        crop: tuple[int, int] | None = None,
        texts: Texts | None = None,
    ) -> None:
        self.texts = texts
        self.dataset, self.seed, self.device = dataset, seed, torch.device(device)
        self.crop, self.count = crop, len(dataset)
        self.length = self.count
        self.rank, self.world, self.ahead = rank, world, ahead
        self.waited = 0.0
        self._orders: dict[int, NDArray[np.int64]] = {}
        self._pending: dict[tuple[int, int], Future[Callable[[], Batch]]] = {}
        self._thread = ThreadPoolExecutor(1, "organza-data")

    def batch(self, seen: int, size: int) -> Batch:
        """This process's share of the global batch at positions ``[seen, seen + size)``.

        Raises:
            ValueError: ``size`` can't be shared equally.
            Exception: whatever went wrong while reading.
        """
        if size % self.world:
            raise ValueError(f"a batch of {size} can't be shared by {self.world} processes")
        started = perf_counter()
        ready = self._pending.pop((seen, size), None) or self._thread.submit(self._read, seen, size)
        wanted = [(seen + size * i, size) for i in range(1, self.ahead + 1)]
        for key in [k for k in self._pending if k not in wanted]:
            self._pending.pop(key).cancel()
        for key in wanted:
            if key not in self._pending:
                self._pending[key] = self._thread.submit(self._read, *key)
        batch = ready.result()()
        self.waited += perf_counter() - started
        return batch

    def positions(self, seen: int, size: int) -> NDArray[np.int64]:
        """The positions of this process's share."""
        share = size // self.world
        return np.arange(seen + self.rank * share, seen + (self.rank + 1) * share)

    def indices(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The image at each position of the stream."""
        n = self.length
        epochs = positions // n
        found = np.empty_like(positions)
        for epoch in np.unique(epochs).tolist():
            if epoch not in self._orders:
                if len(self._orders) > 1:
                    self._orders.pop(min(self._orders))
                self._orders[epoch] = permutation(n, self.seed, epoch)
            here = epochs == epoch
            found[here] = self._orders[epoch][positions[here] % n]
        return found

    def fetch(self, positions: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """The images and labels at positions of the stream, before mirroring; see `Dataset.originals`."""
        return self.dataset.originals(self.indices(positions))

    def _read(self, seen: int, size: int) -> Callable[[], Batch]:
        """Runs in the thread: everything but the copy to a GPU, and without PyTorch's own threads."""
        positions = self.positions(seen, size)
        pixels, labels = self.fetch(positions)
        if self.crop is not None:
            pixels = crops(pixels, positions, self.seed, self.crop)
        if self.dataset.mirror:
            flipped = flips(positions, self.seed)
            pixels[flipped] = pixels[flipped, :, ::-1]
        pixels = self.dataset.shown(pixels, positions, self.seed)
        text = None if self.texts is None else torch.from_numpy(self._texts(self.texts, positions))
        if self.device.type == "cpu":
            done = Batch(to_tensor(pixels), torch.from_numpy(labels), seen, text=text)
            return lambda: done
        return lambda: Batch(
            to_tensor(pixels, self.device),
            torch.from_numpy(labels).to(self.device, non_blocking=True),
            seen,
            text=None if text is None else text.to(self.device, non_blocking=True),
        )

    def _texts(self, texts: Texts, positions: NDArray[np.int64]) -> NDArray[Any]:
        salt = mix(np.array([self.seed & 0xFFFFFFFFFFFFFFFF], np.uint64)) ^ np.uint64(0x7E87)
        return texts.pick(self.indices(positions), mix(salt ^ positions.astype(np.uint64)))

    def close(self) -> None:
        """Stop reading ahead."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class DomainLoader:
    """Batches of source and target images by position; pairs stay together, are cropped and mirrored together.

    Args:
        domains: what to show.
        seed, settings: as for `Loader`.

    Attributes:
        count: images in an epoch: of the larger set.
    """

    def __init__(self, domains: Domains, *, seed: int, **settings: Any) -> None:
        # Any fixed change of the seed makes the order of the second set independent of the first.
        other = seed if domains.paired else seed ^ 0x5DEECE66D
        self._source = Loader(domains.source, seed=seed, **settings)
        self._target = Loader(domains.target, seed=other, **settings)
        self.count = max(len(domains.source), len(domains.target))

    @property
    def waited(self) -> float:
        """Seconds that callers have waited, in all."""
        return self._source.waited + self._target.waited

    def batch(self, seen: int, size: int) -> Batch:
        """Target images at positions ``[seen, seen + size)``, with source images as `Batch.source`."""
        return replace(self._target.batch(seen, size), source=self._source.batch(seen, size).images)

    def close(self) -> None:
        """Stop reading ahead."""
        self._source.close()
        self._target.close()

    def __enter__(self) -> DomainLoader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
