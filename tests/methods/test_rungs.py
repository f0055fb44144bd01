"""Each config of a ladder differs from the one before by what its paper's table says, and by nothing else."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from organza.contract.data import DataSpec
from organza.presets import PRESETS
from organza.runs.ladder import LADDERS, changes_between

SPEC = DataSpec((32, 32))
STYLES = {
    "method": ["progan", "stylegan"],
    **{"w_dim": [None, 512], "mapping_layers": [None, 8], "mapping_dim": [None, None], "mapping_lr": [None, 0.01]},
    **{"const_input": [None, False], "noise": [None, False], "style_mixing": [None, 0.0], "w_avg_decay": [None, 0.995]},
    **{"demodulate": [None, False], "pl_weight": [None, 0.0], "pl_every": [None, 4], "pl_batch_shrink": [None, 2]},
    "pl_decay": [None, 0.01],
}
SETTINGS = {
    "stylegan-b": {
        "blur": [False, True],
        "label_d": ["auxiliary", "select"],
        "loss": ["wgan-gp", "logistic"],
        "start_size": [4, 8],
        "kimg": [12000, 25000],
    },
    "stylegan-c": {name: pair for name, pair in STYLES.items() if pair[0] != pair[1]},
    "stylegan-d": {"const_input": [False, True]},
    "stylegan-e": {"noise": [False, True]},
    "stylegan-f": {"style_mixing": [0.0, 0.9]},
    "stylegan2-b": {"demodulate": [False, True]},
    "stylegan2-c": {"r1_every": [1, 16]},
    "stylegan2-d": {"pl_weight": [0.0, 2.0]},
    "stylegan2-f": {"channel_base": [16384, 32768], "r1_gamma": [100.0, 10.0]},
    "pix2pix-16": {"layers_d": [0, 1]},
    "pix2pix": {"layers_d": [1, 3]},
    "pix2pix-286": {"layers_d": [3, 5]},
}
PAIRS = [pair for ladder in LADDERS.values() for pair in pairwise(ladder)]
OF_STYLES = [pair for name in ("stylegan", "stylegan2") for pair in pairwise(LADDERS[name])]


def built(name):
    method = PRESETS[name].run.method.toy().resolve(SPEC, 4).build(SPEC)
    shapes = {net: {k: tuple(p.shape) for k, p in method.nets[net].named_parameters()} for net in "GD"}
    return method, shapes


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_settings(before, after):
    found = changes_between(PRESETS[before].run, PRESETS[after].run)
    if after == "stylegan2-e":  # another class: compare what both have
        assert found["method"] == ["stylegan", "stylegan2"]
        shared = {k for k, (old, new) in found.items() if old is not None and new is not None} - {"method"}
        assert shared == {"r1_gamma", "lr", "noise"}
        assert found["noise"] == [True, "random"]
        assert found["architecture_g"][1] == "skip" and found["architecture_d"][1] == "resnet"
    else:
        assert found == SETTINGS[after]


@pytest.mark.parametrize(("before", "after"), OF_STYLES)
def test_parameters(before, after):
    old, new = built(before)[1], built(after)[1]
    same_d = after not in ("stylegan2-e", "stylegan2-f")
    assert (old["D"] == new["D"]) == same_d or after == "stylegan2-f"
    added, gone = set(new["G"]) - set(old["G"]), set(old["G"]) - set(new["G"])
    if after in ("stylegan-b", "stylegan-f", "stylegan2-c", "stylegan2-d"):
        assert old["G"] == new["G"]
    elif after == "stylegan-d":
        assert (added, gone) == ({"blocks.0.const"}, {"blocks.0.dense"})
    elif after == "stylegan-e":
        assert not gone and {name.rsplit(".", 1)[1] for name in added} == {"noise_strength"}
    elif after == "stylegan-c":
        assert gone == {"dense.weight", "dense.bias", *(f"blocks.{i}.conv{j}.bias" for i in () for j in (0, 1))}
        assert all("mapping" in n or "affine" in n or n.startswith("blocks.0.") for n in added)
    elif after == "stylegan2-b":
        assert {n.split(".")[2] for n in added} == {"to_rgb"}
        assert {n for n in gone if not n.startswith("blocks.0.conv0.")} == set()
    elif after == "stylegan2-f":
        assert not added and not gone


def test_larger_networks_are_larger():
    counts = []
    for name in ("stylegan2-e", "stylegan2-f"):
        config = PRESETS[name].run.method.resolve(DataSpec((256, 256)), 32)
        counts.append(config.channel_base)
    assert counts == [16384, 32768]


def test_phases():
    names = {name: [p.name for p in built(name)[0].phases] for pair in OF_STYLES for name in pair}
    assert all(names[name] == ["D", "G"] for name in LADDERS["stylegan"])
    assert names["stylegan2-a"] == names["stylegan2-b"] == ["D", "G"]
    assert names["stylegan2-c"] == ["D", "Dreg", "G"]
    assert names["stylegan2-d"] == ["D", "Dreg", "G", "Greg"]
    assert names["stylegan2-e"] == names["stylegan2-f"] == ["Gmain", "Greg", "Dmain", "Dreg"]
    assert list(built("stylegan2-d")[0].state) == ["pl_mean"]


def test_the_ladder_of_stylegan2_begins_where_that_of_stylegan_ends():
    assert changes_between(PRESETS["stylegan-f"].run, PRESETS["stylegan2-a"].run) == {}


def test_patch_sizes_change_the_discriminator_alone():
    spec, shapes = DataSpec((64, 64), source=3), []
    for name in LADDERS["patch-size"]:
        nets = replace(PRESETS[name].run.method, width=4, width_d=4).resolve(spec, 1).build(spec).nets
        shapes.append({net: [tuple(p.shape) for p in nets[net].parameters()] for net in "GD"})
    assert all(one["G"] == shapes[0]["G"] for one in shapes)
    assert [len(one["D"]) for one in shapes] == sorted({len(one["D"]) for one in shapes})
