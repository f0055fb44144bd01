"""What tools may reach inside a network: right for every preset, and refused in one line where a model has it not."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch

from organza import PRESETS, Generator, UserError
from organza.contract.data import DataSpec
from organza.contract.model import Latents
from organza.studio.blend import layer_sizes
from organza.studio.directions import style_weights
from organza.studio.noise import noise_sizes, with_noise
from organza.studio.projection.invert import Projecting, Tuning, optimise, tune
from organza.vision.perceptual import stand_in

NAMES = [n for n in PRESETS if PRESETS[n].run.method.layout == "images" and PRESETS[n].run.data.labels == "none"]


def untrained(name: str) -> Generator:
    torch.manual_seed(0)
    spec = DataSpec((16, 16 if name == "lucidrains" else 24), 3)
    method = PRESETS[name].run.method.toy().resolve(spec, 4).build(spec)
    assert isinstance(method.model, Latents)
    net = method.nets[method.model.net].eval().requires_grad_(False)
    return Generator(name, spec, method.model, net, None, torch.device("cpu"), torch.float32)


@pytest.fixture(params=NAMES)
def each(request):
    return untrained(request.param)


def test_weights_that_meet_w(each):
    if each.latents.styles is None and each.latents.first is None:  # no single matrix reads all of w
        with pytest.raises(UserError, match="has no weights that SeFa knows; use pca"):
            style_weights(each)
        return
    weights = style_weights(each)
    assert weights.shape[1] == each.w_dim
    parameters = {value.data_ptr() for value in each.net.parameters()}
    styles, first = each.latents.styles, each.latents.first
    assert (styles is None) != (first is None)
    if styles is None:
        assert weights.data_ptr() in parameters
        return
    found = styles.affine(each.net)
    assert 1 < len(found) <= each.num_ws
    if each.kind != "lucidrains":  # two layers of a block, joined
        assert all(value.data_ptr() in parameters for value in found)


def test_the_mapping_is_all_that_makes_w_of_z(each):
    styles = each.latents.styles
    ws = each.mapping(each.z([1, 2]))
    if styles is None:
        assert each.num_ws == 1
        return
    changed = untrained(each.kind)
    inside = [*changed.latents.styles.mapping(changed.net).parameters()]
    for value in changed.net.parameters():
        if not any(value is one for one in inside):
            value.add_(1)
    assert torch.equal(changed.mapping(changed.z([1, 2])), ws)
    for value in inside:
        value.mul_(0.5)
    assert not torch.equal(changed.mapping(changed.z([1, 2])), ws)


def test_noise_inputs_are_all_that_add_noise(each):
    sizes = noise_sizes(each)
    ws = each.mapping(each.z([1]))
    if not sizes:
        assert each.latents.styles is None or each.latents.styles.noise(each.net) == []
        with pytest.raises(UserError, match="has no noise inputs; try StyleGAN2"):
            with_noise(each, lambda size: True)
        return
    assert sizes == sorted(sizes) and sizes[-1] == max(each.resolution)
    for one in each.latents.styles.noise(each.net):
        one.strength.fill_(0.5)
    loud, silent = each.synthesis(ws), with_noise(each, lambda size: False)
    assert not torch.equal(loud, each.synthesis(ws, "none"))
    torch.testing.assert_close(silent.synthesis(ws), each.synthesis(ws, "none"))
    for one in each.latents.styles.noise(each.net):
        one.store(torch.zeros(1, 1, *one.plane.shape))
    torch.testing.assert_close(each.synthesis(ws), each.synthesis(ws, "none"))


def test_sizes_are_those_of_the_blocks(each):
    if each.latents.sizes is None:
        with pytest.raises(UserError, match="has no layers of known sizes"):
            layer_sizes(each)
        return
    sizes, tensors = each.latents.sizes(each.net), each.net.state_dict()
    assert sizes.keys() == {name for name in tensors if re.search(r"\bblocks\.", name)}
    assert {*sizes.values()} == {max(each.resolution) >> n for n in range(len({*sizes.values()}))}
    for name, size in sizes.items():
        if name.endswith(("noise_const", ".const")):
            assert max(tensors[name].shape[-2:]) == size


def test_tuning_leaves_the_mapping(each):
    pivots = each.mapping(each.z([1, 2]))
    targets = torch.zeros(2, 3, *each.resolution)
    *_, step = optimise(each, targets, stand_in(3), Projecting(steps=1, samples=20))
    assert len(step.noise) == len(noise_sizes(each))
    *_, tuned = tune(each, pivots, targets, stand_in(3), Tuning(steps=1))
    moved = {
        name for name, value in tuned.net.named_parameters() if not torch.equal(value, each.net.get_parameter(name))
    }
    assert moved and not [name for name in moved if "mapping" in name]


def test_a_network_that_says_nothing(G):
    mute = replace(G, latents=replace(G.latents, styles=None, sizes=None))
    with pytest.raises(UserError, match="stylegan2 has no weights that SeFa knows; use pca, labels or a classifier"):
        style_weights(mute)
    with pytest.raises(UserError, match="stylegan2 has no noise inputs; try StyleGAN2"):
        with_noise(mute, lambda size: True)
    with pytest.raises(UserError, match="stylegan2 has no layers of known sizes; give an amount for all layers"):
        layer_sizes(mute)
    targets = G.synthesis(G.mapping(G.z([1])))
    *_, last = optimise(mute, targets, stand_in(3), Projecting(steps=1, samples=20))
    assert last.noise == []
