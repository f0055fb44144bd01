"""Exponential moving averages of network weights (ProGAN, arXiv 1710.10196, section 5)."""

from __future__ import annotations

import torch
from torch import nn


def decay(batch: int, half_life_kimg: float, rampup: float | None, seen: int) -> float:
    """Share of the old average that stays after a step of ``batch`` images.

    Args:
        batch: images in the step.
        half_life_kimg: after so many thousand images a weight counts half.
        rampup: the half-life is at most this share of ``seen``.
        seen: images before the step.

    Example:
        >>> decay(500, half_life_kimg=1.0, rampup=None, seen=0) ** 2
        0.5...
        >>> decay(32, half_life_kimg=10.0, rampup=0.05, seen=0)
        0.0
    """
    half_life = half_life_kimg * 1000
    if rampup is not None:
        half_life = min(half_life, seen * rampup)
    return float(0.5 ** (batch / half_life)) if half_life > 0 else 0.0


@torch.no_grad()
def update(average: nn.Module, net: nn.Module, keep: float) -> None:
    """Move ``average`` towards ``net``; buffers (running means) are copied."""
    theirs = [p.detach() for p in net.parameters()]
    torch._foreach_lerp_([p.detach() for p in average.parameters()], theirs, 1 - keep)
    for mine, other in zip(average.buffers(), net.buffers(), strict=True):
        mine.copy_(other)
