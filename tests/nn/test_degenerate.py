"""At the points where a root, a length or a share has no derivative, gradients are finite, and those of gradients too;
and what is normalised in bf16 has its statistics in float32."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from organza.methods.stylegan.lucidrains import ChannelNorm
from organza.methods.stylegan.msg_gan import averaged_penalty
from organza.methods.stylegan.progan import fair_stddev, pixel_norm
from organza.methods.stylegan.stylegan import adain
from organza.methods.stylegan.stylegan2 import normalize
from organza.methods.stylegan.stylegan3 import Grid, Layer, StyleGAN3, Waves
from organza.metrics.path_length import slerp
from organza.nn import losses, penalties
from organza.nn.layers import minibatch_stddev
from organza.nn.likelihood import gaussian_divergence
from organza.nn.pyramid import layer_norm
from organza.ops import modulated_conv2d
from organza.vision.lpips import unit

OF_IMAGES = {
    "instance": lambda x: adain(x, x.new_ones(4, 6), x.new_zeros(4, 6)),
    "pixel": pixel_norm,
    "layer": layer_norm(6),
    "batch": nn.BatchNorm2d(6),
    "channel": ChannelNorm(6),
    "stddev": lambda x: minibatch_stddev(x, 4)[:, -1:],
    "fair stddev": lambda x: fair_stddev(x, 4)[:, -1:],
    "lpips": unit,
}
"""Normalisations and statistics of features ``[4, 6, 8, 8]``."""

STYLES = torch.rand(4, 6, generator=torch.Generator().manual_seed(0))
KERNEL = torch.randn(5, 6, 3, 3, generator=torch.Generator().manual_seed(0))
OTHERS = {
    "code": (lambda z: normalize(z), (4, 6)),
    "demodulated styles": (lambda s: modulated_conv2d(torch.ones(4, 6, 8, 8), KERNEL, s, padding=1), (4, 6)),
    "demodulated weights": (lambda w: modulated_conv2d(torch.ones(4, 6, 8, 8), w, STYLES, padding=1), (5, 6, 3, 3)),
    "slerp": (lambda z: slerp(z, z + STYLES, torch.full((4, 1), 0.5)), (4, 6)),
    "root": (penalties.root, (4,)),
    "logistic": (lambda s: losses.logistic_d(s, s) + losses.logistic_g(s), (4, 1)),
    "saturating": (losses.saturating_g, (4, 1)),
    "hinge": (lambda s: losses.hinge_d(s, s) + losses.hinge_g(s), (4, 1)),
    "least squares": (lambda s: losses.least_squares_d(s, s) + losses.least_squares_g(s), (4, 1)),
    "relativistic": (lambda s: losses.relativistic_d(s, s) + losses.relativistic_g(s, s), (4, 1)),
    "divergence": (lambda x: gaussian_divergence(x, x), (4, 6)),
}


def assert_finite(function, x):
    x = x.clone().requires_grad_()
    weights = torch.randn(function(x).shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((function(x) * weights).sum(), x, create_graph=True)
    assert gradient.isfinite().all()
    if gradient.requires_grad:
        again = torch.autograd.grad((gradient * torch.randn_like(gradient)).sum(), x, allow_unused=True)[0]
        assert again is None or again.isfinite().all()


@pytest.mark.parametrize("value", [0.0, 1e-30, 3.0])
@pytest.mark.parametrize("name", OF_IMAGES)
def test_flat_features_have_finite_gradients(name, value):
    assert_finite(OF_IMAGES[name], torch.full((4, 6, 8, 8), value))


@pytest.mark.parametrize("value", [0.0, 1e-30, 1.0])
@pytest.mark.parametrize("name", OTHERS)
def test_zeros_have_finite_gradients(name, value):
    function, shape = OTHERS[name]
    assert_finite(function, torch.full(shape, value))


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-13, 1e-11])
@pytest.mark.parametrize(
    "penalty",
    [
        penalties.wgan_gp,
        lambda f, x: penalties.wgan_gp(f, x, one_sided=True),
        penalties.r1,
        lambda f, x: penalties.path_lengths(f, x[..., 0], torch.ones(2, 3, 4, 1)),
        lambda f, x: averaged_penalty(lambda xs: f(xs[0]), [x], lambda s: (penalties.root(s) - 1).square()),
    ],
)
def test_penalties_where_a_critic_is_flat(penalty, scale):
    def flat(x):
        return (x[..., None] if x.ndim == 3 else x) * scale * weight

    weight, x = torch.ones(1, requires_grad=True), torch.zeros(2, 3, 4, 1)
    found = penalty(flat, x)
    assert found.isfinite().all()
    (gradient,) = torch.autograd.grad(found.sum(), weight, create_graph=True)
    assert gradient.isfinite().all()
    assert torch.autograd.grad(gradient, weight, allow_unused=True)[0].isfinite().all()


def test_stylegan3_with_styles_of_nothing():
    config, grid = StyleGAN3(w_dim=4), Grid(16, (16, 16), 4.0, 4.0)
    waves, layer = Waves(config, 3, grid), Layer(config, 3, 3, grid, grid, critical=False, colours=False)
    for affine in (waves.affine, layer.affine):
        nn.init.zeros_(affine.weight)
        nn.init.zeros_(affine.bias)
    w = torch.zeros(2, 4, requires_grad=True)
    loss = layer(waves(w), w).sum()
    loss.backward()
    assert loss.isfinite() and w.grad.isfinite().all()
    parameters = [*waves.parameters(), *layer.parameters()]
    assert all(p.grad is None or p.grad.isfinite().all() for p in parameters)


@pytest.mark.parametrize("name", OF_IMAGES)
def test_statistics_are_float32(name):
    """Features that hardly vary beside their mean: rounding their statistics to bf16 would be all that one sees."""
    rng = torch.Generator().manual_seed(0)
    x = (1 + torch.randn(4, 6, 8, 8, generator=rng) / 32).bfloat16()
    narrow, exact = OF_IMAGES[name](x), OF_IMAGES[name](x.float())
    assert narrow.dtype == torch.bfloat16 or name == "lpips"
    torch.testing.assert_close(narrow.float(), exact, rtol=2**-8, atol=2**-8)
