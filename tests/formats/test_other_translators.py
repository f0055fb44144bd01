"""pix2pix and CycleGAN of PaddleGAN and mmgeneration give their authors' values."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import organza
from organza.weights.convert import convert
from organza.weights.inspect import inspect
from tests import golden
from tests.standins import images

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


def test_mmgeneration_turns_each_image_that_a_discriminator_sees(tmp_path):
    """Grey to colour: of its four channels the last three are the target."""
    shapes = {"model.model.0.conv": (2, 1, 4, 4), "model.model.1.model.0.conv": (4, 2, 4, 4)}
    shapes |= {"model.model.1.model.1.conv": (4, 2, 4, 4), "model.model.2.conv": (4, 3, 4, 4)}
    outputs = {"model.model.0.conv": 2, "model.model.1.model.0.conv": 4, "model.model.1.model.1.conv": 2}
    G = {f"{name}.weight": images(*shape, seed=1) for name, shape in shapes.items()}
    G |= {f"{name}.bias": images(count, seed=2) for name, count in (outputs | {"model.model.2.conv": 3}).items()}
    D = {"model.0.conv.weight": images(2, 4, 4, 4, seed=3), "model.0.conv.bias": images(2, seed=4)}
    D |= {"model.1.conv.weight": images(4, 2, 4, 4, seed=5), "model.1.conv.bias": images(4, seed=6)}
    D |= {"model.2.weight": images(1, 4, 4, 4, seed=7), "model.2.bias": images(1, seed=8)}
    state = {f"generators.photo.{name}": value for name, value in G.items()}
    state |= {f"discriminators.photo.{name}": value for name, value in D.items()}
    torch.save({"meta": {"mmgen_version": "0.7.2"}, "state_dict": state}, tmp_path / "iter_9.pth")
    T = organza.load(tmp_path / "iter_9.pth", networks="all")
    assert (T.model.source, T.model.channels) == (1, 3)
    x, y = images(1, 1, 16, 16), images(1, 3, 16, 16, seed=9)
    h = F.conv2d(torch.cat([x, y.flip(1)], 1), *(D[f"model.0.conv.{part}"] for part in ("weight", "bias")), 2, 1)
    h = F.conv2d(F.leaky_relu(h, 0.2), *(D[f"model.1.conv.{part}"] for part in ("weight", "bias")), 1, 1)
    expected = F.conv2d(F.leaky_relu(F.instance_norm(h), 0.2), D["model.2.weight"], D["model.2.bias"], 1, 1)
    torch.testing.assert_close(T.discriminator(y, x), expected, rtol=0, atol=1e-4)
    a, b, c, d = ([G[f"{name}.{part}"] for part in ("weight", "bias")] for name in shapes)
    outer = F.conv2d(x, *a, 2, 1)
    inner = F.conv_transpose2d(F.relu(F.conv2d(F.leaky_relu(outer, 0.2), *b, 2, 1)), *c, 2, 1)
    # Their first activation works in place: what skips it has passed it, too.
    h = torch.cat([F.leaky_relu(outer, 0.2), F.instance_norm(inner)], 1)
    expected = torch.tanh(F.conv_transpose2d(F.relu(h), *d, 2, 1)).flip(1)
    torch.testing.assert_close(T.apply(x), expected, rtol=0, atol=1e-4)
