"""MSG-GAN: every image and every way of joining it has its part in the gradients."""

from __future__ import annotations

import itertools

import pytest
import torch

from organza import UserError
from organza.contract.data import Batch, DataSpec
from organza.methods.stylegan.msg_gan import MSGGAN


def build(config, spec=None):
    spec = spec or DataSpec((16, 24), 1)
    torch.manual_seed(0)
    return config.toy().resolve(spec, 4).build(spec)


VARIANTS = list(
    itertools.product(
        ("progan", "stylegan"), ("simple", "lin_cat", "cat_lin"), ("wgan-gp", "logistic", "relativistic-hinge")
    )
)


@pytest.mark.parametrize(("base", "combine", "loss"), VARIANTS)
def test_every_variant_moves_every_weight(base, combine, loss):
    method = build(MSGGAN(base=base, combine=combine, loss=loss))
    batch = Batch(torch.rand(4, 1, 16, 24) * 2 - 1, torch.zeros(4, 0))
    for phase in method.phases:
        parameters = dict(method.nets[phase.player].named_parameters())
        result = phase.loss(method.nets, batch, torch.Generator().manual_seed(0))
        value, stats = result.loss, result.stats
        gradients = torch.autograd.grad(value, list(parameters.values()), allow_unused=True)
        dead = [name for name, g in zip(parameters, gradients, strict=True) if g is None or not g.any()]
        # Only the difference of scores counts in the relativistic loss, and a small batch may agree on the last bias.
        assert set(dead) <= ({"out.bias"} if loss == "relativistic-hinge" else set()), phase.name
        assert stats[f"loss/{phase.name}"].isfinite()


def test_gradients_reach_each_size():
    method = build(MSGGAN())
    D = method.nets["D"]
    pictures = [image.requires_grad_() for image in D.scales(torch.rand(4, 1, 16, 24))]
    assert [tuple(image.shape[2:]) for image in pictures] == [(4, 6), (8, 12), (16, 24)]
    scores = D.judge(pictures)
    assert torch.equal(scores, D(pictures[-1]))
    assert all(g.any() for g in torch.autograd.grad(scores.sum(), pictures))


def test_what_it_can_not():
    with pytest.raises(UserError, match="no labels"):
        build(MSGGAN(), DataSpec((16, 16), 3, 2))
    with pytest.raises(UserError, match="can't generate 50x50"):
        build(MSGGAN(), DataSpec((50, 50)))
