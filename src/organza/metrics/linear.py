"""Linear separability of latent codes (StyleGAN, arXiv 1812.04948, section 4.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from organza.metrics.moments import Rows, rows


def separability(codes: Rows, probabilities: Rows, keep: float = 0.5) -> float:
    """``exp(sum of H(Y | X))``: 1 where a plane in latent space tells every attribute, higher where none does.

    For each attribute the half of the codes about which the classifier is surest is kept, a linear classifier learns
    it from the codes, and H is what remains unknown of the attribute (Y) when the side of the plane (X) is known.
    (The paper fits support vector machines; logistic regression finds nearly the same planes and needs no package.)

    Args:
        codes: z or w, ``[N, D]``.
        probabilities: of each attribute, by a classifier that looks at the pictures, ``[N, A]`` in [0, 1].
        keep: share of the codes to keep.

    Raises:
        ValueError: different lengths, or no attribute of which there are both kinds.

    Example:
        >>> codes = torch.randn(400, 3, generator=torch.Generator().manual_seed(0))
        >>> round(separability(codes, codes[:, :1].sigmoid()), 3)
        1.0
    """
    x, p = rows(codes), rows(probabilities)
    if len(x) != len(p):
        raise ValueError(f"{len(x)} codes, but answers about {len(p)}")
    entropies = []
    for column in p.T:
        sure = (column - 0.5).abs().argsort(descending=True, stable=True)[: max(round(keep * len(x)), 2)]
        label = (column[sure] > 0.5).double()
        if 0 < label.sum() < len(label):
            side = logistic_regression(x[sure], label[:, None])(x[sure])[:, 0] > 0
            entropies.append(conditional_entropy(side, label > 0.5))
    if not entropies:
        raise ValueError("the classifier gives the same answer about every picture")
    return float(torch.tensor(entropies).sum().exp())


def conditional_entropy(x: Tensor, y: Tensor) -> float:
    """``H(Y | X)`` in nats of two lists of booleans ``[N]``.

    Example:
        >>> x = torch.tensor([True, True, False, False])
        >>> conditional_entropy(x, x), round(conditional_entropy(x, torch.tensor([True, False, True, False])), 4)
        (0.0, 0.6931)
    """
    joint = torch.stack([(x.bool() == i) & (y.bool() == j) for i in (False, True) for j in (False, True)])
    share = joint.double().mean(1).reshape(2, 2)
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
