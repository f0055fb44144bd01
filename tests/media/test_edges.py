"""Edges are OpenCV's, and what is smoothed is what CartoonGAN's authors smooth."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from organza.media.edges import TAPS, blurred, canny, dilate, edge_smoothed, grey
from tests import golden


def test_an_edge_smoothed_image_is_that_of_the_authors():
    case = golden.load("cartoongan", "edge_256")
    pixels = np.asarray(Image.open(case.folder / "picture.png").convert("RGB"))
    arrays = {name: value.numpy() for name, value in case.arrays.items()}
    assert np.array_equal(grey(pixels), arrays["grey"])
    edges = canny(grey(pixels))
    assert (edges == (arrays["edges"] > 0)).all()
    assert (dilate(edges) == (arrays["mask"] > 0)).all()
    np.testing.assert_allclose(np.outer(TAPS, TAPS), arrays["kernel"], atol=1e-6)
    assert np.abs(edge_smoothed(pixels).astype(int) - arrays["smoothed"]).max() <= 1
    outside = ~(arrays["mask"] > 0)
    assert np.array_equal(edge_smoothed(pixels)[outside], pixels[outside])


def test_a_weak_edge_goes_on_from_a_strong_one():
    image = np.zeros([12, 20], np.uint8)
    image[6:, :10], image[6:, 10:] = 60, 35  # gradients 240 and 140
    assert canny(image).any(0)[:19].all()
    image[6:, :10] = 35
    assert not canny(image).any()  # nothing begins it


def test_against_opencv():
    cv2 = pytest.importorskip("cv2")
    rng = np.random.RandomState(0)
    for size in ((40, 56), (7, 9), (1, 5), (64, 64)):
        small = rng.randint(0, 256, (-(-size[0] // 4), -(-size[1] // 4))).astype(np.uint8)
        image = cv2.resize(small, size[::-1], interpolation=cv2.INTER_CUBIC)
        for low, high in ((100, 200), (20, 60)):
            assert np.array_equal(canny(image, low, high), cv2.Canny(image, low, high) > 0), (size, low)


def test_any_size():
    for shape in ((1, 1, 3), (2, 3, 1), (1, 9, 4)):
        pixels = np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8)
        assert edge_smoothed(pixels).shape == shape and blurred(pixels).shape == shape
