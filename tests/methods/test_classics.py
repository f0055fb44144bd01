"""A step of each classic method equals the paper's, written out by hand; what can't be trained says so."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from organza import PRESETS, UserError, load, train
from organza.cli.main import main
from organza.contract.data import DataSpec, LabelSet
from organza.contract.method import Clock
from organza.methods.basic.autoencoder import Autoencoder
from organza.methods.basic.began import BEGAN
from organza.methods.basic.cgan import CGAN
from organza.methods.basic.dcgan import DCGAN
from organza.methods.basic.ebgan import EBGAN
from organza.methods.basic.gan import GAN
from organza.methods.basic.lsgan import LSGAN
from organza.methods.basic.vae import VAE
from organza.methods.basic.wgan import WGAN
from organza.methods.basic.wgan_gp import WGANGP
from organza.nn.losses import GAME
from organza.runs.watch import read_best
from organza.training.loop import advance, generator
from organza.training.monitor import read_log
from organza.training.settings import Training
from organza.training.state import State
from tests.methods.test_cut import assert_same, by_hand
from tests.shapes import batch_of, toy

SHORT = {"kimg": 0.004, "batch": 4, "grid": "2x2", "resolution": "16", "precision": "float32"}
CPU = torch.device("cpu")
SPEC = DataSpec((16, 16), 3)
CLASSES = replace(SPEC, label_dim=3, label_sets=(LabelSet(3, "classes"),))


def built(config, spec=SPEC):
    torch.manual_seed(0)
    return State.fresh(config.resolve(spec, 4).build(spec), CPU)


def steps(state, batch):
    """One step of each phase; D's statistics and G's."""
    found = {}
    for phase in state.method.phases:
        result = advance(state, phase, batch, Training())
        batch, found = batch.leaving(result.carry), found | result.stats
    return found


def adam(lr, *betas):
    return lambda weights: torch.optim.Adam(weights, lr, betas)


def log_d(x):
    return torch.sigmoid(x).log().mean()


def log_not_d(x):
    return (1 - torch.sigmoid(x)).log().mean()


LOSSES = {
    "non-saturating": (lambda r, f: -log_d(r) - log_not_d(f), lambda r, f: -log_d(f)),
    "minimax": (lambda r, f: -log_d(r) - log_not_d(f), lambda r, f: log_not_d(f)),
    "least-squares": (
        lambda r, f: ((r - 1) ** 2).mean() / 2 + (f**2).mean() / 2,
        lambda r, f: ((f - 1) ** 2).mean() / 2,
    ),
    "wasserstein": (lambda r, f: f.mean() - r.mean(), lambda r, f: -f.mean()),
    "hinge": (lambda r, f: (1 - r).clamp(min=0).mean() + (1 + f).clamp(min=0).mean(), lambda r, f: -f.mean()),
    "relativistic": (lambda r, f: -log_d(r - f), lambda r, f: -log_d(f - r)),
    "relativistic-average": (
        lambda r, f: -log_d(r - f.mean()) - log_not_d(f - r.mean()),
        lambda r, f: -log_d(f - r.mean()) - log_not_d(r - f.mean()),
    ),
    "relativistic-squares": (
        lambda r, f: ((r - f.mean() - 1) ** 2).mean() + ((f - r.mean() + 1) ** 2).mean(),
        lambda r, f: ((f - r.mean() - 1) ** 2).mean() + ((r - f.mean() + 1) ** 2).mean(),
    ),
    "dual-contrastive": (
        lambda r, f: contrast(r, f) + contrast(-f, -r),
        lambda r, f: contrast(f, r) + contrast(-r, -f),
    ),
}


def contrast(one, others):
    return -torch.stack([(x.exp() / (x.exp() + others.exp().sum())).log() for x in one]).mean()


def slope(critic, points):
    """The length of the critic's gradient at each point."""
    points = points.detach().requires_grad_()
    (found,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return found.square().sum((1, 2, 3)).sqrt()


def a_step(config, spec=SPEC, optimizer=None):
    """Both players once, by the loop and by hand, for networks that are DCGAN's or perceptrons."""
    state = built(config, spec)
    nets, batch = copy.deepcopy(dict(state.method.nets)), batch_of(spec, 4)
    G, D, labels, latents = nets["G"], nets["D"], batch.labels, state.method.model
    loss_d, loss_g = LOSSES[config.loss]
    rng = {name: generator(CPU, 0, 0, name, 0) for name in "DG"}

    def made(name):
        z = torch.randn(4, config.z_dim, generator=rng[name])
        z = z if getattr(config, "latent", "normal") == "normal" else torch.erf(z / 2**0.5)
        return G(torch.cat([z, labels], 1))

    def scores(images):
        """The score of images with their labels, and what they are taken for."""
        if not spec.label_dim:
            return D.encoder(images), None
        if config.label_d == "join" and isinstance(config, GAN):
            return D.encoder(torch.cat([images.flatten(1), labels], 1)), None
        if config.label_d == "join":
            maps = labels[:, :, None, None].repeat(1, 1, 16, 16)
            return D.encoder(torch.cat([images, maps], 1)), None
        found = D.encoder(images)
        if config.label_d == "auxiliary":
            return found[:, :1], found[:, 1:]
        return found[:, :1] + (found[:, 1:] * labels).sum(1, keepdim=True), None

    def named(classes):
        return 0 if classes is None else F.cross_entropy(classes, labels.argmax(1))

    def d_loss():
        fakes, reals = made("D").detach(), batch.images
        (real, classes), (fake, classes_fake) = scores(reals), scores(fakes)
        loss = loss_d(real, fake) + named(classes) + named(classes_fake)
        critic = lambda x: scores(x)[0]  # noqa: E731
        if config.penalty == "none":
            return loss
        if "r1" in config.penalty or "r2" in config.penalty:
            parts = [slope(critic, x) for key, x in (("r1", reals), ("r2", fakes)) if key in config.penalty]
            return loss + sum(config.gp_weight / 2 * part.square().mean() for part in parts)
        share = torch.rand(4, 1, 1, 1, generator=rng["D"])
        length = slope(critic, share * reals + (1 - share) * fakes)
        excess = {"wgan-gp": length - 1, "wgan-lp": (length - 1).clamp(min=0), "zero-centred": length}
        return loss + config.gp_weight * excess[config.penalty].square().mean()

    def g_loss():
        if config.clip:
            for weight in D.parameters():
                weight.data.clamp_(-config.clip, config.clip)
        fake, classes = scores(made("G"))
        real, _ = scores(batch.images)
        return loss_g(real, fake) + named(classes)

    optimizer = optimizer or adam(config.lr, config.beta1, config.beta2)
    by_hand(nets, [("D",), ("G",)], [d_loss, g_loss], optimizer)
    found = steps(state, batch)
    assert_same(state, nets)
    assert latents.w_dim == config.z_dim + spec.label_dim
    return state, found


@pytest.mark.parametrize("loss", GAME)
def test_a_step_with_every_loss(loss):
    _, found = a_step(replace(DCGAN().toy(), loss=loss))
    assert ("convergence/wasserstein" in found) == (loss == "wasserstein")


@pytest.mark.parametrize("penalty", ["wgan-gp", "wgan-lp", "zero-centred", "r1", "r2", "r1+r2"])
def test_a_step_with_every_penalty(penalty):
    a_step(replace(DCGAN().toy(), penalty=penalty, gp_weight=3.0))


@pytest.mark.parametrize(
    ("label_d", "kind"), [*product(["join", "auxiliary", "projection"], [DCGAN, LSGAN, WGANGP, GAN])]
)
def test_a_step_with_labels(label_d, kind):
    a_step(replace(kind().toy(), label_d=label_d), CLASSES)


@pytest.mark.parametrize("config", [GAN(), DCGAN(), LSGAN(), WGANGP(), GAN(loss="minimax", penalty="r1")])
def test_a_step_of_each_paper(config):
    a_step(config.toy())


def test_a_step_of_wgan_clips():
    state, found = a_step(WGAN().toy(), optimizer=lambda weights: torch.optim.RMSprop(weights, 0.00005))
    assert max(p.abs().max() for p in state.method.nets["D"].parameters()) <= 0.01
    assert found["convergence/wasserstein"] == -found["loss/D"]


def test_what_the_presets_are():
    """The numbers of the papers, and of the course's network for digits."""
    course = PRESETS["dcgan-course"].run
    nets = course.method.build(DataSpec((32, 32), 1)).nets
    maps = [list(p.shape[:2]) for p in nets["G"].parameters() if p.ndim == 4]
    assert maps == [[100, 256], [256, 128], [128, 64], [64, 1]]
    assert [p.shape[0] for p in nets["D"].parameters() if p.ndim == 4] == [64, 128, 256, 1]
    assert (course.method.lr, course.method.beta1, course.data.resolution) == (0.0002, 0.5, "32")
    wgan = PRESETS["wgan"].run.method
    assert (wgan.lr, wgan.clip, wgan.critic_steps, wgan.optimizer) == (0.00005, 0.01, 5, "rmsprop")
    gp = PRESETS["wgan-gp"].run.method
    assert (gp.lr, gp.beta1, gp.beta2, gp.critic_steps, gp.gp_weight) == (0.0001, 0.0, 0.9, 5, 10.0)
    due = [phase.due(step) for phase in gp.toy().build(SPEC).phases for step in range(6)]
    assert due == [True] * 6 + [True, False, False, False, False, True]


def test_a_penalty_wants_a_discriminator_without_batch_normalisation():
    with pytest.raises(UserError, match="--penalty r1 is for single images, and batch normalisation mixes images"):
        built(DCGAN(penalty="r1", norm_d="batch").toy())
    assert DCGAN(penalty="r1").like(DCGAN(), SPEC).norm_d is None
    assert DCGAN().like(WGANGP(), SPEC).norm_d == "layer"


# --- conditional GAN ---


def test_a_step_of_cgan_is_that_of_the_paper():
    config = replace(CGAN().toy(), penalty="none")  # as the paper has it
    state = built(config, CLASSES)
    nets, batch = copy.deepcopy(dict(state.method.nets)), batch_of(CLASSES, 4)
    G, D, y = nets["G"], nets["D"].encoder, batch.labels
    rng = {name: generator(CPU, 0, 0, name, 0) for name in "DG"}

    def made(name):
        z = torch.erf(torch.randn(4, 8, generator=rng[name]) / 2**0.5)
        hidden = F.relu(G.of_both(torch.cat([F.relu(G.of_z(z)), F.relu(G.of_y(y))], 1)))
        return torch.tanh(G.out(hidden)).reshape(4, 3, 16, 16)

    def maxout(layer, x, pieces):
        values = x @ layer.linear.weight.t() + layer.linear.bias
        return values.reshape(4, -1, pieces).max(2).values

    def score(x):
        both = torch.cat([maxout(D.of_x, x.flatten(1), 5), maxout(D.of_y, y, 5)], 1)
        return D.out(maxout(D.of_both, both, 4))

    def d_loss():
        return -log_d(score(batch.images)) - log_not_d(score(made("D").detach()))

    by_hand(nets, [("D",), ("G",)], [d_loss, lambda: -log_d(score(made("G")))], adam(0.0004, 0.5, 0.999))
    steps(state, batch)
    assert_same(state, nets)


def test_a_conditional_gan_wants_labels():
    for call in (lambda c: c.resolve(SPEC, 4), lambda c: c.build(SPEC)):
        with pytest.raises(UserError, match="a conditional GAN needs labels"):
            call(CGAN())


def test_attributes_are_named_one_by_one():
    """AC-GAN with labels that are no classes: a cross-entropy for each."""
    spec = replace(CLASSES, label_sets=(LabelSet(3, "numbers"),))
    state = built(replace(DCGAN().toy(), label_d="auxiliary"), spec)
    assert steps(state, batch_of(spec, 4))["terms/classes/G"].isfinite()


# --- autoencoding discriminators ---


@pytest.mark.parametrize(("weight", "margin"), [(0.0, 1.0), (0.1, 10.0)])
def test_a_step_of_ebgan_is_that_of_the_paper(weight, margin):
    config = replace(EBGAN(pt_weight=weight, margin=margin).toy())
    state = built(config)
    nets, batch = copy.deepcopy(dict(state.method.nets)), batch_of(SPEC, 4)
    G, D = nets["G"], nets["D"]
    rng = {name: generator(CPU, 0, 0, name, 0) for name in "DG"}

    def energy(x):
        return ((D.decoder(D.encoder(x)) - x) ** 2).mean((1, 2, 3))

    def d_loss():
        fakes = G(torch.randn(4, 8, generator=rng["D"])).detach()
        real = energy(batch.images)
        return (real + (margin - energy(fakes)).clamp(min=0)).mean()

    def g_loss():
        fakes = G(torch.randn(4, 8, generator=rng["G"]))
        codes, total = D.encoder(fakes).flatten(1), 0
        for i, j in product(range(4), range(4)):
            if i != j:
                total = total + (codes[i] @ codes[j] / codes[i].norm() / codes[j].norm()) ** 2
        return energy(fakes).mean() + weight * total / (4 * 3)

    by_hand(nets, [("D",), ("G",)], [d_loss, g_loss], adam(0.0002, 0.5, 0.999))
    steps(state, batch)
    assert_same(state, nets)


def test_ebgan_can_begin_with_real_images_alone():
    method = EBGAN(pretrain_kimg=0.5).toy().build(SPEC)
    active = {
        seen: [p.name for p in method.phases if p.active(method.schedule(Clock(seen)).stage)] for seen in (0, 499, 500)
    }
    assert active == {0: ["D/pretraining"], 499: ["D/pretraining"], 500: ["D", "G"]}
    assert [phase.name for phase in EBGAN().toy().build(SPEC).phases] == ["D", "G"]


def test_steps_of_began_are_those_of_the_paper():
    """Two steps, because the first has k = 0."""
    config = BEGAN(k_rate=0.5).toy()
    state = built(config)
    nets, k = copy.deepcopy(dict(state.method.nets)), 0.0
    G, D = nets["G"], nets["D"]
    made = {net: torch.optim.Adam(nets[net].parameters(), 0.0001, (0.5, 0.999)) for net in "DG"}

    def error(x):
        return (D.decoder(D.encoder(x)) - x).abs().mean()

    for seen in (0, 4):
        batch = replace(batch_of(SPEC, 4), seen=seen)
        rng = {name: generator(CPU, 0, seen, name, 0) for name in "DG"}
        z_d, z_g = (torch.erf(torch.randn(4, 8, generator=rng[name]) / 2**0.5) for name in "DG")
        real = error(batch.images)
        made["D"].zero_grad()
        (real - k * error(G(z_d).detach())).backward()
        made["D"].step()
        fake = error(G(z_g))
        made["G"].zero_grad()
        fake.backward()
        made["G"].step()
        balance = 0.5 * real.item() - fake.item()
        k = min(max(k + 0.5 * balance, 0.0), 1.0)
        found = steps(state, batch)
        assert found["convergence/m_global"].item() == pytest.approx(real.item() + abs(balance), abs=1e-5)
        assert state.method.state["began/k"].item() == found["terms/k"].item() == pytest.approx(k, abs=1e-5)
        for name, net in state.method.nets.items():
            for weight, other in zip(net.parameters(), nets[name].parameters(), strict=True):
                torch.testing.assert_close(weight, other, rtol=1e-4, atol=1e-5)


def test_sizes_and_rates_of_began():
    method = BEGAN().build(DataSpec((64, 64)))
    convs = [list(p.shape) for p in method.nets["D"].get_submodule("encoder").parameters() if p.ndim == 4]
    assert [shape[0] for shape in convs] == [64] * 4 + [128] * 3 + [192] * 3 + [256] * 2
    assert [method.schedule(Clock(seen)).rate for seen in (0, 1_599_999, 1_600_000, 3_200_000)] == [1, 1, 0.5, 0.25]
    with pytest.raises(UserError, match="can't halve 17x17 down to 8 to 15 pixels"):
        BEGAN().build(DataSpec((17, 17)))


# --- autoencoders ---


@pytest.mark.parametrize(
    ("networks", "likelihood", "beta"), [("conv", "gaussian", 1.0), ("mlp", "bernoulli", 1.0), ("mlp", "gaussian", 4.0)]
)
def test_a_step_of_the_vae_is_that_of_the_paper(networks, likelihood, beta):
    state = built(replace(VAE(networks=networks, likelihood=likelihood, beta=beta).toy()))
    nets, batch = copy.deepcopy(dict(state.method.nets)), batch_of(SPEC, 4)
    rng, terms = generator(CPU, 0, 0, "VAE", 0), {}

    def loss():
        found = nets["encoder"](batch.images)
        mean, deviation = found[:, :8], (found[:, 8:] / 2).exp()
        z = mean + deviation * torch.randn(4, 8, generator=rng)
        images = nets["decoder"](z)
        if likelihood == "gaussian":
            log_p = torch.distributions.Normal(images, 0.2).log_prob(batch.images)
        else:
            white = (images + 1) / 2
            x = (batch.images + 1) / 2
            log_p = x * white.log() + (1 - x) * (1 - white).log()
        kl = torch.distributions.kl_divergence(
            torch.distributions.Normal(mean, deviation), torch.distributions.Normal(0.0, 1.0)
        )
        terms["log_p"], terms["kl"] = log_p.sum((1, 2, 3)).mean(), kl.sum(1).mean()
        return (beta * terms["kl"] - terms["log_p"]) / (3 * 16 * 16)

    by_hand(nets, [("encoder", "decoder")], [loss], adam(0.0005, 0.9, 0.999))
    found = steps(state, batch)
    assert_same(state, nets)
    assert found["terms/elbo"].item() == pytest.approx((terms["log_p"] - terms["kl"]).item(), rel=1e-4)
    assert found["terms/divergence"].item() == pytest.approx(terms["kl"].item(), rel=1e-4)


@pytest.mark.parametrize("networks", ["conv", "mlp"])
def test_a_step_of_the_autoencoder(networks):
    state = built(Autoencoder(networks=networks, sigma=0.5).toy())
    nets, batch = copy.deepcopy(dict(state.method.nets)), batch_of(SPEC, 4)
    constant = torch.distributions.Normal(0.0, 0.5).log_prob(torch.tensor(0.0))

    def loss():
        squares = (nets["decoder"](nets["encoder"](batch.images)) - batch.images).square().mean()
        return squares / (2 * 0.25) - constant

    by_hand(nets, [("encoder", "decoder")], [loss], adam(0.0005, 0.9, 0.999))
    steps(state, batch)
    assert_same(state, nets)


def test_an_autoencoder_samples_codes_like_those_it_has_seen():
    state = built(Autoencoder(networks="mlp").toy())
    batch, model = batch_of(SPEC, 64), state.method.model
    encoder = state.method.nets["encoder"]
    for p in encoder.parameters():
        p.requires_grad_(False)
    with torch.no_grad():
        encoder.layers[-1].bias.add_(3.0)
        for _ in range(1000):
            codes = encoder(batch.images)
            state.method.nets["decoder"].note(codes.mean(0), codes.square().mean(0))
        ws = model.mapping(state.method.nets["decoder"], torch.randn(5000, 8), torch.zeros(5000, 0))[:, 0]
    torch.testing.assert_close(ws.mean(0), codes.mean(0), atol=0.05, rtol=0.02)
    torch.testing.assert_close(ws.std(0), codes.std(0, unbiased=False), atol=0.05, rtol=0.05)


# --- from the outside ---


@pytest.mark.parametrize("name", ["dcgan", "cgan"])
def test_truncation_leaves_the_label_as_it_is(name, faces, tmp_path):
    G = load(train(toy(name), faces, outdir=tmp_path, labels="auto", **SHORT).folder)
    full, half, none = (G.mapping(G.z([0, 1]), [1, 0], psi=psi) for psi in (1.0, 0.5, 0.0))
    z_dim = G.z_dim
    for ws in (full, half, none):
        assert torch.equal(ws[:, 0, z_dim:], torch.eye(G.label_dim)[[1, 0]])
    torch.testing.assert_close(half[:, :, :z_dim], full[:, :, :z_dim] / 2)
    assert not none[:, :, :z_dim].any()
    assert not torch.equal(G.synthesis(none)[0], G.synthesis(none)[1])


def test_the_best_checkpoint_by_what_the_log_says(faces, tmp_path, told):
    """BEGAN's preset says so; each snapshot is measured by the mean of the log since the one before."""
    many = {**SHORT, "kimg": 0.024, "tick_kimg": 0.004, "snapshot_kimg": 0.008}
    run = train(toy("began"), faces, outdir=tmp_path, **many).folder
    log = read_log(run)
    values = [r["convergence/m_global"] for r in log if "convergence/m_global" in r]
    means = [sum(values[k : k + 2]) / 2 for k in (0, 2, 4)]
    assert [r["metrics/convergence"] for r in log if "metrics/convergence" in r] == pytest.approx(means)
    best = read_best(run)
    assert best["metric"] == "convergence/m_global" and best["value"] == pytest.approx(min(means))
    assert (run / "checkpoints" / "best" / "ema.safetensors").exists()
    assert "best: convergence/m_global" in told()


def test_what_has_no_figure_of_convergence(faces, tmp_path):
    with pytest.raises(UserError, match="the log of dcgan has no figure of convergence; --metrics auto evaluates"):
        train(toy("dcgan"), faces, outdir=tmp_path, metrics="convergence", **SHORT)
    assert train(toy("wgan"), faces, outdir=tmp_path, metrics="convergence", **SHORT).finished


def test_cgan_says_that_labels_are_missing(faces, tmp_path):
    with pytest.raises(UserError, match="a conditional GAN needs labels; say where they are: --labels auto"):
        train(toy("cgan"), faces, outdir=tmp_path, labels="none", **SHORT)
    assert not list(tmp_path.iterdir())


def test_a_table_of_classes_has_a_seed_in_each_row(faces, tmp_path, capsys):
    run = train(toy("cgan"), faces, outdir=tmp_path, **SHORT).folder
    G = load(run)
    words = ["generate", "--network", str(run), "--class", "0,1", "--grid", "2x3", "--output", str(tmp_path / "a.png")]
    assert main(words) == 0
    with Image.open(tmp_path / "a.png") as image:
        cells = np.array(image).reshape(3, 16, 2, 16, 3).transpose(0, 2, 1, 3, 4).reshape(6, 16, 16, 3)
    assert np.array_equal(cells, G.generate([0, 0, 1, 1, 2, 2], [0, 1] * 3))
    assert main([*words, "--seeds", "7,8,9"]) == 0
    assert main([*words, "--seeds", "7,8,9,10"]) == 2
    assert "2 classes for 4 seeds" in capsys.readouterr().err
