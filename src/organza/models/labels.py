"""Labels as people give them: a class, one for each image, or vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from organza.core.errors import UserError


def label_vectors(labels: ArrayLike | Tensor | None, count: int, size: int, device: torch.device) -> Tensor:
    """Label vectors float32 ``[count, size]`` on ``device``.

    Args:
        labels: floats ``[count, size]`` or one ``[size]`` for all, or whole numbers: one class for all or one for each.
        count: images.
        size: length of a vector; 0 for networks without labels, which leave ``labels`` alone.

    Raises:
        UserError: labels are missing, or don't fit.

    Example:
        >>> label_vectors([1, 0], 2, 3, torch.device("cpu"))
        tensor([[0., 1., 0.],
                [1., 0., 0.]])
    """
    if size == 0:
        return torch.zeros([count, 0], device=device)
    if labels is None:
        raise UserError(f"this network needs a label of {size} numbers", hint=f"give a class from 0 to {size - 1}")
    array: NDArray[Any] = np.asarray(labels.cpu() if isinstance(labels, Tensor) else labels)
    if array.dtype.kind in "iu" and array.ndim < 2:
        if array.min() < 0 or array.max() >= size:
            raise UserError(f"class {labels} is not from 0 to {size - 1}")
        array = np.eye(size, dtype=np.float32)[array]
    if array.ndim == 1:
        array = array[None]
    if array.shape not in ((1, size), (count, size)) or not np.isfinite(array).all():
        raise UserError(f"labels {list(array.shape)} don't fit", hint=f"give {[count, size]} finite numbers")
    return torch.from_numpy(np.array(np.broadcast_to(array, (count, size)), np.float32)).to(device)
