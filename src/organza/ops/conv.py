"""Convolution whose every derivative is again a convolution, and convolution with resampling.

PyTorch differentiates a convolution's backward pass with a generic rule that is many times slower than the pass
itself; R1 and path-length penalties live there. Convolution is bilinear, so three maps are closed under
differentiation: forward, transposed, and the gradient of the weight. Each is a Function whose backward pass calls the
others, and only those whose result is asked for.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from organza.ops import winograd
from organza.ops.bias_act import ACTIVATIONS, bias_act, channel_sums
from organza.ops.twins import apply, parameter_gradients, reference
from organza.ops.upfirdn2d import upfirdn2d

Size = tuple[int, int]


def conv2d(x: Tensor, w: Tensor, bias: Tensor | None = None, stride: int = 1, padding: int = 0) -> Tensor:
    """Correlate ``x`` ``[N, I, H, W]`` with ``w`` ``[O, I, kh, kw]`` and add ``bias`` ``[O]``, in the dtype of ``x``.

    Example:
        >>> conv2d(torch.ones(1, 2, 4, 4), torch.ones(3, 2, 3, 3), padding=1).shape
        torch.Size([1, 3, 4, 4])
    """
    w = w.to(x.dtype)
    if reference():
        return F.conv2d(x, w, None if bias is None else bias.to(x.dtype), stride=stride, padding=padding)
    return apply(_Forward, x, w, bias, stride, padding)


def conv_transpose2d(x: Tensor, w: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    """The adjoint of `conv2d`: ``x`` ``[N, O, H, W]`` with ``w`` ``[O, I, kh, kw]`` gives ``[N, I, ...]``.

    Example:
        >>> conv_transpose2d(torch.ones(1, 3, 4, 4), torch.ones(3, 2, 3, 3), stride=2).shape
        torch.Size([1, 2, 9, 9])
    """
    w = w.to(x.dtype)
    if reference():
        return F.conv_transpose2d(x, w, stride=stride, padding=padding)
    h, v = ((n - 1) * stride - 2 * padding + k for n, k in zip(x.shape[2:], w.shape[2:], strict=True))
    return apply(_Transposed, x, w, stride, padding, (h, v))


def conv2d_resample(
    x: Tensor,
    w: Tensor,
    f: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: int = 0,
    *,
    bias: Tensor | None = None,
    act: str = "linear",
    gain: float = 1.0,
    clamp: float | None = None,
) -> Tensor:
    """Convolve while enlarging or shrinking with the low-pass filter ``f``.

    At ``up == 1`` the kernel correlates, as everywhere in deep learning. With ``up > 1`` it is the kernel of a
    transposed convolution, that is, it acts flipped; checkpoints of the official implementations store it so.

    Args:
        x: ``[N, I, H, W]``.
        w: ``[O, I, k, k]``.
        f: ``[fh, fw]`` or None for no filtering, see `setup_filter`.
        up: enlargement.
        down: reduction.
        padding: around the enlarged image, on each side.
        bias: ``[O]``; it, ``act``, ``gain`` and ``clamp`` are the layer's tail, see `bias_act`.
        act: a name in `ACTIVATIONS`.
        gain: factor on the activation.
        clamp: limit on the result.

    Returns:
        ``[N, O, H * up // down, W * up // down]`` for ``padding == k // 2``.

    Example:
        >>> conv2d_resample(torch.ones(1, 2, 4, 4), torch.ones(3, 2, 3, 3), torch.ones(2, 2), up=2, padding=1).shape
        torch.Size([1, 3, 8, 8])
    """
    if not reference() and gain > 0 and ACTIVATIONS[act].piecewise:
        # Positive gains pass through such activations: let the small weight carry it.
        w, bias, gain = w * gain, None if bias is None else bias * gain, 1.0
    if not reference() and up == 1:  # the convolution comes last and adds the bias at no cost
        y = _resample(x, w, bias, f, up, down, padding)
        return bias_act(y, None, act, gain=gain, clamp=clamp, overwrite=True)
    y = _resample(x, w, None, f, up, down, padding)
    return bias_act(y, bias, act, gain=gain, clamp=clamp, overwrite=True)


def _resample(x: Tensor, w: Tensor, bias: Tensor | None, f: Tensor | None, up: int, down: int, padding: int) -> Tensor:
    if up == 1 and down == 1:
        return conv2d(x, w, bias, padding=padding)
    f = torch.ones(1, 1, device=x.device) if f is None else f
    fh, fw = f.shape
    pad: tuple[int, ...] = (padding,) * 4
    if up > 1:
        pad = _add(pad, (fw + up - 1) // 2, (fw - up) // 2, (fh + up - 1) // 2, (fh - up) // 2)
    if down > 1:
        pad = _add(pad, (fw - down + 1) // 2, (fw - down) // 2, (fh - down + 1) // 2, (fh - down) // 2)
    k = w.shape[2]
    if up > 1 and down > 1:
        x = conv2d(upfirdn2d(x, f, up=up, padding=pad, gain=up * up), w.flip((2, 3)))
        return upfirdn2d(x, f, down=down)
    if down > 1 and k == 1:
        return conv2d(upfirdn2d(x, f, down=down, padding=pad), w, bias)
    if down > 1:
        return conv2d(upfirdn2d(x, f, padding=pad), w, bias, stride=down)
    if k == 1:
        return upfirdn2d(conv2d(x, w), f, up=up, padding=pad, gain=up * up)
    x = conv_transpose2d(x, w.transpose(0, 1), stride=up)
    pad = _add(pad, 1 - k, up - k, 1 - k, up - k)
    return upfirdn2d(x, f, padding=pad, gain=up * up)


def _add(padding: tuple[int, ...], *more: int) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(padding, more, strict=True))


class _Forward(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, w: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
        bias = None if bias is None else bias.to(x.dtype)
        if stride == 1 and winograd.pays(x, w.shape, padding=padding):
            y = winograd.convolve(x, winograd.transform(w), padding=padding)
            return y if bias is None else y.add_(bias[:, None, None])
        return F.conv2d(x, w, bias, stride=stride, padding=padding)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, w, bias, ctx.stride, ctx.padding = inputs
        ctx.x, ctx.w, ctx.bias = x.shape[2:], w.shape, None if bias is None else bias.dtype
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, w if ctx.needs_input_grad[0] else None)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, w = ctx.saved_tensors
        dx = dw = db = None
        if ctx.needs_input_grad[0]:
            dx = apply(_Transposed, grad, w, ctx.stride, ctx.padding, tuple(ctx.x))
        if ctx.needs_input_grad[1] and parameter_gradients():
            dw = apply(_Weight, x, grad, ctx.stride, ctx.padding, tuple(ctx.w))
        if ctx.needs_input_grad[2] and parameter_gradients():
            db = channel_sums(grad).to(ctx.bias)
        return dx, dw, db, None, None


class _Transposed(torch.autograd.Function):
    @staticmethod
    def forward(y: Tensor, w: Tensor, stride: int, padding: int, size: Size) -> Tensor:
        if stride == 1 and padding < 2 and winograd.pays(y, w.transpose(0, 1).shape):
            return winograd.convolve(y, winograd.transform(w, flip=True).transpose(1, 2), padding=2 - padding)
        extra = [
            n - ((m - 1) * stride - 2 * padding + k) for n, m, k in zip(size, y.shape[2:], w.shape[2:], strict=True)
        ]
        return F.conv_transpose2d(y, w, stride=stride, padding=padding, output_padding=extra)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        y, w, ctx.stride, ctx.padding, _ = inputs
        ctx.w = w.shape
        ctx.save_for_backward(y if ctx.needs_input_grad[1] else None, w if ctx.needs_input_grad[0] else None)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        y, w = ctx.saved_tensors
        dy = apply(_Forward, grad, w, None, ctx.stride, ctx.padding) if ctx.needs_input_grad[0] else None
        dw = None
        if ctx.needs_input_grad[1] and parameter_gradients():
            dw = apply(_Weight, grad, y, ctx.stride, ctx.padding, tuple(ctx.w))
        return dy, dw, None, None, None


class _Weight(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, y: Tensor, stride: int, padding: int, shape: tuple[int, ...]) -> Tensor:
        if stride == 1 and winograd.pays(x, torch.Size(shape), padding=padding):
            return winograd.weight_gradient(x, y, padding).to(y.dtype)
        groups = 1
        if x.device.type == "cpu" and shape[0] % 32 == 0:
            # oneDNN would share one kernel between two threads by images and add what they find: other bits than one
            # thread's, and each waits for the other in the midst. Two kernels of half the channels, one for each
            # thread, take the same time.
            x, groups = torch.cat([x, x], 1), 2
        like = y.new_empty(1).expand(shape)
        pair = [stride, stride], [padding, padding], [1, 1]
        mask = [False, True, False]
        dw: Tensor = torch.ops.aten.convolution_backward(y, x, like, None, *pair, False, [0, 0], groups, mask)[1]
        return dw

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, y, ctx.stride, ctx.padding, _ = inputs
        ctx.x = x.shape[2:]
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, y if ctx.needs_input_grad[0] else None)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, y = ctx.saved_tensors
        dx = apply(_Transposed, y, grad, ctx.stride, ctx.padding, tuple(ctx.x)) if ctx.needs_input_grad[0] else None
        dy = apply(_Forward, x, grad, None, ctx.stride, ctx.padding) if ctx.needs_input_grad[1] else None
        return dx, dy, None, None, None
