import numpy as np
import pytest
from PIL import Image

from organza.core.errors import UserError
from organza.media.images import enlarge, make_grid, save_picture


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_is_exact(tmp_path, channels):
    array = np.random.RandomState(0).randint(0, 256, [5, 7, channels], np.uint8)
    path = save_picture(array, tmp_path / "new" / "picture.png")
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.asarray(image).reshape(array.shape), array)


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".webp"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_lossy_is_near(tmp_path, suffix, channels):
    array = np.full([16, 24, channels], 200, np.uint8)
    array[..., -1] = 255 if channels == 4 else 200
    path = save_picture(array, tmp_path / f"picture{suffix}")
    with Image.open(path) as image:
        assert image.size == (24, 16)
        assert np.abs(np.asarray(image.convert("RGB")).astype(int) - 200).max() <= 3


def test_jpeg_lays_transparency_over_white(tmp_path):
    with Image.open(save_picture(np.zeros([8, 8, 4], np.uint8), tmp_path / "a.jpg")) as image:
        assert np.asarray(image).min() >= 254


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.tga", "a.tga: no format is known for '.tga'; end the name in .png, .jpg, .jpeg or .webp"),
        ("picture", "picture: the name has no suffix; end the name in .png, .jpg, .jpeg or .webp"),
    ],
)
def test_unknown_suffix(name, message):
    with pytest.raises(UserError) as caught:
        save_picture(np.zeros([8, 8, 3], np.uint8), name)
    assert str(caught.value) == message


@pytest.mark.parametrize("array", [np.zeros([8, 8, 2], np.uint8), np.zeros([8, 8, 3]), np.zeros([8], np.uint8)])
def test_not_a_picture(tmp_path, array):
    with pytest.raises(ValueError, match="expected uint8"):
        save_picture(array, tmp_path / "a.png")


def test_enlarge():
    picture = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    np.testing.assert_array_equal(enlarge(picture, 2)[::2, 1::2], picture)
    assert enlarge(picture, 3).shape == (6, 9, 1)
    with pytest.raises(UserError, match="a scale of 0; give a whole number from 1 up"):
        enlarge(picture, 0)


def test_grid_places_pictures_row_by_row():
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones([1, 2, 3, 1], np.uint8)
    grid = make_grid(images, columns=2, gap=1)
    assert grid.shape == (10, 9, 1)
    assert [grid[1, 1, 0], grid[1, 5, 0], grid[4, 1, 0], grid[4, 5, 0], grid[7, 1, 0]] == [0, 1, 2, 3, 4]
    assert grid[7, 5, 0] == 255
    assert (grid[0] == 255).all()


def test_grid_is_about_square_by_default():
    assert make_grid(np.zeros([7, 2, 2, 3], np.uint8)).shape == (6, 6, 3)


def test_grid_gaps_are_transparent():
    grid = make_grid(np.full([2, 2, 2, 4], 9, np.uint8), columns=1, gap=2)
    assert grid[0, 0, 3] == 0
    assert grid[2, 2, 3] == 9


@pytest.mark.parametrize("images", [np.zeros([0, 2, 2, 3], np.uint8), np.zeros([2, 2, 3], np.uint8)])
def test_grid_needs_pictures(images):
    with pytest.raises(ValueError, match="expected uint8"):
        make_grid(images)
