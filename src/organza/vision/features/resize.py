"""Images to the form that a network was trained on. How that is done changes FID, so each way has a name."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def to_rgb(images: Tensor) -> Tensor:
    """Float ``[N, 1 | 3 | 4, H, W]`` in 0..255 to RGB: grey is repeated, transparent images are laid over white.

    Example:
        >>> to_rgb(torch.tensor([10.0, 20, 30, 0]).reshape(1, 4, 1, 1)).flatten().tolist()
        [255.0, 255.0, 255.0]
    """
    if images.shape[1] == 4:
        alpha = images[:, 3:] / 255
        return images[:, :3] * alpha + 255 * (1 - alpha)
    return images.expand(-1, 3, -1, -1)


def to_grey(images: Tensor) -> Tensor:
    """Float ``[N, 1 | 3 | 4, H, W]`` to one channel, by the luma weights of ITU-R BT.601."""
    if images.shape[1] == 1:
        return images
    weights = torch.tensor([0.299, 0.587, 0.114], device=images.device, dtype=images.dtype)
    return torch.einsum("nchw,c->nhw", to_rgb(images), weights)[:, None]


def bicubic(images: Tensor, height: int, width: int) -> Tensor:
    """Antialiased bicubic, as Pillow does it: no detail of a larger image turns into noise (arXiv 2104.11222).

    Example:
        >>> checks = (torch.arange(64 * 64).reshape(1, 1, 64, 64) // 64 + torch.arange(64)) % 2 * 255.0
        >>> bicubic(checks, 16, 16).std().item() < 1
        True
    """
    if images.shape[2:] == (height, width):
        return images
    return F.interpolate(images, (height, width), mode="bicubic", antialias=True).clamp(0, 255)


def bilinear_tf1(images: Tensor, height: int, width: int) -> Tensor:
    """Bilinear as TensorFlow 1 did it, and so the original FID: corners aligned on the left, no antialiasing.

    Output pixel ``i`` looks at place ``i * in / out`` of the input. Every other library is half a pixel off.

    Example:
        >>> bilinear_tf1(torch.tensor([[[[0.0, 8.0]]]]), 1, 4).flatten().tolist()
        [0.0, 4.0, 8.0, 8.0]
    """
    if images.shape[2:] == (height, width):
        return images
    for dim, size in ((2, height), (3, width)):
        low, high, part = _neighbours(images.shape[dim], size, images.device)
        first, second = images.index_select(dim, low), images.index_select(dim, high)
        images = first + (second - first) * (part[:, None] if dim == 2 else part)
    return images


def _neighbours(old: int, new: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    place = torch.arange(new, dtype=torch.float32) * (old / new)
    low = place.floor().long().clamp(max=old - 1)
    high = (low + 1).clamp(max=old - 1)
    return low.to(device), high.to(device), (place - low).to(device)
