"""Shards from the network, streamed: a training begins with the first of them and goes on while the next are fetched.

Each shard is fetched whole, decoded once into the cache as any dataset is, and its download removed; the decoded shards
that are kept are bounded in bytes, the longest unused go first. So the stream may be larger than the disk.

The order is a function of (seed, position) and of how many images each shard holds, which is learned when it is first
opened and written down. Each epoch has its own permutation of the shards; they are taken in windows of `WINDOW`, and
the images of a window are shuffled together. Resume is exact; where the counts were lost with the cache, the shards
before the position are fetched once more to count them.
"""

from __future__ import annotations

import hashlib
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from organza.core.cache import cache_root
from organza.core.download import download, kept_if_it_opens
from organza.core.errors import UserError
from organza.core.files import atomic_write
from organza.core.progress import Progress
from organza.data.cache.prepare import listed, prepare
from organza.data.dataset import Dataset
from organza.data.hashing import permutation
from organza.data.loader import Loader
from organza.data.opening import braces
from organza.data.readers.tars import TarSource

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from organza.contract.data import DataSpec
    from organza.data.options import DataOptions

WINDOW = 2
"""Shards whose images are shuffled together."""
KEPT = 20 << 30
"""Bytes of decoded shards that are kept, beside those of the present window and the next."""


def remote_shards(data: str | Path) -> list[str]:
    """The addresses that ``data`` stands for, if it is a range of remote shards; else none.

    Example:
        >>> remote_shards("https://host/train-{08..10}.tar")
        ['https://host/train-08.tar', 'https://host/train-09.tar', 'https://host/train-10.tar']
        >>> remote_shards("shards/train-{08..10}.tar"), remote_shards("https://host/train.tar")
        ([], [])
    """
    text = str(data)
    names = braces(text) if text.startswith(("http://", "https://")) else []
    return names if len(names) > 1 else []


class Shards:
    """Images in remote shards.

    Args:
        addresses: of the shards, http or https.
        options: what to read; size and channels are chosen from the first shard where they are open.
        kept: bytes of decoded shards to keep; see `KEPT`.
        progress: called as ``progress(done, total)`` while the first shard is decoded.

    Attributes:
        first: the first shard, which stands for the whole wherever images are looked at rather than trained on (real
            images beside samples, metrics), and whose size, channels and labels all shards must have.

    Raises:
        UserError: the first shard can't be had, or ``options`` asks for what a stream can't do.
    """

    def __init__(
        self, addresses: list[str], options: DataOptions, *, kept: int = KEPT, progress: Progress | None = None
    ) -> None:
        for name in ("held_out", "max_images"):
            if getattr(options, name) is not None:
                what = f"--{name.replace('_', '-')} can't be used with streamed shards"
                raise UserError(what, where=addresses[0], hint="download them first, and give the folder")
        self.addresses, self.kept = addresses, kept
        said = {f.name: getattr(options, f.name) for f in fields(options) if getattr(options, f.name) != f.default}
        said.pop("mirror", None)
        self.key = hashlib.sha256(repr((addresses, sorted(said.items()))).encode()).hexdigest()[:20]
        self._folder = cache_root() / "streams" / self.key
        self._options, self._progress = options, progress
        self._futures: dict[int, Future[Dataset]] = {}
        self._used = sorted(int(home.name) for home in self._folder.glob("??????") if home.is_dir())
        self._windows: list[_Window] = []
        self._spec: DataSpec | None = None
        self._counts: dict[int, int] = {}
        self._lock = Lock()
        self._thread = ThreadPoolExecutor(1, "organza-shards")
        first = self.shard(0)
        self._spec = first.spec
        height, width = first.resolution
        channels: dict[int, Literal["1", "3", "4"]] = {1: "1", 3: "3", 4: "4"}
        self._options = replace(
            options,
            resolution=f"{height}x{width}",
            channels=channels[first.spec.channels],
            classes=first.spec.label_dim or None,
        )
        self.first = first.named(TarSource(Path(addresses[0]), ()).name + f"-and-{len(addresses) - 1}-more", self.key)

    def shard(self, number: int) -> Dataset:
        """One shard, fetched and decoded if need be.

        Raises:
            UserError: it can't be had, or its images or labels are of another kind than the first shard's.
        """
        return self._ask(number).result()

    def fetch(self, positions: NDArray[np.int64], seed: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """The images and labels at positions of the endless stream; see `Dataset.fetch`."""
        spec = self.first.spec
        images = np.empty((len(positions), *spec.resolution, spec.channels), np.uint8)
        labels = np.empty((len(positions), spec.label_dim), np.float32)
        places = [self.place(position, seed) for position in positions.tolist()]
        for number in dict.fromkeys(shard for shard, _ in places):
            rows = [row for row, (shard, _) in enumerate(places) if shard == number]
            images[rows], labels[rows] = self.shard(number).fetch([places[row][1] for row in rows])
        return images, labels

    def place(self, position: int, seed: int) -> tuple[int, int]:
        """(shard, image in it) at a position of the stream."""
        window = next(
            (w for w in self._windows if w.seed == seed and w.start <= position < w.start + len(w.images)), None
        )
        if window is None:
            window = self._find(position, seed)
            self._windows = [*self._windows[-1:], window]  # a batch may lie on the border of two
        shard, image = window.images[position - window.start].tolist()
        return shard, image

    def count(self, number: int) -> int:
        """Images of a shard; it is fetched if nobody has counted them yet."""
        if number not in self._counts:
            found = self._noted(number)
            self._counts[number] = len(self.shard(number)) if found is None else found
        return self._counts[number]

    def close(self) -> None:
        """Stop reading ahead."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _find(self, position: int, seed: int) -> _Window:
        windows = -(-len(self.addresses) // WINDOW)
        epoch, start = 0, 0
        if len(self._counts) == len(self.addresses):
            epoch = position // sum(self._counts.values())
            start = epoch * sum(self._counts.values())
        while True:
            for number in range(windows):
                shards = self._order(epoch, number, seed)
                images = np.array([(shard, image) for shard in shards for image in range(self.count(shard))])
                if position < start + len(images):
                    self._look_ahead(epoch, number, seed)
                    # Any injective number of (epoch, window) will do.
                    shuffled = permutation(len(images), seed ^ 0x57EA, epoch * windows + number)
                    return _Window(seed, start, images[shuffled])
                start += len(images)
            epoch += 1

    def _order(self, epoch: int, number: int, seed: int) -> list[int]:
        """The shards of a window."""
        order: list[int] = permutation(len(self.addresses), seed, epoch).tolist()
        if epoch == 0:  # the first shard is there already
            order = sorted(order, key=bool)
        return order[number * WINDOW : (number + 1) * WINDOW]

    def _look_ahead(self, epoch: int, number: int, seed: int) -> None:
        """Ask for this window and the next; let go of what has not been used for long."""
        following = self._order(epoch, number + 1, seed) or self._order(epoch + 1, 0, seed)
        wanted = list(dict.fromkeys([*self._order(epoch, number, seed), *following]))
        for shard in wanted:
            self._ask(shard)
        self._used = [shard for shard in self._used if shard not in wanted] + wanted
        self._forget({0, *wanted})

    def _forget(self, wanted: set[int]) -> None:
        held = {shard: _size(self._home(shard)) for shard in self._used}
        for shard in [shard for shard in self._used if shard not in wanted]:
            if sum(held.values()) <= self.kept:
                return
            held.pop(shard)
            self._used.remove(shard)
            with self._lock:
                self._futures.pop(shard, None)
            shutil.rmtree(self._home(shard), ignore_errors=True)

    def _ask(self, number: int) -> Future[Dataset]:
        with self._lock:
            if number not in self._futures:
                self._futures[number] = self._thread.submit(self._bring, number)
            return self._futures[number]

    def _home(self, number: int) -> Path:
        return self._folder / f"{number:06d}"

    def _bring(self, number: int) -> Dataset:
        address, home = self.addresses[number], self._home(number)
        source = _Shard(address, home / "shard.tar")
        if not (home / "decoded").is_file():
            download(address, source.shards[0])
        with kept_if_it_opens(source.shards[0]):
            folder, meta = prepare(source, self._options, cache_dir=home, progress=self._progress)
        self._progress = None
        (home / "decoded").touch()
        source.shards[0].unlink(missing_ok=True)
        if self._options.strict and meta.skipped:
            raise UserError(f"{len(meta.skipped)} bad files{listed(meta.skipped)}", where=address)
        found = Dataset(source.name, folder, meta, mirror=self._options.mirror)
        if self._spec is not None and found.spec != self._spec:
            what = f"has labels of {found.spec.label_dim} numbers, the first shard of {self._spec.label_dim}"
            raise UserError(what, where=address, hint="say with --classes how many classes there are in all")
        self._note(number, len(found))
        return found

    def _note(self, number: int, count: int) -> None:
        known = self._noted(number)
        if known not in (None, count):
            what = f"has {count} images and had {known} before"
            raise UserError(what, where=self.addresses[number], hint=f"the stream has changed: remove {self._folder}")
        with atomic_write(self._count_file(number)) as temporary:
            temporary.write_text(str(count))

    def _noted(self, number: int) -> int | None:
        """How many images a shard had when it was last opened, here or in an earlier training."""
        file = self._count_file(number)
        text = file.read_text().strip() if file.is_file() else ""
        return int(text) if text.isdecimal() else None

    def _count_file(self, number: int) -> Path:
        return self._folder / f"{number:06d}.count"


class _Window(NamedTuple):
    """The images of neighbouring shards, shuffled: where they start in the stream, and [N, 2] (shard, image in it)."""

    seed: int
    start: int
    images: NDArray[np.int64]


class _Shard(TarSource):
    """A downloaded shard, known by its address: the download may be gone once it is decoded."""

    def __init__(self, address: str, path: Path) -> None:
        super().__init__(path, (path,))
        self.address = address

    def __reduce__(self) -> Any:
        return _Shard, (self.address, self.path)

    def fingerprint(self) -> str:
        return hashlib.sha256(self.address.encode()).hexdigest()


class ShardLoader(Loader):
    """A `Loader` of streamed shards."""

    def __init__(self, shards: Shards, **settings: Any) -> None:
        super().__init__(shards.first, **settings)
        self.shards, self.count = shards, 0

    def fetch(self, positions: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """The images and labels at positions of the stream."""
        return self.shards.fetch(positions, self.seed)

    def close(self) -> None:
        """Stop reading ahead."""
        super().close()
        self.shards.close()


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
