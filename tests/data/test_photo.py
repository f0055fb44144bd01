"""Images as their owners have them: any depth, transparency, orientation."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import torch
from PIL import Image

from organza.data.photo import Photo, read_photo
from organza.data.source import BadPicture
from organza.media.exact import save_png16


def levels(height: int, width: int, channels: int, kind: type = np.uint16) -> np.ndarray:
    return np.random.RandomState(channels).randint(0, np.iinfo(kind).max + 1, (height, width, channels)).astype(kind)


def png16(pixels: np.ndarray, path) -> bytes:
    values = torch.from_numpy(pixels.astype(np.float64).transpose(2, 0, 1)[None] / 32767.5 - 1)
    return save_png16(values, path).read_bytes()


def tiff16(pixels: np.ndarray, orientation: int = 1) -> bytes:
    """A little-endian TIFF of 16-bit RGB, which Pillow can't write."""
    height, width, channels = pixels.shape
    data = pixels.astype("<u2").tobytes()
    tags = [(256, 1, width), (257, 1, height), (258, channels, 0), (259, 1, 1), (262, 1, 2), (273, 1, 0)]
    tags += [(274, 1, orientation), (277, 1, channels), (278, 1, height), (279, 1, len(data)), (284, 1, 1)]
    bits = 8 + 2 + 12 * len(tags) + 4
    found = {258: bits, 273: bits + 2 * channels}
    entries = b"".join(struct.pack("<HHII", tag, 4 if n == 1 else 3, n, found.get(tag, v)) for tag, n, v in tags)
    head = b"II*\0" + struct.pack("<IH", 8, len(tags))
    return head + entries + struct.pack("<I", 0) + struct.pack(f"<{channels}H", *[16] * channels) + data


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_come_in_and_go_out(channels, tmp_path):
    pixels = levels(9, 7, channels)
    photo = read_photo(png16(pixels, tmp_path / "a.png"), channels)
    assert photo.bits == 16 and np.array_equal(photo.pixels, pixels)
    again = read_photo(photo.write(tmp_path / "b.png").read_bytes(), channels)
    assert np.array_equal(again.pixels, pixels)
    assert np.array_equal(photo.like(photo.tensor()).pixels, pixels)
    small = photo.resized(4, 3)
    assert small.bits == 16 and small.size == (4, 3)
    assert read_photo(photo.write(tmp_path / "c.jpg").read_bytes(), channels).bits == 8


def test_every_level_of_eight_bits_survives():
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    photo = Photo(pixels)
    assert np.array_equal(photo.like(photo.tensor()).pixels, pixels)


def test_grey_tiff_keeps_its_bits_as_a_pillow_image_too(tmp_path):
    pixels = levels(6, 5, 1)
    Image.fromarray(pixels[..., 0]).save(tmp_path / "a.tif")
    photo = read_photo((tmp_path / "a.tif").read_bytes(), 1)
    assert photo.image().mode == "I;16" and np.array_equal(np.asarray(photo.image()), pixels[..., 0])
    assert read_photo(photo.image(), 1).bits == 16


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_coloured_tiff_of_sixteen_bits_is_upright(orientation):
    pytest.importorskip("av")
    pixels = levels(4, 6, 3)
    photo = read_photo(tiff16(pixels, orientation), 3)
    assert photo.bits == 16
    turned = Image.fromarray((pixels >> 8).astype(np.uint8))
    turned.getexif()[274] = orientation
    stream = io.BytesIO()
    turned.save(stream, "PNG", exif=turned.getexif())
    assert np.array_equal(photo.pixels >> 8, read_photo(stream.getvalue(), 3).pixels)


def test_transparency_is_kept_beside_the_pixels(tmp_path):
    rgba = levels(5, 4, 4, np.uint8)
    stream = io.BytesIO()
    Image.fromarray(rgba).save(stream, "PNG")
    for given in (stream.getvalue(), rgba, Image.fromarray(rgba)):
        photo = read_photo(given, 3)
        assert np.array_equal(photo.alpha, rgba[..., 3]) and photo.pixels.shape == (5, 4, 3)
        made = photo.like(torch.zeros(1, 3, 10, 8))
        assert made.image().mode == "RGBA" and made.image().size == (8, 10)
    clear = rgba.copy()
    clear[..., 3] = 0
    assert (read_photo(clear, 3).pixels == 255).all()
    assert read_photo(rgba, 4).alpha is None
    grey = read_photo(rgba, 1).like(torch.zeros(1, 1, 5, 4))
    assert grey.image().mode == "RGBA"
    deep = read_photo(levels(5, 4, 4), 3)
    assert read_photo(deep.write(tmp_path / "deep.png").read_bytes(), 3).alpha.dtype == np.uint16


def test_what_is_no_image():
    for array in (
        np.zeros([3, 3, 5], np.uint8),
        np.zeros([3, 3]),
        np.zeros([0, 3, 3], np.uint8),
        np.zeros(4, np.uint8),
    ):
        with pytest.raises(BadPicture):
            read_photo(array, 3)
