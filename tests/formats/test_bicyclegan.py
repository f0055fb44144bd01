"""BicycleGAN's files: G with its encoder and discriminators beside it give the official values."""

from __future__ import annotations

import shutil

import pytest
import torch

import organza
from organza import UserError, train
from organza.methods.translation.pix2pix import adversarial_d, adversarial_g
from organza.models.load import load_generator
from organza.nn.likelihood import gaussian_divergence
from organza.weights.convert import convert
from organza.weights.inspect import inspect
from tests import golden
from tests.standins import at_random, images
from tests.standins.bicyclegan import Critic, Encoder, UNet

CASES = golden.names("bicyclegan") or ["absent"]


@pytest.mark.parametrize("name", CASES)
def test_outputs_codes_and_logits_are_the_official_ones(name, tmp_path):
    case = golden.load("bicyclegan", name)
    path, given = case.folder / "latest_net_G.pth", case.arrays
    T = organza.load(path, networks="all")
    assert (T.kind, T.model.z_dim, T.mode) == ("bicyclegan", given["z"].shape[1], "eval")
    case.check("G_out", T.apply(given["x"], z=given["z"]))
    with torch.no_grad():
        mu, logvar = T.encoder(given["b"])
        logits = T.critic(given["b"])
    case.check("E_mu", mu)
    case.check("E_logvar", logvar)
    for scale, found in enumerate(logits):
        case.check(f"D_out{scale}", found)
    assert torch.equal(T.discriminator(given["b"]), logits[0])
    assert inspect(path).usable
    copy = organza.load(convert(path, tmp_path / "ours"))
    assert torch.equal(copy.apply(given["x"], z=given["z"]), T.apply(given["x"], z=given["z"]))
    image = torch.zeros(5, 9, 3, dtype=torch.uint8).numpy()
    assert torch.equal(copy.encode(image), T.encode([image])) and T.encode(image).shape == (1, T.model.z_dim)


@pytest.mark.parametrize("name", CASES)
def test_losses_are_the_official_ones(name):
    case = golden.load("bicyclegan", name)
    scales = [case.arrays["D_out0"], case.arrays["D_out1"]]
    for official, game in (("lsgan", "least-squares"), ("vanilla", "logistic")):
        case.check(f"gan_{official}_real", sum(adversarial_g(game, logits) for logits in scales))
        both = sum(2 * adversarial_d(game, logits, logits) for logits in scales)
        case.check(f"gan_{official}_fake", both - case.arrays[f"gan_{official}_real"])
    divergence = gaussian_divergence(case.arrays["E_mu"], case.arrays["E_logvar"])
    case.check("loss_kl", 0.01 * divergence.sum())


def test_what_lies_beside_it_is_used_if_it_can_be(tmp_path):
    case = golden.load("bicyclegan", CASES[0])
    shutil.copy(case.folder / "latest_net_G.pth", tmp_path)
    T, x, z = organza.load(tmp_path / "latest_net_G.pth"), case.arrays["x"], case.arrays["z"]
    case.check("G_out", T.apply(x, z=z))
    with pytest.raises(UserError, match="bicyclegan has no encoder here; its encoder's file belongs beside it"):
        T.encode(torch.zeros(8, 8, 3, dtype=torch.uint8).numpy())
    (tmp_path / "latest_net_E.pth").write_bytes(b"nothing")
    (tmp_path / "latest_net_D.pth").write_bytes((case.folder / "latest_net_E.pth").read_bytes())
    case.check("G_out", organza.load(tmp_path / "latest_net_G.pth").apply(x, z=z))
    with pytest.raises(UserError, match=r"no D can be had: latest_net_D.pth is another network"):
        organza.load(tmp_path / "latest_net_G.pth", networks="all")
    report = inspect(tmp_path / "latest_net_G.pth")
    assert {network.name for network in report.networks if network.problem} == {"E", "D"}


def test_a_code_beside_the_input_is_told_from_more_channels(tmp_path):
    """Without its encoder, the length of the code is a guess; an encoder says it."""
    case = golden.load("bicyclegan", "add_input_batch_basic")
    shutil.copy(case.folder / "latest_net_G.pth", tmp_path)
    case.check("G_out", organza.load(tmp_path / "latest_net_G.pth").apply(case.arrays["x"], z=case.arrays["z"]))
    assert "taken to have 4 numbers" in inspect(tmp_path / "latest_net_G.pth").settings["code"]


@pytest.mark.parametrize(
    ("file", "what"),
    [("latest_net_E.pth", "the encoder of BicycleGAN"), ("latest_net_D.pth", "a discriminator of BicycleGAN")],
)
def test_what_goes_with_a_generator_is_named(file, what):
    case = golden.load("bicyclegan", CASES[0])
    with pytest.raises(UserError, match=f"{what} .*without its generator.* give the generator's file"):
        organza.load(case.folder / file)


def test_images_and_codes_that_do_not_fit():
    T = organza.load(golden.load("bicyclegan", CASES[0]).folder / "latest_net_G.pth")
    for call, message in (
        (lambda: T.apply(torch.zeros(1, 1, 128, 128)), r"images \[1, 1, 128, 128\] don't fit; give \[N, 3, H, W\]"),
        (lambda: T.apply(torch.zeros(1, 3, 64, 128)), "128x64 pixels; width and height must be multiples of 128"),
        (lambda: T.apply(torch.zeros(1, 3, 128, 128), z=torch.zeros(1, 3)), r"style codes \[1, 3\] don't fit"),
        (lambda: organza.load(T.source, model="BtoA"), "it has no model 'BtoA'"),
        (lambda: T.encode("nowhere.png"), "nowhere.png"),
        (lambda: load_generator(T.source), "bicyclegan makes images from images, not from seeds"),
    ):
        with pytest.raises(UserError, match=message):
            call()


def test_files_of_2017(tmp_path):
    """Instance normalisation had statistics, which nobody used, and the discriminators' names no stroke."""
    case = golden.load("bicyclegan", "add_all_instance_bilinear")
    for letter in "GED":
        content = torch.load(case.folder / f"latest_net_{letter}.pth")
        old = {name.replace("model_", "model"): value for name, value in content.items()}
        for name in [name for name in content if ".down.1.weight" in name or name.endswith(".conv.2.weight")]:
            place = name.replace("down.1.weight", "down.2.").replace("conv.2.weight", "conv.3.")
            old[f"{place}running_mean"] = old[f"{place}running_var"] = torch.zeros(len(content[name]))
        torch.save(old, tmp_path / f"shoes_net_{letter}.pth")
    T = organza.load(tmp_path / "shoes_net_G.pth", networks="all")
    case.check("G_out", T.apply(case.arrays["x"], z=case.arrays["z"]))
    with torch.no_grad():
        case.check("E_mu", T.encoder(case.arrays["b"])[0])
    case.check("D_out0", T.discriminator(case.arrays["b"]))


def test_training_goes_on_from_their_files(pairs, tmp_path):
    source = golden.load("bicyclegan", CASES[0]).folder / "latest_net_G.pth"
    settings = {"batch": 2, "kimg": 0.002, "grid": "1x1", "lr": 0.0, "resolution": "128", "device": "cpu"}
    run = train("bicyclegan", pairs, outdir=tmp_path, resume=source, **settings)
    T, theirs = organza.load(run.folder, networks="all"), organza.load(source, networks="all")
    for ours, other in ((T.net, theirs.net), (T.encoder, theirs.encoder), (T.critic, theirs.critic)):
        assert all(torch.equal(value, ours.state_dict()[name]) for name, value in other.named_parameters())


@pytest.mark.parametrize("norm", ["instance", "none"])
@pytest.mark.parametrize("variance", [True, False])
def test_trainings_without_normalisation_or_variances(norm, variance, tmp_path):
    """Neither normalisation has tensors: places of layers tell them apart."""
    G, E = at_random(UNet(1, 3, 5, 2, norm)), at_random(Encoder(3, 2, 2, norm, variance=variance), 1)
    D = at_random(Critic(3, 2, 2, norm), 2)
    for letter, net in {"G": G, "E": E, "D": D}.items():
        torch.save(net.state_dict(), tmp_path / f"latest_net_{letter}.pth")
    T = organza.load(tmp_path / "latest_net_G.pth", networks="all")
    x, z, y = images(2, 1, 64, 32), images(2, 3), images(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(T.apply(x, z=z), G(x, z), rtol=0, atol=1e-4)
        torch.testing.assert_close(T.encoder(y)[0], E(y), rtol=0, atol=1e-4)
        torch.testing.assert_close(T.critic(y)[0], D(y), rtol=0, atol=1e-4)
        assert variance or not T.encoder(y)[1].any()
    assert inspect(tmp_path / "latest_net_G.pth").settings.get("norm", "instance") == norm


def test_a_unet_of_two_images_is_no_code(tmp_path):
    """pix2pix' U-Net with instance normalisation has the same names; its discriminator sees all that it sees."""
    G = at_random(UNet(2, 3, 5, 2, "instance"))
    torch.save(G.state_dict(), tmp_path / "latest_net_G.pth")
    assert organza.load(tmp_path / "latest_net_G.pth").kind == "bicyclegan"
    torch.save(Critic(8, 2, 2, "instance").state_dict(), tmp_path / "latest_net_D.pth")
    T = organza.load(tmp_path / "latest_net_G.pth", networks="all")
    assert (T.kind, T.model.source, T.critic.layers[0].conv.in_channels) == ("pix2pix", 5, 8)
