"""How likely images are under what a decoder says of their pixels, and how far codes are from the prior: in nats.

Kingma & Welling 2014 (arXiv 1312.6114). Pure functions, one number for each image.
"""

from __future__ import annotations

import math
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

Likelihood = Literal["gaussian", "bernoulli"]


def gaussian_nll(means: Tensor, images: Tensor, sigma: float) -> Tensor:
    """-log p(x|z) of pixels from N(means, sigma^2), summed over ``[N, C, H, W]``: ``[N]``. Appendix C.2.

    Example:
        >>> import torch
        >>> gaussian_nll(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1), (2 * math.pi) ** -0.5)
        tensor([0.])
    """
    squares = (images - means).square().flatten(1)
    return squares.sum(1) / (2 * sigma**2) + squares.shape[1] * math.log(sigma * math.sqrt(2 * math.pi))


def bernoulli_nll(logits: Tensor, shares: Tensor) -> Tensor:
    """-log p(x|z) of pixels that are white with probability sigmoid(logits), summed: ``[N]``. Appendix C.1.

    Args:
        logits: ``[N, C, H, W]``.
        shares: images from 0 (black) to 1 (white); grey counts as that share of white.

    Example:
        >>> import torch
        >>> bernoulli_nll(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2))  # 4 log 2
        tensor([2.7726])
    """
    return F.binary_cross_entropy_with_logits(logits, shares, reduction="none").flatten(1).sum(1)


def gaussian_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of N(mean, exp(log_variance)) from N(0, 1), summed over ``[N, z_dim]``: ``[N]``. Appendix B.

    Example:
        >>> import torch
        >>> gaussian_divergence(torch.zeros(2, 3), torch.zeros(2, 3))
        tensor([0., 0.])
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)
