"""Scale, noise, bias, activation, gain and clamp: everything that follows a convolution, in few passes over memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from organza.ops import kernels
from organza.ops.twins import apply, parameter_gradients, reference


@dataclass(frozen=True)
class Activation:
    """An activation function with its customary parameters.

    Attributes:
        call: ``(x, alpha) -> y``.
        alpha: default slope or shape parameter.
        gain: default factor on the output; keeps the variance of a unit normal input about 1.
        piecewise: linear on both sides of 0, so that a positive gain may be taken before or after.
    """

    call: Callable[[Tensor, float], Tensor]
    alpha: float = 0.0
    gain: float = 1.0
    piecewise: bool = False


ACTIVATIONS: dict[str, Activation] = {
    "linear": Activation(lambda x, a: x, alpha=1.0, piecewise=True),
    "relu": Activation(lambda x, a: F.relu(x), gain=2**0.5, piecewise=True),
    "lrelu": Activation(F.leaky_relu, alpha=0.2, gain=2**0.5, piecewise=True),
    "tanh": Activation(lambda x, a: torch.tanh(x)),
    "sigmoid": Activation(lambda x, a: torch.sigmoid(x)),
    "elu": Activation(lambda x, a: F.elu(x)),
    "selu": Activation(lambda x, a: F.selu(x)),
    "softplus": Activation(lambda x, a: F.softplus(x)),
    "swish": Activation(lambda x, a: F.silu(x), gain=2**0.5),
}
"""Activations by name."""


def bias_act(
    x: Tensor,
    b: Tensor | None = None,
    act: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
    *,
    scale: Tensor | None = None,
    noise: Tensor | None = None,
    overwrite: bool = False,
) -> Tensor:
    """``clamp(act(x * scale + noise + b) * gain)``.

    Args:
        x: ``[N, C, H, W]`` or ``[N, C]``.
        b: ``[C]``.
        act: a name in `ACTIVATIONS`.
        alpha: negative slope of ``lrelu``; None takes the activation's own.
        gain: factor on the activation; None takes the activation's own.
        clamp: limit the result to ``[-clamp, clamp]``.
        scale: ``[N, C]``, factor on each channel (demodulation).
        noise: broadcastable to ``[N, 1, H, W]``.
        overwrite: ``x`` is not needed any more, so its memory may take the result.

    Returns:
        Shape and dtype of ``x``.

    Example:
        >>> bias_act(torch.tensor([[-1.0, 1.0]]), torch.tensor([0.0, 1.0]), act="lrelu", gain=1).tolist()
        [[-0.2..., 2.0]]
    """
    spec = ACTIVATIONS[act]
    alpha = spec.alpha if alpha is None else alpha
    gain = spec.gain if gain is None else gain
    slope = {"linear": 1.0, "relu": 0.0}.get(act, alpha)
    # With such a slope or gain, the sign of the output does not tell the side.
    curved = not spec.piecewise or slope < 0 or (slope != 1 and gain <= 0)
    if curved and not reference() and kernels.serve(x):
        u = bias_act(x, b, scale=scale, noise=noise, overwrite=overwrite)
        return apply(_Curve, None, u, act, alpha, gain, clamp, 0)
    if curved or reference():
        return _reference(x, b, spec, alpha, gain, clamp, scale, noise)
    if b is None and scale is None and noise is None and slope == gain == 1 and clamp is None:
        return x
    if scale is not None and torch.is_grad_enabled() and (x.requires_grad or scale.requires_grad):
        overwrite = False  # the gradient of the scale needs it
    return apply(_Tail, x, b, scale, noise, slope, gain, clamp, overwrite)


def _channels(v: Tensor, x: Tensor) -> Tensor:
    """``[C]`` or ``[N, C]`` shaped to broadcast over ``x``."""
    return v.reshape(*([1] * (2 - v.ndim)), *v.shape, *([1] * (x.ndim - 2)))


def _reference(
    x: Tensor,
    b: Tensor | None,
    spec: Activation,
    alpha: float,
    gain: float,
    clamp: float | None,
    scale: Tensor | None,
    noise: Tensor | None,
) -> Tensor:
    if scale is not None:
        x = x * _channels(scale.to(x.dtype), x)
    if noise is not None:
        x = x + noise.to(x.dtype)
    if b is not None:
        x = x + _channels(b.to(x.dtype), x)
    x = spec.call(x, alpha) * gain
    return x if clamp is None else x.clamp(-clamp, clamp)


class _Tail(torch.autograd.Function):
    """The fused tail for activations that are linear on both sides of 0.

    Positive gains pass through such functions, so they are folded into the small factors. The derivative follows from
    the sign of the output; the input is kept only where ``scale`` needs it.
    """

    @staticmethod
    def forward(
        x: Tensor,
        b: Tensor | None,
        scale: Tensor | None,
        noise: Tensor | None,
        slope: float,
        gain: float,
        clamp: float | None,
        overwrite: bool,
    ) -> Tensor:
        done = kernels.tail(x, b, scale, noise, slope, gain, clamp, overwrite)
        if done is not None:
            return done
        y = x if overwrite else torch.empty_like(x)
        bias = None if b is None else _channels((b * gain).to(x.dtype), x)
        if scale is not None:
            factor = _channels((scale * gain).to(x.dtype), x)
            torch.mul(x, factor, out=y) if bias is None else torch.addcmul(bias, x, factor, out=y)
        elif bias is not None:
            torch.add(bias, x, alpha=gain, out=y)
        elif gain != 1 or not overwrite:
            torch.mul(x, gain, out=y)
        if noise is not None:
            y += (noise * gain).to(x.dtype)
        if slope == 0:
            y.relu_()
        elif slope != 1:
            F.leaky_relu_(y, slope)
        if clamp is not None:
            y.clamp_(-clamp, clamp)
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, b, scale, noise, ctx.slope, ctx.gain, ctx.clamp, overwrite = inputs
        if overwrite:
            ctx.mark_dirty(x)
        ctx.bias = None if b is None else b.dtype
        ctx.noise = None if noise is None else (noise.shape, noise.dtype)
        curved = ctx.slope != 1 or ctx.clamp is not None
        ctx.save_for_backward(output if curved else None, None if scale is None else x, scale)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        y, x, scale = ctx.saved_tensors
        g = grad if y is None else apply(_Slope, grad, y, ctx.slope, ctx.clamp)
        dx = db = dscale = dnoise = None
        if ctx.needs_input_grad[0]:
            factor = ctx.gain if scale is None else _channels((scale * ctx.gain).to(g.dtype), g)
            dx = g if scale is None and ctx.gain == 1 else g * factor
        if ctx.bias is not None and ctx.needs_input_grad[1] and parameter_gradients():
            db = channel_sums(g).to(ctx.bias) * ctx.gain
        if scale is not None and ctx.needs_input_grad[2]:
            dscale = (g * x).sum(list(range(2, g.ndim))).to(scale.dtype) * ctx.gain
        if ctx.noise is not None and ctx.needs_input_grad[3]:
            shape, dtype = ctx.noise
            dnoise = (g.sum(1, keepdim=True).to(dtype) * ctx.gain).sum_to_size(shape)
        return dx, db, dscale, dnoise, None, None, None, None


def channel_sums(x: Tensor) -> Tensor:
    """The sum over all but the channels: ``[N, C, ...] -> [C]``, in at least float32.

    Each image is summed in its own format, which rounds once; asking PyTorch for a float32 sum would convert all of
    ``x`` first, at ten times the cost.
    """
    if x.ndim > 2:
        x = x.sum(list(range(2, x.ndim)))
    return x.to(torch.promote_types(x.dtype, torch.float32)).sum(0)


class _Slope(torch.autograd.Function):
    """``grad`` times the derivative of the activation, read from its output; linear in ``grad``, constant in ``y``."""

    @staticmethod
    def forward(grad: Tensor, y: Tensor, slope: float, clamp: float | None) -> Tensor:
        done = kernels.curve(y, grad, "told", slope, 1.0, clamp, 1)
        if done is not None:
            return done
        if slope != 1:
            grad = torch.ops.aten.leaky_relu_backward(grad, y, slope, True)
        if clamp is not None:
            grad = torch.ops.aten.hardtanh_backward(grad, y, -clamp, clamp)
        return grad

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, y, ctx.slope, ctx.clamp = inputs
        ctx.save_for_backward(y)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (y,) = ctx.saved_tensors
        return apply(_Slope, grad, y, ctx.slope, ctx.clamp), None, None, None


class _Curve(torch.autograd.Function):
    """Any activation with gain and clamp, differentiated ``order`` times and multiplied by ``grad``; for kernels."""

    @staticmethod
    def forward(
        grad: Tensor | None, u: Tensor, act: str, alpha: float, gain: float, clamp: float | None, order: int
    ) -> Tensor:
        done = kernels.curve(u, grad, act, alpha, gain, clamp, order)
        if done is not None:
            return done
        with torch.enable_grad():  # the kernel is not for this, or has just failed
            u = u.detach().requires_grad_()
            y = _reference(u, None, ACTIVATIONS[act], alpha, gain, clamp, None, None)
            for _ in range(order):
                (y,) = torch.autograd.grad(y.sum(), u, create_graph=True, materialize_grads=True)
        return y.detach() if grad is None else y.detach() * grad

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        grad, u, *ctx.shape, ctx.order = inputs
        ctx.save_for_backward(grad, u)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        before, u = ctx.saved_tensors
        first = apply(_Curve, grad, u, *ctx.shape, ctx.order) if ctx.needs_input_grad[0] else None
        second = None
        if ctx.needs_input_grad[1]:
            grad = grad if before is None else grad * before
            second = apply(_Curve, grad, u, *ctx.shape, ctx.order + 1)
        return first, second, None, None, None, None, None
