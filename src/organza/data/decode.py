"""Bytes -> pixels: every mode that Pillow opens becomes uint8 grey, RGB or RGBA at the wanted size.

Colour profiles are not applied. Of animated pictures the first frame counts.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from organza.data.source import BadPicture

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
MAX_PIXELS = 1 << 26
"""More than 8192x8192 would take more than 256 MB once decoded: refused before decoding."""

Fit = Literal["center-crop", "crop-wide", "pad", "stretch"]
Filter = Literal["lanczos", "box"]
_FILTERS = {"lanczos": Image.Resampling.LANCZOS, "box": Image.Resampling.BOX}
_GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Target(NamedTuple):
    """What every picture becomes: ``size`` is (height, width); None leaves each its own."""

    size: tuple[int, int] | None
    channels: int
    fit: Fit = "center-crop"
    filter: Filter = "lanczos"


class NotAPicture(BadPicture):
    """The bytes are no picture format at all."""


def open_picture(data: bytes | NDArray[np.uint8], target: Target | None = None) -> Image.Image:
    """A Pillow image with its header read and its size found sane; pixels are not decoded yet.

    A JPEG more than eight times larger than ``target`` will be decoded at a fraction of its size, still at least four
    times the target: several times faster, at 44 dB or more from the whole.

    Raises:
        BadPicture: why it can't be used.
    """
    if isinstance(data, np.ndarray):
        return Image.fromarray(data)
    if not data:
        raise BadPicture("empty file (0 bytes)")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise NotAPicture("not a picture (its content is no known format)") from None
    except Image.DecompressionBombError:
        raise BadPicture(f"too many pixels (at most {MAX_PIXELS:,})") from None
    except Exception as error:  # Pillow's parsers raise whatever a damaged header provokes
        raise BadPicture(f"damaged header ({error})") from None
    if image.format == "JPEG" and target is not None and target.size is not None:
        side = 4 * max(target.size)
        image.draft(None, (side, side))
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise BadPicture(f"{width}x{height} pixels are too many (at most {MAX_PIXELS:,})")
    return image


def is_grey(image: Image.Image) -> bool:
    """Whether the file itself is grey, by its mode or palette; Pillow decodes pictures with a palette for that.

    Raises:
        BadPicture: it has a palette and is truncated or damaged.
    """
    if image.mode in ("P", "PA"):
        with _decoding():
            palette = np.asarray(image.getpalette("RGB") or [0, 0, 0], np.uint8).reshape(-1, 3)
        return bool((palette == palette[:, :1]).all())
    return image.mode in _GREY


def decode(image: Image.Image) -> Image.Image:
    """The picture as displayed, in mode L, LA, RGB or RGBA.

    Raises:
        BadPicture: truncated or damaged.
    """
    try:
        turn = _TURNS.get(image.getexif().get(0x0112, 1))
    except Exception:  # damaged EXIF must not cost a good picture
        turn = None
    with _decoding():
        image.load()
        image = _plain(image)
    return image if turn is None else image.transpose(turn)


@contextmanager
def _decoding() -> Iterator[None]:
    try:
        yield
    except (BadPicture, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error ...
        reason = "truncated" if "truncat" in str(error).lower() else "damaged"
        raise BadPicture(f"{reason} ({error})") from None


def _plain(image: Image.Image) -> Image.Image:
    mode, transparent = image.mode, "transparency" in image.info
    if mode in ("L", "LA", "RGB", "RGBA") and not transparent:
        return image
    if mode.startswith("I;16"):
        return _scaled(np.asarray(image).astype(np.uint32), 65535)
    if mode == "I":
        pixels = np.asarray(image)
        if pixels.min() < 0 or pixels.max() > 65535:
            raise BadPicture("32-bit integer pixels beyond 16 bits")
        return _scaled(pixels.astype(np.uint32), 65535)
    if mode == "F":
        floats = np.asarray(image)
        if not (np.isfinite(floats).all() and floats.min() >= 0 and floats.max() <= 1):
            raise BadPicture("floating-point pixels outside [0, 1]")
        return Image.fromarray(np.rint(floats * 255).astype(np.uint8))
    if mode in ("1", "L"):
        return image.convert("LA" if transparent else "L")
    if mode == "La":
        return image.convert("LA")
    if transparent or mode in ("PA", "RGBa"):
        return image.convert("RGBA")
    return image.convert("RGB")


def _scaled(pixels: NDArray[np.uint32], top: int) -> Image.Image:
    return Image.fromarray(((pixels * 255 + top // 2) // top).astype(np.uint8))


def render(image: Image.Image, target: Target) -> NDArray[np.uint8]:
    """``image`` (mode L, LA, RGB, RGBA) -> pixels ``[H, W, C]``.

    With 1 or 3 channels, transparent parts show white.

    Example:
        >>> render(Image.new("RGBA", (20, 10), (0, 0, 0, 0)), Target((4, 4), 3))[0, 0]
        array([255, 255, 255], dtype=uint8)
    """
    if target.channels == 4:
        image = image.convert("RGBA")
    else:
        if image.mode in ("LA", "RGBA"):
            white = Image.new("RGBA", image.size, (255, 255, 255, 255))
            white.alpha_composite(image.convert("RGBA"))
            image = white.convert("RGB") if image.mode == "RGBA" else white.getchannel(0)
        image = image.convert("L" if target.channels == 1 else "RGB")
    if target.size is not None and target.size != (image.height, image.width):
        image = _fitted(image, *target.size, target)
    return np.asarray(image).reshape(image.height, image.width, target.channels)


def _fitted(image: Image.Image, height: int, width: int, target: Target) -> Image.Image:
    w, h = image.size
    how = _FILTERS[target.filter]
    if target.fit == "stretch":
        return image.resize((width, height), how)
    if target.fit == "crop-wide":
        low = min(height, max(1, round(width * 3 / 4)))
        page = Image.new(image.mode, (width, height))
        inner = _fitted(image, low, width, target._replace(fit="center-crop"))
        page.paste(inner, (0, (height - low) // 2))
        return page
    if target.fit == "center-crop":
        cw, ch = min(w, max(1, round(h * width / height))), min(h, max(1, round(w * height / width)))
        x, y = (w - cw) // 2, (h - ch) // 2
        # Cropping first keeps what is cut away from bleeding in over the edge.
        return image.crop((x, y, x + cw, y + ch)).resize((width, height), how)
    scale = min(width / w, height / h)
    w, h = min(width, max(1, round(w * scale))), min(height, max(1, round(h * scale)))
    page = Image.new(image.mode, (width, height))
    page.paste(image.resize((w, h), how), ((width - w) // 2, (height - h) // 2))
    return page
