"""CIFAR-10 and CIFAR-100, the python and the binary version, unpacked or as the tar.gz that people download.

Source: A. Krizhevsky, "The CIFAR-10 dataset", section "Dataset layout".
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from organza.core.errors import UserError
from organza.data.source import BadPicture, Contents, Entry, Source
from organza.data.tables.values import Labels
from organza.tensors.pickle.arrays import ARRAYS
from organza.tensors.pickle.machine import Limits, Stream, unpickle
from organza.tensors.pickle.records import Array, RefusedError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_PIXELS = 32 * 32 * 3


class CifarSource(Source):
    """The training images, 32x32 RGB, with their classes (the fine ones of CIFAR-100)."""

    kind = "CIFAR"

    def __init__(self, inner: Source, batches: tuple[Entry, ...]) -> None:
        self.inner, self.batches = inner, batches
        self.path: Path = inner.path
        self._loaded: dict[int, tuple[NDArray[np.uint8], NDArray[np.int64]]] = {}

    def __reduce__(self) -> tuple[type[CifarSource], tuple[Source, tuple[Entry, ...]]]:
        return CifarSource, (self.inner, self.batches)

    @classmethod
    def recognise(cls, inner: Source) -> CifarSource | None:
        """The batches in a folder or tar, known by their names."""
        names = {e.name: e for e in inner.entries()[:200]}
        ten = [e for n, e in names.items() if re.search(r"(^|/)data_batch_\d(\.bin)?$", n)]
        hundred = [e for n, e in names.items() if re.search(r"(^|/)cifar-100[^/]*/train(\.bin)?$", n)]
        if inner.path.name.startswith("cifar-100"):
            hundred += [e for n, e in names.items() if n in ("train", "train.bin")]
        found = ten or hundred
        return cls(inner, tuple(sorted(found))) if found else None

    def fingerprint(self) -> str:
        """That of the archive or folder."""
        return self.inner.fingerprint()

    def _batch(self, number: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        if number not in self._loaded:
            entry = self.batches[number]
            where = f"{self.path}/{entry.name}"
            try:
                raw = self.inner.read(entry)
            except BadPicture as error:
                raise UserError(str(error), where=where) from None
            assert isinstance(raw, bytes)
            self._loaded = {number: _binary(raw, where) if entry.name.endswith(".bin") else _python(raw, where)}
        return self._loaded[number]

    def contents(self) -> Contents:
        """In the order of the batches; the other files are left aside."""
        found = []
        for number, batch in enumerate(self.batches):
            stem = PurePosixPath(batch.name).stem
            found += [Entry(f"{stem}/{i:05d}", _PIXELS, (number, i)) for i in range(len(self._batch(number)[0]))]
        whole = self.inner.contents()
        beside = [(e.name, "another file") for e in whole.entries if e not in self.batches]
        return Contents(found, beside + whole.others)

    def read(self, entry: Entry) -> NDArray[np.uint8]:
        """Pixels ``[32, 32, 3]``."""
        number, row = entry.at
        return np.ascontiguousarray(self._batch(number)[0][row].reshape(3, 32, 32).transpose(1, 2, 0))

    def labels(self) -> Labels:
        """Classes 0 to 9 or 0 to 99."""
        return Labels(np.concatenate([self._batch(n)[1] for n in range(len(self.batches))]))


def _binary(raw: bytes, where: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    extra = next((n for n in (1, 2) if len(raw) % (_PIXELS + n) == 0), 0)
    if not raw or not extra:
        raise UserError(f"cut short: {len(raw)} bytes are no whole number of images", where=where)
    rows = np.frombuffer(raw, np.uint8).reshape(-1, _PIXELS + extra)
    return rows[:, extra:], rows[:, extra - 1].astype(np.int64)


def _python(raw: bytes, where: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    names: set[str] = set()
    try:
        content = unpickle(Stream(raw), ARRAYS, Limits(copied=2 * len(raw) + (1 << 20)), names=names)
        if names:
            raise RefusedError(f"it names {min(names)}, which no CIFAR batch does")
        if not isinstance(content, dict):
            raise RefusedError("it is no dictionary")
        named = {k.decode("utf-8", "replace") if isinstance(k, bytes) else k: v for k, v in content.items()}
        data = named.get("data")
        pixels: NDArray[Any] = data.numpy() if isinstance(data, Array) else np.zeros(0)
        labels = named.get("labels", named.get("fine_labels"))
    except RefusedError as error:
        raise UserError(f"not a CIFAR batch ({error})", where=where) from None
    shaped = pixels.dtype == np.uint8 and pixels.ndim == 2 and pixels.shape[1] == _PIXELS
    if not shaped or not isinstance(labels, list) or len(labels) != len(pixels):
        raise UserError("not a CIFAR batch (its arrays have other shapes)", where=where)
    if not all(type(label) is int and 0 <= label < 1 << 20 for label in labels):
        raise UserError("not a CIFAR batch (its labels are no classes)", where=where)
    return pixels, np.array(labels, np.int64)
