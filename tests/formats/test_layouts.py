"""Layouts without files to try them on: written here by the published names, apart from the code that reads them."""

from __future__ import annotations

import collections
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

import organza
from organza.contract.data import DataSpec
from organza.core.errors import UserError
from organza.formats import read_weights
from organza.formats.ports.rosinality_write import write_rosinality
from organza.methods.stylegan.stylegan2 import StyleGAN2
from organza.weights.convert import convert
from organza.weights.inspect import inspect
from tests import golden

CONFIG = StyleGAN2(z_dim=12, w_dim=12, mapping_layers=3, channel_base=128, channel_max=10, mbstd_group=4)
SPEC = DataSpec((16, 16))


def random_nets(config, spec, seed=0):
    torch.manual_seed(seed)
    nets = config.build(spec).nets
    found = {"G_ema": nets["G"].state_dict(), "D": nets["D"].state_dict()}
    for tensors in found.values():
        for name, value in tensors.items():
            if not name.endswith("taps"):
                value.copy_(torch.randn(value.shape))
    return found | {"G": {k: v if k.endswith("taps") else v + 1 for k, v in found["G_ema"].items()}}


def same(weights, nets, less=()):
    for name, tensors in nets.items():
        again = weights.tensors(name)
        for key, value in tensors.items():
            if key not in less:
                assert torch.equal(again[key], value), (name, key)


# --- rosinality ---


def test_rosinality_keeps_every_bit(tmp_path):
    config = CONFIG.resolve(SPEC, 4)
    nets = random_nets(config, SPEC)
    nets["G"] = {**nets["G"], "w_avg": nets["G_ema"]["w_avg"]}  # one mean for the file
    path = write_rosinality(SPEC, config, nets, tmp_path / "a.pt")
    weights = read_weights(path)
    assert weights.spec == SPEC
    assert not weights.problems
    same(weights, nets)
    assert organza.load(path, "all").generate([1]).shape == (1, 16, 16, 3)


def test_rosinality_as_his_own_files(tmp_path):
    """A converted file, read and written again, has the same keys, shapes and numbers."""
    case = golden.load("rosinality_pt", "converted_full_32")
    again = convert(case.folder / "converted.pt", tmp_path / "again.pt", "rosinality")
    before = torch.load(case.folder / "converted.pt", weights_only=True)
    after = torch.load(again, weights_only=True)
    assert {*before, "organza"} == set(after)
    assert torch.equal(before["latent_avg"], after["latent_avg"])
    for net in ("g_ema", "g", "d"):
        assert set(before[net]) == set(after[net])
        for name, value in before[net].items():
            assert torch.equal(value, after[net][name]), name


def test_rosinality_has_one_rate(tmp_path, caplog):
    config = replace(CONFIG, mapping_lr=0.1, conv_clamp=256.0, mbstd_group=2).resolve(SPEC, 4)
    method = config.build(SPEC)
    nets = {"G_ema": method.nets["G"].state_dict(), "D": method.nets["D"].state_dict()}
    path = write_rosinality(SPEC, config, nets, tmp_path / "a.pt")
    assert "limit activations" in caplog.text and "groups of 4" in caplog.text
    G, z = organza.load(path), torch.randn(3, 12)
    with torch.no_grad():
        torch.testing.assert_close(G.mapping(z), method.model.mapping(method.nets["G"], z, torch.zeros(3, 0)))


@pytest.mark.parametrize(
    ("config", "spec", "message"),
    [
        (CONFIG, DataSpec((16, 24)), "24x16"),
        (CONFIG, DataSpec((16, 16), 3, 2), "labels"),
        (replace(CONFIG, architecture_g="resnet"), SPEC, "architecture resnet"),
        (replace(CONFIG, z_dim=8), SPEC, "widths"),
    ],
)
def test_what_rosinality_has_not(config, spec, message, tmp_path):
    with pytest.raises(UserError, match=message):
        write_rosinality(spec, config, {}, tmp_path / "a.pt")
    with pytest.raises(UserError, match=r"\.pt"):
        write_rosinality(SPEC, CONFIG, {}, tmp_path / "a.pkl")


def test_a_run_to_rosinality_and_back(tiny_run, tmp_path):
    first = convert(tiny_run, tmp_path / "a.pt", "rosinality")
    assert (organza.load(first).generate([1]) == organza.load(tiny_run).generate([1])).all()
    folder = convert(first, tmp_path / "folder")
    second = convert(folder, tmp_path / "b.pt", "rosinality")
    assert (organza.load(first).generate([1]) == organza.load(second).generate([1])).all()
    assert "rosinality" in inspect(second).kind


# --- the same networks under mmgeneration's and PaddleGAN's names, written out by hand ---


def plain_generator(tensors, levels=2, layers=3):
    """Our generator's tensors by the place where they are: (layer, part) -> tensor in PyTorch's layout."""
    found = {}
    for index in range(layers):
        found["style", index, "weight"] = tensors[f"mapping.layers.{index}.weight"]
        found["style", index, "bias"] = tensors[f"mapping.layers.{index}.bias"]
    found["const"] = tensors["synthesis.blocks.0.const"]
    for level in range(levels + 1):
        for part in ["conv0", "conv1"][level == 0 :]:
            number = 2 * level - (part == "conv0")
            for piece in ("weight", "bias", "noise_strength", "noise_const", "affine.weight", "affine.bias"):
                found["conv", number, piece] = tensors[f"synthesis.blocks.{level}.{part}.{piece}"]
        for piece in ("weight", "bias", "affine.weight", "affine.bias"):
            found["rgb", level, piece] = tensors[f"synthesis.blocks.{level}.to_rgb.{piece}"]
    return found


def mmgeneration(tensors, levels=2, layers=3):
    plain, made = plain_generator(tensors, levels, layers), collections.OrderedDict()
    for key, value in plain.items():
        if key == "const":
            made["constant_input.weight"] = value[None]
        elif key[0] == "style":
            kind = "linear.weight_orig" if key[2] == "weight" else "bias"
            made[f"style_mapping.{key[1] + 1}.{kind}"] = value
        else:
            what, number, piece = key
            first = "conv1" if what == "conv" else "to_rgb1"
            layer = first if number == 0 else f"{'convs' if what == 'conv' else 'to_rgbs'}.{number - 1}"
            if piece == "weight":
                made[f"{layer}.conv.weight"] = value[None]
            elif piece == "bias" and what == "conv":
                made[f"{layer}.activate.bias"] = value
            elif piece == "bias":
                made[f"{layer}.bias"] = value.reshape(1, -1, 1, 1)
            elif piece == "noise_strength":
                made[f"{layer}.noise_injector.weight"] = value.reshape(1)
            elif piece == "noise_const":
                made[f"injected_noise_{number}"] = value[None, None]
            elif piece == "affine.weight":
                made[f"{layer}.conv.style_modulation.linear.weight_orig"] = value
            else:
                made[f"{layer}.conv.style_modulation.bias"] = value
            if what == "conv" and number % 2 and piece == "weight":
                line = torch.tensor([1.0, 3.0, 3.0, 1.0])
                made[f"{layer}.conv.blur.kernel"] = line[:, None] * line / 16
    return made


def mmgeneration_critic(tensors):
    made = {"convs.0.0.conv.weight_orig": tensors["blocks.0.from_rgb.weight"]}
    made["convs.0.1.bias"] = tensors["blocks.0.from_rgb.bias"]
    for block in range(2):
        for ours, theirs, shift in (("conv0", "conv1", 0), ("conv1", "conv2", 1)):
            made[f"convs.{block + 1}.{theirs}.{shift}.conv.weight_orig"] = tensors[f"blocks.{block}.{ours}.weight"]
            made[f"convs.{block + 1}.{theirs}.{shift + 1}.bias"] = tensors[f"blocks.{block}.{ours}.bias"]
        made[f"convs.{block + 1}.skip.1.conv.weight_orig"] = tensors[f"blocks.{block}.skip.weight"]
    made["final_conv.0.conv.weight_orig"] = tensors["conv.weight"]
    made["final_conv.1.bias"] = tensors["conv.bias"]
    for index, name in enumerate(("dense", "out")):
        made[f"final_linear.{index}.linear.weight_orig"] = tensors[f"{name}.weight"]
        made[f"final_linear.{index}.bias"] = tensors[f"{name}.bias"]
    return made


@pytest.mark.parametrize("newer", [False, True])
def test_mmgeneration(newer, tmp_path):
    config = CONFIG.resolve(SPEC, 4)
    nets = random_nets(config, SPEC)
    ema = "generator_ema.module." if newer else "generator_ema."
    state = {ema + name: value for name, value in mmgeneration(nets["G_ema"]).items()}
    state |= {f"generator.{name}": value for name, value in mmgeneration(nets["G"]).items()}
    state |= {f"discriminator.{name}": value for name, value in mmgeneration_critic(nets["D"]).items()}
    if newer:
        state["generator_ema.steps"] = torch.tensor(7)
    torch.save({"meta": {"iter": 7, "mmgen_version": "0.7"}, "state_dict": state}, tmp_path / "a.pth")
    weights = read_weights(tmp_path / "a.pth")
    assert not weights.problems and "mmgeneration" in weights.format
    same(weights, nets, less=("w_avg",))
    assert organza.load(tmp_path / "a.pth", "all").generate([1]).shape == (1, 16, 16, 3)
    # A generator alone, without prefix; and one with a tensor too many.
    alone = mmgeneration(nets["G_ema"])
    torch.save({"state_dict": alone}, tmp_path / "b.pth")
    same(read_weights(tmp_path / "b.pth"), {"G_ema": nets["G_ema"]}, less=("w_avg",))
    torch.save({"state_dict": alone | {"extra.weight": torch.zeros(1)}}, tmp_path / "c.pth")
    with pytest.raises(UserError, match=r"extra\.weight"):
        read_weights(tmp_path / "c.pth")


class Named:
    """A tensor as Paddle pickles it: the call of ``tuple`` on its name and array."""

    def __init__(self, name, value):
        self.name, self.value = name, value

    def __reduce__(self):
        return tuple, ((self.name, self.value),)


class Nameless:
    """Another way of Paddle's: the call of ``eval`` on a fixed text."""

    def __init__(self, value):
        self.value = value

    def __reduce__(self):
        return eval, ("data", {"data": self.value})


@pytest.mark.parametrize("way", ["arrays", "named", "nameless"])
@pytest.mark.parametrize("whole", [False, True])
def test_paddle(way, whole, tmp_path):
    config = CONFIG.resolve(SPEC, 4)
    nets = random_nets(config, SPEC)

    def paddle(state):
        made = {}
        for name, value in state.items():
            name = name.replace("style_mapping", "style").replace(".linear.weight_orig", ".weight")
            name = name.replace("style_modulation", "modulation").replace(".conv.weight_orig", ".weight")
            name = name.replace("noise_injector", "noise").replace("constant_input.weight", "input.input")
            name = name.replace("injected_noise_", "noises.noise_")
            array = value.numpy()
            if array.ndim == 2 and not name.endswith("kernel"):
                array = np.ascontiguousarray(array.T)
            wrap = {"arrays": lambda n, a: a, "named": Named, "nameless": lambda n, a: Nameless(a)}[way]
            if not name.endswith("kernel"):
                made[name] = wrap(f"param_{len(made)}", array)
        return made

    value = paddle(mmgeneration(nets["G_ema"]))
    if whole:
        value = {"gen_ema": value, "gen": paddle(mmgeneration(nets["G"]))}
        value["disc"] = paddle(mmgeneration_critic(nets["D"]))
    path = tmp_path / "a.pdparams"
    path.write_bytes(pickle.dumps(value, 4 if way == "named" else 2))
    weights = read_weights(path)
    assert not weights.problems and "Paddle" in weights.format
    assert set(weights.nets) == ({"G_ema", "G", "D"} if whole else {"G_ema"})
    same(weights, nets if whole else {"G_ema": nets["G_ema"]}, less=("w_avg",))
    assert organza.load(path).generate([1]).shape == (1, 16, 16, 3)
