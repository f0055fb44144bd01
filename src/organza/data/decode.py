"""Bytes -> pixels: every mode that Pillow opens becomes uint8 grey, RGB or RGBA at the wanted size.

Colour profiles are not applied. Of animated images the first frame counts.

A damaged file is refused wherever its format can tell: every bit of a PNG is under a checksum, which is verified here.
JPEG, WebP, GIF, TIFF, AVIF and JPEG 2000 have none: what their decoders notice is refused, a flipped bit that still
decodes is not. BMP and PPM are plain pixels, of which only the length can be wrong.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from organza.core.sniff import HEAD, instead
from organza.data.source import RAW, BadPicture

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_PIXELS = 1 << 26
"""More than 8192x8192 would take more than 256 MB once decoded: refused before decoding."""
MAX_SIDE = 1 << 16
"""Longer sides than a JPEG can have are refused: Pillow keeps a pointer for each row, whatever its width."""

BAND = 1 << 22
"""Pixels that are converted at a time, where that takes more memory than the image."""

Fit = Literal["center-crop", "crop-wide", "pad", "stretch"]
Filter = Literal["lanczos", "box", "nearest"]
_FILTERS = {
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "nearest": Image.Resampling.NEAREST,
}
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
_ORIENTATION, _SUBFILE, _SAMPLE_FORMAT, _DNG_VERSION = 274, 254, 339, 50706
_CONVERT = "which is not read: convert it to PNG or JPEG"
_UNREAD: tuple[tuple[int, bytes, str], ...] = (
    *((4, b"ftyp" + b, f"a HEIC image, {_CONVERT}") for b in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1")),
    *((4, b"ftyp" + b, f"an AVIF image, {_CONVERT}, or update Pillow") for b in (b"avif", b"avis")),
    (4, b"ftypcrx ", RAW),
    *((0, magic, RAW) for magic in (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM")),
    (6, b"HEAPCCDR", RAW),
    (0, b"\xff\x0a", f"a JPEG XL image, {_CONVERT}"),
    (0, b"\0\0\0\x0cJXL ", f"a JPEG XL image, {_CONVERT}"),
    (0, b"\0\0\0\x0cjP  ", f"a JPEG 2000 image, {_CONVERT}, or update Pillow"),
    (0, b"8BPS", f"a Photoshop file, {_CONVERT}"),
    (0, b"\x76\x2f\x31\x01", f"an OpenEXR image, {_CONVERT}"),
    (0, b"#?RADIANCE", f"a Radiance HDR image, {_CONVERT}"),
    (0, b"DDS ", f"a DDS texture, {_CONVERT}"),
    (0, b"\0\0\1\0", f"an icon (.ico), {_CONVERT}"),
    *(
        (0, magic, "a TIFF that is damaged, or whose pixels are of an unusual kind: save it with 8 or 16 bits")
        for magic in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
    ),
    *((0, magic, "damaged (its header can't be read)") for magic in (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8")),
    (0, b"gimp xcf", f"a GIMP file, {_CONVERT}"),
)
"""(place, bytes, what it is): images that nothing here can decode, but that nobody wants to lose without a word."""


class Target(NamedTuple):
    """What every image becomes: ``size`` is (height, width); None leaves each its own."""

    size: tuple[int, int] | None
    channels: int
    fit: Fit = "center-crop"
    filter: Filter = "lanczos"


class NotAPicture(BadPicture):
    """The bytes are no image format at all."""


@lru_cache(1)
def formats() -> tuple[str, ...]:
    """Pillow's names of the formats that are read: those of our list that the installed Pillow has."""
    Image.init()
    return tuple(
        name for name in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000") if name in Image.OPEN
    )


def open_picture(data: bytes | NDArray[np.uint8], target: Target | None = None) -> Image.Image:
    """A Pillow image with its header read and its size found sane; pixels are not decoded yet.

    A JPEG more than eight times larger than ``target`` will be decoded at a fraction of its size, still at least four
    times the target: several times faster, at 44 dB or more from the whole.

    Raises:
        BadPicture: why it can't be used.
    """
    if isinstance(data, np.ndarray):
        _check_shape(data.shape[1], data.shape[0])
        return Image.fromarray(data)
    if not data:
        raise BadPicture("empty file (0 bytes)")
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        _check_png(data)
    try:
        image = Image.open(io.BytesIO(data), formats=formats())
    except UnidentifiedImageError:
        raise _unknown(data) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadPicture(f"too many pixels (at most {MAX_PIXELS:,})") from None
    except MemoryError:
        raise
    except Exception as error:  # Pillow's parsers raise whatever a damaged header provokes
        raise BadPicture(f"damaged header ({error})") from None
    if image.format == "TIFF":
        _check_tiff(image, data)
    if image.format == "JPEG" and target is not None and target.size is not None:
        side = 4 * max(target.size)
        image.draft(None, (side, side))
    # OpenJPEG takes sixteen bytes for a pixel.
    _check_shape(*image.size, most=MAX_PIXELS // 2 if image.format == "JPEG2000" else MAX_PIXELS)
    return image


def _check_shape(width: int, height: int, most: int = MAX_PIXELS) -> None:
    if not width or not height:
        raise BadPicture("an image without pixels")
    if width * height > most:
        raise BadPicture(f"{width}x{height} pixels are too many (at most {most:,})")
    if max(width, height) > MAX_SIDE:
        raise BadPicture(f"{width}x{height} pixels: no side may have more than {MAX_SIDE:,}")


def _unknown(data: bytes) -> BadPicture:
    found = next((what for at, magic, what in _UNREAD if data.startswith(magic, at)), None)
    if found is not None:
        return BadPicture(found)
    if (other := instead(data[:HEAD])) is not None:
        return NotAPicture("not an image but " + "; ".join(filter(None, other)))
    return NotAPicture("not an image (its content is no known format)")


def _check_png(data: bytes) -> None:
    """Compare the checksum of every chunk. Pillow leaves out those of pixels, and of what follows them."""
    at = 8
    view = memoryview(data)
    while at < len(data):
        if at + 12 > len(data):
            raise BadPicture(f"truncated (image file is truncated in a chunk's head at byte {at:,})")
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            raise BadPicture(f"truncated (image file is truncated: {end + 4 - len(data):,} bytes are missing)")
        if zlib.crc32(view[at + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise BadPicture(f"damaged (wrong checksum of the chunk at byte {at:,})")
        if data[at + 4 : at + 8] == b"IEND":
            return  # what some programs append is not part of the image
        at = end + 4


def _check_tiff(image: Image.Image, data: bytes) -> None:
    """Refuse what is a TIFF by its frame only: camera raw files, whose first image is a preview of the real one."""
    with _decoding():
        tags = image.tag_v2  # type: ignore[attr-defined]
        subfile, signed = tags.get(_SUBFILE, 0), tags.get(_SAMPLE_FORMAT, (1,))
        raw, preview = _DNG_VERSION in tags or data[8:10] == b"CR", isinstance(subfile, int) and subfile & 1
    if raw:
        raise BadPicture(RAW)
    if preview:
        raise BadPicture("its first image is a preview of another one, as in a camera's raw file: save that one alone")
    if 2 in (signed if isinstance(signed, tuple) else (signed,)):
        raise BadPicture("signed pixels (negative values have no grey level): save it as unsigned 8 or 16 bits")


def is_grey(image: Image.Image) -> bool:
    """Whether the file itself is grey, by its mode or palette; Pillow decodes images with a palette for that.

    Raises:
        BadPicture: it has a palette and is truncated or damaged.
    """
    if image.mode in ("P", "PA"):
        with _decoding():
            palette = np.asarray(image.getpalette("RGB") or [0, 0, 0], np.uint8).reshape(-1, 3)
        return bool((palette == palette[:, :1]).all())
    return image.mode in _GREY


def orientation(image: Image.Image) -> int:
    """How the camera was held, from EXIF: 1 (upright) to 8; what is unknown or unreadable counts as 1.

    Pixels are decoded first: Pillow turns a TIFF by itself then, and reads what a PNG says behind its pixels; asked
    before, it would decode on the side and keep an error to itself.

    Raises:
        BadPicture: truncated or damaged.
    """
    with _decoding():
        image.load()
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # the pixels are whole; damaged notes about them must not cost a good image
        return 1
    return found if isinstance(found, int) and found in _TURNS else 1


def decode(image: Image.Image) -> Image.Image:
    """The image as displayed, in mode L, LA, RGB or RGBA.

    Raises:
        BadPicture: truncated or damaged.
    """
    found = orientation(image)
    with _decoding():
        plain = _plain(image)
    return plain.transpose(_TURNS[found]) if found in _TURNS else plain


def upright(image: Image.Image) -> Image.Image:
    """The image in its own mode, turned as displayed.

    Raises:
        BadPicture: truncated or damaged.
    """
    found = orientation(image)
    return image.transpose(_TURNS[found]) if found in _TURNS else image


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
        return _banded(image, "L", lambda band: _scaled(np.asarray(band)))
    if mode == "I":
        low, high = image.getextrema()
        if low < 0 or high > 65535:  # type: ignore[operator]
            raise BadPicture("32-bit integer pixels beyond 16 bits: save it as 8 or 16 bits")
        return _banded(image, "L", lambda band: _scaled(np.asarray(band)))
    if mode == "F":
        return _banded(image, "L", _from_floats)
    if mode in ("1", "L"):
        return image.convert("LA" if transparent else "L")
    if mode == "La":
        return image.convert("LA")
    if transparent or mode in ("PA", "RGBa"):
        return image.convert("RGBA")
    return image.convert("RGB")


def _banded(image: Image.Image, mode: str, change: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """``change`` applied to some rows at a time: what it needs in between does not grow with the image."""
    width, height = image.size
    rows = max(1, BAND // width)
    if rows >= height:
        return change(image)
    out = Image.new(mode, image.size)
    for top in range(0, height, rows):
        out.paste(change(image.crop((0, top, width, min(height, top + rows)))), (0, top))
    return out


def _scaled(pixels: NDArray[np.generic]) -> Image.Image:
    return Image.fromarray(((pixels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8))


def _from_floats(band: Image.Image) -> Image.Image:
    floats = np.asarray(band)
    if not (np.isfinite(floats).all() and floats.min() >= 0 and floats.max() <= 1):
        found = f"{floats.min():g} to {floats.max():g}"
        raise BadPicture(f"floating-point pixels outside [0, 1] ({found}): scale them, or save it as 8 bits")
    return Image.fromarray(np.rint(floats * 255).astype(np.uint8))


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
            image = _banded(image, "RGB" if image.mode == "RGBA" else "L", _on_white)
        image = image.convert("L" if target.channels == 1 else "RGB")
    if target.size is not None and target.size != (image.height, image.width):
        image = _fitted(image, *target.size, target)
    return np.asarray(image).reshape(image.height, image.width, target.channels)


def _on_white(band: Image.Image) -> Image.Image:
    white = Image.new("RGBA", band.size, (255, 255, 255, 255))
    white.alpha_composite(band.convert("RGBA"))
    return white.convert("RGB") if band.mode == "RGBA" else white.getchannel(0)


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
