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
