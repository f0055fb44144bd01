"""What this machine offers for training, and what stands in the way."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from organza.core.cache import cache_root
from organza.core.device import BF16, choose_device, cpu_features, free_memory
from organza.core.speed import remember
from organza.core.version import __version__

EXTRAS = {
    "video": ("av", "videos as .mp4"),
    "tensorboard": ("tensorboard", "curves and images in TensorBoard"),
    "data": ("scipy", "aligned faces"),
    "parquet": ("pyarrow", "parquet datasets"),
    "remote": ("fsspec", "datasets that lie elsewhere"),
    "web": ("fastapi", "organza serve"),
    "onnx": ("onnxruntime", "feature networks in ONNX files"),
    "export": ("onnx", "networks as ONNX files and pages"),
    "hub": ("huggingface_hub", "networks of the Hugging Face hub"),
}
"""Optional parts of the package: the module that each needs, and what it is for."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what.
        value: how it is.
        advice: what to do about it; empty when all is well.
    """

    name: str
    value: str
    advice: str = ""

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        return not self.advice


def examine(*, speed: bool = True) -> Iterator[Finding]:
    """Look at this machine, one thing after the other.

    Args:
        speed: also time some convolutions, for about a second.

    Example:
        >>> [finding.value for finding in examine(speed=False) if finding.name == "organza"] == [__version__]
        True
    """
    yield Finding("organza", __version__)
    yield check_python(sys.version_info[:2])
    yield check_torch(torch.__version__)
    yield Finding("processor", processor())
    yield check_threads(torch.get_num_threads(), available_cores())
    yield check_memory(free_memory(torch.device("cpu")))
    yield check_gpu(torch.cuda.is_available(), shutil.which("nvidia-smi") is not None)
    for extra in EXTRAS:
        yield check_extra(extra)
    yield check_cache()
    yield check_disk(shutil.disk_usage(os.getcwd()).free)
    if speed:
        remember(rates := convolution_speed())
        yield Finding("speed", ", ".join(f"{name} {rate:.0f} GFLOP/s" for name, rate in rates.items()))


def check_python(version: tuple[int, int]) -> Finding:
    """Python's version against those that Organza is tested with.

    Example:
        >>> check_python((3, 9)).advice
        'use Python 3.10 to 3.13'
    """
    good = (3, 10) <= version <= (3, 13)
    return Finding("Python", platform.python_version(), "" if good else "use Python 3.10 to 3.13")


def check_torch(version: str) -> Finding:
    """PyTorch's version against the oldest that works.

    Example:
        >>> check_torch("2.1.0").advice
        'pip install --upgrade torch (2.4 or newer)'
    """
    major, minor = (int(part) for part in version.split(".")[:2])
    return Finding("PyTorch", version, "" if (major, minor) >= (2, 4) else "pip install --upgrade torch (2.4 or newer)")


def processor() -> str:
    """The processor's kind and the features that matter here."""
    features = cpu_features()
    known = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "bf16", "amx_bf16": "AMX bf16"}
    listed = [label for name, label in known.items() if name in features]
    if features and not features & BF16:
        listed.append("no bf16, so float32 is used")
    return ": ".join(filter(None, [platform.machine(), ", ".join(listed)]))


def available_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_threads(threads: int, cores: int) -> Finding:
    """PyTorch's threads against the cores of the machine.

    Example:
        >>> check_threads(1, 8).advice
        'only 1 of 8 cores is used: unset OMP_NUM_THREADS, or set it to 4 or more'
        >>> check_threads(4, 8).ok
        True
    """
    advice = ""
    if 2 * threads < cores:
        used = "is" if threads == 1 else "are"
        wanted = (cores + 1) // 2
        advice = f"only {threads} of {cores} cores {used} used: unset OMP_NUM_THREADS, or set it to {wanted} or more"
    elif threads > cores:
        advice = f"more threads than cores slow each other down: set OMP_NUM_THREADS to {cores}"
    return Finding("threads", f"{threads} on {cores} cores", advice)


def check_memory(free: int | None) -> Finding:
    """Free memory against what a small training takes.

    Example:
        >>> check_memory(2**30)
        Finding(name='memory', value='1.0 GiB free', advice='2 GiB are little for training: close other programs')
    """
    if free is None:
        return Finding("memory", "this system does not say")
    short = "" if free >= 2**31 else "2 GiB are little for training: close other programs"
    return Finding("memory", f"{free / 2**30:.1f} GiB free", short)


def check_gpu(usable: bool, driver: bool) -> Finding:
    """The GPU, if PyTorch can use one.

    Example:
        >>> check_gpu(usable=False, driver=False).value
        'none: the processor does the work'
    """
    if usable:
        name, free = torch.cuda.get_device_name(), free_memory(choose_device("cuda"))
        return Finding("GPU", f"{name}, {(free or 0) / 2**30:.1f} GiB free")
    if driver:
        advice = "this PyTorch can't use it: install the CUDA build, see https://pytorch.org/get-started"
        return Finding("GPU", "there, but not used", advice)
    return Finding("GPU", "none: the processor does the work")


def check_extra(extra: str) -> Finding:
    """Whether an optional part of the package is installed; see `EXTRAS`."""
    module, purpose = EXTRAS[extra]
    if importlib.util.find_spec(module) is None:
        return Finding(f"extra {extra}", "not installed", f"for {purpose}: pip install 'organza[{extra}]'")
    return Finding(f"extra {extra}", f"{module} {importlib.metadata.version(module)}")


def check_cache() -> Finding:
    """Whether decoded images can be kept."""
    root = cache_root()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root) as file:
            file.write(b"organza")
    except OSError as error:
        advice = "set ORGANZA_CACHE to a folder that can be written"
        return Finding("cache", f"{root}: {error.strerror or error}", advice)
    return Finding("cache", str(root))


def check_disk(free: int) -> Finding:
    """Room on the disk under the working folder, where runs are written.

    Example:
        >>> check_disk(10**8).advice
        'checkpoints need room: free some'
    """
    return Finding(
        "disk", f"{free / 2**30:.1f} GiB free here", "" if free >= 2**30 else "checkpoints need room: free some"
    )


def convolution_speed(seconds: float = 0.4) -> dict[str, float]:
    """GFLOP/s of a 3 x 3 convolution, 128 to 128 channels at 32 x 32, batch 8, in each format that is native here."""
    device = choose_device()
    native = device.type == "cuda" or bool(cpu_features() & BF16)
    rates = {}
    for name, dtype in {"float32": torch.float32, **({"bf16": torch.bfloat16} if native else {})}.items():
        x = torch.randn(8, 128, 32, 32, device=device).to(dtype, memory_format=torch.channels_last)
        w = torch.randn(128, 128, 3, 3, device=device).to(dtype, memory_format=torch.channels_last)
        with torch.no_grad():
            float(torch.nn.functional.conv2d(x, w, padding=1).flatten()[0])
            done, start = 0, time.perf_counter()
            while time.perf_counter() - start < seconds:
                # Reading a number waits for the GPU.
                float(torch.nn.functional.conv2d(x, w, padding=1).flatten()[0])
                done += 1
            elapsed = time.perf_counter() - start
        rates[name] = 2 * 8 * 128 * 128 * 9 * 32 * 32 * done / elapsed / 1e9
    return rates
