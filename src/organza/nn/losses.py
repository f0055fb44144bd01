"""Adversarial losses: logits in, loss per sample out. Pure functions, nothing averaged.

``real`` and ``fake`` are a discriminator's raw outputs (logits) of any one shape; so is the result. ``_d`` is what the
discriminator minimises, ``_g`` what the generator minimises.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
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


def least_squares_d(real: Tensor, fake: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Least squares with targets ``b`` and ``a`` and the factor 1/2: Mao et al. 2017 (arXiv 1611.04076), eq. 2 and 9.

    The defaults are eq. 9 (LSGAN). The mean is CycleGAN's discriminator loss, half the sum of both mean squares.

    Args:
        real: logits of real images.
        fake: logits of generated images.
        a: target of ``fake``; above 0 to smooth labels.
        b: target of ``real``; below 1 to smooth labels.

    Example:
        >>> import torch
        >>> least_squares_d(torch.tensor([1.0]), torch.tensor([1.0]))
        tensor([0.5000])
    """
    return 0.5 * (real - b).square() + 0.5 * (fake - a).square()


def least_squares_g(fake: Tensor, c: float = 1.0) -> Tensor:
    """Generator's side of least squares, target ``c``, factor 1/2: Mao et al. 2017, eq. 2 and 9.

    pix2pix and CycleGAN leave the factor out for the generator: their loss is twice this one.
    """
    return 0.5 * (fake - c).square()


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


def relativistic_average_d(real: Tensor, fake: Tensor) -> Tensor:
    """Each logit against the mean of the other side: Jolicoeur-Martineau 2018, RaSGAN, section 4.2.

    The means are over the batch. The paper's sum of both sides, without a factor.

    Example:
        >>> import torch
        >>> relativistic_average_d(torch.zeros(1), torch.zeros(1))  # 2 log 2
        tensor([1.3863])
    """
    return F.softplus(fake.mean() - real) + F.softplus(fake - real.mean())


def relativistic_average_g(real: Tensor, fake: Tensor) -> Tensor:
    """Generator's side of `relativistic_average_d`: the same with real and fake exchanged."""
    return relativistic_average_d(fake, real)


def relativistic_squares_d(real: Tensor, fake: Tensor) -> Tensor:
    """RaLSGAN: real logits 1 above the mean of fake ones, fake ones 1 below that of real ones.

    Jolicoeur-Martineau 2018, section 4.2 and appendix, without a factor.

    Example:
        >>> import torch
        >>> relativistic_squares_d(torch.ones(1), torch.zeros(1))
        tensor([0.])
    """
    return (real - fake.mean() - 1).square() + (fake - real.mean() + 1).square()


def relativistic_squares_g(real: Tensor, fake: Tensor) -> Tensor:
    """Generator's side of `relativistic_squares_d`: the same with real and fake exchanged."""
    return relativistic_squares_d(fake, real)


def dual_contrastive_d(real: Tensor, fake: Tensor) -> Tensor:
    """Dual contrastive loss: Yu et al. 2021 (arXiv 2103.17158), eq. 2: each real among all fakes, and the reverse.

    Both are ``[N, 1]`` or ``[N]``, of one batch.

    Example:
        >>> import torch
        >>> dual_contrastive_d(torch.zeros(1), torch.zeros(1))  # 2 log 2
        tensor([1.3863])
    """

    def among(one: Tensor, others: Tensor) -> Tensor:
        """-log softmax of each of ``one`` among itself and all ``others``."""
        rows = others.flatten().expand(one.numel(), -1)
        return F.cross_entropy(
            torch.cat([one.reshape(-1, 1), rows], dim=1), one.new_zeros(one.numel(), dtype=torch.long), reduction="none"
        ).reshape(one.shape)

    return among(real, fake) + among(-fake, -real)


def dual_contrastive_g(real: Tensor, fake: Tensor) -> Tensor:
    """Generator's side of `dual_contrastive_d`: the same with real and fake exchanged."""
    return dual_contrastive_d(fake, real)


AdversarialLoss = Literal["logistic", "hinge", "least-squares", "wasserstein", "relativistic"]


_Pairwise = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Adversarial:
    """Both sides of a loss.

    Attributes:
        d, g: ``(real, fake) -> loss``; ``real`` may be None for ``g`` unless ``g_looks_at_reals``.
        pairs: a score means something only beside another: there is no value from which on D takes an image for real.
        middle: that value, otherwise.
    """

    d: Callable[[Tensor, Tensor], Tensor]
    g: Callable[[Tensor | None, Tensor], Tensor]
    g_looks_at_reals: bool = False
    pairs: bool = False
    middle: float = 0.0

    def signs(self, real: Tensor, fake: Tensor) -> Tensor:
        """+1 where D takes a real image for real, -1 where it doesn't (ADA, arXiv 2006.06676, eq. 1).

        Example:
            >>> import torch
            >>> ADVERSARIAL["least-squares"].signs(torch.tensor([0.9, 0.2]), torch.zeros(2))
            tensor([ 1., -1.])
        """
        return (real - (fake if self.pairs else self.middle)).sign()


def _beside(d: _Pairwise, g: _Pairwise) -> Adversarial:
    """A loss whose generator looks at reals as well."""

    def both(real: Tensor | None, fake: Tensor) -> Tensor:
        assert real is not None
        return g(real, fake)

    return Adversarial(d, both, g_looks_at_reals=True, pairs=True)


ADVERSARIAL: dict[AdversarialLoss, Adversarial] = {
    "logistic": Adversarial(logistic_d, lambda real, fake: logistic_g(fake)),
    "hinge": Adversarial(hinge_d, lambda real, fake: hinge_g(fake)),
    "least-squares": Adversarial(least_squares_d, lambda real, fake: least_squares_g(fake), middle=0.5),
    "wasserstein": Adversarial(wasserstein_d, lambda real, fake: wasserstein_g(fake), pairs=True),
    "relativistic": _beside(relativistic_d, relativistic_g),
}
"""Losses by name."""

GameLoss = Literal[
    "non-saturating",
    "minimax",
    "least-squares",
    "wasserstein",
    "hinge",
    "relativistic",
    "relativistic-average",
    "relativistic-squares",
    "dual-contrastive",
]
"""``non-saturating`` is what style-based methods call ``logistic``."""

GAME: dict[GameLoss, Adversarial] = {
    "non-saturating": ADVERSARIAL["logistic"],
    "minimax": Adversarial(logistic_d, lambda real, fake: saturating_g(fake)),
    "least-squares": ADVERSARIAL["least-squares"],
    "wasserstein": ADVERSARIAL["wasserstein"],
    "hinge": ADVERSARIAL["hinge"],
    "relativistic": ADVERSARIAL["relativistic"],
    "relativistic-average": _beside(relativistic_average_d, relativistic_average_g),
    "relativistic-squares": _beside(relativistic_squares_d, relativistic_squares_g),
    "dual-contrastive": _beside(dual_contrastive_d, dual_contrastive_g),
}
"""The losses of basic methods by name."""
