"""Fast twins equal their references, to second order."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from organza import ops
from organza.ops import conv, winograd

F32 = {"rtol": 1e-5, "atol": 1e-5}


def both(function, *args):
    fast = function(*args)
    with ops.using("reference"):
        return fast, function(*args)


def rand(*shape, dtype=torch.float32):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(sum(shape) + 7))


def leaf(*shape):
    return rand(*shape, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("up", [1, 2, 3])
@pytest.mark.parametrize("down", [1, 2, 3])
@pytest.mark.parametrize("padding", [2, (1, 0), (3, -1, 2, 1)])
@pytest.mark.parametrize("flip", [False, True])
def test_upfirdn2d_equals_its_reference(up, down, padding, flip):
    x, f = rand(2, 3, 7, 6), rand(4, 3)
    fast, slow = both(lambda: ops.upfirdn2d(x, f, up, down, padding, flip, 1.5))
    torch.testing.assert_close(fast, slow, **F32)


@pytest.mark.parametrize(("up", "down", "padding"), [(1, 1, 2), (2, 1, (2, 1, 2, 1)), (1, 2, 1), (2, 3, (0, 3, -1, 2))])
def test_upfirdn2d_gradients(up, down, padding):
    f = rand(4, 3, dtype=torch.float64)

    def call(x):
        return ops.upfirdn2d(x, f, up, down, padding, gain=2.0)

    assert gradcheck(call, leaf(2, 2, 5, 6))
    assert gradgradcheck(call, leaf(2, 2, 5, 6))


def test_resampling_keeps_constants_and_sizes():
    f = ops.setup_filter([1, 3, 3, 1])
    x = torch.ones(1, 2, 8, 12)
    assert ops.upsample2d(x, f).shape == (1, 2, 16, 24)
    torch.testing.assert_close(ops.upsample2d(x, f)[:, :, 3:-3, 3:-3], torch.ones(1, 2, 10, 18))
    torch.testing.assert_close(ops.downsample2d(x, f)[:, :, 1:-1, 1:-1], torch.ones(1, 2, 2, 4))


@pytest.mark.parametrize("act", list(ops.ACTIVATIONS))
@pytest.mark.parametrize("clamp", [None, 0.7])
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("noisy", [False, True])
def test_bias_act_equals_its_reference_and_its_gradients(act, clamp, scaled, noisy):
    scale = leaf(2, 3) if scaled else None
    noise = leaf(2, 3) if noisy else None

    def call(x, b, scale, noise):
        return ops.bias_act(x, b, act, gain=1.3, clamp=clamp, scale=scale, noise=noise)

    inputs = leaf(2, 3, 2, 3), leaf(3), scale, noise
    fast, slow = both(call, *inputs)
    torch.testing.assert_close(fast, slow)
    assert gradcheck(call, inputs)
    assert gradgradcheck(call, inputs)


def test_bias_act_takes_vectors_and_default_gains():
    x, b = rand(4, 6), rand(6)
    for act, spec in ops.ACTIVATIONS.items():
        fast, slow = both(lambda: ops.bias_act(x, b, act))  # noqa: B023
        torch.testing.assert_close(fast, slow)
        torch.testing.assert_close(fast, spec.call(x + b, spec.alpha) * spec.gain)


RESAMPLE = [(1, 1, 3), (2, 1, 3), (1, 2, 3), (2, 1, 1), (1, 2, 1), (2, 2, 3), (1, 1, 1)]


def in_full(x, w, f, up, down, padding):
    """`ops.conv2d_resample` as it is defined: enlarge, convolve at full size, shrink."""
    f = torch.ones(1, 1) if f is None else f
    fh, fw = f.shape
    pad = [padding] * 4
    if up > 1:
        more = (fw + up - 1) // 2, (fw - up) // 2, (fh + up - 1) // 2, (fh - up) // 2
        pad = [a + b for a, b in zip(pad, more, strict=True)]
    if down > 1:
        more = (fw - down + 1) // 2, (fw - down) // 2, (fh - down + 1) // 2, (fh - down) // 2
        pad = [a + b for a, b in zip(pad, more, strict=True)]
    with ops.using("reference"):
        x = ops.upfirdn2d(x, f if up > 1 else torch.ones(1, 1), up=up, padding=pad, gain=up * up)
        x = ops.conv2d(x, w.flip((2, 3)) if up > 1 else w)
        return ops.upfirdn2d(x, f, down=down) if down > 1 else x


@pytest.mark.parametrize(("up", "down", "k"), RESAMPLE)
@pytest.mark.parametrize("taps", [[1, 3, 3, 1], [1, 2], None])
def test_conv2d_resample_equals_its_definition(up, down, k, taps):
    f = None if taps is None else ops.setup_filter(taps)
    x, w = rand(2, 3, 6, 8), rand(4, 3, k, k)
    fast, slow = both(lambda: ops.conv2d_resample(x, w, f, up, down, k // 2))
    assert fast.shape == (2, 4, 6 * up // down, 8 * up // down)
    torch.testing.assert_close(fast, slow, **F32)
    torch.testing.assert_close(fast, in_full(x, w, f, up, down, k // 2), **F32)


@pytest.mark.parametrize(("up", "down", "k"), RESAMPLE[:5])
def test_conv2d_resample_gradients(up, down, k):
    f = ops.setup_filter([1, 2])

    def call(x, w):
        return ops.conv2d_resample(x, w, f, up, down, k // 2)

    inputs = leaf(2, 2, 4, 4), leaf(3, 2, k, k)
    assert gradcheck(call, inputs)
    assert gradgradcheck(call, inputs)


@pytest.mark.parametrize(("up", "down", "k"), RESAMPLE[:5])
@pytest.mark.parametrize("act", ["linear", "lrelu", "swish"])
def test_conv2d_resample_with_its_tail(up, down, k, act):
    f = ops.setup_filter([1, 2])

    def call(x, w, b):
        return ops.conv2d_resample(x, w, f, up, down, k // 2, bias=b, act=act, gain=1.3, clamp=1.5)

    fast, slow = both(call, rand(2, 3, 6, 8), rand(4, 3, k, k), rand(4))
    torch.testing.assert_close(fast, slow, **F32)
    inputs = leaf(1, 1, 4, 4), leaf(2, 1, k, k), leaf(2)
    assert gradcheck(call, inputs)
    assert gradgradcheck(call, inputs)


def test_a_result_in_the_memory_of_its_input_is_the_same():
    for scale in (None, rand(2, 3)):
        x, b = rand(2, 3, 4, 4), rand(3)
        expected = ops.bias_act(x, b, "lrelu", scale=scale)
        assert torch.equal(ops.bias_act(x.clone(), b, "lrelu", scale=scale, overwrite=True), expected)
        again = x.clone().requires_grad_()
        got = ops.bias_act(again * 1, b, "lrelu", scale=scale, overwrite=True)
        assert torch.equal(got, expected)
        got.square().sum().backward()
        plain = x.clone().requires_grad_()
        ops.bias_act(plain, b, "lrelu", scale=scale).square().sum().backward()
        assert torch.equal(again.grad, plain.grad)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", [0, 1])
def test_convolution_is_closed_under_differentiation(stride, padding):
    """An even size at stride 2 leaves pixels over, which the transposed pass must give back."""
    x, w, y = leaf(1, 2, 6, 5), leaf(2, 2, 3, 3), leaf(1, 2, 3, 2)
    for function, inputs in [(ops.conv2d, (x, w)), (ops.conv_transpose2d, (y, w))]:

        def call(a, b, function=function):
            return function(a, b, stride=stride, padding=padding)

        assert gradcheck(call, inputs)
        assert gradgradcheck(call, inputs)

        def first(a, b, call=call):
            return torch.autograd.grad(call(a, b).square().sum(), (a, b), create_graph=True)

        assert gradgradcheck(first, inputs)


def test_convolution_by_winograd(monkeypatch):
    """All three maps and their derivatives, in bands and pieces that end within an image or hold several."""
    monkeypatch.setattr(winograd, "FEWEST", {torch.float64: 1})
    jobs = ((10, 14, (2, 2, 16, 20), 1), (40, 200, (5, 2, 20, 16), 1), (10, 14, (2, 2, 18, 22), 0))
    for band, piece, shape, padding in jobs:
        monkeypatch.setattr(winograd, "BAND", band)
        monkeypatch.setattr(winograd, "PIECE", piece)
        x, w, b = leaf(*shape), leaf(3, 2, 3, 3), leaf(3)
        assert winograd.pays(x, w.shape, padding=padding)
        found = []
        for twin in ("fast", "reference"):
            with ops.using(twin):
                y = ops.conv2d(x, w, b, padding=padding)
                first = torch.autograd.grad(y.sin().sum(), (x, w, b), create_graph=True)
                total = sum(g.square().sum() for g in first)
                found.append([y, *first, *torch.autograd.grad(total, (x, w, b))])
        for fast, slow in zip(*found, strict=True):
            torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1.6e-6), (torch.bfloat16, 0.016)])
def test_what_winograd_rounds(dtype, bound):
    """The errors that `organza.ops.winograd` states, of results and of both gradients."""
    shapes = (2, 128, 16, 16), (128, 128, 3, 3), (3, 128, 16, 16)
    x, w, g = (rand(*shape).to(dtype) for shape in shapes)  # another shape, other numbers
    g = g[:2]
    exact = [t.double().requires_grad_() for t in (x, w)]
    y = torch.conv2d(*exact, padding=1)
    dx, dw = torch.autograd.grad(y, exact, g.double())
    made = (
        winograd.convolve(x, winograd.transform(w)),
        winograd.convolve(g, winograd.transform(w, flip=True).transpose(1, 2)),
        winograd.weight_gradient(x, g),
    )
    for got, true in zip(made, (y, dx, dw), strict=True):
        assert (got.double() - true).square().mean().sqrt() < bound * true.std()


def test_bfloat16_goes_through_winograd_and_keeps_its_format(monkeypatch):
    """To second order, from a gradient that is one number everywhere."""
    found = []
    for fewest in ({}, {torch.bfloat16: 1}):
        monkeypatch.setattr(winograd, "FEWEST", fewest)
        x, w, b = (t.to(torch.bfloat16).requires_grad_() for t in (rand(2, 16, 16, 16), rand(16, 16, 3, 3), rand(16)))
        y = ops.conv2d(x, w, b, padding=1)
        first = torch.autograd.grad(y.square().sum(), (x, w, b), create_graph=True)
        second = torch.autograd.grad(first[0].sum(), (x, w))
        found.append([y, *first, *second])
    for plain, quick in zip(*found, strict=True):
        assert quick.dtype == torch.bfloat16 and quick.shape == plain.shape
        assert (quick - plain).float().square().mean().sqrt() < 0.05 * plain.float().square().mean().sqrt()
    assert not torch.equal(found[0][0], found[1][0])


def test_what_winograd_is_not_for(monkeypatch):
    monkeypatch.setattr(winograd, "FEWEST", {torch.float32: 4})
    square = torch.Size((4, 4, 3, 3))
    assert winograd.pays(rand(1, 4, 16, 16), square)
    assert not winograd.pays(rand(1, 4, 16, 18), square)
    assert not winograd.pays(rand(1, 4, 18, 16), square)
    assert not winograd.pays(rand(1, 4, 8, 8), square)
    assert winograd.pays(rand(1, 4, 18, 18), square, padding=0)
    assert not winograd.pays(rand(1, 4, 16, 16), square, padding=0)
    assert not winograd.pays(rand(1, 4, 16, 16), square, padding=2)
    assert not winograd.pays(rand(1, 4, 16, 16), torch.Size((4, 4, 1, 1)))
    assert not winograd.pays(rand(1, 4, 16, 16), torch.Size((3, 4, 3, 3)))
    assert not winograd.pays(rand(1, 4, 16, 16).half(), square)
    assert not winograd.pays(rand(1, 4, 16, 16), torch.Size((4096, 4, 3, 3)))  # few pixels for such a kernel
    assert winograd.pays(rand(1, 4, 16, 16), torch.Size((4096, 4, 3, 3)), fixed=True)


def test_what_winograd_gives_may_be_overwritten(monkeypatch):
    monkeypatch.setattr(winograd, "FEWEST", {torch.float64: 1})
    x, w, b = leaf(2, 2, 16, 16), leaf(3, 2, 3, 3), leaf(3)
    fast, slow = both(lambda: ops.conv2d_resample(x, w, padding=1, bias=b, act="lrelu"))
    torch.testing.assert_close(fast, slow)
    fast.sum().backward()


def test_penalties_leave_out_the_gradients_of_weights(monkeypatch):
    asked = []
    forward = conv._Weight.forward
    monkeypatch.setattr(conv._Weight, "forward", staticmethod(lambda *a: asked.append(1) or forward(*a)))
    x, w, b = leaf(1, 2, 6, 6), leaf(3, 2, 3, 3), leaf(3)

    def penalty(gradient):
        y = ops.bias_act(ops.conv2d(x, w, b, padding=1), None, "swish").sum()
        return torch.autograd.grad(gradient(y).square().sum(), (w, b))

    fast = penalty(lambda y: ops.input_gradient(y, x))
    spared = len(asked)
    plain = penalty(lambda y: torch.autograd.grad(y, x, create_graph=True)[0])
    assert len(asked) - spared == spared + 1
    for a, c in zip(fast, plain, strict=True):
        torch.testing.assert_close(a, c)


@pytest.mark.parametrize(("up", "k", "demodulate"), [(1, 3, True), (2, 3, True), (1, 1, False), (1, 3, False)])
def test_modulated_conv2d(up, k, demodulate):
    f = ops.setup_filter([1, 3, 3, 1])

    def call(x, w, s, b, noise):
        return ops.modulated_conv2d(
            x, w, s, noise, up, 1, k // 2, f, demodulate, bias=b, act="lrelu", gain=1.4, clamp=9.0
        )

    def inputs(dtype, n, c, size):
        made = rand(n, c, size, size), rand(3, c, k, k), rand(n, c), rand(3), rand(n, 1, size * up, size * up)
        return tuple(t.to(dtype).requires_grad_(dtype == torch.float64) for t in made)

    x, w, s, b, noise = inputs(torch.float32, 3, 8, 8)
    fast, slow = both(call, x, w, s, b, noise)
    torch.testing.assert_close(fast, slow, **F32)
    weights = w * s[:, None, :, None, None]  # eq. 1 and 3 as they stand
    if demodulate:
        weights = weights * (weights.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    each = [in_full(x[i : i + 1], weights[i], f, up, 1, k // 2) for i in range(len(x))]
    tail = torch.nn.functional.leaky_relu(torch.cat(each) + noise + b[:, None, None], 0.2) * 1.4
    torch.testing.assert_close(fast, tail.clamp(-9, 9), **F32)
    small = inputs(torch.float64, 2, 2, 3)
    assert gradcheck(call, small)
    assert gradgradcheck(call, small)


def test_bfloat16_stays_near_float32():
    f = ops.setup_filter([1, 3, 3, 1])
    x, w, s = rand(2, 32, 16, 16), rand(32, 32, 3, 3), rand(2, 32) + 1
    exact = ops.modulated_conv2d(x, w, s, up=2, padding=1, resample_filter=f)
    low = x.to(torch.bfloat16, memory_format=torch.channels_last)
    got = ops.modulated_conv2d(low, w, s, up=2, padding=1, resample_filter=f)
    assert got.dtype == torch.bfloat16
    assert (got.float() - exact).square().mean().sqrt() < 0.01 * exact.square().mean().sqrt()
