"""Images moved along optical flow, so that gradients reach the image and the flow.

A flow ``[N, 2, H, W]`` says for each pixel how far to the right and down it was before, in pixels. Beyond the edges an
image goes on as its outermost pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def along(images: Tensor, flow: Tensor, aligned: bool = True) -> Tensor:
    """What ``images`` ``[N, C, H, W]``, the frames before, become when they are moved along ``flow``, bilinearly.

    Args:
        images: float32.
        flow: float32 ``[N, 2, H, W]``.
        aligned: whether a flow of n means n pixels. False is what PyTorch since 1.3 makes of code that was written for
            earlier ones (``align_corners`` of `grid_sample`): pixels of the middle stay, others are drawn outwards.

    Example:
        >>> x = torch.arange(4.0).reshape(1, 1, 1, 4).expand(1, 1, 2, 4)
        >>> along(x, torch.tensor([1.0, 0.0])[None, :, None, None].expand(1, 2, 2, 4))[0, 0, 0].tolist()
        [1.0, 2.0, 3.0, 3.0]
    """
    if images.is_meta:  # PyTorch takes long to find out this shape
        return images * flow[:, :1]
    height, width = images.shape[2:]
    rows = torch.linspace(-1, 1, height, device=flow.device)[:, None].expand(height, width)
    columns = torch.linspace(-1, 1, width, device=flow.device)[None].expand(height, width)
    across = columns + flow[:, 0] / ((width - 1) / 2 or 1)
    down = rows + flow[:, 1] / ((height - 1) / 2 or 1)
    places = torch.stack([across, down], -1)
    return F.grid_sample(images, places, mode="bilinear", padding_mode="border", align_corners=aligned)


def compose(flows: Tensor) -> Tensor:
    """One flow over several steps: ``[N, S, 2, H, W]``, the oldest first -> ``[N, 2, H, W]``.

    Example:
        >>> compose(torch.ones(1, 3, 2, 4, 4))[0, :, 0, 0].tolist()
        [3.0, 3.0]
    """
    whole = flows[:, -1]
    for step in range(flows.shape[1] - 2, -1, -1):
        whole = whole + along(flows[:, step], whole)
    return whole
