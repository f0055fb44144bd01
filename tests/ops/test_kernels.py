"""The GPU kernels equal plain PyTorch: compiled where there is a GPU, and in Triton's interpreter elsewhere."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest
import torch

from organza import ops
from organza.ops import kernels

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture
def triton(monkeypatch):
    """The kernels at work, on CPU tensors too; counts how often they ran."""
    if DEVICE == "cpu":
        monkeypatch.setenv("TRITON_INTERPRET", "1")
    pytest.importorskip("triton", reason="Triton is not installed")
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(kernels, "devices", {DEVICE})
    kernels._compiled.cache_clear()
    launched, launch = [], kernels._launch

    def counting(kernel, *args, **constants):
        launch(kernel, *args, **constants)
        launched.append(kernel.__name__)

    monkeypatch.setattr(kernels, "_launch", counting)
    yield launched
    problem, kernels._problem = kernels._problem, None
    kernels._compiled.cache_clear()
    assert problem is None


def rand(*shape, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))).to(DEVICE, dtype)


def derivatives(call, inputs):
    """The result, its gradients, and the gradients of a curved function of those."""
    inputs = [x.detach().clone().requires_grad_() for x in inputs]
    y = call(*inputs)
    direction = torch.cos(torch.arange(y.numel(), device=DEVICE)).reshape(y.shape)
    options = {"create_graph": True, "allow_unused": True, "materialize_grads": True}
    first = torch.autograd.grad((y * direction).sum() + (y**2).sum(), inputs, **options)
    total = sum((g**2).sum() for g in first)
    return [y, *first, *torch.autograd.grad(total, inputs, **options)]


def agree(call, inputs):
    """In the reference everything is PyTorch's own, derivatives included."""
    fast = derivatives(call, inputs)
    with ops.using("reference"):
        slow = derivatives(call, inputs)
    for a, b in zip(fast, slow, strict=True):
        largest = float(b.detach().abs().max()) if b.numel() else 0.0
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5 * max(1.0, largest))


@pytest.mark.parametrize("act", list(ops.ACTIVATIONS))
@pytest.mark.parametrize("clamp", [None, 0.7])
@pytest.mark.parametrize("last", [False, True])
def test_bias_act(triton, act, clamp, last):
    x, b, scale, noise = rand(2, 3, 5, 4), rand(3), rand(2, 3), rand(5, 4)
    if last:
        x = x.to(memory_format=torch.channels_last)

    def call(x, b, scale, noise):
        return ops.bias_act(x, b, act, gain=1.3, clamp=clamp, scale=scale, noise=noise)

    agree(call, [x, b, scale, noise])
    assert {"_tail", "_curve"} <= set(triton) or (act == "linear" and clamp is None)
    agree(lambda x: ops.bias_act(x, None, act, clamp=clamp), [x])
    agree(lambda x, b, noise: ops.bias_act(x, b, act, noise=noise), [x, b, rand(2, 1, 1, 4)])


@pytest.mark.parametrize("act", list(ops.ACTIVATIONS))
def test_activations_far_out_and_near_zero(triton, act):
    x = torch.cat([torch.linspace(-100, 100, 41), torch.linspace(-0.2, 0.2, 41), torch.tensor([1e-6, -1e-6])])
    fast = derivatives(lambda x: ops.bias_act(x, None, act), [x[None].to(DEVICE)])
    with ops.using("reference"):
        slow = derivatives(lambda x: ops.bias_act(x, None, act), [x[None].to(DEVICE)])
    torch.testing.assert_close(fast[0], slow[0], rtol=1e-5, atol=1e-9)
    for a, b in zip(fast, slow, strict=True):
        torch.testing.assert_close(a, b, **CLOSE)
    with np.errstate(all="ignore"):  # the interpreter's
        odd = ops.bias_act(torch.tensor([[torch.nan, torch.inf]], device=DEVICE), None, act, clamp=9.0)
    assert odd[0, 0].isnan() and not odd[0, 1].isnan()
    assert triton


def test_bias_act_takes_slopes_and_gains_of_any_sign_vectors_and_its_own_memory(triton):
    x, b = rand(1500, 3), rand(3)  # more than one program's share
    for alpha, gain in [(-0.2, 1.0), (0.3, -2.0), (1.5, 0.5), (0.0, 1.0)]:
        agree(lambda x, b: ops.bias_act(x, b, "lrelu", alpha=alpha, gain=gain, clamp=1.1), [x, b])  # noqa: B023
    mine = x.clone()
    expected = ops.bias_act(x, b, "lrelu")
    assert ops.bias_act(mine, b, "lrelu", overwrite=True).data_ptr() == mine.data_ptr()
    assert torch.equal(mine, expected)
    for gaps in (rand(4, 6)[:, ::2], rand(4, 3)[:1].expand(2, 3), rand(3, 4).t()):
        agree(lambda x, b: ops.bias_act(x, b, "lrelu"), [gaps, b])
    assert ops.bias_act(x[:0], b, "lrelu").shape == (0, 3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_formats_of_16_bits(triton, dtype):
    x, b, scale, f = rand(2, 3, 6, 6, dtype=dtype), rand(3), rand(2, 3), rand(4, 3)

    def tail(x):
        return ops.bias_act(x, b.to(x.dtype), "lrelu", clamp=0.7, scale=scale.to(x.dtype))

    def resampled(x):
        return ops.upfirdn2d(x, f, up=2, padding=1)

    for call, act in [(tail, "tail"), (resampled, "filter"), (lambda x: ops.bias_act(x, None, "swish"), "swish")]:
        got = call(x)
        assert got.dtype == dtype, act
        with ops.using("reference"):
            exact = call(x.float())
        torch.testing.assert_close(got.float(), exact, rtol=0.02, atol=0.02)
    leaf = x.clone().requires_grad_()
    y = ops.bias_act(leaf, None, "relu", gain=1.0, clamp=0.7)  # 0.7 is no number of these formats
    y.sum().backward()
    assert torch.equal(leaf.grad != 0, (x > 0) & (x < 0.7))
    assert triton


@pytest.mark.parametrize("up", [1, 2, 3])
@pytest.mark.parametrize("down", [1, 2, 3])
@pytest.mark.parametrize("padding", [2, (1, 0), (3, -1, 2, 1), (-2, 4, -3, 5)])
@pytest.mark.parametrize("flip", [False, True])
def test_upfirdn2d(triton, up, down, padding, flip):
    x, f = rand(2, 3, 9, 8), rand(4, 3)
    agree(lambda x: ops.upfirdn2d(x, f, up, down, padding, flip, 1.5), [x])
    assert set(triton) == {"_upfirdn"}


def test_upfirdn2d_takes_any_strides_and_empty_batches(triton):
    f = ops.setup_filter([1, 3, 3, 1]).to(DEVICE)
    x = rand(2, 5, 8, 12)
    expected = ops.upsample2d(x, f)
    got = ops.upsample2d(x.to(memory_format=torch.channels_last), f)
    assert torch.equal(got, expected) and got.is_contiguous(memory_format=torch.channels_last)
    for view in (x.mT, x[:, ::2, 1:, ::3], x[:1].expand(3, -1, -1, -1)):
        agree(lambda x: ops.downsample2d(x, f), [view])
        torch.testing.assert_close(ops.downsample2d(view, f), ops.downsample2d(view.contiguous(), f))
    assert ops.upsample2d(x[:0], f).shape == (0, 5, 16, 24)
    with pytest.raises(RuntimeError):
        ops.upfirdn2d(x, rand(20, 20))


def test_offsets_of_64_bits_give_the_same(triton, monkeypatch):
    x, f = rand(2, 3, 8, 8), rand(4, 4)

    def calls():
        return ops.upfirdn2d(x, f, 2, padding=1), ops.bias_act(x, rand(3), "lrelu"), ops.bias_act(x, act="tanh")

    narrow = calls()
    monkeypatch.setattr(kernels, "WIDE", 1)
    for a, b in zip(calls(), narrow, strict=True):
        assert torch.equal(a, b)


def test_third_derivatives_are_plain_pytorchs(triton):
    x = torch.linspace(-1, 1, 9, device=DEVICE)[None].requires_grad_()
    found = []
    for twin in ("fast", "reference"):
        with ops.using(twin):
            y = ops.bias_act(x, act="tanh")
        for _ in range(3):
            (y,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        found.append(y)
    torch.testing.assert_close(*found, **CLOSE)


def test_references_and_the_environment_switch_them_off(triton, monkeypatch):
    with ops.using("reference"):
        ops.bias_act(rand(2, 3), act="lrelu")
    monkeypatch.setenv("ORGANZA_TRITON", "0")
    ops.bias_act(rand(2, 3), act="tanh")
    ops.upsample2d(rand(1, 1, 4, 4), rand(2, 2))
    assert not triton
    monkeypatch.delenv("ORGANZA_TRITON")
    ops.bias_act(rand(2, 3).double(), act="lrelu")
    assert not triton


@pytest.mark.parametrize("order", [0, 1])
def test_the_first_failure_is_said_once_and_plain_pytorch_goes_on(monkeypatch, caplog, order):
    """Even where the one who asks is a backward pass. (Without Triton this is what happens on every GPU.)"""

    def broken(*args, ORDER=0, **constants):
        if order <= ORDER:
            raise RuntimeError("no such processor\nand more of it")
        args[1].copy_(torch.tanh(args[3]))

    fake = ModuleType("triton")
    fake.language = fake
    monkeypatch.setitem(sys.modules, "triton", fake)
    monkeypatch.setitem(sys.modules, "triton.language", fake)
    monkeypatch.setattr(kernels, "_launch", broken)
    monkeypatch.setattr(kernels, "devices", {DEVICE})
    monkeypatch.setattr(kernels, "_problem", None)
    agree(lambda x: ops.bias_act(x, act="tanh"), [rand(2, 3)])
    agree(lambda x: ops.bias_act(x, act="lrelu"), [rand(2, 3)])
    assert caplog.messages == ["organza: plain PyTorch instead of Triton's kernels: RuntimeError: no such processor"]


def test_cpu_users_never_import_triton():
    program = (
        "import sys, torch; from organza import ops; x = ops.bias_act(torch.ones(1, 1, 4, 4), act='lrelu');"
        "ops.upsample2d(x, torch.ones(2, 2)); sys.exit('triton' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
