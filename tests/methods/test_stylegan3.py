"""StyleGAN3: layers follow the paper's plan, and images move and turn with their input (arXiv 2106.12423)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from organza.contract.data import Batch, DataSpec
from organza.core.device import computing
from organza.core.errors import UserError
from organza.methods.stylegan.stylegan3 import StyleGAN3, blurred, plan, widths
from organza.ops import using
from organza.presets import PRESETS

SMALL = {"z_dim": 16, "w_dim": 16, "channel_base_d": 64, "channel_max_d": 8, "channel_max": 32}
T = StyleGAN3(channel_base=2048, **SMALL)
R = StyleGAN3(channel_base=4096, kernel=1, radial=True, **SMALL)


def settled(config, spec, seed=0):
    """A network whose magnitudes fit its random weights, and codes for it."""
    torch.manual_seed(seed)
    method = config.resolve(spec, 4).build(spec)
    G = method.nets["G"].requires_grad_(False)
    ws = method.model.mapping(G, torch.randn(2, config.z_dim), torch.zeros(2, 0))
    for index in range(len(G.synthesis.layers)):
        _, squares = G.synthesis.draw(ws)
        list(G.magnitudes())[index].copy_(squares[index])
    return method, G, ws


def psnr(a, b):
    return 10 * torch.log10((a.max() - a.min()) ** 2 / (a - b).square().mean()).item()


def test_the_plan_is_the_papers():
    """Figure 4 c and the published networks' layers for images of 1024."""
    grids = plan(StyleGAN3(), (1024, 1024))
    sizes = [grid.size[0] for grid in grids]
    assert sizes == [36, 36, 52, 52, 84, 148, 148, 276, 276, 532, 1044, 1044, 1044, 1024, 1024]
    assert widths(StyleGAN3(), grids) == [512] * 7 + [323, 203, 128, 81, 51, 32, 32]
    assert grids[12].cutoff == 512


@pytest.mark.parametrize("shape", [(64, 64), (96, 96), (32, 48), (48, 32), (80, 64)])
def test_sizes(shape):
    spec = DataSpec(shape, 1)
    toy = T.toy()
    if shape == (80, 64):
        with pytest.raises(UserError, match="power of two"):
            toy.resolve(spec, 4).build(spec)
        return
    nets = toy.resolve(spec, 4).build(spec).nets
    images = nets["G"](torch.randn(2, 8), torch.zeros(2, 0))
    assert images.shape == (2, 1, *shape)
    assert nets["D"](images, torch.zeros(2, 0)).shape == (2, 1)


@pytest.mark.parametrize("config", [T, R])
def test_pictures_move(config):
    method, G, ws = settled(config, DataSpec((64, 64)))
    still = G.synthesis(ws)
    moved = method.model.placed(G, (8 / 64, -4 / 64), 0.0).synthesis(ws)
    # Right by 8 and up by 4 pixels; the middle, because edges have no partner.
    assert psnr(still[:, :, 12:56, 8:48], moved[:, :, 8:52, 16:56]) > 60
    assert torch.equal(G.synthesis(ws), still)


@pytest.mark.parametrize(("config", "least"), [(R, 60.0)])
def test_pictures_turn(config, least):
    method, G, ws = settled(config, DataSpec((64, 64)))
    turned = method.model.placed(G, (0.0, 0.0), 90.0).synthesis(ws)
    expected = torch.rot90(G.synthesis(ws), 1, (2, 3))
    assert psnr(expected[:, :, 12:-12, 12:-12], turned[:, :, 12:-12, 12:-12]) > least


def test_a_picture_does_not_depend_on_its_neighbours():
    _, G, ws = settled(T, DataSpec((32, 32)))
    torch.testing.assert_close(G.synthesis(ws)[:1], G.synthesis(ws[:1]), atol=1e-5, rtol=1e-4)


def test_other_forms_draw_the_same():
    _, G, ws = settled(R, DataSpec((32, 32)))
    images = G.synthesis(ws)
    with using("reference"):
        torch.testing.assert_close(G.synthesis(ws), images, atol=1e-4, rtol=1e-3)
    with computing(torch.bfloat16):
        assert psnr(images, G.synthesis(ws)) > 30


def test_magnitudes_follow_the_layers():
    spec = DataSpec((16, 16))
    config = replace(T.toy(), magnitude_decay=0.0, w_avg_decay=0.0).resolve(spec, 4)
    torch.manual_seed(0)
    method = config.build(spec)
    batch = Batch(torch.rand(4, 3, 16, 16), torch.zeros(4, 0))
    d_main = method.phases[1]
    result = d_main.loss(method.nets, batch, torch.Generator().manual_seed(0))
    stats = result.stats
    with torch.no_grad():
        d_main.after(method.nets, result, torch.Generator())
    G = method.nets["G"]
    assert torch.equal(torch.stack(list(G.magnitudes())), stats["magnitudes"])
    assert torch.equal(G.w_avg, stats["w_mean"])


def test_the_blur_fades():
    config = replace(PRESETS["stylegan3-r"].run.method.toy(), blur_kimg=1.0)
    spec = DataSpec((16, 16))
    torch.manual_seed(0)
    method = config.resolve(spec, 4).build(spec)
    seen = []
    method.nets["D"].register_forward_pre_hook(lambda net, args: seen.append(args[0].detach()))
    images = torch.rand(4, 3, 16, 16)
    for when in (0, 999, 1000):
        batch = Batch(images, torch.zeros(4, 0), seen=when)
        method.phases[1].loss(method.nets, batch, torch.Generator().manual_seed(0))
    reals = seen[1::2]
    assert reals[0].std() < reals[1].std()
    assert torch.equal(reals[1], reals[2]) and torch.equal(reals[2], images)
    torch.testing.assert_close(blurred(torch.ones(1, 1, 41, 41), 3.0)[0, 0, 20, 20], torch.tensor(1.0))


def test_the_blur_halves_at_sigma():
    """As the official implementation weights pixels: 2^-(x / sigma)^2."""
    point = torch.zeros(1, 1, 41, 41)
    point[0, 0, 20, 20] = 1
    for sigma in (1.0, 2.0, 5.0):
        line = blurred(point, sigma)[0, 0, 20]
        assert line[20 + int(sigma)] / line[20] == pytest.approx(0.5, rel=1e-5)
