"""Tables of images with captions, as papers print them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from organza.media.images import Pixels, enlarge, make_grid

GAP = 1
"""Pixels between the images of a table, before it is enlarged."""
TEXT = 16
"""Height of a line of captions in pixels."""


def table(images: Pixels, columns: int, scale: int = 1) -> Pixels:
    """Images uint8 ``[N, H, W, C]`` row by row, enlarged, with white lines between them.

    Example:
        >>> table(np.zeros([6, 8, 8, 3], np.uint8), columns=3, scale=2).shape
        (38, 56, 3)
    """
    return enlarge(make_grid(images, columns, gap=GAP), scale)


def cell(figure: Pixels, row: int, column: int, size: tuple[int, int], scale: int = 1) -> Pixels:
    """The image at ``row`` and ``column`` of a `table` of images of ``size`` (H, W), as it went in.

    Example:
        >>> images = np.random.RandomState(0).randint(0, 255, [6, 8, 8, 3]).astype(np.uint8)
        >>> bool((cell(table(images, 3, scale=2), 1, 2, (8, 8), scale=2) == images[5]).all())
        True
    """
    top = scale * (GAP + row * (size[0] + GAP))
    left = scale * (GAP + column * (size[1] + GAP))
    return figure[top : top + scale * size[0] : scale, left : left + scale * size[1] : scale]


def captioned(figure: Pixels, texts: Sequence[str], width: int, scale: int = 1) -> Pixels:
    """``figure`` from `table` with a text below each column; too long ones are left out.

    Args:
        figure: uint8 ``[H, W, C]``.
        texts: one for each column.
        width: of the images in the table, before they were enlarged.
        scale: how much they were.

    Returns:
        uint8 ``[H + TEXT, W, C]``.

    Example:
        >>> captioned(table(np.zeros([2, 40, 40, 1], np.uint8), 2), ["a", "b"], width=40).shape
        (58, 83, 1)
    """
    strip = Image.new("L", (figure.shape[1], TEXT), 255)
    pen, font = ImageDraw.Draw(strip), ImageFont.load_default(11)
    for column, text in enumerate(texts):
        length = pen.textlength(text, font=font)
        if length <= width * scale:
            middle = scale * (GAP + column * (width + GAP) + width / 2)
            pen.text((middle - length / 2, 1), text, fill=0, font=font)
    grey = np.asarray(strip)[..., None]
    colours = np.repeat(grey, min(figure.shape[2], 3), axis=2)
    if figure.shape[2] == 4:
        colours = np.concatenate([colours, np.full_like(grey, 255)], axis=2)
    return np.concatenate([figure, colours])
