"""Plain convolutions equal PyTorch's, and the plain methods work in bf16."""

from __future__ import annotations

import pytest
import torch

from organza import PRESETS
from organza.contract.data import Batch, DataSpec
from organza.core.device import computing
from organza.nn import pyramid


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate"])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(7, 1, 3), (3, 2, 1), (4, 2, 1), (3, 1, 0)])
def test_convolutions_pad_as_pytorch_does(kernel, stride, padding, mode, bias):
    same(torch.nn.Conv2d, pyramid.Conv2d, kernel, stride, padding, bias=bias, padding_mode=mode)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "more"), [(3, 2, 1, 1), (4, 2, 1, 0), (5, 2, 2, 1), (4, 3, 2, 2)]
)
def test_transposed_convolutions_pad_as_pytorch_does(kernel, stride, padding, more, bias):
    both = (torch.nn.ConvTranspose2d, pyramid.ConvTranspose2d)
    same(*both, kernel, stride, padding, bias=bias, output_padding=more)


def same(theirs, ours, *args, **more):
    """The two layers give the same results and the same gradients, of their input as well."""
    torch.manual_seed(0)
    first, second = (layer(3, 4, *args, **more).double() for layer in (theirs, ours))
    second.load_state_dict(first.state_dict())
    x = torch.randn(2, 3, 8, 9, dtype=torch.float64, requires_grad=True)
    outs = [layer(x) for layer in (first, second)]
    torch.testing.assert_close(*outs)
    direction = torch.randn_like(outs[0])
    slopes = [
        torch.autograd.grad((out * direction).sum(), [x, *layer.parameters()])
        for out, layer in zip(outs, (first, second), strict=True)
    ]
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("name", ["dcgan", "wgan-gp", "vae"])
def test_activations_in_bf16_and_everything_else_in_float32(name):
    spec = DataSpec((32, 32))
    torch.manual_seed(0)
    method = PRESETS[name].run.method.toy().build(spec)
    batch = Batch(torch.rand(4, 3, 32, 32) * 2 - 1, torch.zeros(4, 0))
    inner = []
    for net in method.nets.values():
        for module in net.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                module.register_forward_hook(lambda module, args, out: inner.append(out.dtype))
    results = {}
    for dtype in (torch.float32, torch.bfloat16):
        inner.clear()
        with computing(dtype):
            for phase in method.phases:
                for net in method.nets.values():
                    net.zero_grad()
                result = phase.loss(method.nets, batch, torch.Generator().manual_seed(0))
                loss, stats = result.loss, result.stats
                loss.backward()
                assert loss.dtype == torch.float32
                assert all(value.dtype == torch.float32 for value in stats.values())
                grads = [p.grad for n in method.players[phase.player].nets for p in method.nets[n].parameters()]
                assert all(g is not None and g.dtype == torch.float32 and g.isfinite().all() for g in grads)
                results[phase.name, dtype] = loss.item(), torch.cat([g.flatten() for g in grads])
            images = method.model.synthesis(method.nets[method.model.net].eval(), torch.zeros(1, 1, 8), "const", None)
            method.nets[method.model.net].train()
        assert images.dtype == torch.float32
        assert (torch.bfloat16 in inner) == (dtype == torch.bfloat16)
    for phase in method.phases:
        (exact, slopes), (near, others) = (results[phase.name, d] for d in (torch.float32, torch.bfloat16))
        assert near == pytest.approx(exact, rel=0.05, abs=0.02)
        assert torch.nn.functional.cosine_similarity(slopes, others, dim=0) > 0.98
