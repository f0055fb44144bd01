"""Weights of other implementations give their images and logits, through `organza.load`."""

from __future__ import annotations

import pytest
import torch

import organza
from organza.formats import read_weights
from organza.nn.losses import wasserstein_d
from organza.nn.penalties import r1, wgan_gp
from organza.ops.warp import SYM6
from organza.tensors.opening import open_file
from organza.weights.convert import convert
from tests import golden

FILES = {
    "nvidia_ada_pkl": "network-snapshot-000070.pkl",
    "stylegan3_pkl": "network-snapshot-000070.pkl",
    "nvidia_tf_pkl": "network-final.pkl",
}
CASES = [(kind, name) for kind in FILES for name in golden.names(kind)]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_nvidia(kind, name, caplog):
    case = golden.load(kind, name)
    G = organza.load(case.folder / FILES[kind], networks="all")
    assert "non-commercial" in caplog.text
    z, images = case.arrays["z"], case.arrays["d_img"]
    labels, d_labels = case.arrays.get("c"), case.arrays.get("d_c", torch.zeros(8, 0))

    ws = G.mapping(z, labels)
    case.check("w_psi1", ws)
    if name != "sg1_32":
        case.check("w_psi07", G.mapping(z, labels, psi=0.7))
    case.check("w_psi05_cut3", G.mapping(z, labels, psi=0.5, cutoff=3))
    truncated = G.mapping(z, labels, psi=0.7, cutoff=8)
    case.check("w_psi07_cut8", truncated)
    fakes = G.synthesis(truncated)
    case.check("img_psi07_cut8_const", fakes)
    case.check("img_const", G.synthesis(ws))
    mixed = ws[:1].clone()
    mixed[:, 4:] = ws[1:2, 4:]
    made = {"img_mix01_cut4_none": lambda: G.synthesis(mixed, "none"), "img_none": lambda: G.synthesis(ws, "none")}
    made["d_logits_gen"] = lambda: G.discriminator(fakes, labels)
    if name != "sg1_32":
        assert made.keys() <= case.arrays.keys()
    for key in made.keys() & case.arrays.keys():
        case.check(key, made[key]())
    sizes = {"d_logits_b2": 2, "d_logits_b8": 8, "d_logits_b8_group4": 8, "d_logits_b4": 4, "d_logits_b1": 1}
    for key in case.arrays.keys() & sizes:
        case.check(key, G.discriminator(images[: sizes[key]], d_labels[: sizes[key]]))

    weights = read_weights(case.folder / FILES[kind])
    assert set(weights.nets) == {"G_ema", "G", "D"}
    assert not weights.problems
    assert not weights.foreign
    if "G_nonema_img_none" in case.arrays:
        net = weights.config.build(weights.spec).nets["G"].requires_grad_(False)
        net.load_state_dict(weights.tensors("G"))
        noise = [] if weights.method == "stylegan3" else ["none"]  # it has no noise
        case.check("G_nonema_img_none", net(z[:2], labels[:2], *noise))


@pytest.mark.parametrize("name", ["cifar_cfg_32", "cond4_64_fp16cfg_aug"])
def test_the_wavelet_is_the_one_that_nvidia_augments_with(name):
    case = golden.load("nvidia_ada_pkl", name)
    case.check("augment_Hz_geom", torch.tensor(SYM6) / 2**0.5)
    pipe = open_file(case.folder / FILES["nvidia_ada_pkl"]).value["augment_pipe"]
    case.check("augment_p", pipe.tensors()["p"].tensor())


@pytest.mark.parametrize("name", [name for name in golden.names("progan") if name.startswith("akanimax")])
def test_akanimax(name):
    case = golden.load("progan", name)
    depth = case.about["kwargs"]["depth"]
    G = organza.load(case.folder / next(iter(case.about["files"])), networks="all")
    end, z = G.net.end, case.arrays["z"]
    labels = case.arrays.get("labels")
    labels = torch.zeros(8, 0) if labels is None else torch.eye(G.spec.label_dim)[labels]
    case.check("img_full_a1", G.synthesis(G.mapping(z)))
    with torch.no_grad():  # 0.7 before the end: their alpha is 0.3
        case.check("img_full_a03", G.net.draw_level(z, end - 0.7))
        case.check(f"img_d{depth - 1}_a03", G.net.draw_level(z, end - 1.7))
        case.check("img_d2", G.net.draw_level(z, 0.0))
        for less in (0, 1):
            images = case.arrays[f"d_img_d{depth - less}"]
            for alpha in (1.0, 0.3):
                scores = G.critic.judge(images, labels, end - less - 1 + alpha)[0]
                case.check(f"d_logits_d{depth - less}_a{'1' if alpha == 1 else '03'}", scores[:, 0])
    if "wgangp_penalty" in case.arrays:
        real, fake = case.arrays[f"d_img_d{depth}"], case.arrays["fake_for_gp"]

        def judge(x):
            return G.critic.judge(x, labels, end - 0.7)[0]

        penalty = 10 * wgan_gp(judge, torch.lerp(fake, real, case.arrays["gp_eps"])).mean()
        case.check("wgangp_penalty", penalty)
        score, other = judge(real), judge(fake)
        loss = wasserstein_d(score, other).mean() + penalty + 0.001 * score.square().mean()
        case.check("wgangp_dis_loss", loss)
    assert G.generate([1]).shape[1:3] == (4 << end, 4 << end)


def test_akanimax_in_the_middle_of_a_training(tmp_path):
    case = golden.load("progan", "akanimax_32")
    path = tmp_path / "depth_3_epoch_12.bin"
    path.write_bytes((case.folder / "depth_5_epoch_12.bin").read_bytes())
    G = organza.load(path)
    with torch.no_grad():
        expected = G.net.draw_level(case.arrays["z"], 1.0)
    torch.testing.assert_close(G.synthesis(G.mapping(case.arrays["z"]))[:, :, ::4, ::4], expected)


@pytest.mark.parametrize("name", [name for name in golden.names("progan") if name.startswith("fair")])
def test_fair(name, tmp_path):
    case = golden.load("progan", name)
    file = case.folder / next(iter(case.about["files"]))
    G = organza.load(file, networks="all")
    z, images, end = case.arrays["z"], case.arrays["d_img"], G.net.end
    case.check("avgG_img_alpha", G.synthesis(G.mapping(z)))
    case.check("netD_alpha", G.discriminator(images))
    weights = read_weights(file)
    assert not weights.problems and not weights.foreign
    raw = weights.config.build(weights.spec).nets["G"].requires_grad_(False)
    raw.load_state_dict(weights.tensors("G"))
    with torch.no_grad():
        case.check("avgG_img_alpha0", G.net.draw(z, float(end)))
        case.check("netD_alpha0", G.critic.judge(images, torch.zeros(8, 0), float(end))[0])
        between = torch.lerp(case.arrays["fake"], images, case.arrays["gp_alpha"][:, :, None, None])
        penalty = wgan_gp(lambda x: G.critic.judge(x, torch.zeros(8, 0), float(end))[0], between)
        case.check("wgangp_penalty_sum", 10 * penalty.sum())
        case.check("netG_img_alpha", raw.draw(z, raw.progress()))
        case.check("netG_img_alpha0", raw.draw(z, float(end)))
    again = organza.load(convert(file, tmp_path / "net"), networks="all")
    assert (again.generate([1, 2]) == G.generate([1, 2])).all()


@pytest.mark.parametrize("name", golden.names("rosinality_pt"))
def test_rosinality(name):
    case = golden.load("rosinality_pt", name)
    (file,) = case.folder.glob("*.pt")
    G = organza.load(file, networks="all")
    z, images = case.arrays["z"], case.arrays["d_img"]
    ws = G.mapping(z)
    case.check("w", ws[:, 0])
    case.check("img", G.synthesis(ws))
    if name != "train_32":  # training files have no mean w: see the next test
        case.check("latent_avg", G.w_avg)
    truncated = case.arrays["latent_avg"].lerp(ws, 0.6)
    case.check("latent_trunc06", truncated)
    case.check("img_trunc06", G.synthesis(truncated))
    case.check("img_zero_noise", G.synthesis(ws, "none"))
    mixed = ws[:1].clone()
    mixed[:, 3:] = ws[1:2, 3:]
    case.check("img_mix_inject3", G.synthesis(mixed))
    case.check("img_wplus", G.synthesis(case.arrays["wplus"]))
    case.check("d_logits_b8", G.discriminator(images))
    case.check("d_logits_b2", G.discriminator(images[:2]))


def test_rosinality_saved_inside_data_parallel(tmp_path):
    file = golden.load("rosinality_pt", "train_32").folder / "550000.pt"
    averaged = torch.load(file, weights_only=False)["g_ema"]
    torch.save({"g_ema": {f"module.{name}": value for name, value in averaged.items()}}, tmp_path / "a.pt")
    assert (organza.load(tmp_path / "a.pt").generate([1]) == organza.load(file).generate([1])).all()


def test_a_training_file_of_rosinality_gets_a_mean_w():
    case = golden.load("rosinality_pt", "train_32")
    G = organza.load(case.folder / "550000.pt")
    ws = G.mapping(G.z(range(512)))[:, 0]
    assert (G.w_avg - ws.mean(0)).abs().max() < 0.2 * ws.std(0).max()
    torch.testing.assert_close(organza.load(case.folder / "550000.pt").w_avg, G.w_avg)


@pytest.mark.parametrize("name", golden.names("lucidrains"))
def test_lucidrains(name, tmp_path):
    case = golden.load("lucidrains", name)
    file = case.folder / "model_12.pt"
    G = organza.load(file, networks="all")
    z, planes = case.arrays["z"], case.arrays["noise"][..., 0]

    def draw(net, ws):  # their images are in [0, 1], and each has its own noise
        parts = []
        for w, plane in zip(ws, planes, strict=False):
            net.noise.copy_(plane)
            parts.append(G.latents.synthesis(net, w[None], "const", None))
        return (torch.cat(parts) + 1) / 2

    ws = G.mapping(z)
    case.check("w", ws[:, 0])
    case.check("img_raw", draw(G.net, ws))
    case.check("img", draw(G.net, ws).clamp(0, 1))
    # Ours takes images in [-1, 1], so gradients for theirs in [0, 1] are twice as large.
    case.check("gradient_penalty", 10 * r1(lambda x: G.critic(2 * x - 1), case.arrays["d_img"]).mean())
    case.check("img_trunc075", draw(G.net, case.arrays["w_avg"].lerp(ws, 0.75)).clamp(0, 1))
    mixed = ws[:1].clone()
    mixed[:, 2:] = ws[1:2, 2:]
    case.check("img_mixed", draw(G.net, mixed).clamp(0, 1))
    case.check("d_logits", -G.discriminator(case.arrays["d_img"] * 2 - 1)[:, 0])  # theirs are low for real images
    codes = G.mapping(G.z(range(512)))[:, 0]
    assert (G.w_avg - codes.mean(0)).abs().max() < 0.2 * codes.std(0).max()

    weights = read_weights(file)
    assert not weights.problems
    net = weights.config.build(weights.spec).nets["G"].requires_grad_(False)
    net.load_state_dict(weights.tensors("G"))
    case.check("img_G_raw", draw(net, G.latents.mapping(net, z, torch.zeros(len(z), 0))))

    again = organza.load(convert(file, tmp_path / "net"), networks="all")
    assert (again.generate([1, 2]) == organza.load(file).generate([1, 2])).all()
