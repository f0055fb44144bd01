import io
import json

import numpy as np
import pytest
from data_helpers import BAD, encoded, noise
from PIL import Image, ImageOps

from organza.data.decode import MAX_PIXELS, NotAPicture, Target, decode, is_grey, open_picture, render
from organza.data.source import BadPicture

ABOUT = {f["file"]: f for f in json.loads((BAD / "fixtures.json").read_text())["files"]}


def pixels(data, target=None):
    image = decode(open_picture(data))
    return render(image, target or Target((image.height, image.width), 3))


@pytest.mark.parametrize("name", [n[7:] for n, f in ABOUT.items() if n.startswith("images/") and f["valid"]])
def test_valid_pictures_match_pillow(name):
    expected = np.load(BAD / "images_expected.npz")
    wanted = expected[f"{name}:transposed"] if f"{name}:transposed" in expected else expected[name]
    got = pixels((BAD / "images" / name).read_bytes())
    if name == "gray16.png":  # Pillow clips 16 bits at 255; we scale them
        with Image.open(BAD / "images" / name) as image:
            wanted = np.rint(np.asarray(image, np.float64) / 257)[..., None].repeat(3, 2)
    if name == "rgba.png":  # Pillow forgets transparency; we show white behind it
        rgba = np.asarray(Image.open(BAD / "images" / name), np.float64)
        alpha = rgba[..., 3:] / 255
        assert np.abs(got - (rgba[..., :3] * alpha + 255 * (1 - alpha))).max() <= 1
    else:
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("zero.png", "empty file (0 bytes)"),
        ("text.png", "not a picture (its content is no known format)"),
        ("truncated.png", "truncated (image file is truncated"),
        ("truncated.jpg", "truncated (image file is truncated"),
    ],
)
def test_bad_pictures_say_why(name, reason):
    with pytest.raises(BadPicture) as caught:
        pixels((BAD / "images" / name).read_bytes())
    assert str(caught.value).startswith(reason)


def test_bombs_are_refused_before_decoding():
    side = int(MAX_PIXELS**0.5) + 8
    with pytest.raises(BadPicture, match=f"{side}x{side} pixels are too many"):
        open_picture(encoded(Image.new("1", (side, side))))


def test_text_is_told_from_a_damaged_picture():
    with pytest.raises(NotAPicture):
        open_picture(b"hello")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF", "WEBP", "JPEG", "PPM"])
@pytest.mark.parametrize("mode", ["1", "L", "RGB", "P"])
def test_every_format_and_mode(kind, mode):
    if (kind, mode) in {("JPEG", "P"), ("PPM", "P")}:
        pytest.skip("the format has no such mode")
    image = Image.fromarray(noise(0)).convert("L" if mode == "1" else "RGB").convert(mode)
    options = {"lossless": True} if kind == "WEBP" else {}
    got = pixels(encoded(image, kind, **options))
    wanted = np.asarray(image.convert("RGB"))
    if kind == "JPEG":
        wanted = np.asarray(Image.open(io.BytesIO(encoded(image, kind))).convert("RGB"))
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("mode", ["LA", "RGBA", "PA", "P"])
def test_transparency(mode):
    image = Image.fromarray(noise(0, channels=4)).convert("LA" if mode == "LA" else "RGBA")
    image.putalpha(Image.fromarray(np.where(np.arange(64).reshape(8, 8) < 32, 0, 255).astype(np.uint8)))
    if mode == "P":
        image = Image.fromarray(np.where(np.arange(64).reshape(8, 8) < 32, 0, 1).astype(np.uint8), "P")
        image.putpalette([255, 0, 0, 0, 0, 255])
        data = encoded(image, transparency=0)
    elif mode == "PA":
        data = encoded(image, "TIFF")
    else:
        data = encoded(image)
    with_alpha = pixels(data, Target((8, 8), 4))
    assert (with_alpha[:4, :, 3] == 0).all()
    assert (with_alpha[4:, :, 3] == 255).all()
    flat = pixels(data, Target((8, 8), 3))
    assert (flat[:4] == 255).all()
    np.testing.assert_array_equal(flat[4:], with_alpha[4:, :, :3])
    assert (pixels(data, Target((8, 8), 1))[:4] == 255).all()


def test_transparent_colour_key():
    data = encoded(Image.new("RGB", (4, 4), (255, 0, 0)), transparency=(255, 0, 0))
    assert (pixels(data, Target((4, 4), 4))[..., 3] == 0).all()


def test_sixteen_bits_are_scaled():
    grey = np.array([[0, 257, 65535, 32768]], np.uint16)
    assert pixels(encoded(Image.fromarray(grey)), Target((1, 4), 1)).ravel().tolist() == [0, 1, 255, 128]
    assert pixels(encoded(Image.fromarray(grey), "TIFF"), Target((1, 4), 1)).ravel().tolist() == [0, 1, 255, 128]


def test_wide_integers_and_floats():
    data = encoded(Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32)), "TIFF")
    assert pixels(data, Target((1, 3), 1)).ravel().tolist() == [0, 128, 255]
    with pytest.raises(BadPicture, match=r"floating-point pixels outside \[0, 1\]"):
        pixels(encoded(Image.fromarray(np.array([[0.0, 7.0]], np.float32)), "TIFF"))
    with pytest.raises(BadPicture, match=r"signed pixels \(negative values have no grey level\)"):
        pixels(encoded(Image.fromarray(np.array([[-1, 7]], np.int32)), "TIFF"))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(noise(1, 6, 9))
    data = encoded(image, exif=exif)
    with Image.open(io.BytesIO(data)) as opened:
        wanted = np.asarray(ImageOps.exif_transpose(opened))
    np.testing.assert_array_equal(pixels(data), wanted)


def test_grey_is_recognised():
    assert is_grey(Image.new("L", (2, 2)))
    assert is_grey(Image.new("L", (2, 2)).convert("P"))
    assert not is_grey(Image.new("RGB", (2, 2)))
    assert not is_grey(Image.new("RGB", (2, 2), "red").quantize(2))


@pytest.mark.parametrize("format", ["PNG", "GIF"])
def test_a_truncated_picture_with_a_palette_is_a_bad_picture(format):
    whole = encoded(Image.fromarray(noise(0, 64, 64)).quantize(32), format)
    with pytest.raises(BadPicture):
        is_grey(open_picture(whole[: len(whole) // 2]))


@pytest.mark.parametrize("resize", ["lanczos", "box"])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (4, 12), (7, 5), (1, 1)])
@pytest.mark.parametrize("fit", ["center-crop", "pad", "stretch"])
def test_fit(fit, height, width, resize):
    red, blue = (255, 0, 0), (0, 0, 255)
    image = Image.new("RGB", (30, 10), red)
    image.paste(blue, (10, 0, 20, 10))
    got = render(image, Target((height, width), 3, fit, resize))
    assert got.shape == (height, width, 3)
    middle = got[height // 2, width // 2]
    if (height, width) != (1, 1) or fit == "center-crop":
        assert middle[2] > 200
    if fit == "center-crop" and height == width:
        assert (got == blue).all(), "the middle square is blue; nothing red may bleed in"
    if fit == "stretch" and width >= 12:
        assert tuple(got[0, 0]) == red
    if fit == "pad" and height == 8:
        assert (got[0] == 0).all()


def test_nothing_is_resampled_at_the_right_size():
    image = noise(3)
    np.testing.assert_array_equal(pixels(encoded(image), Target((8, 8), 3)), image)
    wide = noise(3, 8, 12)
    np.testing.assert_array_equal(pixels(encoded(wide), Target((8, 8), 3)), wide[:, 2:10])


def test_resizing_does_not_blend_hidden_colours():
    image = Image.new("RGBA", (16, 16), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 8, 16))
    got = render(image, Target((4, 4), 4))
    assert (got[..., 0][got[..., 3] > 0] == 0).all(), "transparent red leaked into visible blue"
