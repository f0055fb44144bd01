"""Losses equal golden values of published implementations."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from organza.nn import energy, losses
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
        "ralsgan_d": losses.relativistic_squares_d(real, fake),
        "junyanz_vanilla_d": losses.logistic_d(real, fake),
        "junyanz_vanilla_g": losses.logistic_g(fake),
        "junyanz_lsgan_d": 2 * losses.least_squares_d(real, fake),
        "junyanz_lsgan_g": 2 * losses.least_squares_g(fake),
        "junyanz_wgangp_d": losses.wasserstein_d(real, fake),
        "junyanz_wgangp_g": losses.wasserstein_g(fake),
    }
    assert {*expected, "real_logits", "fake_logits"} == {*case.arrays}
    for name, loss in expected.items():
        assert loss.shape == real.shape
        case.check(name, loss.mean())


def test_logistic_loss_survives_large_logits():
    assert losses.logistic_d(torch.tensor([-1e4]), torch.tensor([1e4])).item() == 2e4


def test_relativistic_generators_exchange_real_and_fake():
    real, fake = torch.randn(6, 1), torch.randn(6, 1)
    torch.testing.assert_close(losses.relativistic_average_g(real, fake), losses.relativistic_average_d(fake, real))
    by_hand = ((fake - real.mean() - 1) ** 2).mean() + ((real - fake.mean() + 1) ** 2).mean()
    torch.testing.assert_close(losses.relativistic_squares_g(real, fake).mean(), by_hand)
    cross = F.binary_cross_entropy_with_logits
    by_hand = cross(real - fake.mean(), torch.ones(6, 1)) + cross(fake - real.mean(), torch.zeros(6, 1))
    torch.testing.assert_close(losses.relativistic_average_d(real, fake).mean(), by_hand)


@pytest.mark.parametrize("name", golden.names("lucidrains"))
def test_dual_contrastive_loss_equals_golden_values(name):
    case = golden.load("lucidrains", name)
    if "dual_contrastive_loss" not in case.arrays:
        pytest.skip("no loss in it")
    found = losses.dual_contrastive_d(case.arrays["real_logits"], case.arrays["fake_logits"])
    case.check("dual_contrastive_loss", found.mean())


@pytest.mark.parametrize("name", losses.GAME)
def test_a_generator_learns_by_every_loss(name):
    """Its loss falls where the scores of its images rise, and D's rises there."""
    game, real = losses.GAME[name], torch.zeros(4, 1)
    for side, sign in ((game.g, -1), (game.d, 1)):
        fake = torch.full((4, 1), 0.25, requires_grad=True)
        (slope,) = torch.autograd.grad(side(real, fake).sum(), fake)
        assert (slope * sign > 0).all()


def test_energies_equal_golden_values():
    case = golden.load("losses", "began_ebgan")
    real, fake, codes = (case.arrays[name] for name in ("real", "fake", "embeddings"))
    real_back, fake_back = case.arrays["real_recon"], case.arrays["fake_recon"]
    low, high = energy.energy(real, real_back), energy.energy(fake, fake_back)
    case.check("ebgan_d", energy.energy_d(low, high, case.about["constants"]["margin"]).mean())
    case.check("ebgan_d_margin_small", energy.energy_d(low, high, 0.05).mean())
    case.check("pt_squared", energy.pull_away(codes))
    # The generator's loss there has a pull-away term without the square.
    case.check("ebgan_g", energy.energy_g(high).mean() + 0.1 * case.arrays["pt_linear"])
    case.check("began_real", energy.absolute_error(real, real_back).mean())
    case.check("began_fake", energy.absolute_error(fake, fake_back).mean())
    k, rows = torch.tensor(0.3), []
    loss, loss_fake = energy.absolute_error(real, real_back), energy.absolute_error(fake, fake_back)
    for _ in range(4):
        balance = energy.began_balance(loss.mean(), loss_fake.mean(), case.about["constants"]["began_gamma"])
        d_loss, measure = energy.began_d(loss, loss_fake, k).mean(), energy.began_measure(loss.mean(), balance)
        rows.append(torch.stack([k, d_loss, loss_fake.mean(), measure]))
        k = energy.began_k(k, balance, case.about["constants"]["began_lambda_k"])
    case.check("began_steps", torch.stack(rows))
    case.check("began_k_after", k)


@pytest.mark.parametrize("name", [name for name in golden.names("losses_more") if name.startswith("began")])
def test_began_k_equals_golden_values(name):
    case, k = golden.load("losses_more", name), torch.tensor(0.0)
    found = {"d_loss": [], "k_after": [], "measure": []}
    for real, fake in zip(case.arrays["d_loss_real"], case.arrays["d_loss_fake"], strict=True):
        balance = energy.began_balance(real, fake, case.about["gamma"])
        found["d_loss"].append(energy.began_d(real, fake, k))
        k = energy.began_k(k, balance, case.about["lambda_k"])
        found["k_after"].append(k)
        found["measure"].append(energy.began_measure(real, balance))
    for key, values in found.items():
        case.check(key, torch.stack(values))
