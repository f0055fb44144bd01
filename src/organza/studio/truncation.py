"""The truncation figure: seeds from their opposite over the average to their full variety.

StyleGAN, arXiv 1812.04948, appendix B and figure 8: ``w' = mean + psi (w - mean)``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from organza.core.errors import UserError
from organza.media.figure import captioned, table
from organza.media.images import PICTURE_SUFFIXES, check_suffix, enlarge, save_picture
from organza.models.sampling import Sampling
from organza.studio.codes import codes, draw

if TYPE_CHECKING:
    from organza.models.generator import Generator


def psis(columns: int, most: float) -> list[float]:
    """Evenly spaced truncations from ``-most`` to ``most``, 0 in the middle.

    Raises:
        UserError: not an odd number of columns, at least 3; or ``most`` is not positive.

    Example:
        >>> psis(5, 1.0)
        [-1.0, -0.5, 0.0, 0.5, 1.0]
    """
    if columns < 3 or columns % 2 == 0:
        raise UserError(f"{columns} columns have no middle", hint="give an odd number from 3 up, such as 9")
    if not 0 < most < np.inf:
        raise UserError(f"a truncation of {most:g}", hint="give a positive number, such as 1")
    half = columns // 2
    return [most * (index - half) / half for index in range(columns)]


def sweep(G: Generator, seeds: Sequence[int], values: Sequence[float], sampling: Sampling = Sampling()) -> Tensor:
    """The w's of every seed at every psi of ``values``, not that of ``sampling``: ``[seeds, psis, num_ws, w_dim]``."""
    ws = codes(G, seeds, replace(sampling, psi=1.0))
    return torch.stack([G.truncate(ws, psi, sampling.cutoff) for psi in values], dim=1)


def truncation(
    G: Generator,
    seeds: Sequence[int],
    output: str | os.PathLike[str],
    *,
    columns: int = 9,
    sampling: Sampling = Sampling(),
    scale: int = 1,
) -> Path:
    """Write the table: a row for each of ``seeds``, psi from its opposite to that of ``sampling``, 0 in the middle.

    Args:
        G: a network from `organza.load`.
        seeds: the rows.
        output: ``.png``, ``.jpg``, ``.jpeg`` or ``.webp``.
        columns: an odd number.
        sampling: labels, cutoff, noise, and the psi of the last column.
        scale: make each pixel a square of so many pixels.

    Returns:
        The path written.

    Raises:
        UserError: see `psis` and `organza.studio.codes.codes`; an unknown format; a file that can't be written.

    Example:
        >>> truncation(G, [1, 2], folder / "truncation.png", columns=5).name
        'truncation.png'
    """
    path = check_suffix(output, PICTURE_SUFFIXES)
    values = psis(columns, sampling.psi)
    enlarge(np.zeros([1, 1, 1], np.uint8), scale)
    ws = sweep(G, seeds, values, sampling)
    images = draw(G, ws.flatten(0, 1), sampling.noise)
    texts = [f"psi {psi:g}" for psi in values]
    return save_picture(captioned(table(images, columns, scale), texts, G.resolution[1], scale), path)
