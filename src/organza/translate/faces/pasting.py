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
    layers = np.concatenate([made, np.rint(mask[..., None] * 255).astype(np.uint8)], 2)
    image = to_image(np.pad(layers[..., :3], [(block, block), (block, block), (0, 0)], "edge"))
    shade = to_image(np.pad(layers[..., 3], block))
    if block > 1:
        image, shade = image.reduce(block), shade.reduce(block)
    # From a place in the photograph to one in the padded crop: the way back of `from_frame`.
    axes = np.stack([quad[3] - quad[0], quad[1] - quad[0]], 1) / size
    back = np.linalg.inv(axes) / block
    start = back @ (np.array([left, top]) - 0.5 - quad[0]) + 1
    numbers = (back[0, 0], back[0, 1], start[0], back[1, 0], back[1, 1], start[1])
    region = (int(right - left), int(bottom - top))
    moved, seen = (
        layer.transform(region, Image.Transform.AFFINE, numbers, how)
        for layer, how in ((image, Image.Resampling.BICUBIC), (shade, Image.Resampling.BILINEAR))
    )
    page = to_image(np.ascontiguousarray(whole[top:bottom, left:right]))
    page.paste(moved, (0, 0), seen)
    whole[top:bottom, left:right] = np.asarray(page)
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
    one, other = (np.asarray(to_image(image).convert("YCbCr"), np.float64) for image in (made, source))
    weight = (mask / mask.sum())[..., None]

    def moments(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        mean = (x * weight).sum((0, 1))
        return mean, np.sqrt((((x - mean) ** 2) * weight).sum((0, 1)))

    (mean, spread), (wanted, wanted_spread) = moments(one), moments(other)
    gain = np.clip(wanted_spread / np.maximum(spread, 1), 0.5, 2)
    moved = (one - mean) * gain + wanted
    mixed = np.rint(one + strength * (moved - one)).clip(0, 255).astype(np.uint8)
    bands = [to_image(np.ascontiguousarray(mixed[..., band])) for band in range(3)]
    return np.asarray(Image.merge("YCbCr", bands).convert("RGB"))


def card(crop: Pixels, cartoon: Pixels, side: int = 512) -> Pixels:
    """A photograph's crop and its cartoon side by side on white, each ``side`` pixels wide."""
    gap = side // 12
    page = Image.new("RGB", (2 * side + 3 * gap, side + 2 * gap), "white")
    for number, image in enumerate((crop, cartoon)):
        resized = to_image(image).resize((side, side), Image.Resampling.LANCZOS)
        page.paste(resized, (gap + number * (side + gap), gap))
    return np.asarray(page)
