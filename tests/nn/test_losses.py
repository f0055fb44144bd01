"""Losses equal golden values of published implementations."""

from __future__ import annotations

import torch

from organza.nn import losses
from tests import golden


def test_losses_equal_golden_values():
    case = golden.load("losses", "logits_8")
    real, fake = case.arrays["real_logits"], case.arrays["fake_logits"]
    expected = {
        "ns_d": losses.logistic_d(real, fake),
        "ns_g": losses.logistic_g(fake),
        "saturating_g": losses.saturating_g(fake),
        "bce_d": losses.logistic_d(real, fake),
        "hinge_d": losses.hinge_d(real, fake),
        "hinge_g": losses.hinge_g(fake),
        "lsgan_d_half": losses.least_squares_d(real, fake),
        "lsgan_g_half": losses.least_squares_g(fake),
        "lsgan_d_nohalf": 2 * losses.least_squares_d(real, fake),
        "lsgan_g_nohalf": 2 * losses.least_squares_g(fake),
        "wgan_d": losses.wasserstein_d(real, fake),
        "wgan_g": losses.wasserstein_g(fake),
        "relativistic_d": losses.relativistic_d(real, fake),
        "relativistic_g": losses.relativistic_g(real, fake),
        "junyanz_vanilla_d": losses.logistic_d(real, fake),
        "junyanz_vanilla_g": losses.logistic_g(fake),
        "junyanz_lsgan_d": 2 * losses.least_squares_d(real, fake),
        "junyanz_lsgan_g": 2 * losses.least_squares_g(fake),
        "junyanz_wgangp_d": losses.wasserstein_d(real, fake),
        "junyanz_wgangp_g": losses.wasserstein_g(fake),
    }
    for name, loss in expected.items():
        assert loss.shape == real.shape
        case.check(name, loss.mean())


def test_logistic_loss_survives_large_logits():
    assert losses.logistic_d(torch.tensor([-1e4]), torch.tensor([1e4])).item() == 2e4
