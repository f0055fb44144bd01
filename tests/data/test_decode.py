import io
import json
import struct

import numpy as np
import pytest
from data_helpers import BAD, encoded, noise
from PIL import Image, ImageOps, features

from organza.data.decode import _TURNS, MAX_PIXELS, NotAPicture, Target, decode, formats, is_grey, open_picture, render
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
        ("text.png", "not an image (its content is no known format)"),
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


def encodings():
    """A small image in every format that is read, as lossless as the format allows."""
    image = Image.fromarray(np.kron(noise(2, 4, 6), np.ones((4, 4, 1), np.uint8)))
    found = {
        "PNG": encoded(image),
        "PNG with a palette": encoded(image.quantize(16)),
        "JPEG": encoded(image, "JPEG", quality=95, subsampling=0),
        "JPEG in steps": encoded(image, "JPEG", progressive=True),
        "WebP": encoded(image, "WEBP", lossless=True),
        "GIF": encoded(image, "GIF"),
        "TIFF": encoded(image, "TIFF"),
        "TIFF, LZW": encoded(image, "TIFF", compression="tiff_lzw"),
        "TIFF, deflate": encoded(image, "TIFF", compression="tiff_adobe_deflate"),
        "BMP": encoded(image, "BMP"),
        "PPM": encoded(image, "PPM"),
    }
    if features.check("avif"):
        found["AVIF"] = encoded(image, "AVIF", quality=100, subsampling="4:4:4")
    if features.check("jpg_2000"):
        found["JPEG 2000"] = encoded(image, "JPEG2000")
    return found


ENCODINGS = encodings()


def pillow(data):
    """What Pillow's own decoding gives, straight away; None where it refuses."""
    try:
        with Image.open(io.BytesIO(data), formats=formats()) as image:
            image.load()
            return image.size
    except Exception:
        return None


def outcome(data):
    """Pixels, or the reason against them; any other error is a fault."""
    try:
        return pixels(data)
    except BadPicture:
        return None


@pytest.mark.parametrize("name", ["PNG", "PNG with a palette"])
def test_every_flipped_bit_of_a_png_is_noticed(name):
    data = ENCODINGS[name]
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        assert outcome(bytes(damaged)) is None, f"bit {bit} of {8 * len(data)}"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ENCODINGS)
def test_what_a_decoder_notices_is_refused(name):
    """Formats without checksums: whatever Pillow refuses, we refuse; and where it decodes, nothing else is raised."""
    data, random = ENCODINGS[name], np.random.RandomState(0)
    refused = 0
    for _ in range(120):
        damaged = bytearray(data)
        bit = random.randint(8 * len(data))
        damaged[bit // 8] ^= 1 << bit % 8
        got, theirs = outcome(bytes(damaged)), pillow(bytes(damaged))
        refused += theirs is None
        assert got is None or theirs is not None
    assert refused > 0 or name in ("BMP", "PPM")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ENCODINGS)
def test_a_file_cut_short_is_refused(name):
    data = ENCODINGS[name]
    whole = pixels(data)
    for length in np.linspace(1, len(data) - 1, 40).astype(int):
        got = outcome(data[:length])
        # What is missing at the very end may be no pixels: notes behind them, a JPEG's last two bytes.
        assert got is None or (length > 0.8 * len(data) and np.array_equal(got, whole))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "TIFF, LZW", "AVIF"])
def test_every_orientation_in_every_format(name, orientation):
    if name == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    upright = Image.fromarray(np.kron(noise(orientation, 2, 3), np.ones((8, 8, 1), np.uint8)))
    # Turned back by what the camera says: the inverse of 6 is 8, every other is its own.
    back = {6: 8, 8: 6}.get(orientation, orientation)
    stored = upright if back == 1 else upright.transpose(_TURNS[back])
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {
        "WEBP": {"lossless": True},
        "JPEG": {"quality": 98, "subsampling": 0},
        "AVIF": {"quality": 98, "subsampling": "4:4:4"},
    }
    options["TIFF, LZW"] = {"compression": "tiff_lzw"}
    kind = name.split(",")[0]
    got = pixels(encoded(stored, kind, exif=exif, **options.get(name, {})))
    assert got.shape == (16, 24, 3)
    assert np.abs(got.astype(int) - np.asarray(upright)).mean() < 6


@pytest.mark.parametrize(("form", "raw"), [(2, b"6\0"), (7, b"\x06"), (3, b"\x2c\1"), (3, b"\0\0")])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_an_odd_orientation_counts_as_none(kind, form, raw):
    """Text, bytes, numbers that mean nothing."""
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<3HL4sL", 1, 0x0112, form, 1, raw, 0)
    image = Image.fromarray(noise(0, 8, 12))
    data = encoded(image, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    assert pixels(data).shape == (8, 12, 3)


@pytest.mark.filterwarnings("ignore")
def test_a_tiff_whose_orientation_is_text():
    assert pixels(tiff({274: (2, 0x36)})).shape == (8, 8, 3)


def test_avif_and_jpeg_2000_are_read(tmp_path):
    kinds = [(k, s) for k, s, f in (("AVIF", "avif", "avif"), ("JPEG2000", "jp2", "jpg_2000")) if features.check(f)]
    image = Image.new("RGB", (16, 12), (200, 100, 50))
    for kind, suffix in kinds:
        got = pixels(encoded(image, kind))
        assert np.abs(got.astype(int) - (200, 100, 50)).max() < 4, suffix


def tiff(tags, data=b"\0" * 64):
    """A grey TIFF of 8x8 with other tags beside the usual ones."""
    tags = {256: (4, 8), 257: (4, 8), 258: (3, 8), 259: (3, 1), 262: (3, 1), 273: (4, 8), 277: (3, 1)} | tags
    tags |= {278: (4, 8), 279: (4, len(data))}
    body = b"".join(struct.pack("<2HLL", tag, kind, 1, value) for tag, (kind, value) in sorted(tags.items()))
    at = struct.pack("<L", 8 + len(data))
    return b"II*\0" + at + data + struct.pack("<H", len(tags)) + body + bytes(4)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (tiff({50706: (4, 0x0401)}), "a camera's raw file"),
        (tiff({254: (4, 1)}), "its first image is a preview of another one"),
        (tiff({}, b"CR\2\0" + bytes(60)), "a camera's raw file"),
        (b"FUJIFILMCCD-RAW 0201", "a camera's raw file"),
        (b"IIRO\x08\0\0\0" + bytes(40), "a camera's raw file"),
        (b"IIU\0\x08\0\0\0" + bytes(40), "a camera's raw file"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "a camera's raw file"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99), "a HEIC image, which is not read: convert it"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(99), "a HEIC image, which is not read: convert it"),
        (b"\xff\x0a" + bytes(40), "a JPEG XL image"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40), "a JPEG XL image"),
        (b"8BPS\0\1" + bytes(40), "a Photoshop file"),
        (b"\x76\x2f\x31\x01" + bytes(40), "an OpenEXR image"),
        (tiff({339: (3, 2)}), "signed pixels"),
        (
            tiff({258: (3, 64), 339: (3, 3)}, bytes(512)),
            "a TIFF that is damaged, or whose pixels are of an unusual kind",
        ),
    ],
)
def test_images_that_can_not_be_used_are_called_by_their_name(data, reason):
    with pytest.raises(BadPicture, match=reason) as caught:
        pixels(data)
    assert not isinstance(caught.value, NotAPicture), "told whatever the file is called"


def test_checksums_of_notes_count_too_but_not_what_is_appended():
    data = encoded(Image.fromarray(noise(0)), dpi=(72, 72))
    np.testing.assert_array_equal(pixels(data + b"appended"), noise(0))
    at = data.index(b"pHYs") + 6
    with pytest.raises(BadPicture, match="damaged"):
        pixels(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


def test_bands_change_nothing(monkeypatch):
    """Large images are converted some rows at a time."""
    images = [
        Image.fromarray(noise(0, 40, 40, channels=4)),
        Image.fromarray(noise(1, 40, 40, channels=2)[..., :2], "LA"),
        Image.fromarray((noise(2, 40, 40, channels=1).astype(np.uint16) << 8) + 7),
        Image.fromarray(noise(3, 40, 40, channels=1).astype(np.float32) / 255),
    ]
    whole = [pixels_of(image) for image in images]
    monkeypatch.setattr("organza.data.decode.BAND", 200)
    for image, wanted in zip(images, whole, strict=True):
        np.testing.assert_array_equal(pixels_of(image), wanted)


def pixels_of(image):
    return render(decode(image), Target(None, 3))
