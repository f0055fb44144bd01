"""Weights keep their every bit from layout to layout, and their licence."""

from __future__ import annotations

import io
import json
import pickle
import sys
import types
import warnings
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

import organza
from organza.contract.data import DataSpec
from organza.core.errors import UserError
from organza.formats import read_weights, understand
from organza.formats.nvidia import write as nvidia_write
from organza.formats.nvidia.write import write_nvidia
from organza.methods.stylegan.stylegan2 import StyleGAN2, critic_clamp
from organza.nn.layers import minibatch_stddev
from organza.tensors.opening import Opened, open_file
from organza.tensors.records import Storage, TensorRef
from organza.training import checkpoint
from organza.weights.convert import convert
from organza.weights.inspect import inspect
from tests import golden

TOY = StyleGAN2(z_dim=8, w_dim=12, mapping_layers=3, channel_base=128, channel_max=8)
VARIANTS = [
    (TOY, DataSpec((16, 16), 3)),
    (replace(TOY, architecture_g="resnet", architecture_d="skip", conv_clamp=256.0), DataSpec((16, 16), 1, 5)),
    (replace(TOY, architecture_g="orig", architecture_d="orig", resample_taps=(1, 1)), DataSpec((8, 8), 4)),
    (
        replace(TOY, widths_g=(8, 7, 5), widths_d=(6, 5, 4), mapping_g=(5, 6, 12), mapping_d=(7, 6, 9)),
        DataSpec((16, 16), 3, 2),
    ),
    (replace(TOY, mapping_layers=0, z_dim=12, mapping_lr=0.1, mbstd_group=8), DataSpec((4, 4), 3)),
    (replace(TOY, activation_g="relu", activation_d="swish", activation_mapping="linear"), DataSpec((16, 16), 3, 2)),
    (replace(TOY, activation_d="relu", activation_head="elu", activation_mapping_d="relu"), DataSpec((16, 16), 3, 2)),
    (replace(TOY, mbstd_channels=2, resample_taps=(1, 2, 1), resample_taps_d=(1, 1)), DataSpec((16, 16))),
    (replace(TOY, mbstd_channels=0, conv_clamp=64.0, conv_clamp_d=None), DataSpec((16, 16))),
]


def random_nets(config, spec, seed=0):
    torch.manual_seed(seed)
    nets = config.build(spec).nets
    found = {"G_ema": nets["G"].state_dict(), "D": nets["D"].state_dict()}
    for tensors in found.values():
        for name, value in tensors.items():
            if not name.endswith("taps"):
                value.copy_(torch.randn(value.shape))
    return found | {"G": config.build(spec).nets["G"].state_dict()}


@pytest.mark.parametrize(("config", "spec"), VARIANTS)
def test_nvidia_layout_keeps_every_bit(config, spec, tmp_path):
    config = config.resolve(spec, 32)
    nets = random_nets(config, spec)
    path = write_nvidia(spec, config, nets, tmp_path / "a.pkl")
    weights = read_weights(path)
    assert weights.spec == spec
    assert not weights.problems
    names = ("activation_g", "activation_d", "activation_mapping", "mbstd_channels", "resample_taps", "conv_clamp")
    names += ("activation_head", "activation_mapping_d")
    assert all(getattr(weights.config, name) == getattr(config, name) for name in names)
    assert critic_clamp(weights.config) == critic_clamp(config)
    for name, tensors in nets.items():
        again = weights.tensors(name)
        assert again.keys() == tensors.keys()
        assert all(torch.equal(again[key], value) for key, value in tensors.items()), name
    # And once more: the file that is written from what was read is the same.
    assert write_nvidia(spec, weights.config, nets, tmp_path / "b.pkl").read_bytes()[:100] == path.read_bytes()[:100]


@pytest.mark.parametrize("act", ["relu", "linear", "tanh", "elu", "selu", "softplus", "swish", "sigmoid"])
def test_activations_as_nvidia_has_them(act, tmp_path):
    """One layer of each network by hand: their gain belongs to the activation."""
    config = replace(TOY, activation_g=act, activation_d=act, activation_mapping=act, mapping_layers=1)
    config, spec = config.resolve(DataSpec((4, 4)), 4), DataSpec((4, 4))
    G = organza.load(write_nvidia(spec, config, random_nets(config, spec), tmp_path / "a.pkl"), "all")
    call = {"relu": torch.relu, "linear": lambda x: x, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "swish": F.silu}
    call |= {"elu": F.elu, "selu": F.selu, "softplus": F.softplus}
    gain = 2**0.5 if act in ("relu", "swish") else 1.0
    z, mapped = torch.randn(4, 8), G.net.mapping.layers[0]
    z_normal = z / (z.square().mean(1, keepdim=True) + 1e-8).sqrt()
    w = call[act](z_normal @ (mapped.weight * 0.01 / 8**0.5).T + mapped.bias * 0.01) * gain
    torch.testing.assert_close(G.mapping(z)[:, 0], w)
    layer = G.net.synthesis.blocks[0].conv1
    style = w @ (layer.affine.weight / 12**0.5).T + layer.affine.bias
    weight = layer.weight[None] * style[:, None, :, None, None]
    weight = weight * (weight.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    const = G.net.synthesis.blocks[0].const
    x = torch.cat([F.conv2d(const[None], each, padding=1) for each in weight])
    x = call[act](x + layer.noise_const * layer.noise_strength + layer.bias[:, None, None]) * gain
    rgb = G.net.synthesis.blocks[0].to_rgb
    colours = (w @ (rgb.affine.weight / 12**0.5).T + rgb.affine.bias) * rgb.weight_gain
    image = torch.einsum("nchw,nc,oc->nohw", x, colours, rgb.weight[:, :, 0, 0]) + rgb.bias[:, None, None]
    torch.testing.assert_close(G.synthesis(G.mapping(z)), image, rtol=1e-4, atol=1e-4)


def test_standard_deviations_in_several_maps():
    """Feature maps are split into as many neighbouring groups as there are to be maps of deviations."""
    x = torch.randn(8, 6, 4, 4)
    y = minibatch_stddev(x, 4, channels=2)
    groups = x.reshape(4, 2, 2, 3, 4, 4)  # which of a group, group, share, map
    deviation = (groups.var(0, unbiased=False) + 1e-8).sqrt().mean((2, 3, 4))
    torch.testing.assert_close(y[:, 6:], deviation.repeat(4, 1)[:, :, None, None].expand(8, 2, 4, 4))
    torch.testing.assert_close(y[:, :6], x)


def test_arguments_that_we_have_not(tmp_path):
    config, spec = TOY.resolve(DataSpec((16, 16)), 32), DataSpec((16, 16))
    nets = random_nets(config, spec)
    path = write_nvidia(spec, config, nets, tmp_path / "a.pkl")
    module = open_file(path).value["G_ema"]
    conv = module.child("synthesis").child("b8").child("conv1")
    for attribute, value, said in [("activation", "mish", "activations"), ("conv_clamp", 3.0, "clamps")]:
        kept = conv.state[attribute]
        conv.state[attribute] = value
        with pytest.raises(UserError, match=said):
            understand(Opened(path, "pickle", {"G_ema": module}))
        conv.state[attribute] = kept
    weight = torch.zeros(8, 8, 5, 5)
    storage = Storage(weight.dtype, weight.numel(), lambda: weight.numpy().tobytes())
    conv.state["_parameters"]["weight"] = TensorRef(storage, 0, tuple(weight.shape), weight.stride())
    with pytest.raises(UserError, match="convolutions of 5x5 pixels instead of 3x3"):
        understand(Opened(path, "pickle", {"G_ema": module}))


def test_frozen_layers_are_buffers(tmp_path, monkeypatch):
    config, spec = TOY.resolve(DataSpec((16, 16)), 32), DataSpec((16, 16))
    nets = random_nets(config, spec)
    monkeypatch.setattr(nvidia_write, "_BUFFERS", (*nvidia_write._BUFFERS, "weight", "bias"))
    weights = read_weights(write_nvidia(spec, config, nets, tmp_path / "a.pkl"))
    again = weights.tensors("D")
    assert all(torch.equal(again[key], value) for key, value in nets["D"].items())


def test_nvidia_layout_opens_with_plain_pickle(tiny_run, tmp_path, monkeypatch):
    path = convert(tiny_run, tmp_path / "a.pkl", "nvidia")
    made = []

    def reconstruct(meta):
        made.append(meta["class_name"])
        return meta

    module = types.ModuleType("torch_utils.persistence")
    module._reconstruct_persistent_obj = reconstruct
    monkeypatch.setitem(sys.modules, "torch_utils", types.ModuleType("torch_utils"))
    monkeypatch.setitem(sys.modules, "torch_utils.persistence", module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        snapshot = pickle.load(io.BytesIO(path.read_bytes()))
    assert {"Generator", "SynthesisLayer", "DiscriminatorEpilogue", "MinibatchStdLayer"} <= set(made)
    average = snapshot["G_ema"]["state"]["_modules"]["mapping"]["state"]["_buffers"]["w_avg"]
    assert torch.equal(average, organza.load(tiny_run).w_avg)


def test_run_to_nvidia_and_back(tiny_run, tmp_path):
    back = convert(convert(tiny_run, tmp_path / "a.pkl", "nvidia"), tmp_path / "back")
    old = sorted((tiny_run / "checkpoints").glob("0*"))[-1]
    for file in ("ema", "nets"):
        before, after = checkpoint.read_nets(old, file), checkpoint.read_nets(back, file)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)
    assert (organza.load(back).generate([3]) == organza.load(tiny_run).generate([3])).all()


@pytest.mark.parametrize(
    ("kind", "name"),
    [("nvidia_tf_pkl", "sg2ada_tf_cond5_32"), ("rosinality_pt", "converted_full_32"), ("stylegan3_pkl", "sg2cfg_32")],
)
def test_to_our_folder(kind, name, tmp_path):
    (file,) = [path for path in golden.load(kind, name).folder.iterdir() if path.suffix in (".pkl", ".pt")]
    folder = convert(file, tmp_path / "new" / "net")
    assert {path.name for path in folder.iterdir()} == {
        *("checksums.json", "config.json", "ema.safetensors", "nets.safetensors", "LICENCE-NOTE.txt")
    }
    assert "NVIDIA" in (folder / "LICENCE-NOTE.txt").read_text()
    assert json.loads((folder / "config.json").read_text())["source"]["file"] == file.name
    theirs, ours = organza.load(file, networks="all"), organza.load(folder, networks="all")
    labels = 0 if ours.label_dim else None
    assert (theirs.generate([5], labels) == ours.generate([5], labels)).all()
    pictures = torch.randn(4, 3, 32, 32)
    assert torch.equal(theirs.discriminator(pictures, labels), ours.discriminator(pictures, labels))
    assert any("NVIDIA" in note for note in inspect(folder).notes)
    with pytest.raises(UserError, match="is there already"):
        convert(file, folder)
    again = convert(file, tmp_path / "again.pkl", "nvidia")
    assert (organza.load(again).generate([5], labels) == ours.generate([5], labels)).all()


def test_what_can_not_be_converted(tiny_run, tmp_path):
    with pytest.raises(UserError, match="already"):
        convert(tiny_run, tmp_path / "a")
    with pytest.raises(UserError, match="ends in"):
        convert(tiny_run, tmp_path / "a.pt", "nvidia")
    config = TOY.resolve(DataSpec((16, 24)), 4)
    with pytest.raises(UserError, match="24x16"):
        write_nvidia(DataSpec((16, 24)), config, {}, tmp_path / "a.pkl")


def test_a_strange_discriminator_does_not_block_the_generator(tiny_run, tmp_path):
    from organza.formats.nvidia import pickle_write
    from organza.tensors.records import Global

    old = sorted((tiny_run / "checkpoints").glob("0*"))[-1]
    config = checkpoint.read_config(old)
    path = convert(tiny_run, tmp_path / "a.pkl", "nvidia")
    data = path.read_bytes()
    assert config["method"] == "stylegan2"
    # Somebody's own class in place of D.
    strange = pickle_write.dumps(pickle_write.Call(Global("their.code", "Critic"), (1,)))[2:-1]
    start = data.index(pickle_write.dumps("D")[2:-1]) + 6
    stop = data.index(pickle_write.dumps("G_ema")[2:-1])
    (tmp_path / "b.pkl").write_bytes(data[:start] + strange + data[stop:])
    assert (organza.load(tmp_path / "b.pkl", "all").generate([1]) == organza.load(path).generate([1])).all()
    assert read_weights(tmp_path / "b.pkl").foreign == ("their.code.Critic",)
