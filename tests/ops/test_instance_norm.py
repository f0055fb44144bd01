"""Instance normalisation equals its formula in every layout, to second order."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from organza import ops
from organza.nn.norms import InstanceNorm2d

LAYOUTS = [torch.contiguous_format, torch.channels_last]


def rand(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed)) * 3 + 2


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("gradient_layout", LAYOUTS)
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 2e-5), (torch.bfloat16, 0.05)])
def test_values_and_gradients(count, layout, gradient_layout, affine, dtype, atol):
    """PyTorch's own gradient is off by the size of the gradient itself, for one image laid out channels last."""
    x64, g64 = (rand(count, 8, 12, 10, dtype=torch.float64, seed=seed) for seed in (0, 1))
    learned = [rand(8), rand(8)] if affine else []

    def run(twin, dtype):
        x = x64.to(dtype).contiguous(memory_format=layout).requires_grad_()
        leaves = [part.detach().to(torch.float64 if twin == "reference" else torch.float32) for part in learned]
        leaves = [part.requires_grad_() for part in leaves]
        with ops.using(twin):
            y = ops.instance_norm(x, *leaves)
        g = g64.to(dtype).contiguous(memory_format=gradient_layout)
        return [y, *torch.autograd.grad(y, [x, *leaves], g)]

    fast, slow = run("fast", dtype), run("reference", torch.float64)
    for one, other in zip(fast, slow, strict=True):
        one, other = one.detach(), other.detach()
        assert (one.double() - other).abs().max() < atol * max(1.0, float(other.abs().max()))


def test_the_layout_is_kept():
    x = rand(2, 8, 6, 6).contiguous(memory_format=torch.channels_last)
    assert ops.instance_norm(x).is_contiguous(memory_format=torch.channels_last)
    assert ops.instance_norm(x[:1]).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("count", [1, 2])
def test_second_order(layout, count):
    x = rand(count, 2, 3, 4, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    weight, bias = (rand(2, dtype=torch.float64).requires_grad_() for _ in range(2))
    assert gradcheck(ops.instance_norm, (x, weight, bias))
    assert gradgradcheck(ops.instance_norm, (x, weight, bias))


def test_images_are_normalised_by_themselves():
    x = rand(3, 4, 8, 8)
    torch.testing.assert_close(ops.instance_norm(x)[1:2], ops.instance_norm(x[1:2]), rtol=0, atol=1e-6)


def test_a_map_of_one_pixel():
    with pytest.raises(ValueError, match="one pixel"):
        ops.instance_norm(torch.zeros(2, 3, 1, 1))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("tracked", [True, False])
def test_the_module_equals_pytorchs(training, tracked):
    """Running statistics, as in files of 2018 and in StarGAN, move alike."""
    ours = InstanceNorm2d(4, affine=True, track_running_stats=tracked).train(training)
    theirs = torch.nn.InstanceNorm2d(4, affine=True, track_running_stats=tracked).train(training)
    x = rand(2, 4, 6, 5)
    with torch.no_grad():
        for net in (ours, theirs):
            net.weight.copy_(torch.arange(4.0))
            net.bias.fill_(0.5)
    for _ in range(2):
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)


def test_networks_have_no_other():
    """A layer of PyTorch's would bring its gradient back."""
    from organza.presets import PRESETS
    from tests.shapes import spec_of, toy

    for name in PRESETS:
        method = toy(name).method
        nets = method.resolve(spec_of(name, 64), 4).build(spec_of(name, 64)).nets
        for net in nets.values():
            assert not [m for m in net.modules() if type(m) is torch.nn.InstanceNorm2d], name
