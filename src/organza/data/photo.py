"""An image as its owner has it: at its own size, with its transparency, and with 16 bits where it has them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from organza.core.messages import logger
from organza.data.decode import Target, decode, open_picture, orientation, render, upright
from organza.data.label_maps import Palette, colours, unknown_colour, whole_numbers
from organza.data.readers.part import Half
from organza.data.source import BadPicture
from organza.media.exact import save_png16
from organza.media.images import Pixels, save_picture, to_image

if TYPE_CHECKING:
    from torch import Tensor

Levels = NDArray[Any]
"""uint8 or uint16."""
log = logger(__name__)

WITH_16_BITS = (".png",)
"""Formats that hold 16 bits for each channel; `Photo.write` rounds to 8 for others."""


@dataclass(frozen=True)
class Photo:
    """An image.

    Attributes:
        pixels: ``[H, W, C]``, uint8 or uint16: the channels that a network takes or has made.
        alpha: ``[H, W]`` of the same type, kept beside them for networks that know no transparency; None: opaque.

    Example:
        >>> photo = Photo(np.zeros([4, 6, 3], np.uint8))
        >>> photo.size, photo.bits, photo.image().mode
        ((4, 6), 8, 'RGB')
    """

    pixels: Levels
    alpha: Levels | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def bits(self) -> int:
        """8 or 16, for each channel."""
        return 16 if self.pixels.dtype == np.uint16 else 8

    def half(self, side: Half) -> Photo:
        """The left or right half of two images side by side; ``"whole"`` is the image as it is.

        Raises:
            BadPicture: it is too narrow to be two.
        """
        width = self.size[1]
        if side == "whole":
            return self
        if width < 2:
            raise BadPicture("too narrow to be two images side by side")
        part = slice(0, width // 2) if side == "left" else slice(width - width // 2, width)
        return Photo(self.pixels[:, part], None if self.alpha is None else self.alpha[:, part])

    def resized(self, height: int, width: int, *, exact: bool = False) -> Photo:
        """The same at another size: by Lanczos, or without mixing colours where they must stay ``exact``."""
        if self.size == (height, width):
            return self
        alpha = None if self.alpha is None else _resized(self.alpha[..., None], height, width)[..., 0]
        how = Image.Resampling.NEAREST if exact else Image.Resampling.LANCZOS
        return Photo(_resized(self.pixels, height, width, how), alpha)

    def tensor(self) -> Tensor:
        """float32 ``[1, C, H, W]`` in [-1, 1], without `alpha`."""
        import torch

        most = 65535 if self.bits == 16 else 255
        values = self.pixels.astype(np.float32) * np.float32(2 / most) - 1
        return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)[None]))

    def like(self, values: Tensor) -> Photo:
        """What a network made of this one, ``[1, C, H, W]`` in [-1, 1]: with its bits and its transparency."""
        image = values[0].permute(1, 2, 0).float().cpu().numpy()
        if self.bits == 16:
            pixels = np.clip(image * 32767.5 + 32768, 0, 65535).astype(np.uint16)
        else:
            pixels = np.clip(image * 127.5 + 128, 0, 255).astype(np.uint8)
        if self.alpha is None or pixels.shape[2] == 4:
            return Photo(pixels)
        return Photo(pixels, _resized(self.alpha[..., None], *pixels.shape[:2])[..., 0])

    def eight(self) -> Pixels:
        """uint8 ``[H, W, C]`` with transparency as the last of 4 channels."""
        return _to_8(self._whole())

    def _whole(self) -> Levels:
        """``[H, W, C]``, with transparency as the last of 4 channels where there is any."""
        if self.alpha is None:
            return self.pixels
        return np.concatenate([self.pixels.repeat(3 // self.pixels.shape[2], axis=2), self.alpha[..., None]], axis=2)

    def image(self) -> Image.Image:
        """The Pillow image: 8 bits, but grey of 16 bits keeps them (mode ``I;16``)."""
        if self.bits == 16 and self.pixels.shape[2] == 1 and self.alpha is None:
            return Image.fromarray(np.ascontiguousarray(self.pixels[..., 0]))
        return to_image(self.eight())

    def write(self, path: Path) -> Path:
        """Write it; 16 bits are kept in the formats of `WITH_16_BITS`.

        Raises:
            UserError: unknown suffix, full or read-only disk, no permission.
        """
        if self.bits == 8 or path.suffix.lower() not in WITH_16_BITS:
            return save_picture(self.eight(), path)
        import torch

        values = self._whole().astype(np.float64).transpose(2, 0, 1)[None] / 32767.5 - 1
        return save_png16(torch.from_numpy(values), path)


def read_photo(data: bytes | Image.Image | Levels, channels: int) -> Photo:
    """An image from its bytes, upright, with the channels that a network takes.

    Transparency is laid over white and kept beside the pixels, unless ``channels`` is 4.

    Args:
        data: the bytes of a file, a Pillow image, or an array, uint8 or uint16: ``[H, W]``, or ``[H, W, C]`` with 1 to
            4 channels, the last of 2 and of 4 being transparency.
        channels: 1, 3 or 4.

    Raises:
        BadPicture: it is no image, or broken.
    """
    if isinstance(data, np.ndarray):
        return _from_array(data, channels)
    opened = data if isinstance(data, Image.Image) else open_picture(data)
    if (deep := _with_16_bits(opened, data)) is not None:
        return _from_array(deep, channels)
    whole = decode(opened)
    pixels = render(whole, Target(None, channels))
    alpha = np.asarray(whole.getchannel("A")) if whole.mode in ("LA", "RGBA") and channels != 4 else None
    return Photo(pixels, alpha)


def read_label_map(data: bytes | Image.Image | Levels, channels: int, palette: Palette, exact: bool) -> Photo:
    """A label map as a person has it, with the channels that a network takes.

    An image with a palette is read by its places where classes are grey levels, else by its colours.

    Args:
        data, channels: as for `read_photo`; a fourth channel holds numbers of instances.
        palette, exact: of the network.

    Raises:
        BadPicture: it is no image, or broken, or has a colour that is no class.
    """
    image = open_picture(data) if isinstance(data, bytes) else data
    by_place = len(palette[0]) == channels == 1
    if by_place and isinstance(image, Image.Image) and (image.mode == "P" or image.mode.startswith("I")):
        image = np.asarray(whole_numbers(image).clip(0, 255), np.uint8)
    photo = read_photo(image, channels)
    if photo.bits == 16:
        photo = Photo(np.minimum(photo.pixels, 255).astype(np.uint8))
    if exact and (odd := colours(photo.pixels[..., : len(palette[0])]) - set(palette)):
        raise BadPicture(unknown_colour(min(odd)).what)
    return Photo(photo.pixels)


def _from_array(array: Levels, channels: int) -> Photo:
    given = array[..., None] if array.ndim == 2 else array
    if given.ndim != 3 or given.shape[2] not in (1, 2, 3, 4) or given.dtype not in (np.uint8, np.uint16):
        raise BadPicture(f"an array {array.dtype} {list(array.shape)}: give uint8 or uint16 [H, W] or [H, W, C]")
    if not given.size:
        raise BadPicture("an image without pixels")
    most = np.iinfo(given.dtype).max
    colour, alpha = (given[..., :-1], given[..., -1]) if given.shape[2] in (2, 4) else (given, None)
    if channels == 4:
        solid = np.full_like(given[..., 0], most) if alpha is None else alpha
        rgb = np.repeat(colour, 3 // colour.shape[2], axis=2)
        return Photo(np.concatenate([rgb, solid[..., None]], axis=2))
    if alpha is not None:  # over white
        share = alpha[..., None].astype(np.float64) / most
        colour = np.rint(colour * share + most * (1 - share)).astype(given.dtype)
    if channels == 3:
        colour = np.repeat(colour, 3 // colour.shape[2], axis=2)
    elif colour.shape[2] == 3:
        weights = np.array([0.299, 0.587, 0.114])  # ITU-R 601, as Pillow's
        colour = np.rint(colour @ weights)[..., None].astype(given.dtype)
    return Photo(np.ascontiguousarray(colour), None if alpha is None else np.ascontiguousarray(alpha))


def _with_16_bits(image: Image.Image, data: object) -> NDArray[np.uint16] | None:
    """The pixels of an image that has 16 bits for each channel, upright; None of another.

    Pillow reads grey ones whole. Of coloured ones it keeps the upper half; PyAV, where it is installed, keeps all.
    """
    if image.mode.startswith("I;16"):
        return np.asarray(upright(image)).astype(np.uint16)
    if not isinstance(data, bytes) or not _has_16_bits(image, data):
        return None
    stored = image.tag_v2.get(274, 1) if image.format == "TIFF" else 1  # type: ignore[attr-defined]
    decode(image)  # refuses what is damaged, and forgets how a TIFF was held
    try:
        import av

        with av.open(io.BytesIO(data)) as container:
            values = next(container.decode(video=0)).to_ndarray()
    except (ImportError, ValueError):
        log.warning("an image with 16 bits a channel is read with 8: pip install 'organza[video]' for all 16")
        return None
    return _turned(values.astype(np.uint16), orientation(image) if stored == 1 else stored)


def _has_16_bits(image: Image.Image, data: bytes) -> bool:
    """Whether a coloured image has more bits than Pillow reads: PNG says it in its header, TIFF in a tag."""
    if image.format == "PNG":
        return data[24:26] in (b"\x10\x02", b"\x10\x06")
    return image.format == "TIFF" and image.tag_v2.get(258) in ((16,) * 3, (16,) * 4)  # type: ignore[attr-defined]


def _turned(pixels: NDArray[np.uint16], orientation: int) -> NDArray[np.uint16]:
    """Upright, from how EXIF says that the camera was held: 1 (upright) to 8."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    down, right = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    return pixels[:: -1 if down else 1, :: -1 if right else 1]


def _resized(pixels: Levels, height: int, width: int, how: Image.Resampling = Image.Resampling.LANCZOS) -> Levels:
    if pixels.shape[:2] == (height, width):
        return pixels
    if pixels.dtype == np.uint8:
        return np.asarray(to_image(pixels).resize((width, height), how)).reshape(height, width, -1)
    resized: list[Levels] = []
    for channel in range(pixels.shape[2]):  # Pillow resizes 16 bits as floats only
        plane = Image.fromarray(pixels[..., channel].astype(np.float32)).resize((width, height), how)
        resized.append(np.clip(np.rint(np.asarray(plane)), 0, 65535).astype(np.uint16))
    return np.stack(resized, axis=2)


def _to_8(pixels: Levels) -> Pixels:
    if pixels.dtype == np.uint8:
        return pixels
    return ((pixels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
