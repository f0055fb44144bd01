"""Flow, warping, cuts and flicker, where the motion is known."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from organza import UserError
from organza.media.flow import Smoother, flicker, flow_between, is_cut, trust, warp


def scene(seed: int = 0, height: int = 80, width: int = 100) -> np.ndarray:
    """A smooth random image ``[H + 40, W + 40, 3]``, to look at through a window."""
    noise = np.random.RandomState(seed).randint(0, 256, ((height + 40) // 8, (width + 40) // 8, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(noise).resize((width + 40, height + 40), Image.Resampling.BICUBIC))


def window(whole: np.ndarray, x: int, y: int, height: int = 80, width: int = 100) -> np.ndarray:
    return np.ascontiguousarray(whole[20 + y : 20 + y + height, 20 + x : 20 + x + width])


def test_flow_of_a_moving_window():
    pytest.importorskip("cv2")
    whole = scene()
    before, frame = window(whole, 0, 0), window(whole, 3, -2)
    flow = flow_between(frame, before)
    inner = flow[16:-16, 16:-16]
    assert np.abs(inner - [3, -2]).mean() < 0.3
    moved, inside = warp(before, flow)
    assert np.abs(moved - frame)[16:-16, 16:-16].mean() < 3
    assert inside[16:-16, 16:-16].all() and not inside[:, -2:].any()
    sure = trust(frame, before, flow)
    assert sure[16:-16, 16:-16].mean() > 0.9 and sure[:, -2:].max() == 0
    assert trust(255 - frame, before, flow).mean() < 0.2


def test_warp_is_bilinear():
    image = np.random.RandomState(0).rand(9, 11, 2).astype(np.float32)
    moved, _ = warp(image, np.full((9, 11, 2), [0.25, -0.5], np.float32))
    for y, x in ((3, 4), (6, 2)):
        a = image[y - 1, x] * 0.75 + image[y - 1, x + 1] * 0.25
        b = image[y, x] * 0.75 + image[y, x + 1] * 0.25
        assert np.allclose(moved[y, x], (a + b) / 2, atol=1e-6)


def test_cuts():
    whole = scene()
    assert not is_cut(window(whole, 0, 0), window(whole, 3, 2))
    assert not is_cut(window(whole, 0, 0), (window(whole, 0, 0) * 0.7).astype(np.uint8))  # it grows dark
    assert is_cut(window(whole, 0, 0), window(scene(1), 0, 0))
    assert is_cut(window(whole, 0, 0), window(whole, 0, 0)[:40])


def test_smoothing_takes_flicker_away_and_follows_the_motion():
    pytest.importorskip("cv2")
    whole, rng = scene(), np.random.RandomState(3)
    smoother, errors = Smoother(), []
    for k in range(12):
        source = window(whole, k, 0)
        clean = 255 - source
        noisy = (clean + rng.normal(0, 12, clean.shape)).clip(0, 255).astype(np.uint8)
        shown = smoother(source, noisy)
        assert shown.dtype == np.uint8 and shown.shape == noisy.shape
        if k > 5:
            inner = (slice(16, -16), slice(16, -16))
            errors.append([np.abs(x.astype(float) - clean)[inner].mean() for x in (noisy, shown)])
    raw, smooth = np.mean(errors, 0)
    assert smooth < 0.75 * raw
    assert np.mean(smoother.smooth[3:]) < 0.6 * np.mean(smoother.raw[3:])
    assert smoother.cuts == 0


def test_a_cut_begins_anew():
    pytest.importorskip("cv2")
    one, other = window(scene(), 0, 0), window(scene(1), 0, 0)
    smoother = Smoother()
    smoother(one, one)
    assert np.array_equal(smoother(other, other), other)
    assert smoother.cuts == 1 and not smoother.raw


def test_no_flicker_where_results_move_alike():
    whole = scene()
    still = np.full((80, 100, 2), [2, 0], np.float32)
    sure = np.zeros((80, 100), np.float32)
    sure[16:-16, 16:-16] = 1
    assert flicker(window(whole, 2, 0), window(whole, 0, 0), still, sure) == 0
    assert flicker(window(whole, 2, 0), window(whole, 0, 0), still * 0, sure) > 2
    assert flicker(window(whole, 2, 0), window(whole, 0, 0), still, sure * 0) == 0


def test_without_opencv(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UserError, match=r"flow needs the package OpenCV; pip install organza\[flow\]"):
        flow_between(window(scene(), 0, 0), window(scene(), 1, 0))
