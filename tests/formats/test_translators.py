"""Generators of the CycleGAN and pix2pix repository load as translators and give the official values."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import organza
from organza import UserError, load, train
from organza.contract.data import DataSpec
from organza.core.config import to_plain
from organza.formats import read_weights
from organza.formats.ports.junyanz_write import discriminator_names
from organza.methods.translation.pix2pix import Pix2Pix
from organza.nn.patchgan import PatchGAN
from organza.training import checkpoint
from organza.weights.convert import convert
from organza.weights.inspect import inspect
from tests import golden

CASES = [name for name in golden.names("junyanz") if name.startswith(("resnet", "unet"))] or ["absent"]


@pytest.mark.parametrize("name", CASES)
def test_they_give_the_official_values(name, tmp_path):
    case = golden.load("junyanz", name)
    path = case.folder / next(iter(case.about["files"]))
    T = organza.load(path)
    assert isinstance(T, organza.Translator) and T.mode == "train"
    x = case.arrays["x"]
    case.check("out_eval", T.apply(x, mode="eval"))
    trained = "out_train" if "out_train" in case.arrays else "out_eval"
    case.check(trained, T.apply(x, mode="train"))
    case.check(trained, T.apply(x))
    case.check("out_eval", T.apply(x, mode="eval"))  # nothing was changed by it
    copy = organza.load(convert(path, tmp_path / "ours"))
    assert torch.equal(copy.apply(x, mode="eval"), T.apply(x, mode="eval"))
    assert inspect(path).usable
    with pytest.raises(UserError, match="no discriminator is loaded"):
        organza.load(path, networks="all").discriminator(x)


def test_the_way_follows_the_files_name(tmp_path):
    case = golden.load("junyanz", "resnet_9blocks_instance")
    source = case.folder / next(iter(case.about["files"]))
    for name, way in (("latest_net_G_A.pth", "AtoB"), ("latest_net_G_B.pth", "BtoA"), ("latest_net_G.pth", "AtoB")):
        shutil.copy(source, tmp_path / name)
        assert organza.load(tmp_path / name).name == way
    assert "A to B" in inspect(tmp_path / "latest_net_G.pth").settings["direction"]
    assert "direction" not in inspect(tmp_path / "latest_net_G_B.pth").settings
    other = "BtoA" if way == "AtoB" else "AtoB"
    with pytest.raises(UserError, match="doesn't have it"):
        organza.load(tmp_path / name, model=other)


@pytest.mark.parametrize("name", ["D_basic_instance", "D_pixel_batch"])
def test_a_discriminator_alone_is_named(name):
    case = golden.load("junyanz", name)
    what = "a PatchGAN discriminator of pix2pix, CycleGAN or CUT .* give the generator's file"
    with pytest.raises(UserError, match=what):
        organza.load(case.folder / next(iter(case.about["files"])))


def training(folder: Path, name: str, nets: Mapping[str, str], critics: str | None = None) -> Path:
    """A folder as the authors' training leaves it: copies of one generator, and of one discriminator."""
    case = golden.load("junyanz", name)
    for file in nets:
        shutil.copy(case.folder / next(iter(case.about["files"])), folder / file)
    if critics:
        torch.manual_seed(0)
        for file, channels in nets.items():
            net = PatchGAN(int(channels), 2, 4, critics)
            names = discriminator_names(net.state_dict())
            content = {names[ours]: value for ours, value in net.state_dict().items()}
            torch.save(content, folder / file.replace("_G", "_D"))
    return folder


BOTH = {"latest_net_G_A.pth": "3", "latest_net_G_B.pth": "3"}


def test_the_networks_of_a_training_find_each_other(tmp_path):
    training(tmp_path, "resnet_9blocks_instance", BOTH, "instance")
    T, home = (organza.load(tmp_path / file, networks="all") for file in BOTH)
    assert (T.name, T.names, home.name, home.names) == ("AtoB", ("AtoB", "BtoA"), "BtoA", ("BtoA", "AtoB"))
    # D_A looks at what G_A makes.
    x = torch.rand(1, 3, 32, 32)
    content = torch.load(tmp_path / "latest_net_D_A.pth")
    first = torch.nn.functional.conv2d(x, content["model.0.weight"], content["model.0.bias"], 2, 1)
    torch.testing.assert_close(T.critic.layers[0].conv(x), first)
    assert inspect(tmp_path / "latest_net_G_A.pth").settings["layers_d"] == 2
    other = organza.load(tmp_path / "latest_net_G_A.pth", model="BtoA")
    assert torch.equal(other.apply(x), home.apply(x))


def test_what_lies_beside_it_and_is_broken_is_no_harm(tmp_path):
    training(tmp_path, "resnet_9blocks_instance", {"latest_net_G_A.pth": "3"}, "batch")
    (tmp_path / "latest_net_G_B.pth").write_bytes(b"nothing")
    (tmp_path / "latest_net_D_B.pth").write_bytes(b"nothing")
    path = tmp_path / "latest_net_G_A.pth"
    organza.load(path).apply(torch.zeros(1, 3, 16, 16))
    problems = {network.name: network.problem for network in inspect(path).networks if network.problem}
    assert problems["D_B"] == "it has another normalisation (batch) than the generator (instance)"
    assert problems.keys() == {"D_A", "D_B"}
    with pytest.raises(UserError, match="no D_B can be had: it has another normalisation"):
        organza.load(path, networks="all")


@pytest.mark.parametrize("name", CASES)
def test_to_their_layout_and_back_every_bit_is_the_same(name, tmp_path):
    """Also the names: their code loads strictly."""
    case = golden.load("junyanz", name)
    (tmp_path / "theirs").mkdir()
    cycle = name.startswith("resnet")
    norm = case.about["kwargs"]["norm"]
    files = BOTH if cycle else {"latest_net_G.pth": "6"}
    training(tmp_path / "theirs", name, files, norm)
    first = next(iter(files))
    ours = convert(tmp_path / "theirs" / first, tmp_path / "ours")
    back = convert(ours, tmp_path / "back", "junyanz")
    assert sorted(path.name for path in back.iterdir()) == sorted(p.name for p in (tmp_path / "theirs").iterdir())
    for path in back.iterdir():
        one, two = torch.load(path), torch.load(tmp_path / "theirs" / path.name)
        odd = {key for key in two if key not in one}
        assert one.keys() <= two.keys() and all("running" in key or "tracked" in key for key in odd), path.name
        assert all(torch.equal(value, two[key]) for key, value in one.items())
    with pytest.raises(UserError, match="is there already"):
        convert(ours, tmp_path / "back", "junyanz")


def test_what_their_layout_holds_not(tmp_path, tiny_run):
    with pytest.raises(UserError, match="junyanz' layout holds pix2pix and CycleGAN, not stylegan2"):
        convert(tiny_run, tmp_path / "theirs", "junyanz")


def test_paddlegans_as_theirs(tmp_path):
    """Gains of 1 and biases of 0 are left out; any others can't be said there."""
    path = golden.load("paddlegan", "cyclegan_affine_9blocks").folder / "epoch_10_weight.pdparams"
    with pytest.raises(UserError, match="his instance normalisation has no gain and bias"):
        convert(path, tmp_path / "other", "junyanz")
    case = golden.load("paddlegan", "cyclegan_instance_6blocks")
    path = case.folder / "epoch_200_weight.pdparams"
    there = convert(path, tmp_path / "theirs", "junyanz")
    for letter in "AB":
        case.check(
            f"netG_{letter}_out_eval", organza.load(there / f"latest_net_G_{letter}.pth").apply(case.arrays["x"])
        )


@pytest.mark.parametrize(
    ("name", "method", "files"),
    [
        ("unet_128_batch", "pix2pix", {"latest_net_G.pth": "6"}),
        ("resnet_9blocks_instance", "cyclegan", BOTH),
    ],
)
def test_training_goes_on_from_their_files(name, method, files, pairs, tmp_path):
    case = golden.load("junyanz", name)
    source = training(tmp_path, name, files, case.about["kwargs"]["norm"]) / next(iter(files))
    settings = {"batch": 2, "kimg": 0.002, "grid": "1x1", "lr": 0.0, "resolution": "128", "device": "cpu"}
    trained = train(method, pairs, outdir=tmp_path / "runs", resume=source, **settings)
    T, theirs = organza.load(trained.folder, networks="all"), organza.load(source, networks="all")
    assert all(torch.equal(value, T.net.state_dict()[k]) for k, value in theirs.net.named_parameters())
    assert all(torch.equal(value, T.critic.state_dict()[k]) for k, value in theirs.critic.named_parameters())
    with pytest.raises(UserError, match="contradicts"):
        train(method, pairs, outdir=tmp_path / "runs", resume=source, **settings, width=9)


def test_what_a_file_lacks_starts_fresh(pairs, tmp_path, capsys):
    source = training(tmp_path, "resnet_9blocks_instance", {"latest_net_G_A.pth": "3"}) / "latest_net_G_A.pth"
    settings = {"batch": 2, "kimg": 0.002, "grid": "1x1", "resolution": "32", "device": "cpu"}
    train("cyclegan", pairs, outdir=tmp_path / "runs", resume=source, **settings, width_d=4)
    said = capsys.readouterr()
    assert "0 of 48 tensors of G_BtoA" in said.out + said.err and "fresh: " in said.out + said.err


def test_training_does_not_go_on_from_another_method(pairs, tmp_path):
    source = training(tmp_path, "resnet_9blocks_instance", {"latest_net_G_A.pth": "3"}) / "latest_net_G_A.pth"
    with pytest.raises(UserError, match="holds a network of cyclegan, not of pix2pix"):
        train("pix2pix", pairs, outdir=tmp_path / "runs", resume=source, kimg=0.002, device="cpu")
    with pytest.raises(UserError, match="two by two, not 3 at a time"):
        train("bicyclegan", pairs, outdir=tmp_path / "runs", batch=3, kimg=0.003, device="cpu", resolution="32")


@pytest.mark.parametrize("source", [1, 3])
def test_a_residual_generator_of_pix2pix(source, tmp_path):
    """Its discriminator, which sees both images, tells it from CycleGAN's."""
    torch.manual_seed(0)
    spec = DataSpec((128, 128), 3, source=source)
    config = Pix2Pix(generator="resnet", width=4, blocks=2, width_d=4, layers_d=1)
    nets = config.build(spec).nets
    about = {"organza": "0", "method": "pix2pix", "spec": to_plain(spec), "config": to_plain(config)}
    checkpoint.write(tmp_path / "ours", about, {"nets": checkpoint.flatten(nets), "ema": {}})
    theirs = convert(tmp_path / "ours", tmp_path / "theirs", "junyanz")
    assert {path.name for path in theirs.iterdir()} == {"latest_net_G.pth", "latest_net_D.pth"}
    found = read_weights(theirs / "latest_net_G.pth")
    assert found.method == "pix2pix" and found.config == replace(config, norm="batch", test_mode="train")
    assert found.spec == spec
    for name, net in nets.items():
        tensors = found.tensors(name)
        assert all(torch.equal(value, tensors[key]) for key, value in net.state_dict().items())
    (theirs / "latest_net_D.pth").unlink()
    alone = read_weights(theirs / "latest_net_G.pth")  # nothing tells any more
    assert alone.method == "cyclegan"
    x = torch.rand(1, source, 16, 16) * 2 - 1
    images = [load(theirs / "latest_net_G.pth").apply(x, mode="eval"), nets["G"].eval()(x)]
    torch.testing.assert_close(*images, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("there", "back", "judge", "side"),
    [("netG_A", "netG_B", "netD_A", "D_B"), ("G_AB", "G_BA", "D_B", "D_B"), ("genA2B", "genB2A", "disA", "D_A")],
)
def test_all_networks_in_one_file(there, back, judge, side, tmp_path):
    """Each by the name that it has there, in whatever order they stand."""
    case = golden.load("junyanz", "resnet_9blocks_instance")
    state = torch.load(case.folder / next(iter(case.about["files"])))
    torch.manual_seed(0)
    other = {name: value + 0.1 * torch.randn(value.shape) for name, value in state.items()}
    net = PatchGAN(3, 2, 4, "instance")
    names = discriminator_names(net.state_dict())
    critic = {names[ours]: value for ours, value in net.state_dict().items()}
    torch.save({"epoch": 3, back: other, judge: critic, there: state}, tmp_path / "checkpoint.pth")
    T, home = (organza.load(tmp_path / "checkpoint.pth", model=way) for way in ("AtoB", "BtoA"))
    case.check("out_eval", T.apply(case.arrays["x"]))
    assert T.names == ("AtoB", "BtoA") and not torch.equal(home.apply(case.arrays["x"]), T.apply(case.arrays["x"]))
    networks = {network.name for network in inspect(tmp_path / "checkpoint.pth").networks}
    assert networks == {"G_AtoB", "G_BtoA", side}
