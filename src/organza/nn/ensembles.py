"""Losses of games with more than two players: many discriminators, many generators, or a classifier besides.

Pure functions of logits. Those that end in ``_d`` are what discriminators minimise, ``_g`` generators, ``_c`` the
classifier. They are per sample where nothing else is said.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Mean = Literal["arithmetic", "geometric", "harmonic"]
"""How the losses of several discriminators become one."""

# --- GMAN: Durugkar, Gemp, Mahadevan 2017, arXiv 1611.01673 ---


def clamped(logits: Tensor) -> Tensor:
    """Probabilities between 0.01 and 0.99, as in the authors' code: logarithms of them keep a gradient.

    Example:
        >>> clamped(torch.tensor([-100.0, 0.0, 100.0]))
        tensor([0.0100, 0.5000, 0.9900])
    """
    return 0.98 * logits.sigmoid() + 0.01


def gman_d(real: Tensor, fake: Tensor) -> Tensor:
    """One discriminator's loss, the two-player game of section 2 with `clamped` probabilities."""
    return -clamped(real).log() - (1 - clamped(fake)).log()


def gman_g(fake: Tensor, objective: Literal["original", "modified"] = "original") -> Tensor:
    """What one discriminator says to G: ``log(1 - D)``, or ``-log D``, which does not saturate (section 2).

    Example:
        >>> gman_g(torch.zeros(1)), gman_g(torch.zeros(1), "modified")
        (tensor([-0.6931]), tensor([0.6931]))
    """
    return (1 - clamped(fake)).log() if objective == "original" else -clamped(fake).log()


def mixed(losses: Tensor, strength: Tensor | float, mean: Mean = "arithmetic") -> Tensor:
    """G's loss from those of all discriminators: the softened maximum of section 4, eq. 4 for the arithmetic mean.

    The weights are softmax(strength * losses). They are part of the graph, as in the authors' code.

    Args:
        losses: ``[N]``, one for each discriminator, all of one sign.
        strength: lambda: 0 for the plain mean; the larger, the more the largest loss counts alone.
        mean: geometric of their sizes; harmonic of what they are above the smallest, as in the authors' code.

    Returns:
        A scalar.

    Example:
        >>> losses = torch.tensor([1.0, 3.0])
        >>> mixed(losses, 0.0), mixed(losses, 0.0, "geometric"), mixed(losses, 100.0)
        (tensor(2.), tensor(1.7321), tensor(3.))
    """
    weights = (strength * losses).softmax(0)
    if mean == "arithmetic":
        return (weights * losses).sum()
    if mean == "geometric":
        return losses.detach().sum().sign() * (weights * losses.abs().log()).sum().exp()
    least = losses.min() - 1e-3
    return least + 1 / (weights / (losses - least)).sum()


# --- MAD-GAN: Ghosh et al. 2018, arXiv 1704.02906 ---


def mad_d(real: Tensor, fakes: Tensor) -> Tensor:
    """Cross-entropy of a discriminator that names the generator: class 0 is real, class i + 1 generator i (eq. 2).

    In the paper real is class k + 1; the order here is that of the authors' code.

    Args:
        real: logits ``[N, k + 1]`` of real images.
        fakes: ``[k * M, k + 1]`` of each generator's images, one generator after the other.

    Returns:
        ``[N + k * M]``; its plain mean is the authors' loss.

    Example:
        >>> mad_d(torch.zeros(1, 3), torch.zeros(2, 3))
        tensor([1.0986, 1.0986, 1.0986])
    """
    generators = real.shape[1] - 1
    each = torch.arange(generators, device=fakes.device).repeat_interleave(len(fakes) // generators) + 1
    return F.cross_entropy(torch.cat([real, fakes]), torch.cat([each.new_zeros(len(real)), each]), reduction="none")


def mad_g(fakes: Tensor) -> Tensor:
    """Every generator's loss, ``-log D_real``, from logits ``[N, k + 1]``: eq. 3 in the form that does not saturate.

    Example:
        >>> mad_g(torch.zeros(1, 2))
        tensor([0.6931])
    """
    return -fakes.log_softmax(1)[:, 0]


# --- Triple-GAN: Li, Xu, Zhu, Zhang 2017, arXiv 1703.02291 ---


def triple_d(real: Tensor, generated: Tensor, classified: Tensor) -> Tensor:
    """Logits of pairs that are real, generated, and labelled by the classifier -> the mean loss (eq. 3, alpha 1/2)."""
    return F.softplus(-real).mean() + 0.5 * F.softplus(generated).mean() + 0.5 * F.softplus(classified).mean()


def triple_g(generated: Tensor) -> Tensor:
    """The generator's loss for generated pairs, with its half (alpha), in the form that does not saturate."""
    return 0.5 * F.softplus(-generated)


def triple_c(classified: Tensor, probabilities: Tensor) -> Tensor:
    """The classifier's loss in the game, with its half: to be sure of a wrong label costs most (section 3.2).

    Args:
        classified: logits ``[N, 1]`` or ``[N]`` of images with the classifier's likeliest label.
        probabilities: ``[N, classes]`` of the classifier for them; the gradient reaches it through the largest alone.

    Returns:
        ``[N]``.

    Example:
        >>> triple_c(torch.zeros(1, 1), torch.tensor([[0.25, 0.75]]))  # 0.5 * 0.75 * log 2
        tensor([0.2599])
    """
    return 0.5 * probabilities.amax(1) * F.softplus(-classified.reshape(-1))


def cross_entropy(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Of probabilities ``[N, classes]``, kept 1e-6 away from 0 and 1 as in the authors' code: ``[N]``."""
    return -(targets * probabilities.clamp(1e-6, 1 - 1e-6).log()).sum(1)


def unlabelled_c(probabilities: Tensor) -> tuple[Tensor, Tensor]:
    """What unlabelled images ask of a classifier: to be sure of each, and to use all classes alike (section 4).

    Returns:
        The mean entropy of ``[N, classes]``, and the cross-entropy of their mean with equal shares.

    Example:
        >>> [round(float(term), 4) for term in unlabelled_c(torch.eye(2))]
        [0.0, 0.6931]
    """
    mean = probabilities.mean(0, keepdim=True)
    # Entropy as the authors' code has it: the clamp holds on both sides.
    kept = probabilities.clamp(1e-6, 1 - 1e-6)
    return -(probabilities * kept.log()).sum(1).mean(), cross_entropy(mean, torch.full_like(mean, 1 / mean.shape[1]))[0]
