"""Arrays to image files: one image, or many in a grid."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from organza.core.errors import UserError
from organza.core.files import atomic_write, user_path

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

# Visually lossless, and for PNG the level after which size hardly falls and time does.
_OPTIONS: dict[str, dict[str, Any]] = {
    ".png": {"format": "PNG", "compress_level": 4},
    ".jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".jpeg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".webp": {"format": "WEBP", "quality": 95, "method": 4},
}
PICTURE_SUFFIXES = tuple(_OPTIONS)


def check_suffix(path: str | os.PathLike[str], suffixes: tuple[str, ...]) -> Path:
    """``path`` as a person writes it, if its name ends in one of ``suffixes`` (in either case).

    Raises:
        UserError: it doesn't.

    Example:
        >>> check_suffix("grid.png", PICTURE_SUFFIXES).name
        'grid.png'
    """
    path = user_path(path)
    if path.suffix.lower() not in suffixes:
        known = " or ".join([", ".join(suffixes[:-1]), suffixes[-1]]) if len(suffixes) > 1 else suffixes[0]
        what = f"no format is known for {path.suffix!r}" if path.suffix else "the name has no suffix"
        raise UserError(what, where=path, hint=f"end the name in {known}")
    return path


def to_image(array: Pixels) -> Image.Image:
    """The Pillow image of ``array``: uint8 ``[H, W]`` or ``[H, W, C]`` with 1 (grey), 3 (RGB) or 4 (RGBA) channels.

    Raises:
        ValueError: another type or shape.

    Example:
        >>> to_image(np.zeros([4, 6, 3], np.uint8)).size
        (6, 4)
    """
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ValueError(f"expected uint8 [H, W] or [H, W, 1 | 3 | 4], got {array.dtype} {list(array.shape)}")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    return Image.fromarray(np.ascontiguousarray(array))


def save_picture(array: Pixels, path: str | os.PathLike[str]) -> Path:
    """Write ``array``, uint8 ``[H, W]`` or ``[H, W, C]``, as ``.png``, ``.jpg``, ``.jpeg`` or ``.webp``, atomically.

    Transparency is laid over white where the format has none. Missing folders are created.

    Returns:
        The path written.

    Raises:
        UserError: unknown suffix, full or read-only disk, no permission.
        ValueError: not an image.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = save_picture(np.zeros([4, 6, 3], np.uint8), Path(folder, "black.png"))
        ...     with Image.open(path) as image:
        ...         print(path.name, image.size)
        black.png (6, 4)
    """
    path = check_suffix(path, PICTURE_SUFFIXES)
    options = _OPTIONS[path.suffix.lower()]
    image = to_image(array)
    if options["format"] == "JPEG":
        image = over_white(image)
    with atomic_write(path) as temporary:
        image.save(temporary, **options)
    return path


def over_white(image: Image.Image) -> Image.Image:
    """``image`` laid over white if it has transparency; otherwise ``image``."""
    if image.mode != "RGBA":
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def make_grid(images: Pixels, columns: int | None = None, gap: int = 0, background: int = 255) -> Pixels:
    """Lay ``images``, uint8 ``[N, H, W, C]``, out row by row.

    Args:
        images: images of one size.
        columns: images in a row; None makes the grid about square.
        gap: pixels between images and around all of them.
        background: brightness of gaps and empty cells; with four channels these are transparent.

    Returns:
        uint8 ``[rows * (H + gap) + gap, columns * (W + gap) + gap, C]``.

    Raises:
        ValueError: no images, or not of this shape and type.

    Example:
        >>> make_grid(np.zeros([6, 8, 8, 3], np.uint8), columns=3, gap=1).shape
        (19, 28, 3)
    """
    if images.ndim != 4 or images.dtype != np.uint8 or len(images) == 0:
        raise ValueError(f"expected uint8 [N, H, W, C] with N > 0, got {images.dtype} {list(images.shape)}")
    count, height, width, channels = images.shape
    columns = math.ceil(math.sqrt(count)) if columns is None else columns
    if columns < 1 or gap < 0:
        raise ValueError(f"columns must be at least 1 and gap at least 0, got {columns} and {gap}")
    rows = math.ceil(count / columns)
    grid = np.full([rows * (height + gap) + gap, columns * (width + gap) + gap, channels], background, np.uint8)
    if channels == 4:
        grid[:, :, 3] = 0
    for index, image in enumerate(images):
        top = gap + index // columns * (height + gap)
        left = gap + index % columns * (width + gap)
        grid[top : top + height, left : left + width] = image
    return grid


def enlarge(picture: Pixels, scale: int) -> Pixels:
    """``picture``, uint8 ``[H, W, C]``, with each pixel as a square of ``scale`` pixels: seen as it is, only larger.

    Raises:
        UserError: see `check_scale`.

    Example:
        >>> enlarge(np.zeros([4, 6, 3], np.uint8), 2).shape
        (8, 12, 3)
    """
    check_scale(picture.shape[0], picture.shape[1], scale)
    return picture.repeat(scale, axis=0).repeat(scale, axis=1) if scale > 1 else picture


def check_scale(height: int, width: int, scale: int) -> None:
    """See that an image can be made ``scale`` times as large.

    Raises:
        UserError: ``scale`` is not positive, or the result would have more than 2^28 pixels, which no viewer opens.
    """
    if scale < 1:
        raise UserError(f"a scale of {scale}", hint="give a whole number from 1 up")
    if height * width * scale**2 > 2**28:
        raise UserError(f"a scale of {scale} makes {width * scale}x{height * scale} pixels", hint="take a smaller one")


def to_input(pixels: Pixels) -> Floats:
    """uint8 levels to float32 numbers in [-1, 1], as networks take them; any shape.

    Example:
        >>> to_input(np.array([0, 255], np.uint8)).tolist()
        [-1.0, 1.0]
    """
    values: Floats = np.divide(pixels, np.float32(127.5), dtype=np.float32)
    values -= 1
    return values


def to_tensor(pixels: Pixels, device: torch.device | str = "cpu") -> Tensor:
    """Images uint8 ``[N, H, W, C]`` to float32 ``[N, C, H, W]`` in [-1, 1] on ``device``.

    A quarter of the bytes cross to a GPU this way. A blocking copy would wait for all that it has still to do.
    """
    import torch

    if torch.device(device).type == "cpu":  # without PyTorch's own threads
        return torch.from_numpy(to_input(pixels)).permute(0, 3, 1, 2)
    return as_input(torch.from_numpy(pixels).to(device, non_blocking=True).permute(0, 3, 1, 2).to(torch.float32))


def as_input(levels: Tensor) -> Tensor:
    """`to_input` of a tensor, where it is: levels from 0 to 255, whole or not, to numbers in [-1, 1]; any shape.

    Example:
        >>> import torch
        >>> as_input(torch.tensor([0.0, 127.5, 255.0])).tolist()
        [-1.0, 0.0, 1.0]
    """
    return levels / 127.5 - 1


def as_levels(images: Tensor) -> Tensor:
    """The reverse of `as_input`: numbers in [-1, 1] to levels from 0 to 255, neither rounded nor clamped; any shape.

    Example:
        >>> import torch
        >>> as_levels(torch.tensor([-1.0, 0.0, 1.0])).tolist()
        [0.0, 127.5, 255.0]
    """
    return (images + 1) * 127.5


def to_pixels(images: Tensor) -> Pixels:
    """Network output, float ``[N, C, H, W]`` in [-1, 1], to uint8 ``[N, H, W, C]``, rounded and clamped.

    Example:
        >>> import torch
        >>> to_pixels(torch.tensor([-2.0, -1.0, 0.0, 1.0]).reshape(4, 1, 1, 1)).ravel().tolist()
        [0, 0, 128, 255]
    """
    pixels: Pixels = to_levels(images).contiguous().cpu().numpy()
    return pixels


def to_levels(images: Tensor) -> Tensor:
    """`to_pixels` as a tensor, where the images are: uint8 ``[N, H, W, C]``."""
    return (images.float() * 127.5 + 128).clamp(0, 255).byte().permute(0, 2, 3, 1)
