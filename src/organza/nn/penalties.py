"""Gradient penalties as functions: ``(function, tensor) -> penalty per sample``.

``function`` is any differentiable map of a batch, for example ``lambda x: D(x, labels)``. Outputs of every shape are
summed before differentiating, so where samples of a batch interact (minibatch statistics) so do their gradients, as in
the published implementations. Results can be differentiated again.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from organza.ops import input_gradient

Function = Callable[[Tensor], Tensor]


def _gradient(function: Function, x: Tensor) -> Tensor:
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        gradient = input_gradient(function(x).sum(), x)
    return gradient


def root(squares: Tensor) -> Tensor:
    """Square roots of sums of squares, with finite derivatives at 0: a length below 1e-12 counts as 0 and as constant.

    Example:
        >>> x = torch.tensor([4.0, 0.0], requires_grad=True)
        >>> torch.autograd.grad(root(x).sum(), x)
        (tensor([0.2500, 0.0000]),)
    """
    some = squares > 1e-24  # below, second derivatives leave float32
    return torch.where(some, squares, 1).sqrt() * some


def r1(function: Function, real: Tensor) -> Tensor:
    """Squared gradient norm at real data: Mescheder et al. 2018 (arXiv 1801.04406), eq. 9, without ``gamma / 2``.

    Args:
        function: critic, ``[N, ...] -> logits``.
        real: ``[N, ...]``.

    Returns:
        ``[N]``, float32.

    Example:
        >>> r1(lambda x: 3 * x, torch.zeros(2, 1)).tolist()
        [9.0, 9.0]
    """
    return _gradient(function, real).float().square().flatten(1).sum(1)


def r2(function: Function, fake: Tensor) -> Tensor:
    """Squared gradient norm at generated data: Mescheder et al. 2018, eq. 10, without ``gamma / 2``."""
    return r1(function, fake)


def interpolate(real: Tensor, fake: Tensor, rng: torch.Generator) -> Tensor:
    """Points between ``real`` and ``fake`` ``[N, ...]``, uniform on each line: Gulrajani et al. 2017, algorithm 1."""
    share = torch.rand(len(real), *[1] * (real.ndim - 1), generator=rng, device=real.device, dtype=real.dtype)
    return torch.lerp(fake, real, share)


def wgan_gp(function: Function, between: Tensor, one_sided: bool = False) -> Tensor:
    """Distance of the gradient norm from 1: Gulrajani et al. 2017 (arXiv 1704.00028), eq. 3, without ``lambda``.

    Args:
        function: critic, ``[N, ...] -> scores``.
        between: ``[N, ...]``, see `interpolate`.
        one_sided: punish only norms above 1 (Petzka et al. 2018, arXiv 1709.08894, eq. 8).

    Returns:
        ``[N]``.

    Example:
        >>> wgan_gp(lambda x: 3 * x, torch.zeros(2, 1)).tolist()
        [4.0, 4.0]
    """
    excess = root(_gradient(function, between).flatten(1).square().sum(1)) - 1
    return (excess.relu() if one_sided else excess).square()


@torch.no_grad()
def clip_weights(net: nn.Module, bound: float) -> None:
    """Cut all weights off at ``-bound`` and ``bound``: Arjovsky et al. 2017 (arXiv 1701.07875), algorithm 1, line 7.

    Example:
        >>> layer = nn.Linear(4, 4)
        >>> clip_weights(layer, 0.01)
        >>> bool((layer.weight.abs() <= 0.01).all())
        True
    """
    for weight in net.parameters():
        weight.clamp_(-bound, bound)


def path_lengths(function: Function, ws: Tensor, direction: Tensor) -> Tensor:
    """Length of the image's change along a random image for a step in w: Karras et al. 2020 (1912.04958), eq. 4.

    Args:
        function: synthesis, ``ws -> [N, C, H, W]``.
        ws: ``[N, num_ws, w_dim]``; may carry a graph, to which the result stays connected.
        direction: standard normal ``[N, C, H, W]``; scaled here by ``1 / sqrt(H * W)``.

    Returns:
        ``[N]``: square root of the squared gradient norm averaged over the ``num_ws`` layers.

    Example:
        >>> path_lengths(lambda ws: ws[:, :, :, None], torch.ones(1, 1, 4), torch.ones(1, 1, 4, 1)).tolist()
        [1.0]
    """
    with torch.enable_grad():
        if not ws.requires_grad:
            ws = ws.detach().requires_grad_()
        along = function(ws) * direction / (direction.shape[2] * direction.shape[3]) ** 0.5
        gradient = input_gradient(along.sum(), ws)
        return root(gradient.square().sum(2).mean(1))


def path_length_penalty(lengths: Tensor, mean: Tensor, decay: float = 0.01) -> tuple[Tensor, Tensor]:
    """Squared distance of each length from the running mean: Karras et al. 2020, eq. 4.

    The mean already contains this batch, as in the official implementation.

    Args:
        lengths: ``[N]`` of `path_lengths`.
        mean: the running mean, a scalar.
        decay: weight of this batch in the running mean.

    Returns:
        Penalty per sample ``[N]`` and the new running mean, detached.

    Example:
        >>> path_length_penalty(torch.tensor([1.0, 3.0]), torch.tensor(2.0))
        (tensor([1., 1.]), tensor(2.))
    """
    mean = mean.lerp(lengths.mean(), decay)
    return (lengths - mean).square(), mean.detach()
