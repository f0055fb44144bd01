"""Gradient penalties equal golden values of published implementations, with their own gradients."""

from __future__ import annotations

import torch
from torch import nn

from organza.nn import penalties
from tests import golden


def critic(case):
    """The critic that the fixture describes."""
    net = nn.Sequential(
        nn.Conv2d(3, 6, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(6, 12, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(12, 1, 4, 1, 0),
    )
    weights = {key.removeprefix("weight:"): value for key, value in case.arrays.items() if key.startswith("weight:")}
    net.load_state_dict(weights)
    return net


def test_penalties_equal_golden_values_to_second_order():
    case = golden.load("losses", "gradient_penalties")
    net, real, fake = critic(case), case.arrays["real"], case.arrays["fake"]
    parameters = dict(net.named_parameters())
    between = torch.lerp(fake, real, case.arrays["alpha"][:, :, None, None])

    penalty = 10 * penalties.wgan_gp(net, between).mean()
    case.check("wgangp", penalty)
    case.check("wgangp_onesided", 10 * penalties.wgan_gp(net, between, one_sided=True).mean())
    case.check("critic_xhat", net(between))
    case.check("grad_norm", penalties.r1(net, between).sqrt())
    case.check("dragan_like_zero_centered", 10 * penalties.r1(net, between).mean())
    for name in ("0.weight", "0.bias", "2.weight", "2.bias", "4.weight"):
        (gradient,) = torch.autograd.grad(penalty, parameters[name], retain_graph=True)
        case.check(f"dwgangp:{name}", gradient)

    case.check("r1_per_sample", penalties.r1(net, real))
    case.check("r2_per_sample", penalties.r2(net, fake))
    loss = penalties.r1(net, real).mean() * 5
    case.check("r1_gamma10", loss)
    case.check("dr1:0.weight", torch.autograd.grad(loss, parameters["0.weight"])[0])


def test_interpolates_lie_between_and_follow_the_generator():
    real, fake = torch.ones(5, 3, 4, 4), torch.zeros(5, 3, 4, 4)
    first, again = (penalties.interpolate(real, fake, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)
    assert ((first >= 0) & (first <= 1)).all()
    assert (first == first[:, :1, :1, :1]).all()
    assert len(first[:, 0, 0, 0].unique()) == 5


def test_path_lengths_of_a_linear_map_are_known():
    """A map that scales w by 3 into one pixel stretches every direction threefold."""
    ws = torch.zeros(2, 1, 1, requires_grad=True)
    lengths = penalties.path_lengths(lambda w: 3 * w[:, :, :, None], ws, torch.tensor([1.0, -2.0]).reshape(2, 1, 1, 1))
    assert lengths.tolist() == [3.0, 6.0]
    penalty, mean = penalties.path_length_penalty(lengths, torch.tensor(0.0), decay=0.5)
    assert mean.item() == 2.25
    assert penalty.tolist() == [0.5625, 14.0625]
    assert not mean.requires_grad
