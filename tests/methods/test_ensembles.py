"""GMAN and MAD-GAN: steps written out by hand, and one generator of several at sampling."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from organza import UserError, load, train
from organza.cli.main import main
from organza.contract.data import DataSpec
from organza.methods.ensembles.gman import GMAN, dealt
from organza.methods.ensembles.mad_gan import MADGAN
from organza.presets import PRESETS
from organza.training.loop import advance, generator
from organza.training.settings import Training
from organza.training.state import State
from tests.shapes import batch_of, toy

CPU = torch.device("cpu")
SPEC = DataSpec((16, 16), 3)


def state_of(config, count=4):
    torch.manual_seed(0)
    return State.fresh(config.toy().resolve(SPEC, count).build(SPEC), CPU)


def uniform(phase, count, z_dim):
    """The latent vectors that a phase of the loop's first step takes."""
    z = torch.randn([count, z_dim], generator=generator(CPU, 0, 0, phase, 0))
    return torch.erf(z / 2**0.5)


def assert_weights(net, by_hand):
    for (name, got), expected in zip(net.named_parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-6, msg=name)


# --- GMAN ---


@pytest.mark.parametrize("learnt", [False, True])
@pytest.mark.parametrize("mean", ["arithmetic", "geometric"])
def test_a_step_of_gman_is_the_papers(mean, learnt):
    config = GMAN(mean=mean, strength=2.0, learn_strength=learnt)
    state, batch = state_of(config, 6), batch_of(SPEC, 6)
    for module in (*state.method.nets.values(),):
        for part in module.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = 0.0  # by hand there is none
    G, D = copy.deepcopy(state.method.nets["G"]), copy.deepcopy(state.method.nets["D"])
    raw = torch.nn.Parameter(torch.tensor(-2.0))
    d_phase, g_phase = state.method.phases
    first = advance(state, d_phase, batch, Training())
    second = advance(state, g_phase, batch, Training())

    adam = {"lr": 2e-4, "betas": (0.5, 0.999)}
    sigmoid = lambda x: 0.98 / (1 + torch.exp(-x)) + 0.01  # noqa: E731
    fake = G(uniform("D", 6, 8)).detach()
    losses = [
        (-sigmoid(critic(batch.images[3 * i : 3 * i + 3])).log() - (1 - sigmoid(critic(fake[3 * i : 3 * i + 3]))).log())
        for i, critic in enumerate(D.each)
    ]
    for critic, loss in zip(D.each, losses, strict=True):  # each learns alone
        optimizer = torch.optim.Adam(critic.parameters(), **adam)
        loss.mean().backward()
        optimizer.step()
    fake = G(uniform("G", 6, 8))
    each = torch.stack([(1 - sigmoid(c(fake[3 * i : 3 * i + 3]))).log().mean() for i, c in enumerate(D.each)])
    strength = F.softplus(raw) if learnt else torch.tensor(2.0)
    weights = (strength * each).exp() / (strength * each).exp().sum()
    mixed = (weights * each).sum() if mean == "arithmetic" else -((weights * (-each).log()).sum().exp())
    optimizer = torch.optim.Adam([*G.parameters(), raw], **adam)
    (mixed - 0.001 * strength if learnt else mixed).backward()
    optimizer.step()

    torch.testing.assert_close(first.stats["loss/D"], torch.stack([loss.mean() for loss in losses]).mean().detach())
    torch.testing.assert_close(second.stats["loss/G"], mixed.detach())
    assert_weights(state.method.nets["D"], D)
    assert_weights(state.method.nets["G"], G)
    if learnt:
        torch.testing.assert_close(state.method.nets["strength"].raw, raw)


def test_the_harshest_critic_counts_most():
    from organza.nn.ensembles import mixed

    losses = torch.tensor([-2.0, -0.1], requires_grad=True)  # the second is hard to fool
    mixed(losses, 50.0).backward()
    assert losses.grad[1] > 0.99 > 0.01 > losses.grad[0].abs()


def test_images_are_dealt_out_to_all_discriminators():
    critics = state_of(GMAN()).method.nets["D"].eval()
    images = batch_of(SPEC, 5).images
    parts = dealt(critics, images)
    assert [len(part) for part in parts] == [3, 2]
    torch.testing.assert_close(parts[1], critics.each[1](images[3:]))
    torch.testing.assert_close(critics(images), (critics.each[0](images) + critics.each[1](images)) / 2)
    with pytest.raises(UserError, match="1 images can't be dealt out to 2 discriminators; take a larger --batch"):
        dealt(critics, images[:1])
    with pytest.raises(UserError, match="4 images can't be dealt out to 5 discriminators"):
        GMAN().resolve(SPEC, 4)


# --- MAD-GAN ---


def test_a_step_of_mad_gan_is_the_papers():
    state, batch = state_of(MADGAN(), 4), batch_of(SPEC, 4)
    G, D = copy.deepcopy(state.method.nets["G"]), copy.deepcopy(state.method.nets["D"])
    d_phase, g_phase = state.method.phases
    first = advance(state, d_phase, batch, Training())
    second = advance(state, g_phase, batch, Training())

    adam = {"lr": 2e-4, "betas": (0.5, 0.999)}
    d_adam, g_adam = torch.optim.Adam(D.parameters(), **adam), torch.optim.Adam(G.parameters(), **adam)
    features = G.first(uniform("D", 4, 8)).detach()
    fakes = [own(features.clone()).detach() for own in G.own]
    logits = torch.cat([D.encoder(batch.images), D.encoder(torch.cat(fakes))])
    chances = logits.exp() / logits.exp().sum(1, keepdim=True)
    labels = [0] * 4 + [1] * 4 + [2] * 4  # one real for two fakes: a plain mean over all
    d_loss = -torch.stack([chances[n, label].log() for n, label in enumerate(labels)]).mean()
    d_adam.zero_grad()
    d_loss.backward()
    d_adam.step()
    features = G.first(uniform("G", 4, 8))  # all of them make something of the same codes
    logits = D.encoder(torch.cat([own(features.clone()) for own in G.own]))
    g_loss = -(logits[:, 0] - logits.exp().sum(1).log()).mean()
    g_adam.zero_grad()
    g_loss.backward()
    g_adam.step()

    torch.testing.assert_close(first.stats["loss/D"], d_loss.detach())
    torch.testing.assert_close(second.stats["loss/G"], g_loss.detach())
    assert_weights(state.method.nets["D"], D)
    assert_weights(state.method.nets["G"], G)


@pytest.mark.parametrize("shared", [1, 2, 99])
def test_generators_share_their_first_layers(shared):
    config = replace(MADGAN().toy(), shared=shared, generators=3)
    torch.manual_seed(0)
    method = config.build(SPEC)
    G = method.nets["G"].eval()
    z = torch.rand(5, 8) * 2 - 1
    everyone = G.all(z).unflatten(0, (3, 5))
    for number in range(3):
        codes = method.model.choose(torch.cat([z, torch.zeros(5, 1)], 1)[:, None], number)[:, 0]
        torch.testing.assert_close(G(codes), everyone[number])
    assert not torch.allclose(everyone[0], everyone[1])
    assert len(G.own[0]) >= 2  # the last layer is always a generator's own


def test_one_generator_makes_all_images(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = {"kimg": 0.008, "batch": 4, "grid": "2x1", "metrics": "none"}
    run = train(toy("mad-gan"), faces, outdir=tmp_path, **options).folder
    G = load(run)
    each = [G.only(number).generate([0, 1, 2]) for number in (0, 1)]
    found = G.generate([0, 1, 2])
    for n in range(3):
        assert any((found[n] == images[n]).all() for images in each)
    assert (each[0] != each[1]).any()
    with pytest.raises(UserError, match="there is no generator 2; give 0 to 1"):
        G.only(2)
    line = ["generate", "--network", str(run), "--seeds", "0-1", "--outdir", str(tmp_path / "out")]
    assert main([*line, "--generator", "1"]) == 0
    assert main([*line, "--generator", "7"]) == 2
    assert "there is no generator 7" in capsys.readouterr().err
    plain = train(toy("dcgan"), faces, outdir=tmp_path, **options).folder
    with pytest.raises(UserError, match="dcgan has one generator"):
        load(plain).only(0)


# --- all of them ---


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if preset.family == "ensembles"])
def test_the_paper_size_can_be_built(name: str) -> None:
    from organza.training.estimate import on_meta

    spec = DataSpec((32, 32), 3, 10 if PRESETS[name].run.method.layout == "labelled" else 0, source=3)
    run = PRESETS[name].run
    assert on_meta(run.method.resolve(spec, run.training.batch or 32), spec).method.models
