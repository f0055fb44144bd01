"""Files of pix2pixHD load with all that lies beside them, and give the official values."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from organza import UserError
from organza.formats import read_weights
from organza.formats.ports.pix2pixhd import critic_names, encoder_names
from organza.methods.translation.pix2pixhd import matching
from organza.models.load import load_translator
from organza.nn.label_maps import laid_out, region_means
from organza.nn.losses import least_squares_g
from organza.nn.patchgan import MultiScalePatchGAN
from organza.nn.resnet import ResNetGenerator
from organza.tensors.state_dict import read_state_dict
from organza.weights.convert import convert
from organza.weights.inspect import inspect
from tests import golden
from tests.standins import at_random, images
from tests.standins.pix2pixhd import Critic, Global, Local


@pytest.mark.parametrize("name", ["G_global", "G_local"])
def test_generators_give_the_official_values(name, tmp_path):
    case = golden.load("pix2pixHD", name)
    file = case.folder / "latest_net_G.pth"
    T = load_translator(file)
    case.check("out", T.apply(case.arrays["x"]))
    report = inspect(file)
    assert report.usable and "pix2pixHD" in str(report)
    copy = load_translator(convert(file, tmp_path / "ours"))
    assert torch.equal(copy.apply(case.arrays["x"]), T.apply(case.arrays["x"]))
    # Label maps as people have them: an image whose grey levels are classes.
    index = np.random.RandomState(0).randint(0, 5, (40, 50)).astype(np.uint8)
    assert T.translate(index, size="own").size == (50, 40)


@pytest.mark.parametrize("name", ["D_multi2_nofeat", "D_multi3_feat"])
def test_discriminators_give_the_official_values(name):
    case = golden.load("pix2pixHD", name)
    kwargs = case.about["kwargs"]
    net = MultiScalePatchGAN(
        kwargs["input_nc"], kwargs["num_D"], kwargs["n_layers_D"], kwargs["ndf"], "instance", padding=2, thinner=False
    )
    tensors = read_state_dict(case.folder / "latest_net_D.pth")
    net.load_state_dict({ours.removeprefix("net."): tensors[theirs] for theirs, ours in critic_names(tensors).items()})
    with torch.no_grad():
        real, fake = net.features(case.arrays["real"]), net.features(case.arrays["fake"])
    for scale, features in enumerate(real):
        layers = features if kwargs["getIntermFeat"] else features[-1:]
        for layer, found in enumerate(layers):
            case.check(f"real_scale{scale}_feat{layer}", found)
        case.check(f"fake_scale{scale}_last", fake[scale][-1])
    case.check("gan_lsgan_real", sum(2 * least_squares_g(scale[-1]).mean() for scale in real))
    case.check("gan_lsgan_fake", sum(scale[-1].square().mean() for scale in fake))
    if kwargs["getIntermFeat"]:
        case.check("feature_matching", 10 * matching(fake, real))


def test_the_encoder_gives_the_official_values():
    case = golden.load("pix2pixHD", "encoder")
    tensors = read_state_dict(case.folder / "latest_net_G.pth")
    net = ResNetGenerator(3, 3, blocks=0, width=4, halvings=2)
    net.load_state_dict({ours: tensors[theirs] for theirs, ours in encoder_names(tensors).items()})
    regions = case.arrays["inst"][:, 0].long()
    with torch.no_grad():
        means, _ = region_means(net(case.arrays["x"]), regions, int(regions.max()) + 1)
    case.check("out", laid_out(means, regions))


def test_what_lies_beside_is_read_too(tmp_path):
    generator, critic = golden.load("pix2pixHD", "G_global"), golden.load("pix2pixHD", "D_multi3_feat")
    shutil.copy(generator.folder / "latest_net_G.pth", tmp_path)
    shutil.copy(critic.folder / "latest_net_D.pth", tmp_path)
    weights = read_weights(tmp_path / "latest_net_G.pth")
    assert set(weights.nets) == {"G", "D"} and not weights.problems
    T = load_translator(tmp_path / "latest_net_G.pth", networks="all")
    real = critic.arrays["real"]
    # Their discriminator looks at the condition and the image together.
    critic.check("real_scale0_feat4", T.discriminator(real[:, 6:], real[:, :6]))
    (tmp_path / "latest_net_D.pth").write_bytes(b"")
    assert "D" in read_weights(tmp_path / "latest_net_G.pth").problems


def test_files_that_are_no_generator_are_named():
    for name, what in (("encoder", "feature encoder of pix2pixHD"), ("D_multi2_nofeat", "discriminator of pix2pixHD")):
        case = golden.load("pix2pixHD", name)
        with pytest.raises(UserError, match=what):
            read_weights(next(case.folder.glob("*.pth")))


NETS = {
    "global": lambda norm: Global(3, 2, 2, 2, norm),
    "deep": lambda norm: Global(4, 2, 3, 1, norm),
    "local": lambda norm: Local(3, 2, 2, 1, norm),
    "twice": lambda norm: Local(3, 2, 1, 2, norm),
}


@pytest.mark.parametrize("kind", NETS)
def test_batch_normalisation_after_biases(kind, tmp_path):
    G = at_random(NETS[kind]("batch"))
    channels = next(iter(G.parameters())).shape[1]
    torch.save(G.state_dict(), tmp_path / "latest_net_G.pth")
    x = images(2, channels, 32, 48)
    T = load_translator(tmp_path / "latest_net_G.pth")
    with torch.no_grad():
        torch.testing.assert_close(T.apply(x), G(x), rtol=0, atol=1e-4)
        torch.testing.assert_close(T.apply(x, mode="train"), G.train()(x), rtol=0, atol=1e-4)
    assert T.kind == "pix2pixhd" and inspect(tmp_path / "latest_net_G.pth").settings["norm"] == "batch"


def test_discriminators_and_encoders_with_batch_normalisation(tmp_path):
    G, E = at_random(Global(10, 2, 3, 1, "batch")), at_random(Global(3, 2, 2, 0, "batch"), 1)
    D = at_random(Critic(10, 2, "batch"), 2)
    for letter, net in {"G": G, "E": E, "D": D}.items():
        torch.save(net.state_dict(), tmp_path / f"latest_net_{letter}.pth")
    weights = read_weights(tmp_path / "latest_net_G.pth")
    assert not weights.problems and (weights.config.features, weights.config.layers_d) == (3, 2)
    method, _ = weights.build(None, critic=True)
    weights._fill("E", method.nets["E"], "E")
    x = images(2, 3, 32, 48)
    with torch.no_grad():
        nets = {name: net.eval() for name, net in method.nets.items()}
        torch.testing.assert_close(nets["E"](x), E(x), rtol=0, atol=1e-4)
        y = images(2, 10, 32, 48)
        for found, expected in zip(nets["D"].net(y), D(y), strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
