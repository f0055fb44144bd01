"""Perceptual path length (StyleGAN, arXiv 1812.04948, section 4.1, equations 2 and 3).

How far images move, to the eye, when the latent code takes a small step: the less, the smoother the latent space.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

EPSILON = 1e-4

Space = Literal["z", "w"]
Distance = Callable[[Tensor, Tensor], Tensor]
"""Images float ``[N, 3, H, W]`` in [-1, 1], twice -> ``[N]``."""


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Along the great circle from a to b ``[N, D]``, each at its ``t`` ``[N, 1]``; lengths go linearly.

    Example:
        >>> slerp(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]]), torch.tensor([[0.5]]))
        tensor([[1.4142, 1.4142]])
    """
    length_a, length_b = _length(a), _length(b)
    a, b = a / length_a, b / length_b
    cosine = (a * b).sum(1, keepdim=True)
    across = b - cosine * a
    across = across / _length(across)
    angle = t * cosine.clamp(-1, 1).arccos()
    found: Tensor = (a * angle.cos() + across * angle.sin()) * (length_a + t * (length_b - length_a))
    return found


def _length(x: Tensor) -> Tensor:
    """Of vectors ``[N, D]``, never 0: ``[N, 1]``."""
    return x.square().sum(1, keepdim=True).clamp(min=1e-24).sqrt()


def path_distances(
    mapping: Callable[[Tensor], Tensor],
    synthesis: Callable[[Tensor], Tensor],
    distance: Distance,
    z: tuple[Tensor, Tensor],
    t: Tensor,
    *,
    space: Space,
    crop: bool = False,
    epsilon: float = EPSILON,
) -> Tensor:
    """Squared-step distances of pairs of codes: ``d(G(path(t)), G(path(t + epsilon))) / epsilon^2``, ``[N]``.

    Args:
        mapping: ``[N, z_dim] -> [N, num_ws, w_dim]``.
        synthesis: ``[N, num_ws, w_dim] -> [N, C, H, W]`` in [-1, 1]; it must not draw noise.
        distance: the perceptual distance.
        z: both ends of each path, ``[N, z_dim]`` each.
        t: where on the path, ``[N]``; zeros for the ``end`` variant.
        space: where paths lie: great circles in z (equation 2), straight lines in w (equation 3).
        crop: keep only the middle of the image, where an aligned face is.
        epsilon: the step.
    """
    here, there = t[:, None], t[:, None] + epsilon
    if space == "z":
        ws = mapping(torch.cat([slerp(*z, here), slerp(*z, there)]))
    else:
        first, second = mapping(torch.cat(z)).chunk(2)
        ws = torch.cat([torch.lerp(first, second, here[:, :, None]), torch.lerp(first, second, there[:, :, None])])
    one, two = prepare(synthesis(ws), crop).chunk(2)
    return distance(one, two) / epsilon**2


def prepare(images: Tensor, crop: bool) -> Tensor:
    """What the distance sees of images ``[N, C, H, W]``: RGB, cropped if asked, at most about 256 pixels.

    The crop is the paper's for FFHQ: from 3/8 to 7/8 of the height and from 1/4 to 3/4 of the width.
    """
    images = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images[:, :3]
    if crop:
        height, width = images.shape[2:]
        images = images[:, :, height * 3 // 8 : height * 7 // 8, width // 4 : width * 3 // 4]
    factor = min(images.shape[2:]) // 256
    return F.avg_pool2d(images, factor) if factor > 1 else images


def filtered(distances: Tensor) -> NDArray[np.float64]:
    """The distances from the 1st to the 99th percentile, whose mean is the path length.

    Example:
        >>> len(filtered(torch.arange(1000.0)))
        982
    """
    values = distances.double().cpu().numpy()
    low = np.percentile(values, 1, method="lower")
    high = np.percentile(values, 99, method="higher")
    return np.asarray(values[(values >= low) & (values <= high)])
