"""CIFAR-10 and CIFAR-100, the python and the binary version, unpacked or as the tar.gz that people download.

Source: A. Krizhevsky, "The CIFAR-10 dataset", section "Dataset layout".
"""

from __future__ import annotations

import io
import pickle
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from organza.core.errors import UserError
from organza.data.labels import Labels
from organza.data.source import BadPicture, Entry, Source

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_PIXELS = 32 * 32 * 3


class CifarSource(Source):
    """The training pictures, 32x32 RGB, with their classes (the fine ones of CIFAR-100)."""

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

    def entries(self) -> list[Entry]:
        """In the order of the batches."""
        found = []
        for number, batch in enumerate(self.batches):
            stem = PurePosixPath(batch.name).stem
            found += [Entry(f"{stem}/{i:05d}", _PIXELS, (number, i)) for i in range(len(self._batch(number)[0]))]
        return found

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
        raise UserError(f"cut short: {len(raw)} bytes are no whole number of pictures", where=where)
    rows = np.frombuffer(raw, np.uint8).reshape(-1, _PIXELS + extra)
    return rows[:, extra:], rows[:, extra - 1].astype(np.int64)


class _Plain(pickle.Unpickler):
    """Reads dicts, lists, bytes and NumPy arrays; a pickle that names anything else is refused."""

    _ALLOWED = frozenset(
        {
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("_codecs", "encode"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no CIFAR batch does")
        return super().find_class("numpy._core.multiarray" if name == "_reconstruct" and _NEW else module, name)


_NEW = int(np.__version__.split(".")[0]) >= 2


def _python(raw: bytes, where: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    try:
        content = _Plain(io.BytesIO(raw), encoding="bytes").load()
        named = {k.decode() if isinstance(k, bytes) else k: v for k, v in content.items()}
        pixels = np.asarray(named["data"])
        labels = np.asarray(named.get("labels", named.get("fine_labels")), np.int64)
    except Exception as error:  # a damaged pickle raises whatever its bytes spell
        raise UserError(f"not a CIFAR batch ({error})", where=where) from None
    if pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != _PIXELS or labels.shape != pixels.shape[:1]:
        raise UserError("not a CIFAR batch (its arrays have other shapes)", where=where)
    return pixels, labels
