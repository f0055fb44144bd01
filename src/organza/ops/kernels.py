"""What `bias_act` and `upfirdn2d` compute innermost, for GPUs: one pass over memory each, in Triton.

Triton is imported when the first tensor on a GPU comes. If it isn't there, or doesn't compile, that is said once and
plain PyTorch goes on; ``ORGANZA_TRITON=0`` in the environment leaves it out. All arithmetic is float32, whatever the
format in memory; float64 and layouts with gaps stay with plain PyTorch. Derivatives are the callers' business.
"""

# ruff: noqa: ANN001, ANN202 - the kernels are Triton's language
from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache, lru_cache, wraps
from typing import Any, no_type_check

import torch
from torch import Tensor

from organza.core.messages import logger

log = logger(__name__)
triton: Any = None
tl: Any = None
devices = {"cuda"}
"""Types of device that the kernels serve."""
FORMATS = {torch.float32, torch.float16, torch.bfloat16}
BLOCK = 1024  # elements for each program
WIDE = 2**31 - 2 * BLOCK  # offsets from which 32 bits do not hold them
_problem: Exception | None = None


def serve(x: Tensor) -> bool:
    """Whether the kernels are to work on tensors such as ``x``.

    Example:
        >>> serve(torch.ones(1))
        False
    """
    if x.device.type not in devices or x.dtype not in FORMATS:
        return False
    return _problem is None and os.environ.get("ORGANZA_TRITON") != "0"


def _guarded(compute: Callable[..., Tensor | None]) -> Callable[..., Tensor | None]:
    """``compute(x, ...)``, or None where plain PyTorch is to do it."""

    @wraps(compute)
    def call(x: Tensor, *args: Any) -> Tensor | None:
        global triton, tl, _problem
        if not serve(x):
            return None
        try:
            import triton
            import triton.language as tl

            with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
                return compute(x, *args)
        except torch.cuda.OutOfMemoryError:
            raise
        except Exception as error:  # of many kinds: no Triton, no C compiler, a GPU too old ...
            _problem = error
            reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            log.warning(f"organza: plain PyTorch instead of Triton's kernels: {reason}")
            return None

    return call


@_guarded
def tail(
    x: Tensor,
    b: Tensor | None,
    scale: Tensor | None,
    noise: Tensor | None,
    slope: float,
    gain: float,
    clamp: float | None,
    overwrite: bool,
) -> Tensor | None:
    """`bias_act` for functions that are linear on both sides of 0, with ``slope`` on the negative one."""
    steps = _steps(x)
    if steps is None or (noise is not None and x.ndim != 4):
        return None
    y = x if overwrite else torch.empty_like(x)
    (n, c), pixels = x.shape[:2], x.shape[2:].numel()
    b, scale = (None if v is None else v.expand(*size).contiguous() for v, size in ((b, (c,)), (scale, (n, c))))
    strides = (0, 0, 0)
    if noise is not None:
        noise = noise.expand(n, 1, *x.shape[2:])
        strides = (noise.stride(0), noise.stride(2), noise.stride(3))
    _launch(
        _tail, y, [x], x, b, scale, noise, gain, _limit(clamp, x.dtype), c, pixels, *steps, x.shape[-1], *strides,
        SLOPE=float(slope),
    )  # fmt: skip
    return y


@_guarded
def curve(
    x: Tensor, grad: Tensor | None, act: str, alpha: float, gain: float, clamp: float | None, order: int
) -> Tensor | None:
    """``clamp(act(x) * gain)`` differentiated ``order`` times, 0 to 2, and multiplied by ``grad``.

    With ``act="told"`` and order 1 it is the derivative of `tail`'s function without its gain, told from the result.
    """
    if _steps(x) is None or order > 2:
        return None
    y = torch.empty_like(x)
    if grad is not None and grad.stride() != x.stride():
        grad = torch.empty_like(x).copy_(grad)
    slope = {"relu": 0.0, "lrelu": alpha, "told": alpha}.get(act, 1.0)
    _launch(_curve, y, [x], x, grad, gain, _limit(clamp, x.dtype), SLOPE=float(slope), ACT=act, ORDER=order)
    return y


@_guarded
def upfirdn(
    x: Tensor, f: Tensor, up: int, down: int, pad: tuple[int, int, int, int], flip: bool, gain: float
) -> Tensor | None:
    """`upfirdn2d`, of any strides; the result is channels-last if ``x`` is."""
    (n, c, h, w), (fh, fw), (left, right, top, bottom) = x.shape, f.shape, pad
    size = [(h * up + top + bottom - fh) // down + 1, (w * up + left + right - fw) // down + 1]
    if min(size) < 1:
        return None  # an error, which PyTorch words
    last = x.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if last else torch.contiguous_format
    y = torch.empty((n, c, *size), dtype=x.dtype, device=x.device, memory_format=layout)
    above, before = (max(0, -(-v // up)) for v in (top, left))
    _launch(
        _upfirdn, y, [x, y], x, f.contiguous(), gain, c, h, w, *size, top, left, above, before, *x.stride(),
        FH=fh, FW=fw, UP=up, DOWN=down, FLIP=flip, LAST=last,
    )  # fmt: skip
    return y


def _steps(x: Tensor) -> tuple[int, int] | None:
    """How far apart in memory neighbouring channels and pixels are; None for layouts with gaps."""
    if x.is_contiguous():
        return x.shape[2:].numel(), 1
    return (1, x.shape[1]) if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last) else None


@lru_cache
def _limit(clamp: float | None, dtype: torch.dtype) -> float | None:
    """The limit as ``dtype`` holds it, so that a clamped result is known by its value."""
    return None if clamp is None else torch.tensor(clamp, dtype=dtype, device="cpu").item()


@cache
def _compiled(kernel: Callable[..., None]) -> Any:
    return triton.jit(kernel)


def _launch(kernel: Callable[..., None], out: Tensor, sizes: list[Tensor], *args: Any, **constants: Any) -> None:
    if count := out.numel():
        wide = max(sum((n - 1) * s for n, s in zip(t.shape, t.stride(), strict=True)) for t in sizes) >= WIDE
        grid = (-(-count // BLOCK),)
        _compiled(kernel)[grid](out, *args, count, SIZE=BLOCK, WIDE=wide, **constants)


# The kernels. Triton compiles them; their names stand for pointers, numbers and, in capitals, what is compiled in.
# Comparisons instead of minima and maxima let NaN pass.


@no_type_check
def _tail(
    out, x, b, scale, noise, gain, clamp, channels, pixels, channel_step, pixel_step, width, noise_n, noise_h, noise_w,
    count, SIZE: tl.constexpr, WIDE: tl.constexpr, SLOPE: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0).to(tl.int64 if WIDE else tl.int32) * SIZE + tl.arange(0, SIZE)
    here = i < count
    v = tl.load(x + i, mask=here, other=0.0).to(tl.float32)
    channel = i // channel_step % channels
    picture = i // (channels * pixels)
    if scale is not None:
        v *= tl.load(scale + picture * channels + channel, mask=here, other=0.0).to(tl.float32)
    if noise is not None:
        pixel = i // pixel_step % pixels
        place = picture * noise_n + pixel // width * noise_h + pixel % width * noise_w
        v += tl.load(noise + place, mask=here, other=0.0).to(tl.float32)
    if b is not None:
        v += tl.load(b + channel, mask=here, other=0.0).to(tl.float32)
    if SLOPE == 0:
        v = tl.where(v <= 0, 0.0, v)
    elif SLOPE != 1:
        v = tl.where(v <= 0, v * SLOPE, v)
    v *= gain
    if clamp is not None:
        v = tl.where(v > clamp, clamp, tl.where(v < -clamp, -clamp, v))
    tl.store(out + i, v.to(out.dtype.element_ty), mask=here)


@no_type_check
def _curve(
    out, x, grad, gain, clamp, count,
    SIZE: tl.constexpr, WIDE: tl.constexpr, SLOPE: tl.constexpr, ACT: tl.constexpr, ORDER: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0).to(tl.int64 if WIDE else tl.int32) * SIZE + tl.arange(0, SIZE)
    here = i < count
    u = tl.load(x + i, mask=here, other=0.0).to(tl.float32)
    positive, near = u > 0, tl.abs(u) < 0.1  # near 0 differences of exponentials are sums of powers
    z = tl.exp(-tl.abs(u))
    s = tl.where(positive, 1.0, z) / (1 + z)  # the sigmoid, and 1 minus it
    r = tl.where(positive, z, 1.0) / (1 + z)
    if ACT == "tanh":
        far = tl.where(positive, 1 - z * z, z * z - 1) / (1 + z * z)
        value = tl.where(near, u * (1 - u * u / 3 * (1 - u * u * 0.4 * (1 - u * u * (17 / 42)))), far)
        first = 1 - value * value
        second = -2 * value * first
    elif ACT == "sigmoid":
        value = s
        first = s * r
        second = s * r * (r - s)
    elif ACT == "softplus":
        w = 1 + z
        value = tl.where(positive, u, 0.0) + tl.where(w == 1, z, tl.log(w) * (z / tl.where(w == 1, 1.0, w - 1)))
        first = s
        second = s * r
    elif ACT == "swish":
        value = u * s
        first = s * (1 + u * r)
        second = s * r * (2 + u * (r - s))
    elif ACT == "lrelu" or ACT == "relu" or ACT == "told":
        value = u if ACT == "told" else tl.where(positive, u, u * SLOPE)
        first = tl.where(positive, 1.0, SLOPE)
        second = z * 0
    else:
        above: tl.constexpr = 1.0507009873554805 if ACT == "selu" else 1.0
        below: tl.constexpr = 1.7580993408473766 if ACT == "selu" else 1.0
        less = tl.where(near, u * (1 + u / 2 * (1 + u / 3 * (1 + u / 4 * (1 + u / 5)))), z - 1)
        value = tl.where(positive, above * u, below * less)
        first = tl.where(positive, above, below * z)
        second = tl.where(u >= 0, 0.0, below * z)
    value *= gain
    v = gain * (first if ORDER == 1 else second)
    if clamp is not None:
        v = tl.where(tl.abs(value) >= clamp, 0.0, v)
        value = tl.where(value > clamp, clamp, tl.where(value < -clamp, -clamp, value))
    if ORDER == 0:
        v = value
    if grad is not None:
        v *= tl.load(grad + i, mask=here, other=0.0).to(tl.float32)
    tl.store(out + i, v.to(out.dtype.element_ty), mask=here)


@no_type_check
def _upfirdn(
    out, x, f, gain, channels, height, width, out_height, out_width, top, left, above, before,
    stride_n, stride_c, stride_h, stride_w, count, SIZE: tl.constexpr, WIDE: tl.constexpr,
    FH: tl.constexpr, FW: tl.constexpr, UP: tl.constexpr, DOWN: tl.constexpr, FLIP: tl.constexpr, LAST: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0).to(tl.int64 if WIDE else tl.int32) * SIZE + tl.arange(0, SIZE)
    here = i < count
    if LAST:
        channel, rest = i % channels, i // channels
        column, rest = rest % out_width, rest // out_width
        row, picture = rest % out_height, rest // out_height
    else:
        column, rest = i % out_width, i // out_width
        row, rest = rest % out_height, rest // out_height
        channel, picture = rest % channels, rest // channels
    # The first of the source's pixels under the filter, and the tap that meets it; `above` pixels more keep the
    # dividend from being negative, which processors divide in ways of their own.
    y = row * DOWN - top
    x0 = column * DOWN - left
    from_row = (y + above * UP + UP - 1) // UP - above
    from_column = (x0 + before * UP + UP - 1) // UP - before
    tap_row, tap_column = from_row * UP - y, from_column * UP - x0
    source = x + picture * stride_n + channel * stride_c
    total = tl.full([SIZE], 0.0, tl.float32)
    for j in range((FH + UP - 1) // UP):
        r, a = from_row + j, tap_row + j * UP
        in_row = here & (r >= 0) & (r < height) & (a < FH)
        for k in range((FW + UP - 1) // UP):
            q, b = from_column + k, tap_column + k * UP
            met = in_row & (q >= 0) & (q < width) & (b < FW)
            tap = a * FW + b if FLIP else FH * FW - 1 - a * FW - b
            value = tl.load(source + r * stride_h + q * stride_w, mask=met, other=0.0).to(tl.float32)
            total += value * tl.load(f + tap, mask=met, other=0.0).to(tl.float32)
    tl.store(out + i, (total * gain).to(out.dtype.element_ty), mask=here)
