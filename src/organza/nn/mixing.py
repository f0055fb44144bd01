"""Style mixing: two codes meet at a layer (StyleGAN, arXiv 1812.04948, section 3.1)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def mixed_codes(
    mapping: Callable[[Tensor, Tensor], Tensor],
    z_dim: int,
    labels: Tensor,
    layers: int,
    share: float,
    rng: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Random codes with style mixing, and the mean of w.

    One crossover point serves a batch, as in the official implementations.

    Args:
        mapping: ``z [N, z_dim], labels [N, label_dim] -> w [N, w_dim]``.
        z_dim: length of a latent code.
        labels: ``[N, label_dim]``, one for each code.
        layers: that take a w.
        share: of batches in which two codes are mixed; 0 leaves mixing out.
        rng: of everything random.

    Returns:
        ``[N, layers, w_dim]`` and ``[w_dim]``.

    Example:
        >>> ws, mean = mixed_codes(lambda z, labels: z, 8, torch.zeros(4, 0), 6, 0.9, torch.Generator().manual_seed(0))
        >>> ws.shape, mean.shape
        (torch.Size([4, 6, 8]), torch.Size([8]))
    """
    device = labels.device
    z = torch.randn(len(labels), z_dim, generator=rng, device=device)
    w = mapping(z, labels)
    mean = w.detach().mean(0)
    if not share:
        return w[:, None].expand(-1, layers, -1), mean
    cutoff = torch.randint(1, layers, (), generator=rng, device=device)
    mix = torch.rand((), generator=rng, device=device) < share
    other = mapping(torch.randn(z.shape, generator=rng, device=device), labels)
    return crossed(w, other, layers, cutoff, mix), mean


def crossed(one: Tensor, other: Tensor, layers: int, cutoff: Tensor, mix: Tensor) -> Tensor:
    """The first of two codes, and from layer ``cutoff`` on the second, if they mix.

    Args:
        one, other: w's ``[N, w_dim]``.
        layers: how many.
        cutoff: the first layer that takes ``other``, ``[]``.
        mix: whether any does, ``[]``.

    Returns:
        ``[N, layers, w_dim]``.

    Example:
        >>> w = torch.tensor([[1.0]])
        >>> [crossed(w, -w, 3, torch.tensor(1), torch.tensor(mix)).flatten().tolist() for mix in (True, False)]
        [[1.0, -1.0, -1.0], [1.0, 1.0, 1.0]]
    """
    swapped = mix & (torch.arange(layers, device=one.device) >= cutoff)
    return torch.where(swapped[:, None], other[:, None], one[:, None])
