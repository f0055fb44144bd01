"""Adversarial losses: logits in, loss per sample out. Pure functions, nothing averaged.

``real`` and ``fake`` are a discriminator's raw outputs (logits) of any one shape; so is the result. ``_d`` is what the
discriminator minimises, ``_g`` what the generator minimises.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def logistic_d(real: Tensor, fake: Tensor) -> Tensor:
    """Cross-entropy of real against fake: Goodfellow et al. 2014 (arXiv 1406.2661), eq. 1, negated.

    Example:
        >>> import torch
        >>> logistic_d(torch.zeros(1), torch.zeros(1))  # 2 log 2
        tensor([1.3863])
    """
    return F.softplus(-real) + F.softplus(fake)


def logistic_g(fake: Tensor) -> Tensor:
    """The non-saturating generator loss ``-log D``: Goodfellow et al. 2014, end of section 3."""
    return F.softplus(-fake)


def saturating_g(fake: Tensor) -> Tensor:
    """The minimax generator loss ``log(1 - D)``: Goodfellow et al. 2014, eq. 1."""
    return -F.softplus(fake)


def hinge_d(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss: Lim & Ye 2017 (arXiv 1705.02894); Miyato et al. 2018 (arXiv 1802.05957), eq. 16.

    Example:
        >>> import torch
        >>> hinge_d(torch.tensor([2.0]), torch.tensor([0.5]))
        tensor([1.5000])
    """
    return F.relu(1 - real) + F.relu(1 + fake)


def hinge_g(fake: Tensor) -> Tensor:
    """Generator's side of the hinge loss: Miyato et al. 2018, eq. 17."""
    return -fake


def least_squares_d(real: Tensor, fake: Tensor) -> Tensor:
    """Least squares with targets 1 and 0 and the paper's factor 1/2: Mao et al. 2017 (arXiv 1611.04076), eq. 9."""
    return 0.5 * (real - 1).square() + 0.5 * fake.square()


def least_squares_g(fake: Tensor) -> Tensor:
    """Generator's side of least squares, target 1, factor 1/2: Mao et al. 2017, eq. 9."""
    return 0.5 * (fake - 1).square()


def wasserstein_d(real: Tensor, fake: Tensor) -> Tensor:
    """Negated estimate of the Wasserstein distance: Arjovsky et al. 2017 (arXiv 1701.07875), eq. 2."""
    return fake - real


def wasserstein_g(fake: Tensor) -> Tensor:
    """Generator's side of the Wasserstein distance: Arjovsky et al. 2017, algorithm 1."""
    return -fake


def relativistic_d(real: Tensor, fake: Tensor) -> Tensor:
    """Relativistic pairing: Jolicoeur-Martineau 2018 (arXiv 1807.00734); R3GAN, Huang et al. 2025 (arXiv 2501.05441).

    Example:
        >>> import torch
        >>> relativistic_d(torch.zeros(1), torch.zeros(1))  # log 2
        tensor([0.6931])
    """
    return F.softplus(fake - real)


def relativistic_g(real: Tensor, fake: Tensor) -> Tensor:
    """Generator's side of `relativistic_d`."""
    return F.softplus(real - fake)
