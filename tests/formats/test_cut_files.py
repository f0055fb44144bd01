"""CUT's files: generators load, translate and are trained on; the others are named."""

from __future__ import annotations

import pytest
import torch

import organza
from organza import UserError, preset, train
from organza.weights.convert import convert
from organza.weights.inspect import inspect
from tests import golden

CASES = golden.names("cut") or ["absent"]


@pytest.mark.parametrize("name", CASES)
def test_generators_give_the_official_values(name, tmp_path):
    case = golden.load("cut", name)
    path = case.folder / "latest_net_G.pth"
    T = organza.load(path)
    assert T.kind == ("cut" if "_antialias" in name else "cyclegan")  # without blurs there is no difference
    case.check("out_eval", T.apply(case.arrays["x"]))
    copy = organza.load(convert(path, tmp_path / "ours"))
    assert torch.equal(copy.apply(case.arrays["x"]), T.apply(case.arrays["x"]))
    assert inspect(path).usable


def test_a_training_starts_from_a_generator(pairs, tmp_path, told):
    path = golden.load("cut", "resnet6_antialias").folder / "latest_net_G.pth"
    options = {"nce_patches": 4, "resolution": "32", "batch": 1, "grid": "1x1"}
    found = train(preset("cut").run, pairs, outdir=tmp_path, resume=path, kimg=0.001, **options)
    assert "starting from latest_net_G.pth: 36 of 36 tensors of G" in told()
    given, trained = (T.net.stem.conv.weight for T in (organza.load(path), organza.load(found.folder)))
    assert torch.allclose(given, trained, atol=0.001)


@pytest.mark.parametrize(
    ("player", "what"), [("D", "the discriminator of CUT"), ("F", "CUT's feature heads")], ids=["D", "F"]
)
def test_other_networks_are_named(player, what):
    case = golden.load("cut", "resnet6_antialias")
    with pytest.raises(UserError, match=what):
        organza.load(case.folder / f"latest_net_{player}.pth")


def test_another_blur_is_refused(tmp_path):
    path = golden.load("cut", "resnet6_antialias").folder / "latest_net_G.pth"
    tensors = torch.load(path, weights_only=True)
    tensors["model.7.filt"][0, 0, 1, 1] = 0.5
    torch.save(tensors, tmp_path / "odd.pth")
    with pytest.raises(UserError, match=r"refused: the blur 'model.7.filt' is not CUT's"):
        organza.load(tmp_path / "odd.pth")
    del tensors["model.11.filt"]
    torch.save(tensors, tmp_path / "one.pth")
    with pytest.raises(UserError, match="this is CUT"):
        organza.load(tmp_path / "one.pth")
