"""Device, number format and threads: decided here, once.

Networks ask `compute_dtype` where they enter their convolution stack and know nothing else of precision. Weights,
logits, images and losses stay float32 everywhere.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from organza.core import cores, distributed
from organza.core.errors import UserError

Precision = Literal["auto", "float32", "bf16"]

_compute: ContextVar[torch.dtype] = ContextVar("compute", default=torch.float32)


def compute_dtype() -> torch.dtype:
    """The format of activations inside convolution stacks: float32 unless `computing` says otherwise."""
    return _compute.get()


@contextmanager
def computing(dtype: torch.dtype) -> Iterator[None]:
    """Run networks with activations of ``dtype``.

    Example:
        >>> with computing(torch.bfloat16):
        ...     print(compute_dtype())
        torch.bfloat16
    """
    token = _compute.set(dtype)
    try:
        yield
    finally:
        _compute.reset(token)


def to_compute(x: Tensor, least: int = 1) -> Tensor:
    """``x`` ``[N, C, H, W]`` in the current format, channels last: what fast convolutions want.

    Args:
        x: features or images.
        least: with a shorter side than this they come in float32.
    """
    dtype = compute_dtype() if min(x.shape[2:]) >= least else torch.float32
    return x.to(dtype=dtype, memory_format=torch.channels_last)


def choose_device(name: str | None = None) -> torch.device:
    """The device to work on: ``name``, or this process's GPU where there is one, or the CPU.

    Raises:
        UserError: no such device here.

    Example:
        >>> choose_device("cpu")
        device(type='cpu')
    """
    if name is None:
        name = f"cuda:{distributed.local_rank()}" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"no device {name!r} here", hint="leave --device out, or take cpu") from error
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
    return device


def choose_dtype(precision: Precision, device: torch.device, *, auto_bf16: bool) -> torch.dtype:
    """The activations' format.

    Args:
        precision: ``auto`` is bf16 where the method allows it and the processor multiplies it natively, else float32.
        device: where the networks are.
        auto_bf16: whether the method allows it: `organza.contract.method.Method.bf16`.

    Example:
        >>> choose_dtype("bf16", torch.device("cpu"), auto_bf16=False)
        torch.bfloat16
        >>> choose_dtype("auto", torch.device("cpu"), auto_bf16=False)
        torch.float32
    """
    if precision == "auto":
        if not auto_bf16:
            return torch.float32
        native = torch.cuda.is_bf16_supported() if device.type == "cuda" else bool(cpu_features() & BF16)
        return torch.bfloat16 if native else torch.float32
    return torch.bfloat16 if precision == "bf16" else torch.float32


BF16 = frozenset({"avx512_bf16", "amx_bf16"})
"""Names of the processor features that multiply bf16 natively."""


@cache
def cpu_features() -> frozenset[str]:
    """The processor's feature flags as Linux names them; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.split(":")[1] for line in lines if line.startswith("flags")), "").split())


def free_memory(device: torch.device) -> int | None:
    """Bytes that can still be had on ``device``, or None where the system does not say."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else _meminfo("MemAvailable")


def total_memory(device: torch.device) -> int | None:
    """Bytes that ``device`` has in all, or None where the system does not say."""
    return torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else _meminfo("MemTotal")


def _meminfo(name: str) -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), None)


def fit_threads() -> None:
    """Take as many threads as fit beside other programs (`organza.core.cores`)."""
    now = torch.get_num_threads()
    if (wish := cores.wish(now)) != now:
        torch.set_num_threads(wish)


def keep_freed_memory() -> None:
    """Ask glibc to keep freed blocks for the next step instead of returning them to the system, page by page.

    Page faults took a third of a training step. It changes the whole process, so the command does it, and the library
    never. Elsewhere than on Linux with glibc it does nothing.
    """
    if sys.platform == "linux" and "MALLOC_MMAP_THRESHOLD_" not in os.environ:
        try:
            mallopt = ctypes.CDLL("libc.so.6").mallopt
        except (OSError, AttributeError):
            return
        trim_threshold, mmap_threshold = -1, -3
        mallopt(mmap_threshold, 1 << 30)
        mallopt(trim_threshold, (1 << 31) - 1)
