"""What is said about each image of a dataset, as numbers: its captions, or vectors that somebody made of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from organza.contract.texts import captions_as_tokens, vocabulary, words_of
from organza.core.arrays import read_arrays
from organza.core.errors import UserError
from organza.core.files import user_path

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from organza.data.dataset import Dataset


@dataclass(frozen=True, eq=False)
class Texts:
    """One or several texts for each image, all in one table.

    Attributes:
        rows: tokens, int64 ``[M, text_length]``, or vectors, float32 ``[M, embedding_dim]``.
        starts: ``[N + 1]``: the texts of image i are rows ``starts[i]`` to ``starts[i + 1] - 1``.
        words: the vocabulary; empty for vectors.
        key: of the content of vectors; captions belong to the dataset's own key.
    """

    rows: NDArray[Any]
    starts: NDArray[np.int64]
    words: tuple[str, ...] = ()
    key: str = ""

    def pick(self, images: NDArray[np.int64], drawn: NDArray[np.uint64]) -> NDArray[Any]:
        """One text of each of ``images``, chosen by a random number for each: ``[N, ...]``.

        Example:
            >>> texts = Texts(np.array([[1], [2], [3]]), np.array([0, 1, 3]))
            >>> texts.pick(np.array([0, 1, 1]), np.array([7, 0, 1], np.uint64)).tolist()
            [[1], [2], [3]]
        """
        first, count = self.starts[images], self.starts[images + 1] - self.starts[images]
        return self.rows[first + (drawn % count.astype(np.uint64)).astype(np.int64)]


def captioned(dataset: Dataset) -> Dataset:
    """The images of a dataset that have a caption.

    Raises:
        UserError: none has.
    """
    rows = [row for row, text in enumerate(dataset.captions or ()) if words_of(text)]
    if not rows:
        raise UserError("none of its images has a caption", where=dataset.name)
    return dataset if len(rows) == len(dataset) else dataset.select(rows)


def texts_of(dataset: Dataset) -> Texts:
    """The captions of a dataset whose images all have one."""
    several = [[line for line in text.split("\n") if words_of(line)] for text in dataset.captions or ()]
    every = [line for lines in several for line in lines]
    words = vocabulary(every)
    return Texts(captions_as_tokens(every, words), _starts(several), words)


def given_vectors(path: str | Path, dataset: Dataset) -> Texts:
    """Vectors of texts from a file: ``.npy``, or ``.npz`` with ``embeddings`` and, in any order, ``names``.

    Args:
        path: ``[N, D]``, or ``[N, K, D]`` for K texts about each image. Without ``names`` (of files, as in the dataset)
            the rows are in the dataset's order.
        dataset: the images.

    Raises:
        UserError: not such a file, not finite, or an image is missing.
    """
    path = user_path(path)
    if not path.is_file():
        raise UserError("does not exist", where=path, hint="give a .npz with embeddings and names")
    arrays = read_arrays(path)
    vectors = arrays.get("embeddings", next(iter(arrays.values())) if len(arrays) == 1 else None)
    if vectors is None or vectors.dtype.kind not in "fiu" or vectors.ndim not in (2, 3) or 0 in vectors.shape:
        raise UserError("holds no embeddings [N, D] or [N, K, D]", where=path)
    if not np.isfinite(vectors).all():
        raise UserError("its embeddings are not finite", where=path)
    if "names" in arrays:
        places = {str(name): place for place, name in enumerate(arrays["names"].reshape(-1).tolist())}
        if missing := [name for name in dataset.names if places.get(name, len(vectors)) >= len(vectors)]:
            raise UserError(f"it has no embedding of {missing[0]}", where=path, hint="names are those of the dataset")
        vectors = vectors[[places[name] for name in dataset.names]]
    elif len(vectors) != len(dataset):
        what = f"{len(vectors)} embeddings for {len(dataset)} images"
        raise UserError(what, where=path, hint="add an array of names to say which is whose")
    vectors = np.ascontiguousarray(vectors, np.float32)
    each = 1 if vectors.ndim == 2 else vectors.shape[1]
    key = hashlib.sha256(vectors.tobytes()).hexdigest()[:20]
    return Texts(vectors.reshape(-1, vectors.shape[-1]), np.arange(len(vectors) + 1) * each, key=key)


def _starts(several: Sequence[Sequence[str]]) -> NDArray[np.int64]:
    return np.cumsum([0, *map(len, several)], dtype=np.int64)
