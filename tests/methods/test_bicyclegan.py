"""BicycleGAN: a step equals one written out by hand from the paper and the authors' code."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import mse_loss

from organza import UserError
from organza.contract.data import DataSpec
from organza.methods.translation.bicyclegan import BicycleGAN
from organza.methods.translation.pix2pix import Pix2Pix
from organza.training.loop import advance, generator
from organza.training.settings import Training
from organza.training.state import State
from tests.shapes import batch_of, spec_of, toy

CPU = torch.device("cpu")


def state_of(**changes) -> State:
    torch.manual_seed(0)
    spec = spec_of("bicyclegan")
    config = replace(toy("bicyclegan").method, dropout=False, **changes)
    return State.fresh(config.resolve(spec, 4).build(spec), CPU)


def gan(scores, real: bool):
    return sum(mse_loss(s, torch.full_like(s, float(real))) for s in scores)


@pytest.mark.parametrize("conditional", [False, True])
def test_a_step_is_the_papers(conditional):
    state = state_of(conditional=conditional)
    G, E, D, D2 = (copy.deepcopy(state.method.nets[name]) for name in ("G", "E", "D", "D2"))
    batch = batch_of(spec_of("bicyclegan"), 4, seen=8)
    for phase in state.method.phases:
        batch = batch.leaving(advance(state, phase, batch, Training(seed=3)).carry)

    # cVAE-GAN and cLR-GAN share the sources A1; the others only bring D2 real images.
    assert batch.source is not None
    A1, B1, A2, B2 = batch.source[::2], batch.images[::2], batch.source[1::2], batch.images[1::2]
    rng = generator(CPU, 3, 8, "G", 0)
    noise, z = (torch.randn(2, 3, generator=rng) for _ in range(2))
    critics = [parameter for net in (D, D2) for parameter in net.parameters()]
    adam_G, adam_E = (torch.optim.Adam(net.parameters(), 0.0002, (0.5, 0.999)) for net in (G, E))
    adam_D = torch.optim.Adam(critics, 0.0002, (0.5, 0.999))

    def look(net, images, source):
        return net(torch.cat([source, images], 1) if conditional else images)

    mu, logvar = E(B1)
    encoded, random = G(A1, mu + (logvar / 2).exp() * noise), G(A1, z)
    loss = gan(look(D, encoded, A1), True) + gan(look(D2, random, A1), True)
    loss = loss + 10 * (encoded - B1).abs().mean()
    loss = loss - 0.5 * 0.01 * (1 + logvar - mu**2 - logvar.exp()).sum() / len(B1)
    loss.backward(retain_graph=True)
    of_e = [parameter.grad.clone() for parameter in E.parameters()]
    (0.5 * (E(random)[0] - z).abs().mean()).backward()
    for parameter, gradient in zip(E.parameters(), of_e, strict=True):  # E learns from the first game alone
        parameter.grad = gradient
    adam_G.step()
    adam_E.step()
    adam_D.zero_grad()
    fakes = encoded.detach(), random.detach()
    loss_d = gan(look(D, fakes[0], A1), False) + gan(look(D, B1, A1), True)
    loss_d = loss_d + gan(look(D2, fakes[1], A1), False) + gan(look(D2, B2, A2), True)
    loss_d.backward()
    adam_D.step()
    torch.testing.assert_close(batch.carry["outputs"][::2], fakes[0])
    for name, net in (("G", G), ("E", E), ("D", D), ("D2", D2)):
        for (key, ours), theirs in zip(state.method.nets[name].named_parameters(), net.parameters(), strict=True):
            # A bias before instance normalisation has a gradient of rounding errors, which Adam makes steps of.
            if not key.endswith(("conv.bias", "conv1.bias", "conv2.bias")):
                torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6, msg=lambda m, key=key: f"{key}: {m}")


def test_the_discriminators_step_is_the_same_however_the_batch_is_cut():
    found = []
    for micro in (8, 4, 2):
        state = state_of()
        torch.manual_seed(1)
        batch = batch_of(spec_of("bicyclegan"), 8)
        batch = batch.leaving({"outputs": torch.rand(8, 3, 16, 16)})
        found.append(advance(state, state.method.phases[1], batch, Training(micro_batch=micro)).stats)
    for stats in found[1:]:
        for name, value in found[0].items():
            torch.testing.assert_close(stats[name], value)


def test_what_does_not_fit_is_said():
    spec = DataSpec((16, 16), 3, source=3)
    with pytest.raises(UserError, match="two by two, not 3 at a time; take an even --batch"):
        BicycleGAN().resolve(spec, 3)
    state = state_of()
    with pytest.raises(UserError, match="two by two, not 1 at a time"):
        advance(state, state.method.phases[0], batch_of(spec, 4), Training(micro_batch=1))
    for config, message in (
        (
            BicycleGAN(layers_d=2),
            "16x16 images are too small for 2 halvings at 2 sizes; take a smaller --layers-d or --scales",
        ),
        (BicycleGAN(layers_e=6), "too small for an encoder of 6 halvings; take a smaller --layers-e"),
        (BicycleGAN(depth=5), "can't be halved 5 times; take a smaller --depth"),
        (BicycleGAN(depth=1), "a U-Net of 1 halving has no level to skip to; take --depth 2 or more"),
        (Pix2Pix(depth=1), "a U-Net of 1 halving has no level to skip to; take --depth 2 or more"),
        (BicycleGAN(layers_d=2**31 - 1), "take a smaller --layers-d"),
    ):
        with pytest.raises(UserError, match=message):
            config.resolve(spec, 2).build(spec)


@pytest.mark.parametrize("side", [4, 8, 16, 24, 64])
@pytest.mark.parametrize("kind", ["resnet", "conv"])
def test_settings_fit_the_images(side, kind):
    spec = DataSpec((side, side), 1, source=3)
    config = replace(BicycleGAN(kind_e=kind).resolve(spec, 2), width=2, width_e=2, width_d=2)
    state = State.fresh(config.build(spec), CPU)
    for phase in state.method.phases:
        batch = batch_of(spec, 2).leaving({"outputs": torch.zeros(2, 1, side, side)})
        assert advance(state, phase, batch, Training()).loss.isfinite()


@pytest.mark.parametrize("kind", ["resnet", "conv"])
@pytest.mark.parametrize("norm", ["batch", "instance", "instance-affine", "none"])
@pytest.mark.parametrize("z_into", ["all", "input"])
def test_variants_learn_everywhere(kind, norm, z_into):
    # At depth 4 the innermost map is one pixel: larger it is a constant, of which normalisation leaves nothing.
    state = state_of(kind_e=kind, norm=norm, z_into=z_into, upsampling="bilinear", game="logistic", depth=3)
    batch = batch_of(spec_of("bicyclegan"), 4)
    for phase in state.method.phases:
        batch = batch.leaving(advance(state, phase, batch, Training()).carry)
        for name in state.method.players[phase.player].nets:
            for key, parameter in state.method.nets[name].named_parameters():
                assert parameter.grad is not None and parameter.grad.isfinite().all(), key
                assert parameter.grad.any() or "bias" in key, key
