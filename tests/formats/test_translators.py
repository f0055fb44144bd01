"""Generators of the CycleGAN and pix2pix repository load as translators and give the official values."""

from __future__ import annotations

import shutil

import pytest
import torch

import organza
from organza import UserError
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
    other = "BtoA" if way == "AtoB" else "AtoB"
    with pytest.raises(UserError, match="doesn't have it"):
        organza.load(tmp_path / name, model=other)


@pytest.mark.parametrize("name", ["D_basic_instance", "D_pixel_batch"])
def test_a_discriminator_alone_is_named(name):
    case = golden.load("junyanz", name)
    with pytest.raises(UserError, match="a PatchGAN discriminator of pix2pix, CycleGAN or CUT"):
        organza.load(case.folder / next(iter(case.about["files"])))
