"""Labels as people give them: a class, one for each image, or vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from organza.contract.data import DataSpec
from organza.contract.targets import check_name, label_names, label_sets, target_vector
from organza.core.errors import UserError

if TYPE_CHECKING:
    import torch
    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor


def as_array(labels: ArrayLike | Tensor) -> NDArray[Any]:
    """Labels as an array, wherever they are."""
    return np.asarray(labels.cpu() if hasattr(labels, "cpu") else labels)


def by_name(labels: ArrayLike | Tensor | None, spec: DataSpec) -> ArrayLike | Tensor | None:
    """Labels; where they are names, what these mean: a class's number, or a vector of attributes.

    Args:
        labels: names with commas between them, or anything else, which stays.
        spec: of the network.

    Raises:
        UserError: a name that is not there, whose message names the nearest, or names that exclude each other.

    Example:
        >>> from organza.contract.data import LabelSet
        >>> by_name("smile", DataSpec((8, 8), 3, 2, label_names=("no", "smile"), label_sets=(LabelSet(2, "classes"),)))
        1
        >>> by_name("old, hat=red", DataSpec((8, 8), 3, 3, label_names=("old", "hat=blue", "hat=red")))
        [1.0, 0.0, 1.0]
    """
    if not isinstance(labels, str):
        return labels
    if label_sets(spec)[0].kind == "classes":
        return check_name(labels, label_names(spec))
    return target_vector(spec, labels)


def check_labels(labels: ArrayLike | Tensor | None, count: int, size: int) -> NDArray[Any]:
    """Labels that fit: classes, ``[]``, ``[1]`` or ``[count]`` whole numbers, or vectors ``[1 or count, size]``.

    Args:
        labels: floats ``[count, size]`` or one ``[size]`` for all, or whole numbers: one class for all or one for each.
        count: images.
        size: length of a vector.

    Raises:
        UserError: labels are missing, or don't fit.
    """
    if labels is None:
        raise UserError(f"this network needs a label of {size} numbers", hint=f"give a class from 0 to {size - 1}")
    array = as_array(labels)
    classes = is_classes(array)
    if classes and array.size and (array.min() < 0 or array.max() >= size):
        raise UserError(f"class {labels} is not from 0 to {size - 1}")
    array = array if classes or array.ndim != 1 else array[None]
    shape = (array.size, size) if classes else array.shape
    if shape not in ((1, size), (count, size)) or not (classes or np.isfinite(array).all()):
        raise UserError(f"labels {list(shape)} don't fit", hint=f"give {[count, size]} finite numbers")
    return array


def check_vectors(vectors: ArrayLike | Tensor | None, count: int, size: int) -> NDArray[Any]:
    """Vectors of texts that fit, ``[1 or count, size]``; one alone is for all.

    Raises:
        UserError: they are missing, or don't fit.
    """
    if vectors is None or isinstance(vectors, str) or is_classes(as_array(vectors)):
        raise UserError("this network makes images from text", hint='say what to show: --text "WORDS"; text= in Python')
    array = as_array(vectors)
    array = array[None] if array.ndim == 1 else array
    if array.ndim != 2 or array.shape[1] != size or array.dtype.kind != "f":
        hint = f"this network takes text, as vectors of {size} numbers"
        raise UserError(f"labels {list(array.shape)} are no text", hint=hint)
    if len(array) not in (1, count):
        raise UserError(f"{len(array)} texts for {count} images", hint="give one text for all, or one for each")
    if not np.isfinite(array).all():
        raise UserError("a text's vector is not finite")
    return array


def text_vectors(vectors: ArrayLike | Tensor | None, count: int, size: int, device: torch.device) -> Tensor:
    """The same as float32 ``[count, size]`` on ``device``.

    Raises:
        UserError: they are missing, or don't fit.
    """
    import torch

    array = check_vectors(vectors, count, size)
    return torch.from_numpy(np.array(np.broadcast_to(array, (count, size)), np.float32)).to(device)


def is_classes(array: NDArray[Any]) -> bool:
    """Whether labels are classes by number, not vectors."""
    return array.dtype.kind in "iu" and array.ndim < 2


def label_vectors(labels: ArrayLike | Tensor | None, count: int, size: int, device: torch.device) -> Tensor:
    """Label vectors float32 ``[count, size]`` on ``device``.

    Args:
        labels: see `check_labels`.
        count: images.
        size: length of a vector; 0 for networks without labels, which leave ``labels`` alone.
        device: where they are used.

    Raises:
        UserError: labels are missing, or don't fit.

    Example:
        >>> import torch
        >>> label_vectors([1, 0], 2, 3, torch.device("cpu"))
        tensor([[0., 1., 0.],
                [1., 0., 0.]])
    """
    import torch

    if size == 0:
        return torch.zeros([count, 0], device=device)
    array = check_labels(labels, count, size)
    if is_classes(array):
        array = np.eye(size, dtype=np.float32)[array.reshape(-1)]
    return torch.from_numpy(np.array(np.broadcast_to(array, (count, size)), np.float32)).to(device)
