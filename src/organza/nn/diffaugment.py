"""DiffAugment: simple augmentations of all that the discriminator sees, always on.

Differentiable Augmentation for Data-Efficient GAN Training. Shengyu Zhao, Zhijian Liu, Ji Lin, Jun-Yan Zhu, Song Han.
NeurIPS 2020, arXiv 2006.10738.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from organza.core.errors import UserError
from organza.ops.warp import shuffle


def diffaugment(x: Tensor, policy: str, rng: torch.Generator) -> Tensor:
    """Augment each image: section 3.3 and the choices of section 4 of the paper.

    Args:
        x: float32 ``[N, C, H, W]`` in [-1, 1].
        policy: some of ``color`` (brightness by up to 0.5, saturation 0 to 2 times, contrast 0.5 to 1.5 times),
            ``translation`` (by up to an eighth of each side, grey comes in) and ``cutout`` (a grey rectangle of half
            the sides), joined by commas; applied in this order.
        rng: source of all randomness, on the device of ``x``.

    Raises:
        UserError: an unknown name in ``policy``.

    Example:
        >>> diffaugment(torch.zeros(2, 3, 8, 8), "translation,cutout", torch.Generator().manual_seed(0)).abs().sum()
        tensor(0.)
    """
    for change in parse_policy(policy):
        x = change(x, rng)
    return x


def parse_policy(policy: str) -> list[Callable[[Tensor, torch.Generator], Tensor]]:
    """The functions that a policy names, in the order in which they are applied.

    Raises:
        UserError: an unknown name, or none.
    """
    wanted = {name.strip() for name in policy.split(",") if name.strip()}
    if not wanted or wanted - set(_CHANGES):
        raise UserError(f"{policy!r} is no policy of DiffAugment", hint=f"join some of {', '.join(_CHANGES)} by commas")
    return [change for name, change in _CHANGES.items() if name in wanted]


def _color(x: Tensor, rng: torch.Generator) -> Tensor:
    brightness, saturation, contrast = torch.rand(3, len(x), 1, 1, 1, generator=rng, device=x.device).to(x.dtype)
    colours, rest = x[:, :3], x[:, 3:]
    colours = colours + (brightness - 0.5)
    grey = colours.mean(1, keepdim=True)
    colours = grey + (colours - grey) * (2 * saturation)
    mean = colours.mean([1, 2, 3], keepdim=True)
    colours = mean + (colours - mean) * (contrast + 0.5)
    return torch.cat([colours, rest], 1) if rest.shape[1] else colours


def _translation(x: Tensor, rng: torch.Generator) -> Tensor:
    n, (h, w) = len(x), x.shape[2:]
    most = torch.tensor([w // 8, h // 8]).to(x.device)
    steps = (torch.rand(n, 2, generator=rng, device=x.device) * (2 * most + 1)).floor() - most
    moved = shuffle(x, torch.eye(2, device=x.device).expand(n, 2, 2), steps)
    columns, rows = (
        (torch.arange(size, device=x.device) + steps[:, axis, None]).sub((size - 1) / 2).abs() <= (size - 1) / 2
        for axis, size in enumerate((w, h))
    )
    return moved * (rows[:, None, :, None] & columns[:, None, None, :])


def _cutout(x: Tensor, rng: torch.Generator) -> Tensor:
    n, (h, w) = len(x), x.shape[2:]
    centre = torch.rand(n, 2, generator=rng, device=x.device)
    rows, columns = (
        (torch.arange(size, device=x.device) - (centre[:, axis, None] * (size + 1)).floor() + 0.5).abs() < size / 4
        for axis, size in enumerate((h, w))
    )
    return x * ~(rows[:, None, :, None] & columns[:, None, None, :])


_CHANGES = {"color": _color, "translation": _translation, "cutout": _cutout}
