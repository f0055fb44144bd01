"""What generators take for inference equals the plain twin."""

from __future__ import annotations

import gc

import pytest
import torch
import torch.nn.functional as F

from organza import ops
from organza.contract.data import DataSpec
from organza.methods.stylegan.stylegan2 import StyleGAN2
from organza.models.generator import Generator, at_once
from organza.ops import folded, winograd
from organza.training.optimizers import Learner


def generator(spec: DataSpec, dtype: torch.dtype = torch.float32, **settings) -> Generator:
    torch.manual_seed(0)
    config = StyleGAN2(**{"z_dim": 16, "w_dim": 16, "channel_base": 512, "channel_max": 16, **settings})
    method = config.resolve(spec, 4).build(spec)
    net = method.nets["G"].eval().requires_grad_(False)
    for name, value in net.named_parameters():
        if name.endswith(("noise_strength", "bias")):
            value.add_(0.3 * torch.randn(value.shape))
    return Generator("stylegan2", spec, method.model, net, None, torch.device("cpu"), dtype)


def plain(G: Generator, ws: torch.Tensor, noise: str = "const", seed: int = 0) -> torch.Tensor:
    with ops.using("reference"), torch.no_grad():
        return G.latents.synthesis(G.net, ws, noise, torch.Generator().manual_seed(seed))


def close(drawn: torch.Tensor, exact: torch.Tensor) -> None:
    assert (drawn - exact).abs().max() < 1e-5 * exact.abs().max().clamp_min(1)


@pytest.mark.parametrize("size", [(32, 32), (24, 40), (128, 64)])
@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
@pytest.mark.parametrize("batch", [1, 3])
def test_equals_the_plain_twin(size, architecture, batch):
    G = generator(DataSpec(size), architecture_g=architecture)
    ws = G.mapping(G.z(range(batch)))
    close(G.synthesis(ws), plain(G, ws))


@pytest.mark.parametrize("noise", ["const", "none", "random"])
@pytest.mark.parametrize("settings", [{}, {"conv_clamp": 0.5}, {"resample_taps": (1, 2)}, {"resample_taps": (1,)}])
def test_noise_clamp_and_filters(noise, settings):
    G = generator(DataSpec((32, 32)), **settings)
    for batch in (1, 2):
        ws = G.mapping(G.z(range(batch)))
        drawn = G.synthesis(ws, noise, torch.Generator().manual_seed(0))
        close(drawn, plain(G, ws, noise))


def test_labels_and_mapping():
    G = generator(DataSpec((16, 16), label_dim=3), mapping_layers=8)
    z = G.z([0, 1])
    ws = G.mapping(z, [0, 2])
    with ops.using("reference"), torch.no_grad():
        exact = G.latents.mapping(G.net, z, torch.eye(3)[[0, 2]])
    close(ws, exact)
    close(G.synthesis(ws), plain(G, ws))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_with_as_many_channels_as_real_networks(dtype):
    """Wide enough for Winograd's way; the bound is the one that docs/performance.md states."""
    G = generator(DataSpec((32, 32)), dtype, channel_max=256, channel_base=1 << 14)
    ws = G.mapping(G.z([0, 1]))
    exact = plain(G, ws)
    error = (G.synthesis(ws) - exact) / exact.std() / 4  # of a range of 4 deviations, which is [-1, 1] in images
    if dtype == torch.float32:
        assert error.abs().max() < 2e-6
    else:
        assert error.abs().mean() < 1 / 255
        assert -20 * error.square().mean().sqrt().log10() > 40


@pytest.mark.parametrize("size", [(16, 16), (20, 52), (72, 16)])
def test_winograd_is_a_convolution(size, monkeypatch):
    monkeypatch.setattr(winograd, "BAND", 60)  # bands that don't divide the image
    x, w = torch.randn(2, 5, *size), torch.randn(7, 5, 3, 3)
    out = winograd.convolve(x, winograd.transform(w))
    torch.testing.assert_close(out, F.conv2d(x, w, padding=1), rtol=1e-4, atol=1e-4)
    assert out.is_contiguous(memory_format=torch.channels_last)


def test_what_is_kept_follows_the_weights():
    G = generator(DataSpec((16, 16)))
    ws = G.mapping(G.z([0]))
    first = G.synthesis(ws)
    changed = {name: value + 0.1 for name, value in G.net.state_dict().items()}
    G.net.load_state_dict(changed)
    close(G.synthesis(ws), plain(G, ws))
    for value in G.net.parameters():
        value.data = value.data * 0.9
    close(G.synthesis(ws), plain(G, ws))
    assert not torch.allclose(first, G.synthesis(ws))


def test_nothing_is_kept_of_networks_that_are_gone():
    gc.collect()
    before = len(folded._kept)
    G = generator(DataSpec((16, 16)))
    G.synthesis(G.mapping(G.z([0])))
    assert len(folded._kept) > before
    del G
    gc.collect()
    assert len(folded._kept) == before


def test_gradients_take_the_ordinary_way():
    G = generator(DataSpec((16, 16)))
    ws = G.mapping(G.z([0])).requires_grad_()
    assert not G.synthesis(ws).requires_grad
    with ops.inference():
        assert ops.inferring()
        with torch.enable_grad():
            assert not ops.inferring()
            G.latents.synthesis(G.net, ws, "const", None).sum().backward()
    assert ws.grad is not None
    assert not ops.inferring()


def test_large_pictures_are_drawn_one_by_one():
    G = generator(DataSpec((256, 256)), channel_max=4)
    assert at_once(G.resolution) == 1
    ws = G.mapping(G.z([0, 1, 2]))
    torch.testing.assert_close(G.synthesis(ws)[1:2], G.synthesis(ws[1:2]), rtol=0, atol=0)


def test_a_training_step_is_a_change_of_the_weights():
    """PyTorch's fused optimizers don't say so themselves."""
    G = generator(DataSpec((16, 16)))
    ws = G.mapping(G.z([0]))
    before = G.synthesis(ws)
    G.net.requires_grad_(True)
    parameters = list(G.net.parameters())
    flat = torch.ones(sum(p.numel() for p in parameters))
    learner = Learner(["G.weight"] * len(parameters), parameters, flat, torch.optim.Adam(parameters, fused=True), 0.1)
    learner.zero()
    flat.fill_(1.0)
    learner.step(1.0)
    after = G.synthesis(ws)
    assert not torch.equal(before, after)
    close(after, plain(G, ws))
