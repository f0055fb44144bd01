"""What a network that classifies says of images: the Inception score (Salimans et al. 2016, arXiv 1606.03498, section
4), and which classes are there."""

from __future__ import annotations

import torch

from organza.metrics.moments import Rows, rows


def inception_score(logits: Rows, splits: int = 10) -> tuple[float, float]:
    """``exp E KL(p(y|x) || p(y))``: high where single images are clear and all together are varied.

    It never looks at real images, and counts only the classes that its network knows.

    Args:
        logits: ``[N, classes]``, before the softmax.
        splits: equal parts in the given order, each of which has a score.

    Returns:
        Mean and standard deviation over the splits (divided by the number of splits, as the authors do).

    Raises:
        ValueError: fewer images than splits.

    Example:
        >>> logits = 100 * torch.eye(4).repeat(5, 1)
        >>> [round(number, 3) for number in inception_score(logits, splits=5)]
        [4.0, 0.0]
    """
    scores = torch.tensor(split_scores(logits, splits), dtype=torch.float64)
    return float(scores.mean()), float(scores.std(unbiased=False))


def split_scores(logits: Rows, splits: int = 10) -> list[float]:
    """The score of each split."""
    table = rows(logits)
    if len(table) < splits:
        raise ValueError(f"{len(table)} images can't be split into {splits} parts")
    logs = table.log_softmax(1)
    found = []
    for index in range(splits):
        part = logs[index * len(table) // splits : (index + 1) * len(table) // splits]
        marginal = part.exp().mean(0, keepdim=True)
        divergence = (part.exp() * (part - marginal.clamp(min=1e-300).log())).sum(1)
        found.append(float(divergence.mean().exp()))
    return found


def present(answers: torch.Tensor, classes: int, share: float = 0.1) -> int:
    """How many classes hold at least ``share`` of what each would, were all alike: fewer is mode collapse.

    Args:
        answers: the class of each image, ``[N]``.
        classes: how many there are.

    Example:
        >>> present(torch.tensor([0] * 90 + [1] * 9 + [2]), 4)
        2
    """
    counts = torch.bincount(answers, minlength=classes)
    return int((counts >= share * len(answers) / classes).sum())
