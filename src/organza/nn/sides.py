"""Which sizes of images a network takes."""

from __future__ import annotations

from torch import Tensor

from organza.core.errors import UserError


def check_sides(images: Tensor, multiple: int = 1, least: int = 1) -> None:
    """See that both sides of ``images`` ``[N, C, H, W]`` are multiples of ``multiple``, and not below ``least``.

    Raises:
        UserError: they are not.

    Example:
        >>> import torch
        >>> check_sides(torch.zeros(1, 3, 30, 32), 4)
        Traceback (most recent call last):
        ...
        organza.core.errors.UserError: an image of 30x32 does not fit this network; its sides must be multiples of 4
    """
    height, width = images.shape[2:]
    wrong = f"an image of {height}x{width} does not fit this network"
    if height % multiple or width % multiple:
        raise UserError(wrong, hint=f"its sides must be multiples of {multiple}")
    if min(height, width) < least:
        raise UserError(wrong, hint=f"its sides must be at least {least}")
