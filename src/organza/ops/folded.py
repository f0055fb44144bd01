"""Modulated convolution for networks that no longer change.

What follows from the weights alone is computed once and kept; an image's styles go where they are cheapest: into the
weights at large sizes, around the convolution at small ones. No gradients. `organza.load`'s generators run inside
`inference()`; training never does.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from organza.ops import winograd
from organza.ops.bias_act import ACTIVATIONS, bias_act
from organza.ops.twins import reference

_on: ContextVar[bool] = ContextVar("inference", default=False)


@contextmanager
def inference() -> Iterator[None]:
    """Generate without gradients, and keep what can be kept of the weights between calls.

    What is kept follows changes of a weight made through PyTorch, but not those through ``.data`` or NumPy.

    Example:
        >>> with inference():
        ...     print(inferring(), torch.is_grad_enabled())
        True False
    """
    token = _on.set(True)
    try:
        with torch.no_grad():
            yield
    finally:
        _on.reset(token)


def inferring() -> bool:
    """Whether ops may take their forms for inference now."""
    return _on.get() and not torch.is_grad_enabled() and not reference()


@dataclass
class _Kept:
    """What follows from a weight ``[O, I, k, k]`` alone."""

    version: int
    address: int
    squares: Tensor | None = None  # [I, O]
    transformed: dict[torch.dtype, Tensor] = field(default_factory=dict)
    copies: dict[tuple[torch.dtype, bool], Tensor] = field(default_factory=dict)

    def laid_out(self, weight: Tensor, dtype: torch.dtype, turned: bool) -> Tensor:
        """The weight in ``dtype``, as convolutions want it in memory; ``turned`` makes it ``[I, O, k, k]``."""
        if (dtype, turned) not in self.copies:
            copy = weight.detach().transpose(0, 1) if turned else weight.detach()
            self.copies[dtype, turned] = copy.to(dtype).contiguous(memory_format=torch.channels_last)
        return self.copies[dtype, turned]


_kept: MutableMapping[Tensor, _Kept] = WeakTensorKeyDictionary()


def _keep(weight: Tensor) -> _Kept:
    version = 0 if weight.is_inference() else weight._version
    kept = _kept.get(weight)
    if kept is None or (kept.version, kept.address) != (version, weight.data_ptr()):
        kept = _kept[weight] = _Kept(version, weight.data_ptr())
    return kept


def modulated(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    noise: Tensor | None,
    up: int,
    padding: int,
    taps: Tensor | None,
    demodulate: bool,
    bias: Tensor | None,
    act: str,
    gain: float,
    clamp: float | None,
) -> Tensor:
    """`organza.ops.modulated_conv2d` where `fits` says so."""
    kept, dtype = _keep(weight), x.dtype
    scale: Tensor | None = None
    if demodulate:
        if kept.squares is None:
            kept.squares = weight.square().sum((2, 3)).t().contiguous()
        scale = (styles.square() @ kept.squares + 1e-8).rsqrt_().mul_(gain)
    elif gain != 1:
        styles = styles * gain
    # The gain is above 0 and passes through the activation, so the small factors carry it.
    bias = None if bias is None else bias * gain
    noise = None if noise is None else noise * gain
    if up == 1 and padding == 1 and winograd.pays(x, weight.shape, fixed=True):
        if dtype not in kept.transformed:
            kept.transformed[dtype] = winograd.transform(weight, dtype)
        y = winograd.convolve(x, kept.transformed[dtype], styles)
        return bias_act(y, bias, act, gain=1.0, clamp=clamp, scale=scale, noise=noise, overwrite=True)
    turned = up > 1  # the transposed convolution wants its weight [I, O, k, k]
    if len(x) == 1 and x.numel() > 4 * weight.numel():  # weights are few: they carry everything
        factor = styles if scale is None else scale.t() * styles  # [1 or O, I]
        factor = (factor.t() if turned else factor)[:, :, None, None]
        kernel, scale = (kept.laid_out(weight, torch.float32, turned) * factor).to(dtype), None
    else:
        kernel = kept.laid_out(weight, dtype, turned)
        x = x * styles.to(dtype)[:, :, None, None]
    early, bias = (bias, None) if scale is None else (None, bias)
    early = None if early is None else early.to(dtype)
    if up == 1:
        y = F.conv2d(x, kernel, early, padding=padding)
    else:
        y = F.conv_transpose2d(x, kernel, stride=up)
        y = _low_pass(y, taps, up, kernel.shape[2], padding, early)
    return bias_act(y, bias, act, gain=1.0, clamp=clamp, scale=scale, noise=noise, overwrite=True)


def fits(weight: Tensor, up: int, down: int, act: str, gain: float) -> bool:
    """Whether `modulated` is for this call."""
    common = up == 1 or weight.shape[2] > 1
    return inferring() and common and down == 1 and gain > 0 and ACTIVATIONS[act].piecewise


def _low_pass(y: Tensor, taps: Tensor | None, up: int, k: int, padding: int, bias: Tensor | None) -> Tensor:
    """What follows the transposed convolution in `organza.ops.conv2d_resample`, and the bias with it."""
    taps = torch.ones(1, 1, device=y.device) if taps is None else taps
    (left, right), (top, bottom) = (
        (padding + (n + up - 1) // 2 + 1 - k, padding + (n - up) // 2 + up - k) for n in reversed(taps.shape)
    )
    if left != right or top != bottom or left < 0 or top < 0:
        y = F.pad(y, (left, right, top, bottom))
        left = top = 0
    kernel = (taps * up**2).flip((0, 1)).to(y.dtype).expand(y.shape[1], 1, *taps.shape)
    return F.conv2d(y, kernel, bias, padding=(top, left), groups=y.shape[1])
