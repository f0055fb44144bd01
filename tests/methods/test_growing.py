"""Networks that grow: what they draw while a level fades in, what decides it, and what a checkpoint remembers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from organza import PRESETS, Run, UserError, load, ops, train
from organza.contract.data import Batch, DataSpec
from organza.contract.method import Clock
from organza.core.config import from_plain, to_plain
from organza.methods.basic.dcgan import DCGAN
from organza.methods.stylegan.msg_gan import MSGGAN
from organza.methods.stylegan.progan import ProGAN, schedule
from organza.methods.stylegan.stylegan import StyleGAN
from organza.nn.growing import Growth, enlarge, faded, shrink
from organza.runs.plan import check_shares
from organza.training.loop import advance
from organza.training.settings import Training
from organza.training.state import State

CONFIGS = {
    "progan": ProGAN(),
    "progan-paper-order": ProGAN(pool_first=True, norm_first=False, mbstd="fair"),
    "stylegan-c": StyleGAN(const_input=False, noise=False),
    "stylegan-f": StyleGAN(),
    "demodulated": StyleGAN(demodulate=True),
}
SPEC = DataSpec((16, 24), 3)


def build(config, spec=SPEC, seed=0):
    torch.manual_seed(seed)
    return config.toy().resolve(spec, 4).build(spec)


def draw(method, z, progress):
    net = method.nets["G"]
    net.grown.fill_(progress)
    ws = method.model.mapping(net, z, torch.zeros(len(z), 0))
    return method.model.synthesis(net, ws, "const", None)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_level_fades_in_without_a_jump(name):
    method, z = build(CONFIGS[name]), torch.randn(4, 8)
    D, labels = method.nets["D"], torch.zeros(4, 0)
    with torch.no_grad():
        old, new = draw(method, z, 1.0), draw(method, z, 2.0)
        assert old.shape == new.shape == (4, 3, 16, 24)
        assert torch.equal(old, enlarge(shrink(old, 1), 1))  # it has the pixels of 8x12
        assert not torch.allclose(new, enlarge(shrink(new, 1), 1), atol=1e-3)
        torch.testing.assert_close(draw(method, z, 1.3), old.lerp(new, 0.3), rtol=1e-4, atol=1e-4)
        scores = [D.judge(faded(new, p, 2), labels, p)[0] for p in (1.0, 1.0001, 1.9999, 2.0)]
    torch.testing.assert_close(scores[0], scores[1], rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(scores[2], scores[3], rtol=1e-2, atol=1e-3)
    assert not torch.allclose(scores[0], scores[3], atol=1e-3)


@pytest.mark.parametrize("name", CONFIGS)
def test_fast_networks_equal_plain_ones(name):
    method, z = build(CONFIGS[name]), torch.randn(4, 8)

    def both():
        images = draw(method, z, 1.4)
        return images, method.nets["D"].judge(faded(images, 1.4, 2), torch.zeros(4, 0), 1.4)[0]

    with torch.no_grad():
        fast = both()
        with ops.using("reference"):
            slow = both()
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-4)


def test_reals_lose_detail_with_the_networks():
    images = torch.rand(2, 3, 16, 16)
    assert torch.equal(faded(images, 2.0, 2), images)
    assert torch.equal(faded(images, 1.0, 2), shrink(images, 1))
    torch.testing.assert_close(faded(images, 1.25, 2), enlarge(shrink(images, 1), 1) * 0.75 + images * 0.25)


def test_growing_is_a_function_of_the_images_seen():
    growth = Growth(start=1, end=3, fade_kimg=2.0, stable_kimg=1.0)
    seen = range(0, 9000, 500)
    assert [growth.progress(n) for n in seen][:8] == [1, 1, 1, 1.25, 1.5, 1.75, 2, 2]
    assert growth.progress(8000) == 3
    assert [growth.stage(n) for n in (0, 999, 1000, 2999, 3000, 4000, 6000, 10**9)] == [0, 0, 1, 1, 2, 3, 4, 4]
    assert Growth(2, 2, 600, 600).progress(0) == 2
    assert Growth(0, 3, 0, 0).progress(0) == 3  # no growing
    assert [Growth(0, 3, 0, 1.0).progress(n) for n in (0, 999, 1000, 2500)] == [0, 0, 1, 2]


def test_each_size_has_its_batch_and_rate():
    config = ProGAN(batches=((4, 32), (16, 8)), rates=((16, 0.003),), fade_kimg=1.0, stable_kimg=1.0)
    spec = DataSpec((16, 16))
    found = [schedule(config, spec, Clock(n)) for n in (0, 1500, 3500)]
    assert [s.batch for s in found] == [32, 32, 8]
    assert [s.rate for s in found] == pytest.approx([1.0, 1.0, 3.0])
    assert [s.stage for s in found] == [0, 1, 3]


def test_optimizers_begin_anew_with_each_stage():
    state = State.fresh(build(ProGAN()), torch.device("cpu"))
    batch = Batch(torch.rand(4, 3, 16, 24), torch.zeros(4, 0))
    for _ in range(3):
        advance(state, state.method.phases[0], batch, Training())
    steps = {int(values["step"]) for values in state.learners["D"].optimizer.state.values()}
    state.enter(0)
    assert steps == {3}
    state.enter(1)
    assert not state.learners["D"].optimizer.state


@pytest.mark.parametrize("seen", [0, 12, 100])
@pytest.mark.parametrize("config", [ProGAN(), ProGAN(label_d="projection"), StyleGAN()], ids=str)
def test_labels_reach_both_networks(config, seen):
    method = build(config, DataSpec((16, 16), 3, 4))
    batch = Batch(torch.rand(4, 3, 16, 16) * 2 - 1, torch.eye(4), seen)
    for phase in method.phases:
        parameters = dict(method.nets[phase.player].named_parameters())
        result = phase.loss(method.nets, batch, torch.Generator().manual_seed(0))
        loss, stats = result.loss, result.stats
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        assert loss.isfinite() and all(g.isfinite().all() for g in gradients if g is not None)
        assert ("labels/real" in stats) == (phase.player == "D" and config.label_d == "auxiliary")
    net, z = method.nets["G"], torch.randn(4, 8)
    one, other = (method.model.mapping(net, z, labels) for labels in (torch.eye(4), torch.eye(4).flip(0)))
    assert not torch.equal(one, other)
    scores = [method.nets["D"](batch.images, labels) for labels in (torch.eye(4), torch.eye(4).flip(0))]
    assert scores[0].shape == (4, 1)
    assert torch.equal(*scores) == (config.label_d == "auxiliary")


@pytest.mark.parametrize("name", ["progan", "stylegan-f"])
def test_a_checkpoint_draws_as_far_as_it_had_grown(name, faces, tmp_path):
    run = PRESETS[name].run
    options = {"batch": 4, "grid": "4x2", "precision": "float32"}
    outcome = train(Run(run.method.toy()), faces, outdir=tmp_path, kimg=0.012, **options)
    G = load(outcome.folder, networks="all")
    assert G.net.progress() == G.critic.progress() == 0.5  # the last step saw 8 images before it
    images = G.synthesis(G.mapping(G.z([0, 1])))
    assert images.shape == (2, 3, 16, 16)
    assert torch.equal(images, enlarge(shrink(images, 1), 1))
    assert G.discriminator(images).shape == (2, 1)
    whole = load(train(Run(run.method.toy()), faces, outdir=tmp_path, kimg=0.04, **options).folder)
    assert whole.net.progress() == 2
    assert whole.z_dim == 8


def test_a_dry_run_measures_the_grown_networks(faces):
    from organza.training.estimate import memory, on_meta

    method = replace(ProGAN(), channel_base=1024, channel_max=32, z_dim=8)
    small, large = (Run(replace(method, fade_kimg=k, stable_kimg=k)) for k in (100.0, 0.001))
    found = []
    for run in (small, large):
        spec = DataSpec((32, 32))
        state = on_meta(run.method, spec)
        found.append(memory(state, spec, Training(batch=4, kimg=1.0), torch.float32).activations)
    assert found[1] > 2 * found[0]


def test_sizes_that_can_not():
    with pytest.raises(UserError, match="ProGAN can't generate 50x50"):
        ProGAN().build(DataSpec((50, 50)))
    with pytest.raises(UserError, match="2 channels"):
        ProGAN().toy().build(DataSpec((16, 16), 2))
    with pytest.raises(UserError, match="widths_d"):
        ProGAN(widths_d=(8, 8)).build(DataSpec((16, 16)))


def test_scheduled_batches_must_be_shared_too(monkeypatch):
    monkeypatch.setattr("organza.core.distributed.world", lambda: 2)
    method = replace(ProGAN().toy(), batches=((16, 7),)).build(DataSpec((16, 16)))
    with pytest.raises(UserError, match="comes to a batch of 7, which 2 processes can't share; give other --batches"):
        check_shares(method, kimg=0.1)


def test_the_run_keeps_its_batch_where_the_schedule_says_nothing():
    config = replace(StyleGAN(), fade_kimg=1.0, stable_kimg=1.0)
    found = [schedule(config, DataSpec((128, 128)), Clock(n)).batch for n in (0, 3500, 5500, 7500)]
    assert found == [256, 64, None, None]


def test_the_first_bias_is_one_for_each_map():
    for config in (ProGAN(), MSGGAN()):
        for kind, size in (("map", 8), ("pixel", 8 * 16)):
            net = replace(config.toy(), dense_bias=kind).build(DataSpec((16, 16))).nets["G"]
            dense = getattr(net, "base", net).dense
            assert dense.bias.shape == (size,)
            dense.bias.data.copy_(torch.arange(size))
            maps = dense(torch.zeros(1, dense.weight.shape[1])).reshape(8, 16)
            assert torch.equal(maps, torch.arange(size).float().reshape(8, -1).expand(8, 16))


@pytest.mark.parametrize(
    ("config", "name", "before"),
    [(ProGAN(), "dense_bias", "pixel"), (MSGGAN(), "dense_bias", "pixel"), (DCGAN(), "latent", "normal")],
    ids=str,
)
def test_old_files_mean_what_they_meant(config, name, before):
    plain = to_plain(config)
    assert from_plain(type(config), plain) == config
    del plain[name]
    assert from_plain(type(config), plain) == replace(config, **{name: before})


def test_dcgan_draws_uniform_codes():
    method = DCGAN().toy().build(DataSpec((16, 16)))
    z = torch.randn(4000, 8, generator=torch.Generator().manual_seed(0))
    ws = method.model.mapping(method.nets["G"], z, torch.zeros(4000, 0))
    shares = torch.histc(ws, 10, -1, 1) / ws.numel()
    assert shares.sum() == pytest.approx(1) and (shares - 0.1).abs().max() < 0.01
    old = replace(DCGAN().toy(), latent="normal").build(DataSpec((16, 16)))
    assert torch.equal(old.model.mapping(old.nets["G"], z, torch.zeros(4000, 0))[:, 0], z)
