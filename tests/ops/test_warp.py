"""Moved pixels are exact, resampled ones smooth, and both can be differentiated twice."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from organza.ops.warp import SYM6, shuffle, stretch, warp


def turn(angle: float, n: int = 1) -> torch.Tensor:
    cos, sin = np.cos(angle), np.sin(angle)
    return torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float32).repeat(n, 1, 1)


def test_the_filter_is_the_orthogonal_wavelet_with_six_vanishing_moments():
    taps = np.array(SYM6)
    assert taps.sum() == pytest.approx(2**0.5, abs=1e-12)
    for shift in range(6):
        assert taps[2 * shift :] @ taps[: len(taps) - 2 * shift] == pytest.approx(float(shift == 0), abs=1e-11)
    high = taps * (-1.0) ** np.arange(12)
    for moment in range(6):
        assert high @ (np.arange(12) - 5.5) ** moment == pytest.approx(0, abs=2e-8)


def test_whole_moves_are_exact_pixels():
    x = torch.randn(2, 3, 8, 8)
    eye, none = torch.eye(2).repeat(2, 1, 1), torch.zeros(2, 2)
    flip = torch.diag(torch.tensor([-1.0, 1.0])).repeat(2, 1, 1)
    assert torch.equal(shuffle(x, eye, none), x)
    assert torch.equal(shuffle(x, flip, none), x.flip(3))
    quarter = torch.tensor([[0.0, -1.0], [1.0, 0.0]]).repeat(2, 1, 1)  # comes from v turned by 90 degrees
    assert torch.equal(shuffle(x, quarter, none), torch.rot90(x, 1, (2, 3)))
    moved = shuffle(x, eye, torch.tensor([[2.0, 0.0], [0.0, -1.0]]))
    assert torch.equal(moved[0, :, :, :6], x[0, :, :, 2:])
    assert torch.equal(moved[0, :, :, 6:], x[0, :, :, [6, 5]])  # mirrored about the last pixel
    assert torch.equal(moved[1, :, 1:], x[1, :, :7])
    wide = torch.randn(1, 1, 4, 6)
    assert torch.equal(shuffle(wide, quarter[:1], none[:1])[..., 1:5], torch.rot90(wide, 1, (2, 3))[..., 1:5, :])


def test_resampling_by_nothing_changes_nothing():
    x = torch.randn(2, 3, 16, 24)
    same = warp(x, torch.eye(2).repeat(2, 1, 1), torch.zeros(2, 2))
    torch.testing.assert_close(same, x, atol=3e-5, rtol=0)
    torch.testing.assert_close(stretch(x, torch.ones(2, 2), torch.zeros(2, 2)), x, atol=3e-5, rtol=0)


def test_a_smooth_picture_turns_without_being_shifted():
    rows, columns = torch.meshgrid(torch.arange(48.0) - 23.5, torch.arange(32.0) - 15.5, indexing="ij")

    def picture(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.cos(0.15 * x + 0.4) * torch.cos(0.1 * y - 0.2)

    inverse, offset = turn(0.5) * 1.2, torch.tensor([[1.3, -2.6]])
    got = warp(picture(columns, rows)[None, None], inverse, offset)[0, 0]
    (a, b), (c, d) = inverse[0]
    wanted = picture(a * columns + b * rows + offset[0, 0], c * columns + d * rows + offset[0, 1])
    torch.testing.assert_close(got[16:32, 10:22], wanted[16:32, 10:22], atol=4e-3, rtol=0)


def test_the_quick_form_equals_the_general_one():
    x = torch.randn(3, 2, 12, 20)
    factor, offset = (
        torch.tensor([[1.3, 0.8], [-0.7, 1.0], [2.0, -2.0]]),
        torch.tensor([[0.4, 9.0], [3.0, 0], [0, 0.2]]),
    )
    torch.testing.assert_close(stretch(x, factor, offset), warp(x, torch.diag_embed(factor), offset), atol=1e-4, rtol=0)


@pytest.mark.parametrize("move", [warp, stretch, shuffle])
def test_gradients_and_their_gradients(move):
    x = torch.randn(2, 1, 6, 5, dtype=torch.float64, requires_grad=True)
    inverse = {"warp": turn(0.4, 2) * 1.1, "stretch": torch.tensor([[1.1, -0.7]] * 2)}.get(
        move.__name__, torch.eye(2).repeat(2, 1, 1)
    )
    offset = torch.tensor([[1.0, -2.0], [0.0, 7.0]])
    assert torch.autograd.gradcheck(lambda x: move(x, inverse, offset), x)
    assert torch.autograd.gradgradcheck(lambda x: move(x, inverse, offset).square(), x)
