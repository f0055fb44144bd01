"""Losses of discriminators that are autoencoders: how badly an image is reconstructed is its energy, or loss.

Pure functions, nothing averaged over the batch unless it says so. EBGAN: Zhao, Mathieu, LeCun 2017, arXiv 1609.03126.
BEGAN: Berthelot, Schumm, Metz 2017, arXiv 1703.10717.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def energy(images: Tensor, reconstructions: Tensor) -> Tensor:
    """Mean squared error of each image ``[N, ...]``: ``[N]``. EBGAN, eq. 4, with the mean square as the norm.

    Example:
        >>> import torch
        >>> energy(torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4))
        tensor([1., 1.])
    """
    return (reconstructions - images).square().flatten(1).mean(1)


def energy_d(real: Tensor, fake: Tensor, margin: float) -> Tensor:
    """Energies ``[N]`` of real images fall, those of generated ones rise up to a margin: EBGAN, eq. 1.

    Example:
        >>> import torch
        >>> energy_d(torch.tensor([0.25]), torch.tensor([0.5]), margin=1.0)
        tensor([0.7500])
    """
    return real + F.relu(margin - fake)


def energy_g(fake: Tensor) -> Tensor:
    """The generator lowers its images' energies: EBGAN, eq. 2."""
    return fake


def pull_away(codes: Tensor) -> Tensor:
    """Mean squared cosine between the codes of different images of a batch, a scalar: EBGAN, eq. 5 (f_PT).

    Args:
        codes: ``[N, features]`` of the encoder for generated images; of one image, the result is 0.

    Example:
        >>> import torch
        >>> pull_away(torch.eye(3)), pull_away(torch.ones(3, 1))
        (tensor(0.), tensor(1.))
    """
    count = len(codes)
    unit = F.normalize(codes.float(), dim=1)
    squares = (unit @ unit.t()).square()
    return (squares.sum() - squares.diagonal().sum()) / max(count * (count - 1), 1)


def absolute_error(images: Tensor, reconstructions: Tensor) -> Tensor:
    """Mean absolute error of each image ``[N, ...]``: ``[N]``. BEGAN, eq. 1 with eta = 1."""
    return (reconstructions - images).abs().flatten(1).mean(1)


def began_d(real: Tensor, fake: Tensor, k: Tensor | float) -> Tensor:
    """The discriminator's loss of reconstruction losses ``[N]``: BEGAN, section 3.3, ``L(x) - k L(G(z))``."""
    return real - k * fake


def began_balance(real: Tensor, fake: Tensor, gamma: float) -> Tensor:
    """How far the mean losses, scalars, are from ``L(G(z)) = gamma L(x)``: BEGAN, eq. 5 and section 3.3."""
    return gamma * real - fake


def began_k(k: Tensor, balance: Tensor, rate: float) -> Tensor:
    """The next k, within 0 and 1: BEGAN, section 3.3, proportional control with gain ``rate`` (lambda_k).

    Example:
        >>> import torch
        >>> began_k(torch.tensor(0.0), torch.tensor(0.5), 0.001)
        tensor(0.0005)
    """
    return (k + rate * balance).clamp(0, 1)


def began_measure(real: Tensor, balance: Tensor) -> Tensor:
    """M_global, which falls as BEGAN converges: section 3.4.1, ``L(x) + |gamma L(x) - L(G(z))|``."""
    return real + balance.abs()
