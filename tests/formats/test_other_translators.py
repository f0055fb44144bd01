"""pix2pix and CycleGAN of PaddleGAN and mmgeneration give their authors' values."""

from __future__ import annotations

import pytest
import torch

import organza
from organza.weights.convert import convert
from organza.weights.inspect import inspect
from tests import golden

PADDLE = [name for name in golden.names("paddlegan") if name.startswith(("pix2pix", "cyclegan"))] or ["absent"]
MM = [name for name in golden.names("mmgen") if name.startswith(("pix2pix", "cyclegan"))] or ["absent"]


def logits(T: organza.Translator, x: torch.Tensor, mode: str = "eval") -> torch.Tensor:
    T.critic.train(mode == "train")
    return T.critic(x)


@pytest.mark.parametrize("name", PADDLE)
def test_paddlegan(name, tmp_path):
    case = golden.load("paddlegan", name)
    path, given = case.folder / next(iter(case.about["files"])), case.arrays
    ways = [("A", "AtoB"), ("B", "BtoA")] if name.startswith("cyclegan") else []
    for letter, way in ways:
        T = organza.load(path, networks="all", model=way)
        case.check(f"netG_{letter}_out_eval", T.apply(given["x"]))
        case.check(f"netD_{letter}_out_eval", logits(T, given["x"]))
    if not ways:  # statistics of the batch, whatever the mode is called there
        T = organza.load(path, networks="all")
        case.check("out_train", T.apply(given["x"]))
        case.check("out_eval", T.apply(given["x"]))
        case.check("out_eval_b1", T.apply(given["x"][:1]))
        case.check("d_out_train", logits(T, torch.cat([given["x"], given["y"]], 1), "train"))
    assert inspect(path).usable and not any(network.problem for network in inspect(path).networks)
    copy = organza.load(convert(path, tmp_path / "ours"))
    assert torch.equal(copy.apply(given["x"]), organza.load(path).apply(given["x"]))


@pytest.mark.parametrize("name", MM)
def test_mmgeneration_does_for_rgb_what_it_did_for_bgr(name, tmp_path):
    case = golden.load("mmgen", name)
    path, given = case.folder / next(iter(case.about["files"])), case.arrays
    assert "red, green, blue" in inspect(path).settings["channel order"]
    both = [("mask", "AtoB"), ("photo", "BtoA")] if name.startswith("cyclegan") else [("photo", "AtoB")]
    for domain, way in both:
        T = organza.load(path, networks="all", model=way)
        assert T.mode == "train"
        for mode in ("eval", "train"):
            if f"G_{domain}_out_{mode}" in given:
                case.check(f"G_{domain}_out_{mode}", T.apply(given["x"].flip(1), mode=mode).flip(1))
                seen = torch.cat([half.flip(1) for half in given["d_x"].split(3, 1)], 1)
                case.check(f"D_{domain}_out_{mode}", logits(T, seen, mode))
    copy = organza.load(convert(path, tmp_path / "ours"))
    assert torch.equal(copy.apply(given["x"]), organza.load(path).apply(given["x"]))


def test_mmgeneration_in_rgb_stays_as_it_is(tmp_path):
    """A configuration in the file that says so; dropout shifts the second convolution of a block."""
    case = golden.load("mmgen", MM[0])
    content = torch.load(case.folder / next(iter(case.about["files"])))
    content["meta"]["config"] = "dict(type='LoadImageFromFile', channel_order='rgb')"
    state = content["state_dict"]
    content["state_dict"] = {name.replace("block.1.", "block.2."): value for name, value in state.items()}
    torch.save(content, tmp_path / "iter_1.pth")
    T, (domain, way) = organza.load(tmp_path / "iter_1.pth"), ("mask", "AtoB")
    if MM[0].startswith("pix2pix"):
        domain = "photo"
    assert T.name == way and "channel order" not in inspect(tmp_path / "iter_1.pth").settings
    case.check(f"G_{domain}_out_eval", T.apply(case.arrays["x"], mode="eval"))
    if T.kind == "cyclegan":
        assert inspect(tmp_path / "iter_1.pth").settings["dropout"]
