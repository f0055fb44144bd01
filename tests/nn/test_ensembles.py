"""Losses of several players and Laplacian pyramids equal golden values of the authors' code."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from organza.nn import ensembles
from organza.nn.laplacian import doubled, halved, pyramid, rebuilt
from tests import golden


def test_gman_equals_golden_values():
    case = golden.load("losses_more", "gman_3d")
    real, fake = case.arrays["real_logits"], case.arrays["fake_logits"]
    case.check("d_losses", ensembles.gman_d(real, fake).mean(1))
    for objective in ("original", "modified"):
        losses = ensembles.gman_g(fake, objective).mean(1)
        case.check(f"g_losses_{objective}", losses)
        for mean in ("arithmetic", "geometric", "harmonic"):
            for strength in (0, 1, 5, 50):
                name = f"mix_{objective}_{mean}_lam{strength}"
                if torch.isnan(case.arrays[name]):
                    continue
                case.check(name, ensembles.mixed(losses, float(strength), mean))
    losses = case.arrays["plain_losses"]
    for strength in (0, 1, 5, 50):
        case.check(f"plain_mix_lam{strength}", ensembles.mixed(losses, float(strength)))
        case.check(f"plain_weights_lam{strength}", (strength * losses).softmax(0))


@pytest.mark.parametrize("mean", ["arithmetic", "geometric", "harmonic"])
def test_means_of_equal_losses_are_that_loss(mean):
    losses = torch.full((3,), -0.4, requires_grad=True)
    found = ensembles.mixed(losses, 2.0, mean)
    found.backward()
    torch.testing.assert_close(found.detach(), torch.tensor(-0.4))
    assert losses.grad.isfinite().all()


def test_mad_gan_equals_golden_values():
    case = golden.load("losses_more", "madgan_4g")
    real, fakes = case.arrays["real_logits"], case.arrays["fake_logits"]
    each = ensembles.mad_d(real, fakes)
    case.check("d_loss", each.mean())
    case.check("d_loss_balanced", each[:6].mean() + each[6:].mean())
    case.check("g_loss", ensembles.mad_g(fakes).mean())
    case.check("g_loss_per_generator", ensembles.mad_g(fakes).reshape(4, 6).mean(1))
    logits = torch.cat([real, fakes])
    torch.testing.assert_close(each, F.cross_entropy(logits, case.arrays["labels"].long(), reduction="none"))


def test_triple_gan_equals_golden_values():
    case = golden.load("losses_more", "triplegan_10c")
    a = case.arrays
    case.check("dis_cost", ensembles.triple_d(a["dis_real_logits"], a["dis_gen_logits"], a["dis_cla_logits"]))
    case.check("gen_cost", ensembles.triple_g(a["dis_gen_logits"]).mean())
    # The authors' variable has the half as well as the weight of their CIFAR-10 script.
    sure = a["cla_u_logits"].softmax(1)
    game = ensembles.triple_c(a["dis_cla_logits"], sure).mean()
    case.check("cla_cost_p_c", 2 * game)
    labelled = ensembles.cross_entropy(a["cla_l_logits"].softmax(1), F.one_hot(a["y"].long(), 10)).mean()
    case.check("cla_cost_l", labelled)
    generated = ensembles.cross_entropy(a["cla_g_logits"].softmax(1), F.one_hot(a["y_g"].long(), 10)).mean()
    case.check("cla_cost_cla_g", generated)
    passes = (sure - a["cla_u_rep_logits"].softmax(1)).square().mean()
    case.check("cla_cost_u", 30 * passes)
    case.check("cla_cost_fast", 0.01 * game + labelled + 30 * passes)
    case.check("cla_cost", 0.01 * game + labelled + 30 * passes + 0.03 * generated)


def test_unlabelled_terms_are_entropies():
    p = torch.tensor([[0.7, 0.3], [0.2, 0.8]])
    entropy, even = ensembles.unlabelled_c(p)
    torch.testing.assert_close(entropy, -(p * p.log()).sum(1).mean())
    torch.testing.assert_close(even, -0.5 * p.mean(0).log().sum())


def test_pyramids_equal_golden_values():
    case = golden.load("losses_more", "lapgan_pyramid_32")
    x = case.arrays["x"][None]
    small, levels = pyramid(x, 3)
    case.check("low_4", small[0])
    for level in levels:
        size = level.fine.shape[2]
        case.check(f"coarse_{size}", level.coarse[0])
        case.check(f"diff_{size}", level.residual[0])
        if size < 32:
            case.check(f"low_{size}", level.fine[0])
    torch.testing.assert_close(rebuilt(small, [level.residual for level in levels])[-1], x, rtol=1e-5, atol=1e-5)


def test_halving_and_doubling_keep_flat_images():
    flat = torch.full((1, 1, 6, 4), 0.3)
    assert halved(flat).shape == (1, 1, 3, 2) and doubled(flat).shape == (1, 1, 12, 8)
    torch.testing.assert_close(halved(doubled(flat)), flat)
