"""Linear separability of latent codes (StyleGAN, arXiv 1812.04948, section 4.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from organza.metrics.moments import Rows, rows

RARE = 0.01
"""An attribute says nothing if all but this share of the codes that are kept have the same value of it."""


def separability(codes: Rows, probabilities: Rows, keep: float = 0.5) -> float:
    """``exp(sum of H(Y | X))``: 1 where planes in latent space tell every attribute, higher where none do.

    See `entropies`, which also says which attributes are left out of the sum.

    Raises:
        ValueError: different lengths, or no attribute of which there are several values.

    Example:
        >>> codes = torch.randn(400, 3, generator=torch.Generator().manual_seed(0))
        >>> round(separability(codes, codes[:, :1].sigmoid()), 3)
        1.0
    """
    found = [entropy for entropy in entropies(codes, probabilities, keep) if entropy is not None]
    if not found:
        raise ValueError("the classifier gives the same answer about every image")
    return float(torch.tensor(found).sum().exp())


def entropies(codes: Rows, probabilities: Rows, keep: float = 0.5) -> list[float | None]:
    """``H(Y | X)`` of each attribute in nats; None for those that are skipped.

    For each attribute the half of the codes about which the classifier is surest is kept, a linear classifier learns
    it from the codes, and H is what remains unknown of the attribute (Y) when the classifier's answer (X) is known.
    (The paper fits support vector machines; logistic regression finds nearly the same planes and needs no package.)
    An attribute is skipped if fewer than `RARE` of the codes that are kept differ from the rest.

    Args:
        codes: z or w, ``[N, D]``.
        probabilities: of each attribute, by a classifier that looks at the images, ``[N, A]`` in [0, 1]. Where each
            row's sum is 1, the columns are the values of one attribute, such as classes.
        keep: share of the codes to keep.

    Raises:
        ValueError: different lengths.

    Example:
        >>> codes = torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
        >>> rare = torch.zeros(400)
        >>> [entropy is None for entropy in entropies(codes, torch.stack([codes[:, 0].sigmoid(), rare], 1))]
        [False, True]
    """
    x, p = rows(codes), rows(probabilities)
    if len(x) != len(p):
        raise ValueError(f"{len(x)} codes, but answers about {len(p)}")
    exclusive = p.shape[1] > 1 and bool(((p.sum(1) - 1).abs() < 1e-3).all())
    return [_entropy(x, each, keep) for each in ([p] if exclusive else [torch.stack([1 - q, q], 1) for q in p.T])]


def _entropy(x: Tensor, p: Tensor, keep: float) -> float | None:
    """Of one attribute, from the probabilities of its values ``[N, K]``."""
    surest = p.max(1).values.argsort(descending=True, stable=True)[: max(round(keep * len(x)), 2)]
    x, value = x[surest], p[surest].argmax(1)
    counts = torch.bincount(value, minlength=p.shape[1])
    if counts.max() > (1 - RARE) * len(x):
        return None
    answer = logistic_regression(x, torch.eye(p.shape[1], dtype=torch.float64)[value])(x).argmax(1)
    return conditional_entropy(answer, value)


def conditional_entropy(x: Tensor, y: Tensor) -> float:
    """``H(Y | X)`` in nats of two lists of values: whole numbers from 0, or booleans, ``[N]``.

    Example:
        >>> x = torch.tensor([True, True, False, False])
        >>> conditional_entropy(x, x), round(conditional_entropy(x, torch.tensor([True, False, True, False])), 4)
        (0.0, 0.6931)
    """
    size = int(max(x.max(), y.max())) + 1
    share = torch.bincount(x.long() * size + y.long(), minlength=size * size).double().reshape(size, size) / len(x)
    given = share / share.sum(1, keepdim=True).clamp(min=1e-300)
    return abs(float((share * given.clamp(min=1e-300).log()).sum()))


class Linear:
    """A fitted linear classifier: ``model(x [N, D]) -> logits [N, A]``."""

    def __init__(self, mean: Tensor, scale: Tensor, weight: Tensor, bias: Tensor) -> None:
        self.mean, self.scale, self.weight, self.bias = mean, scale, weight, bias

    def __call__(self, x: Rows) -> Tensor:
        """Logits ``[N, A]``."""
        return (rows(x) - self.mean) / self.scale @ self.weight + self.bias


def logistic_regression(x: Rows, y: Rows, penalty: float = 1e-3) -> Linear:
    """Fit each column of ``y`` ``[N, A]``, from 0 to 1, by a linear function of ``x`` ``[N, D]``, by L-BFGS.

    Args:
        x: features; they are standardised first.
        y: answers.
        penalty: on the squared weights, against overfitting.
    """
    table, answers = rows(x), rows(y)
    deviation, mean = torch.std_mean(table, 0)
    scale = deviation.clamp(min=1e-9)
    table = (table - mean) / scale
    weight = torch.zeros(table.shape[1], answers.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(answers.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        logits = table @ weight + bias
        lost = torch.nn.functional.binary_cross_entropy_with_logits(logits, answers, reduction="none")
        loss = lost.mean(0).sum() + penalty * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with torch.enable_grad():
        optimizer.step(closure)  # type: ignore[no-untyped-call]
    return Linear(mean, scale, weight.detach(), bias.detach())
