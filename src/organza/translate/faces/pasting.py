"""A cartoon back into its photograph, or onto a card beside it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from organza.media.images import Pixels, to_image
from organza.translate.faces.frame import F, side_of
from organza.translate.faces.person import Mask

FEATHER = 1 / 12
"""Width of the soft edge at the frame's border, in parts of its side: a body ends there without a line."""
SOFT = 1 / 128
"""Radius of the blur of the person's edge, in parts of the frame's side."""


BAND = 256
"""Rows that are pasted at a time: memory does not grow with the photograph."""
YCBCR = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
"""Luma and colour differences of RGB (ITU-R 601)."""


def feathered(mask: Mask) -> Mask:
    """A person's mask ``[S, S]`` with soft edges, zero at the frame's border.

    Its outer half is left out: there the white that the network was shown has mixed with the person.
    """
    size = mask.shape[0]
    levels = to_image(np.rint(mask * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(size * SOFT))
    away = (np.minimum(np.arange(size), np.arange(size)[::-1]) + 0.5) / (size * FEATHER)
    ramp = np.clip(away, 0, 1)
    edge = np.minimum(ramp[:, None], ramp[None]).astype(np.float32)
    inner = np.clip(np.asarray(levels, np.float32) / 127.5 - 1, 0, 1)
    return np.asarray(inner * edge)


def paste(photo: Pixels, made: Pixels, mask: Mask, quad: F) -> Pixels:
    """The photograph with what was made of one of its frames in its place.

    Args:
        photo: uint8 ``[H, W, 3]``.
        made: uint8 ``[S, S, 3]``.
        mask: ``[S, S]``: how much of ``made`` is seen.
        quad: the frame that it was cut from.

    Returns:
        A new array; what the frame does not cover is as it was, to the bit.
    """
    height, width = photo.shape[:2]
    left, top = np.maximum(np.floor(quad.min(0)).astype(int), 0)
    right, bottom = np.minimum(np.ceil(quad.max(0)).astype(int) + 1, [width, height])
    whole: Pixels = photo.copy()
    if right <= left or bottom <= top:
        return whole
    size = made.shape[0]
    block = max(1, int(size / side_of(quad)))
    image = to_image(np.pad(made, [(block, block), (block, block), (0, 0)], "edge"))
    shade = to_image(np.pad(np.rint(mask * 255).astype(np.uint8), block))
    if block > 1:
        image, shade = image.reduce(block), shade.reduce(block)
    layers = [*image.split(), shade]
    planes = [Image.fromarray(np.asarray(layer, np.float32)) for layer in layers]
    hows = [*[Image.Resampling.BICUBIC] * 3, Image.Resampling.BILINEAR]
    # From a place in the photograph to one in the padded crop: the way back of `from_frame`.
    back = np.linalg.inv(np.stack([quad[3] - quad[0], quad[1] - quad[0]], 1) / size) / block
    for first in range(top, bottom, BAND):
        rows = slice(first, min(first + BAND, bottom))
        start = back @ (np.array([left, first]) - 0.5 - quad[0]) + 1
        numbers = (back[0, 0], back[0, 1], start[0], back[1, 0], back[1, 1], start[1])
        region = (int(right - left), int(rows.stop - first))
        moved = [
            np.asarray(plane.transform(region, Image.Transform.AFFINE, numbers, how))
            for plane, how in zip(planes, hows, strict=True)
        ]
        share = moved[3][..., None].clip(0, 255) / 255
        mixed = whole[rows, left:right] * (1 - share) + np.stack(moved[:3], 2).clip(0, 255) * share
        whole[rows, left:right] = np.rint(mixed)
    return whole


def matched(made: Pixels, source: Pixels, mask: Mask, strength: float = 0.7) -> Pixels:
    """``made`` with colours as bright, as strong and as warm as those of ``source``, where ``mask`` is.

    Mean and deviation of luma and both colour differences are moved towards those of the source (after Reinhard,
    Ashikhmin, Gooch, Shirley: Color Transfer between Images. 2001), which they do in another space.

    Args:
        made, source: uint8 ``[S, S, 3]``.
        mask: ``[S, S]``.
        strength: how far, from 0 to 1.
    """
    if mask.sum() < 16:
        return made
    one, other = (image @ YCBCR.T for image in (made, source))
    weight = (mask / mask.sum())[..., None]

    def moments(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        mean = (x * weight).sum((0, 1))
        return mean, np.sqrt((((x - mean) ** 2) * weight).sum((0, 1)))

    (mean, spread), (wanted, wanted_spread) = moments(one), moments(other)
    gain = np.clip(wanted_spread / np.maximum(spread, 1), 0.5, 2)
    moved = (one - mean) * gain + wanted
    mixed = (one + strength * (moved - one)) @ np.linalg.inv(YCBCR).T
    return np.asarray(np.rint(mixed).clip(0, 255), np.uint8)


def card(crop: Pixels, cartoon: Pixels, side: int = 512) -> Pixels:
    """A photograph's crop and its cartoon side by side on white, each ``side`` pixels wide."""
    gap = side // 12
    page = Image.new("RGB", (2 * side + 3 * gap, side + 2 * gap), "white")
    for number, image in enumerate((crop, cartoon)):
        resized = to_image(image).resize((side, side), Image.Resampling.LANCZOS)
        page.paste(resized, (gap + number * (side + gap), gap))
    return np.asarray(page)
