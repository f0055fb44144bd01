"""The style-mixing table: images that take some of their layers' w from other images.

StyleGAN, arXiv 1812.04948, section 3.1 and figure 3: coarse styles (4x4 to 8x8) carry pose and shape, middle ones
(16x16 to 32x32) features, fine ones (64x64 up) colours.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from organza.core.errors import UserError
from organza.media.figure import table
from organza.media.images import PICTURE_SUFFIXES, check_suffix, save_picture
from organza.models.sampling import Sampling
from organza.studio.codes import codes, draw

if TYPE_CHECKING:
    from organza.models.generator import Generator

GROUPS = {"coarse": (0, 4), "middle": (4, 8), "fine": (8, 10**6), "all": (0, 10**6)}
"""First and last layer (exclusive) of the paper's groups: two layers for each size, from 4x4 up."""


def parse_layers(text: str, num_ws: int) -> list[int]:
    """Layers by the paper's names or by number, sorted.

    Args:
        text: ``coarse``, ``middle``, ``fine``, ``all``, or numbers and ranges, joined by commas.
        num_ws: how many layers the network has.

    Raises:
        UserError: something else, or layers that the network doesn't have.

    Example:
        >>> parse_layers("coarse", 10), parse_layers("fine,0-2", 10)
        ([0, 1, 2, 3], [0, 1, 2, 8, 9])
    """
    layers: set[int] = set()
    for part in text.replace(" ", "").split(","):
        if part in GROUPS:
            first, last = GROUPS[part]
            found = range(first, min(last, num_ws))
            if not found:
                raise UserError(f"this network has no {part} layers", hint=f"give numbers from 0 to {num_ws - 1}")
        else:
            match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
            if match is None or int(match[1]) > int(match[2] or match[1]):
                hint = "write coarse, middle, fine, all or numbers such as 0-6"
                raise UserError(f"can't read the layers {text!r}", hint=hint)
            found = range(int(match[1]), int(match[2] or match[1]) + 1)
            if found[-1] >= num_ws:
                raise UserError(f"there is no layer {found[-1]}", hint=f"give numbers from 0 to {num_ws - 1}")
        layers.update(found)
    return sorted(layers)


def mixed(rows: Tensor, columns: Tensor, layers: Sequence[int]) -> Tensor:
    """Each row's w's with those of each column in ``layers``.

    Args:
        rows: ``[R, num_ws, w_dim]``.
        columns: ``[C, num_ws, w_dim]``.
        layers: numbers of layers.

    Returns:
        ``[R, C, num_ws, w_dim]``.

    Example:
        >>> import torch
        >>> mixed(torch.zeros(1, 3, 1), torch.ones(1, 3, 1), [0, 2]).flatten().tolist()
        [1.0, 0.0, 1.0]
    """
    ws = rows[:, None].repeat(1, len(columns), 1, 1)
    ws[:, :, list(layers)] = columns[None, :, list(layers)].expand(len(rows), -1, -1, -1)
    return ws


def mix(
    G: Generator,
    rows: Sequence[int],
    columns: Sequence[int],
    output: str | os.PathLike[str],
    *,
    styles: str = "coarse",
    sampling: Sampling = Sampling(),
    scale: int = 1,
) -> Path:
    """Write the table: the sources on the borders; inside, the row's image with the column's ``styles``.

    Args:
        G: a network from `organza.load` with more than one w.
        rows, columns: seeds.
        output: ``.png``, ``.jpg``, ``.jpeg`` or ``.webp``.
        styles: layers that come from the column; see `parse_layers`.
        sampling: a label for all, truncation of the sources, and noise.
        scale: make each pixel a square of so many pixels.

    Returns:
        The path written.

    Raises:
        UserError: a network without styles, unknown layers, all layers without saying so, see
            `organza.studio.codes.codes`, an unknown format, a file that can't be written.

    Example:
        >>> mix(G, [1, 2], [3, 4, 5], folder / "mix.png", styles="coarse").name
        'mix.png'
    """
    path = check_suffix(output, PICTURE_SUFFIXES)
    if G.num_ws < 2:
        raise UserError(f"{G.kind} generates each image from one code: it has no styles to mix", hint="try StyleGAN2")
    layers = parse_layers(styles, G.num_ws)
    if len(layers) == G.num_ws and "all" not in styles.split(","):
        what = f"that is all {G.num_ws} layers, so nothing of the rows would be left"
        raise UserError(what, where=f"--styles {styles}", hint=f"give some of 0-{G.num_ws - 1}, or say all")
    side, top = (codes(G, seeds, sampling) for seeds in (rows, columns))
    noise = sampling.noise
    inside = draw(G, mixed(side, top, layers).flatten(0, 1), noise)
    inside = inside.reshape(len(rows), len(columns), *inside.shape[1:])
    corner = np.full_like(inside[:1, 0], 255)
    if G.channels == 4:
        corner[..., 3] = 0
    first = np.concatenate([corner, draw(G, top, noise)])
    below = np.concatenate([draw(G, side, noise)[:, None], inside], axis=1)
    images = np.concatenate([first, below.reshape(-1, *corner.shape[1:])])
    return save_picture(table(images, len(columns) + 1, scale), path)
