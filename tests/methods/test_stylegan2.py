"""StyleGAN2 equals the official implementation; its fast twins equal the references; toy networks learn."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from organza import ops
from organza.contract.data import Batch, DataSpec
from organza.contract.method import Result
from organza.core.device import computing
from organza.core.errors import UserError
from organza.methods.stylegan.stylegan2 import StyleGAN2
from organza.nn.losses import logistic_d, logistic_g
from organza.nn.penalties import path_length_penalty, path_lengths, r1
from tests import golden, stylegan2_weights

SNAPSHOT = "network-snapshot-000070.pkl"
TOY = StyleGAN2(z_dim=8, w_dim=8, channel_base=128, channel_max=8)
SPEC = DataSpec((16, 24), 3, 2)


@pytest.fixture(params=["fast", "reference"])
def twin(request):
    with ops.using(request.param):
        yield request.param


@pytest.mark.parametrize("name", golden.names("nvidia_ada_pkl"))
def test_official_weights_give_the_official_pictures_and_logits(name, twin):
    case = golden.load("nvidia_ada_pkl", name)
    _, _, method = stylegan2_weights.load(case.folder / SNAPSHOT)
    G, D, latents = method.nets["G"].requires_grad_(False), method.nets["D"].requires_grad_(False), method.model
    z, labels, images, d_labels = (case.arrays[key] for key in ("z", "c", "d_img", "d_c"))

    ws = latents.mapping(G, z, labels)
    center = latents.center(G)
    case.check("w_psi1", ws)
    case.check("w_psi07", center.lerp(ws, 0.7))
    for key, psi, cutoff in [("w_psi07_cut8", 0.7, 8), ("w_psi05_cut3", 0.5, 3)]:
        truncated = ws.clone()
        truncated[:, :cutoff] = center.lerp(ws[:, :cutoff], psi)
        case.check(key, truncated)
        if key == "w_psi07_cut8":
            fakes = latents.synthesis(G, truncated, "const", None)
            case.check("img_psi07_cut8_const", fakes)
            case.check("d_logits_gen", D(fakes, labels))
    case.check("img_const", latents.synthesis(G, ws, "const", None))
    case.check("img_none", latents.synthesis(G, ws, "none", None))
    mixed = ws[:1].clone()
    mixed[:, 4:] = ws[1:2, 4:]
    case.check("img_mix01_cut4_none", latents.synthesis(G, mixed, "none", None))
    for n in (8, 4, 1):
        case.check(f"d_logits_b{n}", D(images[:n], d_labels[:n]))

    _, _, other = stylegan2_weights.load(case.folder / SNAPSHOT, "G")
    with torch.no_grad():
        case.check("G_nonema_img_none", other.nets["G"](z[:2], labels[:2], "none"))


@pytest.mark.parametrize(
    ("name", "weights"),
    [("stylegan2_ada_uncond", "uncond_skip_resnet_32"), ("stylegan2_ada_cond", "cond4_64_fp16cfg_aug")],
)
def test_official_losses_penalties_and_gradients(name, weights, twin):
    case, folder = golden.load("losses", name), golden.load("nvidia_ada_pkl", weights).folder
    _, _, method = stylegan2_weights.load(folder / SNAPSHOT)
    G, D = method.nets["G"], method.nets["D"]
    z, labels, real, noise = (case.arrays[key] for key in ("z", "c", "real", "pl_noise"))
    gamma = case.about["r1_gamma"]
    ours = {
        "mapping.fc0.weight": G.mapping.layers[0].weight,
        "synthesis.b8.conv0.affine.bias": G.synthesis.blocks[1].conv0.affine.bias,
        "synthesis.b8.conv0.weight": G.synthesis.blocks[1].conv0.weight,
        "b4.conv.weight": D.conv.weight,
        "b8.conv0.weight": D.blocks[-1].conv0.weight,
    }

    def check_gradients(phase, loss):
        keys = [key for key in case.arrays if key.startswith(f"d{phase}:")]
        got = torch.autograd.grad(loss.mean(), [ours[key.split(":")[1]] for key in keys])
        for key, gradient in zip(keys, got, strict=True):
            case.check(key, gradient)

    fake_scores = D(G(z, labels), labels)
    case.check("scores_fake", fake_scores)
    case.check("loss_G", logistic_g(fake_scores))
    check_gradients("Gmain", logistic_g(fake_scores))

    real_scores = D(real, labels)
    fake_scores = D(G(z, labels).detach(), labels)
    case.check("scores_real", real_scores)
    case.check("loss_D", logistic_d(real_scores, fake_scores))
    check_gradients("Dmain", logistic_d(real_scores, fake_scores))

    penalty = r1(lambda x: D(x, labels), real)
    case.check("r1_penalty", penalty)
    case.check("loss_Dr1", penalty * (gamma / 2))
    check_gradients("Dreg", penalty * (gamma / 2))

    n = len(noise)
    ws = method.model.mapping(G, z[:n], labels[:n])
    lengths = path_lengths(lambda w: method.model.synthesis(G, w, "const", None), ws, noise)
    penalty, mean = path_length_penalty(lengths, torch.tensor(0.5))
    case.check("pl_penalty", penalty)
    case.check("pl_mean_after", mean)
    case.check("loss_Gpl", penalty * 2)
    case.check("pl_mean_after2", path_length_penalty(lengths, mean)[1])
    check_gradients("Greg", penalty * 2)


def toy(config=TOY, spec=SPEC, seed=0):
    torch.manual_seed(seed)
    method = config.resolve(spec, batch=4).build(spec)
    for module in method.nets["G"].modules():  # noise is off at the start: switch it on, to see it in the tests
        if hasattr(module, "noise_strength"):
            torch.nn.init.constant_(module.noise_strength, 0.3)
    labels = torch.eye(spec.label_dim)[torch.arange(4) % spec.label_dim] if spec.label_dim else torch.zeros(4, 0)
    return method, Batch(torch.rand(4, spec.channels, *spec.resolution) * 2 - 1, labels)


def phase_gradients(method, batch, seed=1):
    """Loss, statistics and gradients of each phase."""
    results = {}
    for phase in method.phases:
        learning = [method.nets[name] for name in method.players[phase.player].nets]
        for net in method.nets.values():
            net.requires_grad_(net in learning)
        result = phase.loss(method.nets, batch, torch.Generator().manual_seed(seed))
        loss, stats = result.loss, result.stats
        parameters = {name: p for net in learning for name, p in net.named_parameters()}
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        results[phase.name] = loss.detach(), stats, dict(zip(parameters, gradients, strict=True))
    return results


VARIANTS = [
    TOY,
    replace(TOY, architecture_g="resnet", architecture_d="skip", conv_clamp=2.0),
    replace(TOY, architecture_g="orig", architecture_d="orig", noise="const", style_mixing=0.0),
]


@pytest.mark.parametrize("config", VARIANTS)
@pytest.mark.parametrize("spec", [SPEC, DataSpec((16, 16), 1)])
def test_every_phase_is_finite_and_together_they_move_every_parameter(config, spec):
    method, batch = toy(config, spec)
    results = phase_gradients(method, batch)
    assert list(results) == ["Gmain", "Greg", "Dmain", "Dreg"]
    for player in "GD":
        for name, _ in method.nets[player].named_parameters():
            found = [g[name] for phase, (_, _, g) in results.items() if phase[0] == player and g[name] is not None]
            assert found, name
            assert all(g.isfinite().all() for g in found), name
            assert config.noise == "const" or any(g.any() for g in found), name
    for loss, stats, _ in results.values():
        assert loss.isfinite()
        assert not any(value.requires_grad for value in stats.values())


@pytest.mark.parametrize("config", VARIANTS)
def test_fast_gradients_equal_reference_gradients(config):
    method, batch = toy(config)
    fast = phase_gradients(method, batch)
    with ops.using("reference"):
        slow = phase_gradients(method, batch)
    for phase in fast:
        torch.testing.assert_close(fast[phase][0], slow[phase][0], rtol=1e-4, atol=1e-5)
        for name, expected in slow[phase][2].items():
            if expected is not None:
                close = {"rtol": 1e-3, "atol": 1e-4 * float(expected.abs().max()) + 1e-7}
                torch.testing.assert_close(fast[phase][2][name], expected, **close, msg=f"{phase} {name}")


def test_bfloat16_gradients_point_the_same_way():
    method, batch = toy(replace(TOY, channel_base=256, channel_max=16))
    exact = phase_gradients(method, batch)
    with computing(torch.bfloat16):
        low = phase_gradients(method, batch)
    for phase in exact:
        a, b = (torch.cat([g.flatten() for g in r[phase][2].values() if g is not None]) for r in (exact, low))
        assert b.dtype == torch.float32
        assert torch.cosine_similarity(a, b, dim=0) > 0.95, phase


def test_running_means_move_after_the_step():
    method, batch = toy()
    means = phase_gradients(method, batch)
    for phase in method.phases:
        if phase.after is not None:
            phase.after(method.nets, Result(torch.zeros(()), means[phase.name][1]), torch.Generator())
    assert method.model.center(method.nets["G"]).any()
    assert method.state["pl_mean"] == pytest.approx(0.01 * float(means["Greg"][1]["pl/length"]))


def test_losses_are_functions_of_the_generator_alone():
    method, batch = toy()
    first, again, other = (phase_gradients(method, batch, seed)["Gmain"][0] for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_automatic_settings_are_the_official_ones():
    config = StyleGAN2().resolve(DataSpec((256, 256)), batch=16)
    assert (config.channel_base, config.mbstd_group, config.lr) == (16384, 4, 0.0025)
    assert config.r1_gamma == pytest.approx(0.8192)
    config = StyleGAN2().resolve(DataSpec((1024, 1024)), batch=4)
    assert (config.channel_base, config.lr, config.r1_gamma) == (32768, 0.002, pytest.approx(52.4288))
    assert StyleGAN2(lr=0.1, r1_gamma=0.0).resolve(DataSpec((64, 64)), 2) == StyleGAN2(
        lr=0.1, r1_gamma=0.0, channel_base=16384, mbstd_group=2
    )


def test_regularisers_can_be_left_out():
    config = replace(TOY, r1_gamma=0.0, pl_weight=0.0)
    assert [phase.name for phase in toy(config)[0].phases] == ["Gmain", "Dmain"]


@pytest.mark.parametrize("resolution", [(4, 4), (6, 4), (20, 28), (48, 32), (64, 96)])
def test_sizes_that_can_be_drawn(resolution):
    method, _ = toy(spec=DataSpec(resolution, 4))
    images = method.nets["G"](torch.randn(2, 8), torch.zeros(2, 0))
    assert images.shape == (2, 4, *resolution)
    assert method.nets["D"](images, torch.zeros(2, 0)).shape == (2, 1)


@pytest.mark.parametrize("resolution", [(50, 50), (109, 89), (64, 36), (3, 3)])
def test_sizes_that_can_not(resolution):
    with pytest.raises(UserError, match="StyleGAN2 can't generate"):
        TOY.resolve(DataSpec(resolution), 4).build(DataSpec(resolution))


def test_other_mistakes_are_named():
    with pytest.raises(UserError, match="2 channels"):
        TOY.resolve(SPEC, 4).build(DataSpec((16, 16), channels=2))
    with pytest.raises(ValueError, match="resolve"):
        TOY.build(SPEC)
    method, batch = toy()
    with pytest.raises(ValueError, match="noise"):
        method.nets["G"](torch.zeros(1, 8), batch.labels[:1], noise="loud")
