"""Running a network in either mode leaves no trace."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from organza.nn.norms import conv_bias, norm_layer, running


def network(kind: str) -> nn.Module:
    """Normalisation two levels deep, with statistics that are not those of a new layer, and dropout."""
    torch.manual_seed(0)
    layers = {
        "batch": lambda: nn.BatchNorm2d(3),
        "cumulative": lambda: nn.BatchNorm2d(3, momentum=None),
        "statless": lambda: nn.BatchNorm2d(3, track_running_stats=False),
        "instance": lambda: nn.InstanceNorm2d(3),
        "tracked": lambda: nn.InstanceNorm2d(3, affine=True, track_running_stats=True),
    }
    norm = layers[kind]
    inner = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), norm(), nn.Sequential(nn.ReLU(), norm()))
    net = nn.ModuleDict({"a": inner, "b": nn.Sequential(norm(), inner, nn.Dropout(0.5))})
    net.train()
    for _ in range(3):
        forward(net, torch.randn(2, 3, 5, 6) * 3 + 1)
    return net


def forward(net, x):
    return net["b"](net["a"](x))


def snapshot(net):
    """Every buffer with its identity, and every flag."""
    buffers = {name: (id(buffer), buffer.clone()) for name, buffer in net.named_buffers()}
    flags = {
        name: (module.training, getattr(module, "track_running_stats", None)) for name, module in net.named_modules()
    }
    return buffers, flags


def same(before, after) -> bool:
    (buffers, flags), (others, others_flags) = before, after
    return (
        flags == others_flags
        and buffers.keys() == others.keys()
        and all(
            buffers[name][0] == others[name][0] and torch.equal(buffers[name][1], others[name][1]) for name in buffers
        )
    )


KINDS = ["batch", "cumulative", "statless", "instance", "tracked"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("before", ["eval", "train", "mixed"])
def test_it_acts_as_in_the_mode_and_leaves_everything_as_it_was(kind, mode, before):
    net = network(kind).train(before == "train")
    if before == "mixed":
        net["a"][1].train()
        net["b"][2].train()
    twin = copy.deepcopy(net).train(mode == "train")
    x, was = torch.randn(2, 3, 5, 6), snapshot(net)
    torch.manual_seed(5)
    expected = forward(twin, x)
    torch.manual_seed(5)
    with running(net, mode):
        assert torch.equal(forward(net, x), expected)
        forward(net, x + 1)
    assert same(was, snapshot(net))


@pytest.mark.parametrize("kind", KINDS)
def test_everything_is_put_back_after_an_exception(kind):
    net = network(kind).eval()
    was = snapshot(net)
    with pytest.raises(RuntimeError, match="channels"), running(net, "train"):
        forward(net, torch.randn(2, 4, 5, 6))
    assert same(was, snapshot(net))
    assert all(not module.training for module in net.modules())


def test_dropout_drops_only_in_training():
    net = nn.Sequential(nn.Dropout(0.5)).eval()
    x = torch.ones(1000)
    with running(net, "train"):
        assert 400 < (net(x) == 0).sum() < 600
    with running(net.train(), "eval"):
        assert torch.equal(net(x), x)


def test_gradients_are_those_of_training():
    net = network("batch").eval()
    net["b"][2] = nn.Identity()
    twin, x = copy.deepcopy(net).train(), torch.randn(2, 3, 5, 6)
    forward(twin, x).square().sum().backward()
    with running(net, "train"):
        out = forward(net, x)
    out.square().sum().backward()
    for ours, theirs in zip(net.parameters(), twin.parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad)


@pytest.mark.parametrize("kind", ["batch", "cumulative", "statless", "instance"])
def test_contexts_can_be_nested(kind):
    net = network(kind)
    was, x = snapshot(net), torch.randn(2, 3, 5, 6)
    evaluated = forward(copy.deepcopy(net).eval(), x)
    with running(net, "train"):
        with running(net, "eval"):
            assert torch.equal(forward(net, x), evaluated)
        assert not torch.equal(forward(net, x), evaluated)
    assert same(was, snapshot(net))


def test_tracked_instance_normalisation_says_when_it_cannot_be_evaluated():
    net = network("tracked")
    was = snapshot(net)
    with pytest.raises(RuntimeError, match="running_mean"), running(net, "train"), running(net, "eval"):
        forward(net, torch.randn(2, 3, 5, 6))
    assert same(was, snapshot(net))


def test_what_each_kind_is_made_of():
    assert isinstance(norm_layer("none", 3), nn.Identity)
    instance = norm_layer("instance", 3)
    assert not list(instance.parameters()) and not list(instance.buffers())
    assert len(list(norm_layer("batch", 3).parameters())) == 2
    assert [conv_bias(kind) for kind in ("batch", "instance", "none")] == [False, True, False]
