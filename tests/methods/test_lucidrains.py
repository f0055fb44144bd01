"""lucidrains' StyleGAN2 learns: every phase is finite, and every weight moves."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from organza.contract.data import Batch, DataSpec
from organza.core.errors import UserError
from organza.methods.stylegan.lucidrains import LucidStyleGAN2


@pytest.mark.parametrize(("no_const", "channels"), [(False, 3), (True, 4)])
def test_phases_are_finite_and_move_every_parameter(no_const, channels):
    spec = DataSpec((16, 16), channels)
    method = replace(LucidStyleGAN2().toy(), no_const=no_const).build(spec)
    batch = Batch(torch.rand(4, channels, 16, 16) * 2 - 1, torch.zeros(4, 0))
    moved = set()
    for phase in method.phases:
        (name,) = method.players[phase.player].nets
        result = phase.loss(method.nets, batch, torch.Generator().manual_seed(0))
        loss, stats = result.loss, result.stats
        assert loss.isfinite()
        assert not any(value.requires_grad for value in stats.values())
        parameters = dict(method.nets[name].named_parameters())
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        moved |= {f"{name}.{key}" for key, g in zip(parameters, gradients, strict=True) if g is not None and g.any()}
        if phase.after is not None:
            phase.after(method.nets, result, torch.Generator())
    every = {f"{n}.{key}" for n, net in method.nets.items() for key, _ in net.named_parameters()}
    assert every - moved <= {"D.out.bias"}  # inside the margins the hinge pulls it both ways alike
    assert method.model.center(method.nets["G"]).any()


@pytest.mark.parametrize("noise", ["const", "random", "none"])
def test_noise(noise):
    method = LucidStyleGAN2().toy().build(DataSpec((16, 16), 3))
    net, draw = method.nets["G"], method.model.synthesis
    ws = method.model.mapping(net, torch.randn(2, 8), torch.zeros(2, 0))
    first, same = (draw(net, ws, noise, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, same)
    other = draw(net, ws, noise, torch.Generator().manual_seed(2))
    assert torch.equal(first, other) == (noise != "random")


@pytest.mark.parametrize(
    "spec", [DataSpec((16, 24)), DataSpec((24, 24)), DataSpec((16, 16), 1), DataSpec((16, 16), 3, 2)]
)
def test_what_it_can_not_draw(spec):
    with pytest.raises(UserError):
        LucidStyleGAN2().build(spec)
