"""Instance normalisation: each feature map of each image by its own mean and variance.

Dmitry Ulyanov, Andrea Vedaldi, Victor Lempitsky: Instance Normalization: The Missing Ingredient for Fast Stylization.
2016, arXiv 1607.08022, equation 4.

On processors the fast form is batch normalisation of one image after the other. PyTorch's own function rearranges maps
that lie channels last, which takes longer than the convolution before it; and its gradient is wrong where a single
image's gradient lies so (torch 2.13 and before: `tests/ops/test_instance_norm.py` watches over it).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from organza.ops.twins import reference


def instance_norm(x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """Maps of mean 0 and variance 1, times ``weight``, plus ``bias``.

    Args:
        x: ``[N, C, H, W]``, more than one pixel each.
        weight, bias: ``[C]``, or None.
        eps: added to the variance, which is the biased one.

    Raises:
        ValueError: maps of a single pixel.

    Example:
        >>> x = torch.tensor([1.0, 3.0]).reshape(1, 1, 1, 2)
        >>> instance_norm(x).flatten().tolist()
        [-0.99..., 0.99...]
    """
    if x.shape[2] * x.shape[3] < 2:
        raise ValueError(f"a map of one pixel has no variance: {list(x.shape)}")
    if reference():
        return _reference(x, weight, bias, eps)
    if len(x) > 1 and x.device.type != "cpu":
        return F.instance_norm(x, None, None, weight, bias, True, 0.0, eps)
    parts = [F.batch_norm(image, None, None, weight, bias, True, 0.0, eps) for image in torch.split(x, 1)]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _reference(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    centred = x - x.mean((2, 3), keepdim=True)
    y = centred / (centred.square().mean((2, 3), keepdim=True) + eps).sqrt()
    y = y if weight is None else y * weight[:, None, None]
    return y if bias is None else y + bias[:, None, None]
