"""Images through an autoencoder: what their codes keep of them, and what lies between two of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from organza.core.errors import UserError
from organza.core.files import user_path
from organza.data.decode import Fit
from organza.media.figure import table
from organza.media.images import PICTURE_SUFFIXES, Pixels, check_suffix, save_picture, to_tensor
from organza.studio.codes import draw
from organza.studio.projection.project import read_targets

if TYPE_CHECKING:
    from organza.models.generator import Generator

MOST = 64
"""Images of one figure."""


def reconstruct(
    G: Generator,
    images: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    between: int = 0,
    fit: Fit = "center-crop",
    scale: int = 1,
) -> tuple[Tensor, Path]:
    """Write a figure with images beside what the network makes of their codes.

    Args:
        G: an autoencoder from `organza.load`: it has an encoder.
        images: files, or folders of them, of which the first `MOST` are taken.
        output: ``.png``, ``.jpg``, ``.jpeg`` or ``.webp``.
        between: so many images on the straight line between the codes of each two neighbours; a row begins and ends
            with an image itself. 0: rows of inputs, and below each row its reconstructions.
        fit: how images of another shape fit, see `organza.data.DataOptions`.
        scale: make each pixel a square of so many pixels.

    Returns:
        The codes ``[N, num_ws, w_dim]`` and the path written.

    Raises:
        UserError: a network without an encoder, images that can't be read, fewer than two to go between.
    """
    path = check_suffix(output, PICTURE_SUFFIXES)
    G.check_encoder()
    _, pixels = read_targets([user_path(image) for image in images], G.resolution, G.channels, fit)
    pixels = pixels[:MOST]
    if between and len(pixels) < 2:
        raise UserError("there is nothing between one image and itself", hint="give two images or more")
    ws = G.encode(to_tensor(pixels))
    figure = _between(G, pixels, ws, between) if between else _beside(pixels, draw(G, ws))
    return ws, save_picture(table(*figure, scale), path)


def _beside(pixels: Pixels, back: Pixels) -> tuple[Pixels, int]:
    """A row of inputs, a row of what comes back, and so on."""
    columns = min(8, len(pixels))
    rows: list[Pixels] = []
    for start in range(0, len(pixels), columns):
        for part in (pixels[start : start + columns], back[start : start + columns]):
            blank = np.full([columns - len(part), *part.shape[1:]], 255, np.uint8)
            rows.append(np.concatenate([part, blank]))
    return np.concatenate(rows), columns


def _between(G: Generator, pixels: Pixels, ws: Tensor, count: int) -> tuple[Pixels, int]:
    """Of each two neighbours a row: the first, its reconstruction, the way, the other's, the other."""
    rows: list[Pixels] = []
    shares = torch.linspace(0, 1, count + 2, device=ws.device)[:, None, None]
    for number in range(len(ws) - 1):
        way = draw(G, torch.lerp(ws[number : number + 1], ws[number + 1 : number + 2], shares))
        rows.append(np.concatenate([pixels[number : number + 1], way, pixels[number + 1 : number + 2]]))
    return np.concatenate(rows), count + 4
