"""Augmentations: nothing at p = 0, what they should be above; DiffAugment against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from organza.contract.data import Batch
from organza.core.config import check
from organza.core.errors import UserError
from organza.nn import augment as pipeline
from organza.nn.augment import GROUPS, augment, band_filters, groups
from organza.nn.augmenter import Augmented, Augmenter
from organza.nn.diffaugment import diffaugment
from organza.ops.warp import warp


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(n: int = 8, channels: int = 3, size: tuple[int, int] = (16, 16)) -> torch.Tensor:
    return torch.rand(n, channels, *size, generator=rng(1)) * 2 - 1


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("group", GROUPS)
def test_p_0_changes_nothing_and_p_1_almost_every_picture(group, channels):
    x = pictures(32, channels, (12, 20))
    assert torch.equal(augment(x, 0.0, (group,), rng()), x)
    y = augment(x, 1.0, (group,), rng())
    assert y.shape == x.shape and y.isfinite().all()
    assert (y != x).flatten(1).any(1).float().mean() > 0.8
    if group == "color" and channels == 4:
        assert torch.equal(y[:, 3], x[:, 3])


def test_each_transformation_comes_with_probability_p():
    x = pictures(1).expand(2000, -1, -1, -1)
    changed = (augment(x, 0.3, ("cutout",), rng()) != x).flatten(1).any(1).float().mean()
    assert changed == pytest.approx(0.3, abs=0.04)
    changed = (augment(x, 0.3, ("color",), rng()) != x).flatten(1).any(1).float().mean()
    # Brightness, contrast, hue and saturation always show, the luma flip half of the time.
    assert changed == pytest.approx(1 - 0.7**4 * 0.85, abs=0.04)


def test_blit_keeps_the_pixels_and_all_eight_positions_occur():
    x = pictures(1, 1, (8, 8)).expand(4000, -1, -1, -1)
    y = augment(x, 1.0, ("blit",), rng())
    assert set(y.unique().tolist()) <= set(x.unique().tolist())
    still = [torch.rot90(a, k, (1, 2)) for a in (x[0], x[0].flip(2)) for k in range(4)]
    counts = [int((y == s).flatten(1).all(1).sum()) for s in still]
    # An eighth each, times the chance that both steps round to 0: |t| < 1/2 of at most 1 pixel.
    assert min(counts) > 4000 / 8 * 0.25 * 0.6 and max(counts) < 4000 / 8 * 0.25 * 1.5


def test_colours_on_average():
    grey = torch.full((6000, 3, 1, 1), 0.5)
    y = augment(grey, 1.0, ("color",), rng())[:, :, 0, 0]
    assert torch.allclose(y[:, :1], y, atol=1e-5)  # grey stays grey: hue and saturation turn about it
    flipped = (y[:, 0] < 0).float().mean()
    assert flipped == pytest.approx(0.5, abs=0.03)
    # |0.5 + N(0, 0.2)| times exp(N(0, 0.5 ln 2))
    assert y[:, 0].abs().median() == pytest.approx(0.5, abs=0.03)
    red = torch.tensor([1.0, -1.0, -1.0]).reshape(1, 3, 1, 1)
    hue = pipeline._hue(torch.tensor([2 * np.pi / 3, -2 * np.pi / 3, 0.0]))[:, :3, :3]
    turned = torch.einsum("nij,j->ni", hue, red[0, :, 0, 0])
    torch.testing.assert_close(turned, torch.tensor([[-1.0, 1, -1], [-1, -1, 1], [1, -1, -1]]))
    one = augment(red.expand(64, -1, 4, 4).contiguous(), 1.0, ("color",), rng())
    assert not torch.allclose(one[:, :1], one, atol=0.1)


def test_the_bands_divide_the_frequencies():
    spectrum = np.abs(np.fft.rfft(band_filters(), 512, axis=1))
    edges = [0, 32, 64, 128, 256]
    for band in range(4):
        middle = {0: 0, 3: 256}.get(band, (edges[band] + edges[band + 1]) // 2)
        assert spectrum[band, middle] > 0.7 and spectrum[band].argmax() in range(edges[band], edges[band + 1] + 1)
    np.testing.assert_allclose(spectrum[:, 256], [0, 0, 0, 1], atol=1e-9)
    x = pictures(2, 1, (10, 50))
    torch.testing.assert_close(pipeline._equalise(x, torch.ones(2, 4)), x, atol=1e-5, rtol=0)


def test_noise_and_cutout_on_average():
    x = torch.full((3000, 1, 8, 8), 0.5)
    noisy = augment(x, 1.0, ("noise",), rng())
    assert noisy.mean() == pytest.approx(0.5, abs=0.01)
    assert (noisy - x).square().mean().sqrt() == pytest.approx(0.1, abs=0.005)
    cut = augment(x, 1.0, ("cutout",), rng()) == 0
    # A rectangle of half the side at a uniform centre covers 7/16 of a side on average: (3/4 of 1/2 + 1/4 * ...)^2.
    assert cut.float().mean() == pytest.approx((7 / 16) ** 2, abs=0.01)


def test_quick_paths_equal_the_general_one(monkeypatch):
    x = pictures(96, 3, (16, 16))
    quick = augment(x, 0.4, ("blit", "geom"), rng(5))
    monkeypatch.setattr(pipeline, "stretch", lambda x, f, o: warp(x, torch.diag_embed(f), o))
    torch.testing.assert_close(augment(x, 0.4, ("blit", "geom"), rng(5)), quick, atol=1e-4, rtol=0)
    monkeypatch.setattr(pipeline, "_stretch_crossed", lambda x, f, o: warp(x, torch.diag_embed(f).flip(1), o.flip(1)))
    torch.testing.assert_close(augment(x, 0.4, ("blit", "geom"), rng(5)), quick, atol=1e-4, rtol=0)


def test_the_generator_decides():
    x = pictures()
    one, same, other = (augment(x, 0.7, GROUPS, rng(seed)) for seed in (3, 3, 4))
    assert torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.parametrize("name", ["bg", "bgcfnc"])
def test_gradients_and_their_gradients(name):
    x = torch.rand(3, 3, 5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: augment(x, 0.6, groups(name), rng(2)), x, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda x: augment(x, 0.6, groups(name), rng(2)).square(), x, fast_mode=True)


def test_unknown_pipes_and_policies():
    for name in ("bc", "x", ""):
        with pytest.raises(UserError, match="no augmentation pipe"):
            groups(name)
    for settings in (
        Augmented(augment="diffaugment", augment_policy="colour"),
        Augmented(augment="ada", augment_pipe="cb"),
    ):
        with pytest.raises(UserError):
            Augmenter(settings)
    for out_of_range in (Augmented(augment="fixed", augment_p=1.5), Augmented(augment="ada", ada_kimg=0.0)):
        with pytest.raises(UserError, match=r"augment_p must be from 0 to 1|ada_kimg must be from 0.001"):
            check(out_of_range)


def steps(augmenter: Augmenter, sign: float, count: int, start: int = 0, batch: int = 100) -> int:
    for i in range(count):
        seen = start + i * batch
        images = torch.zeros(batch, 1, 1, 1)
        augmenter.adapt(augmenter.measure(Batch(images, torch.zeros(batch, 0), seen), torch.full((batch, 1), sign)))
    return start + count * batch


def test_the_controller_moves_p_at_its_speed_and_stops_at_the_ends():
    augmenter = Augmenter(Augmented(augment="ada", ada_kimg=10.0, ada_target=0.6))
    seen = steps(augmenter, 1.0, 4)
    assert augmenter.p == 0  # a window is complete when the next one begins
    seen = steps(augmenter, 1.0, 41, seen)
    assert augmenter.p.item() == pytest.approx(0.44)  # 4400 of 10000 images
    seen = steps(augmenter, 0.5, 16, seen)
    assert augmenter.p.item() < 0.44
    seen = steps(augmenter, 0.0, 200, seen)
    assert augmenter.p == 0
    steps(augmenter, 1.0, 200, seen)
    assert augmenter.p == 1


def test_diffaugment_is_what_the_paper_says():
    x = pictures(400, 3, (16, 24))
    moved = diffaugment(x, "translation", rng())
    seen = set()
    for picture, result in zip(x, moved, strict=True):
        matches = []
        for dy in range(-2, 3):
            for dx in range(-3, 4):
                plain = torch.zeros_like(picture)
                plain[:, max(-dy, 0) : 16 - max(dy, 0), max(-dx, 0) : 24 - max(dx, 0)] = picture[
                    :, max(dy, 0) : 16 + min(dy, 0), max(dx, 0) : 24 + min(dx, 0)
                ]
                if torch.equal(plain, result):
                    matches.append((dy, dx))
        assert len(matches) == 1
        seen.add(matches[0])
    assert len(seen) == 35

    cut = diffaugment(x.abs() + 0.1, "cutout", rng()) == 0
    assert cut.flatten(1).any(1).all() and cut[:, 0].flatten(1).sum(1).max() == 8 * 12

    torch.manual_seed(0)
    b, s, c = torch.rand(3, 400, generator=rng())
    for i, picture in enumerate(diffaugment(x, "color", rng())[:20]):
        plain = x[i] + (b[i] - 0.5)
        plain = (plain - plain.mean(0)) * (2 * s[i]) + plain.mean(0)
        plain = (plain - plain.mean()) * (c[i] + 0.5) + plain.mean()
        torch.testing.assert_close(picture, plain)
    every = diffaugment(x, "cutout, color,translation", rng(7))
    assert torch.equal(every, diffaugment(x, "color,translation,cutout", rng(7)))
