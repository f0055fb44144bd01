"""U-GAT-IT: a step by hand, the layers, and what the loop must keep of them."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

import organza
from organza import UserError, train
from organza.cli.main import main
from organza.contract.data import DataSpec
from organza.media.heat import overlay
from organza.nn.adalin import LIN, AdaLIN, clip_rho
from organza.nn.spectral import SpectralConv2d, SpectralLinear
from organza.presets import PRESETS
from organza.training.loop import advance
from organza.training.settings import Training
from organza.training.state import State
from tests.shapes import batch_of, spec_of, toy

CPU = torch.device("cpu")


def state_of(name="ugatit-light", count=2):
    spec = spec_of(name)
    torch.manual_seed(0)
    return State.fresh(toy(name).method.resolve(spec, count).build(spec), CPU), batch_of(spec, count)


# --- layers ---


def test_adalin_is_the_papers_formula():
    torch.manual_seed(0)
    x, gain, bias = torch.randn(2, 3, 4, 5), torch.randn(2, 3), torch.randn(2, 3)
    layer = AdaLIN(3)
    assert layer.rho.tolist() == pytest.approx([0.9] * 3)
    layer.rho.data = torch.tensor([0.0, 0.25, 1.0])
    expected = torch.empty_like(x)
    for n in range(2):
        image = x[n]
        over_all = (image - image.mean()) / (image.var(unbiased=True) + 1e-5).sqrt()
        for c, rho in enumerate((0.0, 0.25, 1.0)):
            own = (image[c] - image[c].mean()) / (image[c].var(unbiased=True) + 1e-5).sqrt()
            expected[n, c] = (rho * own + (1 - rho) * over_all[c]) * gain[n, c] + bias[n, c]
    torch.testing.assert_close(layer(x, gain, bias), expected)
    plain = LIN(3)
    torch.testing.assert_close(plain(x), F.layer_norm(x, x.shape[1:]), rtol=0.02, atol=0.02)  # which is biased
    layer.rho.data = torch.tensor([-0.5, 0.5, 1.5])
    clip_rho(nn.Sequential(layer))
    assert layer.rho.tolist() == [0, 0.5, 1]


@pytest.mark.parametrize("make", [lambda: SpectralConv2d(3, 5, 4, 2), lambda: SpectralLinear(7, 3)])
def test_spectral_norm_is_pytorchs(make):
    torch.manual_seed(0)
    ours = make()
    linear = isinstance(ours, SpectralLinear)
    theirs = nn.Linear(7, 3, bias=False) if linear else nn.Conv2d(3, 5, 4, 2)
    theirs.load_state_dict({key: value for key, value in ours.state_dict().items() if key in ("weight", "bias")})
    theirs = nn.utils.spectral_norm(theirs)
    theirs.weight_u.copy_(ours.u)
    theirs.weight_v.copy_(ours.v)
    x = torch.randn(4, 7) if linear else torch.randn(2, 3, 8, 9)
    for learning in (False, True, True, False):
        one, other = ours.train(learning)(x), theirs.train(learning)(x)
        torch.testing.assert_close(one, other)
        torch.testing.assert_close(ours.u, theirs.weight_u)
        one.square().sum().backward()
        other.square().sum().backward()
    torch.testing.assert_close(ours.weight.grad, theirs.weight_orig.grad)
    for _ in range(60):
        ours.train()(x)
    assert torch.linalg.matrix_norm(ours.normal_weight().flatten(1), 2).item() == pytest.approx(1, abs=1e-4)


# --- a step ---


def mse(x, target):
    return (x - target).square().mean()


def step_by_hand(nets, source, target, lr=1e-4):
    """The authors' order: the discriminators first, then the generators against what these have become."""
    A, B = nets["G_AtoB"], nets["G_BtoA"]
    critics = [name for name in nets if name.startswith("D_")]
    adam = {"betas": (0.5, 0.999), "weight_decay": 1e-4}
    d_adam = torch.optim.Adam([p for name in critics for p in nets[name].parameters()], lr, **adam)
    g_adam = torch.optim.Adam([*A.parameters(), *B.parameters()], lr, **adam)

    fakes = {"B": A(source).detach(), "A": B(target).detach()}
    loss = 0.0
    for side, real in (("B", target), ("A", source)):
        for name in (f"D_{side}", f"D_{side}_local"):
            patches, found = nets[name].attend(real)
            patches_fake, found_fake = nets[name].attend(fakes[side])
            loss = loss + mse(patches, 1) + mse(patches_fake, 0) + mse(found.logits, 1) + mse(found_fake.logits, 0)
    d_adam.zero_grad()
    loss.backward()
    d_adam.step()

    total = 0.0
    for one, other, side, images, own in ((A, B, "B", source, target), (B, A, "A", target, source)):
        found, kept = one.attend(images), one.attend(own)
        output, same = one.translated(found.features), one.translated(kept.features)
        for name in (f"D_{side}", f"D_{side}_local"):
            patches, seen = nets[name].attend(output)
            total = total + mse(patches, 1) + mse(seen.logits, 1)
        total = total + 10 * (other(output) - images).abs().mean() + 10 * (same - own).abs().mean()
        yes, no = torch.ones_like(found.logits), torch.zeros_like(found.logits)
        bce = F.binary_cross_entropy_with_logits
        total = total + 1000 * (bce(found.logits, yes) + bce(kept.logits, no))
    g_adam.zero_grad()
    total.backward()
    g_adam.step()
    for net in (A, B):
        for key, value in net.named_parameters():
            if key.endswith("rho"):
                value.data.clamp_(0, 1)
    return loss, total


@pytest.mark.parametrize("name", ["ugatit", "ugatit-light"])
def test_a_step_is_the_authors(name):
    state, batch = state_of(name)
    nets = copy.deepcopy(state.method.nets)
    d_phase, g_phase = state.method.phases
    assert (d_phase.name, g_phase.name) == ("D", "G")
    d_found = advance(state, d_phase, batch, Training())
    g_found = advance(state, g_phase, batch, Training())
    d_loss, g_loss = step_by_hand(nets, batch.source, batch.images)
    torch.testing.assert_close(d_found.stats["loss/D"], d_loss.detach())
    torch.testing.assert_close(g_found.stats["loss/G"], g_loss.detach(), rtol=1e-4, atol=1e-4)
    for net in nets:
        for key, value in state.method.nets[net].state_dict().items():
            torch.testing.assert_close(value, nets[net].state_dict()[key], rtol=1e-3, atol=2e-5, msg=f"{net}.{key}")


def test_rho_stays_between_its_bounds():
    state, batch = state_of()
    layer = state.method.nets["G_AtoB"].styled[0].norm1
    layer.rho.data.fill_(1.0)
    lin = state.method.nets["G_BtoA"].ups[0].norm
    advance(state, state.method.phases[1], batch, Training(), rate=20000.0)  # each weight moves by 2
    rhos = {*lin.rho.tolist(), *layer.rho.tolist()}
    assert rhos <= {0.0, 1.0} and (lin.rho.max() == 1 or layer.rho.min() == 0)


def test_singular_vectors_do_not_depend_on_how_a_batch_is_cut():
    found = []
    for micro in (4, 1):
        state, batch = state_of(count=4)
        for phase in state.method.phases:
            advance(state, phase, batch, Training(micro_batch=micro))
        found.append(
            {f"{name}.{key}": value for name, net in state.method.nets.items() for key, value in net.named_buffers()}
        )
    assert any(key.endswith(".u") for key in found[0])
    for key, value in found[0].items():
        torch.testing.assert_close(value, found[1][key], rtol=1e-4, atol=1e-5, msg=key)


# --- what does not fit ---


def test_images_that_do_not_fit():
    method = PRESETS["ugatit"].run.method.toy()

    def build(height, width, source=3):
        spec = DataSpec((height, width), 3, source=source)
        return method.resolve(spec, 1).build(spec)

    with pytest.raises(UserError, match="can't translate images of 18x16; take sides that are multiples of 4"):
        build(18, 16)
    with pytest.raises(UserError, match="two sets of the same channels, not 1 and 3"):
        build(16, 16, source=1)
    with pytest.raises(UserError, match=r"16x16 images can't be halved 5 times .* take --halvings-global 2"):
        replace(method, halvings_global=5).resolve(DataSpec((16, 16), 3, source=3), 1)
    assert PRESETS["ugatit"].run.method.resolve(DataSpec((256, 256), 3, source=3), 1).halvings_global == 5
    for side in (8, 12, 44, 96):
        spec = DataSpec((side, side), 3, source=3)
        state = State.fresh(build(side, side), CPU)
        for phase in state.method.phases:
            assert advance(state, phase, batch_of(spec, 1), Training()).loss.isfinite()


def test_heat_maps_on_the_command_line(pairs, tmp_path):
    options = {"batch": 2, "kimg": 0.004, "grid": "1x1"}
    folder = train(toy("ugatit-light"), pairs, outdir=tmp_path / "runs", **options).folder
    base = ["translate", "--network", str(folder), "--input", str(pairs / "A" / "3.png"), "--precision", "float32"]
    assert main([*base, "--output", str(tmp_path / "plain.png")]) == 0
    assert main([*base, "--output", str(tmp_path / "hot.png"), "--heat", "--compare"]) == 0
    plain, hot = (np.asarray(Image.open(tmp_path / name)) for name in ("plain.png", "hot.png"))
    source = np.asarray(Image.open(pairs / "A" / "3.png").convert("RGB"))
    assert hot.shape == (16, 48, 3)
    assert np.array_equal(hot[:, :16], source) and np.array_equal(hot[:, 32:], plain)
    T = organza.load(folder)
    assert np.array_equal(hot[:, 16:32], np.asarray(T.heat(pairs / "A" / "3.png")))
    other = train(toy("cyclegan"), pairs, outdir=tmp_path / "runs", **options).folder
    with pytest.raises(UserError, match="cyclegan has no attention, so there is no heat map"):
        organza.load(other).heat(pairs / "A" / "3.png")


def test_an_overlay_is_hot_where_the_map_is():
    heat = torch.tensor([[[[0.0, 1.0], [2.0, 4.0]]]])
    found = overlay(torch.zeros(1, 3, 2, 2), heat, share=1.0)
    assert found[0, :, 0, 0].tolist() == [-1, -1, 0] and found[0, :, 1, 1].tolist() == [0, -1, -1]
    assert overlay(torch.ones(1, 4, 4, 4), torch.zeros(1, 1, 2, 2), share=0.0).eq(1).all()
