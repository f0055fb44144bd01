"""Networks are found whatever they were wrapped in, and files that can't be used are named by whose they are."""

from __future__ import annotations

import collections
import json
import pickle
import sys
import types
import warnings

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import organza
from organza.contract.data import DataSpec
from organza.core.errors import UserError
from organza.formats import read_weights
from organza.formats.nvidia.stylegan2 import discriminator_name, generator_name
from organza.formats.nvidia.write import write_nvidia
from organza.formats.ports.rosinality_write import write_rosinality
from organza.methods.stylegan.stylegan2 import StyleGAN2
from organza.tensors.state_dict import fill, read_state_dict
from organza.weights.convert import convert
from organza.weights.inspect import inspect
from tests import golden

CONFIG = StyleGAN2(z_dim=12, w_dim=12, mapping_layers=2, channel_base=128, channel_max=8, mbstd_group=4)
SPEC = DataSpec((16, 16))


def networks(config=CONFIG, spec=SPEC):
    torch.manual_seed(0)
    config = config.resolve(spec, 4)
    found = {"G_ema": config.build(spec).nets["G"].state_dict(), "D": config.build(spec).nets["D"].state_dict()}
    for tensors in found.values():
        for name, value in tensors.items():
            if not name.endswith("taps"):
                value.copy_(torch.randn(value.shape))
    return config, found


@pytest.fixture(scope="module")
def rosinality(tmp_path_factory):
    config, nets = networks()
    path = write_rosinality(SPEC, config, nets, tmp_path_factory.mktemp("ros") / "ros.pt")
    return torch.load(path), organza.load(path)


class Shell(nn.Module):
    """Somebody's own module around tensors by name."""

    def __init__(self, tensors):
        super().__init__()
        for name, value in tensors.items():
            place, (*parts, last) = self, name.split(".")
            for part in parts:
                if part not in place._modules:
                    place._modules[part] = nn.Module()
                place = place._modules[part]
            place.register_buffer(last, value)


def prefixed(prefix, tensors):
    return {prefix + name: value for name, value in tensors.items()}


def in_the_middle(tensors):
    return {name.replace(".conv.", "._fsdp_wrapped_module.conv."): value for name, value in tensors.items()}


MORE = {"encoder.a.weight": torch.zeros(2, 3), "loss.lpips.lin0.model.1.weight": torch.zeros(1, 4, 1, 1)}
OPTIMIZER = {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]}
WRAPPERS = {
    "grouped": lambda g, d: {"g_ema": g, "d": d},
    "DataParallel": lambda g, d: {"g_ema": prefixed("module.", g), "d": prefixed("module.", d)},
    "compiled": lambda g, d: {"g_ema": prefixed("_orig_mod.", g), "d": d},
    "both": lambda g, d: prefixed("module._orig_mod.", g),
    "FSDP": lambda g, d: in_the_middle(g),
    "bare": lambda g, d: g,
    "a trainer": lambda g, d: prefixed("generator.", g) | prefixed("discriminator.", d) | MORE,
    "an average's wrapper": lambda g, d: {"ema": prefixed("ema_model.module.", g), "optimizer": OPTIMIZER},
    "Lightning": lambda g, d: {"state_dict": prefixed("model.G.", g) | MORE, "optimizer_states": [OPTIMIZER]},
    "deep": lambda g, d: {"a": {"b": [{"params": collections.OrderedDict(g)}, 3]}, "epoch": 7},
    "a decoder": lambda g, d: {"state_dict": prefixed("decoder.", g) | MORE, "opts": {"size": 16}},
    "odd prefix": lambda g, d: prefixed("stylegan/G_", g),
    "a module": lambda g, d: Shell(g),
    "a module inside": lambda g, d: {"net": nn.DataParallel(Shell(g)), "step": 3},
    "pairs": lambda g, d: {"model": list(g.items())},
    "AveragedModel": lambda g, d: prefixed("module.", g) | {"n_averaged": torch.tensor(7)},
    "half": lambda g, d: {name: value.half() for name, value in g.items()},
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("old", [False, True])
def test_wrappers(wrapper, old, rosinality, tmp_path):
    file, expected = rosinality
    value = WRAPPERS[wrapper](dict(file["g_ema"]), dict(file["d"]))
    if isinstance(value, dict):
        value["latent_avg"] = file["latent_avg"]
    torch.save(value, tmp_path / "a.pt", _use_new_zipfile_serialization=not old)
    weights = read_weights(tmp_path / "a.pt")
    assert not weights.problems
    again = weights.tensors("G_ema")
    for name, tensor in expected.net.state_dict().items():
        if name != "w_avg" or isinstance(value, dict):
            torch.testing.assert_close(again[name], tensor, atol=2e-3 if wrapper == "half" else 0, rtol=0, msg=name)
    assert ("D" in weights.nets) == (wrapper in ("grouped", "DataParallel", "compiled", "a trainer"))


def test_the_average_is_taken_and_the_other_kept(rosinality, tmp_path):
    g = rosinality[0]["g_ema"]
    other = {name: value + 1 for name, value in g.items()}
    for names in (("g", "g_ema"), ("generator", "ema_generator"), ("netG", "avgG"), ("net", "shadow.net")):
        torch.save(dict(zip(names, (other, g), strict=True)), tmp_path / "a.pt")
        weights = read_weights(tmp_path / "a.pt")
        assert torch.equal(weights.tensors("G_ema")["mapping.layers.0.bias"], g["style.1.bias"])
        assert torch.equal(weights.tensors("G")["mapping.layers.0.bias"], other["style.1.bias"])


def test_safetensors_alone(rosinality, tmp_path):
    file, expected = rosinality
    save_file(prefixed("module.", file["g_ema"]) | {"latent_avg": file["latent_avg"]}, tmp_path / "a.safetensors")
    assert (organza.load(tmp_path / "a.safetensors").generate([1]) == expected.generate([1])).all()


def test_a_part_of_a_checkpoint_of_ours(tiny_run):
    (file, *_) = (tiny_run / "checkpoints").glob("*/ema.safetensors")
    with pytest.raises(UserError, match="a part of a checkpoint; give its folder"):
        organza.load(file)


@pytest.mark.parametrize("rows", [(8, 24), (1, 24), (24,)])
def test_psp(rows, tmp_path):
    case = golden.load("psp", "decoder_32")
    path = case.folder / "iteration_200000.pt"
    if rows != (8, 24):
        value = torch.load(path)
        value["latent_avg"] = value["latent_avg"][:1].reshape(rows)
        path = tmp_path / "a.pt"
        torch.save(value, path)
    G = organza.load(path)
    ws = G.mapping(case.arrays["z"])
    case.check("w", ws[:, 0])
    case.check("img_z", G.synthesis(ws))
    case.check("img_wplus", G.synthesis(case.arrays["wplus"]))
    case.check("img_trunc07", G.synthesis(G.truncate(ws, 0.7)))


def check_rosinality_like(case, G):
    ws = G.mapping(case.arrays["z"])
    case.check("w", ws[:, 0])
    truncated = case.arrays["latent_avg"].lerp(ws, 0.6)
    case.check("img_trunc06", G.synthesis(truncated))
    mixed = ws[:1].clone()
    mixed[:, 3:] = ws[1:2, 3:]
    case.check("img_mix_inject3", G.synthesis(mixed))
    case.check("d_logits_b8", G.discriminator(case.arrays["d_img"]))
    case.check("d_logits_b2", G.discriminator(case.arrays["d_img"][:2]))
    return ws


def test_mmgeneration():
    case = golden.load("mmgen", "stylegan2_ema_32")
    path = case.folder / "iter_1100000.pth"
    G = organza.load(path, "all")
    case.check("img_generator_ema", G.synthesis(check_rosinality_like(case, G)))
    weights = read_weights(path)
    net = weights.config.build(weights.spec).nets["G"].requires_grad_(False)
    net.load_state_dict(weights.tensors("G"))
    case.check("img_generator", net(case.arrays["z"], torch.zeros(3, 0)))
    assert "blue, green, red" in inspect(path).settings["channel order"]


def test_paddle():
    case = golden.load("paddlegan", "stylegan2_weight_32")
    G = organza.load(case.folder / "iter_900_weight.pdparams", "all")
    ws = check_rosinality_like(case, G)
    case.check("img_gen_ema", G.synthesis(ws))
    case.check("img_zero_noise", G.synthesis(ws, "none"))
    case.check("img_wplus", G.synthesis(case.arrays["wplus"]))


# --- NVIDIA's networks outside of snapshots ---


class Persistent:
    """Stands for one of NVIDIA's modules: pickles as it was pickled."""

    def __init__(self, meta):
        self.meta = meta

    def __reduce__(self):
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (self.meta,)

    def state_dict(self, prefix=""):
        state = self.meta["state"]
        held = {**state["_parameters"], **state["_buffers"]}
        found = {f"{prefix}{name}": value.detach() for name, value in held.items() if value is not None}
        for name, child in state["_modules"].items():
            found |= child.state_dict(f"{prefix}{name}.")
        return found


@pytest.fixture
def persistence(monkeypatch):
    """NVIDIA's modules as stand-ins, when Python unpickles or pickles them."""

    def made(meta):
        return Persistent(meta)

    module = types.ModuleType("torch_utils.persistence")
    made.__module__, made.__qualname__ = "torch_utils.persistence", "_reconstruct_persistent_obj"
    made.__name__ = "_reconstruct_persistent_obj"
    module._reconstruct_persistent_obj = made
    monkeypatch.setitem(sys.modules, "torch_utils", types.ModuleType("torch_utils"))
    monkeypatch.setitem(sys.modules, "torch_utils.persistence", module)
    util = types.ModuleType("dnnlib.util")
    util.EasyDict = type("EasyDict", (dict,), {"__module__": "dnnlib.util"})
    monkeypatch.setitem(sys.modules, "dnnlib", types.ModuleType("dnnlib"))
    monkeypatch.setitem(sys.modules, "dnnlib.util", util)


def snapshot(path):
    with warnings.catch_warnings(), path.open("rb") as file:
        warnings.simplefilter("ignore")
        return pickle.load(file)


OFFICIAL = [
    *(("nvidia_ada_pkl", name) for name in golden.names("nvidia_ada_pkl")),
    *(("stylegan3_pkl", name) for name in golden.names("stylegan3_pkl")),
]


@pytest.mark.parametrize(("kind", "name"), OFFICIAL)
@pytest.mark.parametrize("how", ["torch", "dictionary", "names", "grouped names"])
def test_nvidia_without_a_snapshot(kind, name, how, tmp_path, persistence):
    """As PTI saves its generator; and as plain state dicts, where the settings are NVIDIA's usual ones."""
    path = golden.load(kind, name).folder / "network-snapshot-000070.pkl"
    nets = snapshot(path)
    value = {
        "torch": lambda: nets["G_ema"],
        "dictionary": lambda: {"model": {"G_ema": nets["G_ema"], "D": nets["D"]}, "w_pivots": {}},
        "names": lambda: nets["G_ema"].state_dict("module."),
        "grouped names": lambda: {key: nets[key].state_dict() for key in ("G", "G_ema", "D")},
    }[how]()
    torch.save(value, tmp_path / "a.pt")
    whole, weights = read_weights(path), read_weights(tmp_path / "a.pt")
    assert weights.spec == whole.spec
    for net in weights.nets:
        again = weights.tensors(net)
        assert all(torch.equal(again[key], tensor) for key, tensor in whole.tensors(net).items()), net
    if how in ("torch", "dictionary"):
        labels = 0 if whole.spec.label_dim else None
        assert (organza.load(tmp_path / "a.pt").generate([1], labels) == organza.load(path).generate([1], labels)).all()


def test_names_of_our_own_networks_as_nvidia_has_them(tmp_path):
    config, nets = networks(StyleGAN2(**{**vars(CONFIG), "conv_clamp": 256.0}).resolve(SPEC, 32))
    named = {generator_name(key, 16): value for key, value in nets["G_ema"].items() if not key.endswith("taps")}
    critic = {discriminator_name(key, 16): value for key, value in nets["D"].items() if not key.endswith("taps")}
    torch.save({"G_ema": prefixed("module.", named), "D": critic}, tmp_path / "a.pt")
    weights = read_weights(tmp_path / "a.pt")
    assert weights.config == config and "by tensors' names" in weights.format and "assumed" in weights.facts
    assert all(torch.equal(weights.tensors("D")[key], value) for key, value in nets["D"].items())


def test_plain_networks_behind_wrappers(tmp_path):
    """Feature networks are filled from state dicts of trainers as well."""
    net, other = (nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)) for _ in range(2))
    value = {"epoch": 3, "state_dict": prefixed("module.backbone.", net.state_dict()) | MORE, "optimizer": OPTIMIZER}
    torch.save(value, tmp_path / "a.pth")
    fill(other, read_state_dict(tmp_path / "a.pth"), tmp_path / "a.pth")
    assert torch.equal(other[0].weight, net[0].weight)
    with pytest.raises(UserError, match="has no tensor 'weight'"):
        fill(nn.Linear(3, 2), {"0.bias": torch.zeros(2)}, tmp_path / "a.pth")


# --- what can't be used ---

SKIPPED = ("evil", "bad_datasets")
FIXTURES = [
    path
    for path in sorted(golden.SHARED.rglob("*"))
    if path.is_file()
    and path.suffix not in (".npz", ".json", ".md", ".png")
    and path.relative_to(golden.SHARED).parts[0] not in SKIPPED
]


def test_every_fixture_is_used_or_named():
    if not FIXTURES:
        pytest.skip("needs the collection of fixtures beside the checkout")
    unknown = [
        report.path.name for report in map(inspect, FIXTURES) if not report.usable and "this is" not in report.kind
    ]
    assert not unknown


def zeros(**shapes):
    return {name.replace("__", "."): torch.zeros(shape) for name, shape in shapes.items()}


NAMED = {
    "VGG": zeros(features__0__weight=(64, 3, 3, 3), features__2__weight=(64, 64, 3, 3)),
    "ResNet": zeros(conv1__weight=(64, 3, 7, 7), layer1__0__conv1__weight=(64, 64, 1, 1)),
    "Inception": zeros(Mixed_5b__branch1x1__conv__weight=(64, 192, 1, 1)),
    "LPIPS": zeros(lin0__model__1__weight=(1, 64, 1, 1)),
    "Stable Diffusion": {"state_dict": zeros(model__diffusion_model__out__2__weight=(4, 320, 3, 3))},
    "diffusers": zeros(down_blocks__0__resnets__0__conv1__weight=(320, 320, 3, 3)),
    "LoRA": zeros(lora_unet_down_blocks_0__lora_down__weight=(4, 320)),
    "the state of an optimizer": OPTIMIZER,
    "CycleGAN": {
        "epoch": 3,
        "model": {"netG_A": zeros(model__1__weight=(64, 3, 7, 7), model__10__conv_block__1__weight=(9, 9, 3, 3))},
    },
    "rosinality's": zeros(final_conv__0__weight=(8, 9, 3, 3), final_linear__1__weight=(1, 8)),
}


@pytest.mark.parametrize("whose", NAMED)
def test_whose(whose, tmp_path):
    torch.save(NAMED[whose], tmp_path / "a.pt")
    with pytest.raises(UserError, match=f"this is .*{whose}") as caught:
        organza.load(tmp_path / "a.pt")
    assert "\n" not in str(caught.value)
    assert whose in inspect(tmp_path / "a.pt").kind


# --- licences follow the weights ---


@pytest.mark.parametrize(("to", "name"), [("nvidia", "a.pkl"), ("rosinality", "a.pt")])
def test_our_own_network_stays_our_own(to, name, tiny_run, tmp_path, caplog):
    path = convert(tiny_run, tmp_path / name, to)
    assert read_weights(path).licence is None
    organza.load(path)
    assert "NVIDIA" not in caplog.text
    folder = convert(path, tmp_path / "folder")
    assert not (folder / "LICENCE-NOTE.txt").exists()


def test_nvidias_licence_stays(tmp_path):
    path = golden.load("nvidia_ada_pkl", "uncond_skip_resnet_32").folder / "network-snapshot-000070.pkl"
    folder = convert(path, tmp_path / "folder")
    again = convert(folder, tmp_path / "again.pkl", "nvidia")
    last = convert(convert(again, tmp_path / "folder2"), tmp_path / "b.pkl", "nvidia")
    for file in (again, last):
        assert "non-commercial" in (read_weights(file).licence or "")
    assert json.loads((tmp_path / "folder2" / "config.json").read_text())["source"]["licence"]


def test_the_layout_alone_is_taken_for_nvidias(tmp_path, monkeypatch):
    config, nets = networks()
    path = write_nvidia(SPEC, config, nets, tmp_path / "a.pkl")
    monkeypatch.setattr("organza.formats.weights.near", lambda *_: None)
    assert "non-commercial" in (read_weights(path).licence or "")
