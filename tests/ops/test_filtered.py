"""The filtered leaky ReLU: its two forms agree, and what comes out fits the grid."""

from __future__ import annotations

import pytest
import torch

from organza.ops import using
from organza.ops.filtered import filtered_lrelu, lowpass

CASES = [
    (2, 2, 12, 12, (9, 8, 9, 8)),
    (4, 2, 24, 12, (-6, -9, -6, -9)),
    (2, 1, 12, 6, (3, 2, 5, 1)),
    (3, 2, 18, 12, (0, 0, 1, 1)),
    (1, 1, 5, 3, (2, 2, 2, 2)),
    (2, 2, 12, 12, (-3, -4, -11, -10)),
]


@pytest.mark.parametrize(("up", "down", "taps_up", "taps_down", "padding"), CASES)
@pytest.mark.parametrize("radial", [False, True])
def test_both_forms_agree(up, down, taps_up, taps_down, padding, radial):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 25, 34, dtype=torch.float64, requires_grad=True)
    wide, narrow = torch.randn(taps_up).double(), torch.randn(*[taps_down] * (1 + radial)).double()
    found = []
    for twin in ("fast", "reference"):
        with using(twin):
            y = filtered_lrelu(x, wide, narrow, up, down, padding, clamp=2.0)
        (gradient,) = torch.autograd.grad((y * torch.arange(y.numel()).reshape(y.shape)).sum(), x)
        found.append((y, gradient))
    for fast, plain in zip(*found, strict=True):
        torch.testing.assert_close(fast, plain)


@pytest.mark.parametrize("radial", [False, True])
def test_low_pass_filters_pass_what_is_low(radial):
    taps = lowpass(48, 4.0, 2.0, 64.0, radial=radial)
    line = taps.sum(0) if radial else taps
    places = torch.arange(48) / 64.0

    def response(frequency: float) -> float:
        return float((line * torch.exp(2j * torch.pi * frequency * places)).sum().abs())

    assert line.sum() == pytest.approx(1, abs=1e-5)
    assert response(1.0) > 0.97
    assert response(4.0) == pytest.approx(0.5, abs=0.05)
    assert response(12.0) < 0.03
    if radial:
        torch.testing.assert_close(taps, taps.t())
