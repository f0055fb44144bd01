"""Does a written file compute what PyTorch computes? Compared with other inputs and sizes than it was traced with."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from organza.core.errors import UserError
from organza.ops import inference
from organza.weights.export.parts import Part

MOST = 1e-4
"""How far numbers may be apart, as a share of the largest: about a hundredth of a level of 255."""

LARGE = 512 * 512
"""Pixels above which images are tried one by one: three at once would take gigabytes."""

Run = Callable[[tuple[Tensor, ...]], NDArray[np.float32]]


@dataclass(frozen=True)
class Parity:
    """How far a file is from PyTorch.

    Attributes:
        largest: the largest difference, as a share of the largest number.
        psnr: in decibels, of images as levels of 255; infinite where they are equal.
        tried: batches and sizes, such as ``"3x16x16"``.
    """

    largest: float
    psnr: float
    tried: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.largest:.1e} from PyTorch (PSNR {self.psnr:.0f} dB, tried {', '.join(self.tried)})"


def compared(part: Part, file: bytes) -> Parity | None:
    """Run a file and the module that it was made of on the same inputs.

    Args:
        part: the module.
        file: ONNX, which needs onnxruntime, or TorchScript.

    Returns:
        None without onnxruntime.

    Raises:
        UserError: the file can't be run at the size at which it was traced.
    """
    run = _torchscript(file) if file.startswith(b"PK") else _onnx(part, file)
    if run is None:
        return None
    tries = [(1, part.sides)]
    if part.sides[0] * part.sides[1] <= LARGE:
        tries.append((3, part.sides))
    if "height" in part.inputs[0].shape:
        step = part.step
        tries.append((1, (part.sides[0] + step, part.sides[1] + 2 * step)))
    pairs, tried = [], []
    for number, (batch, sides) in enumerate(tries):
        inputs = part.samples(batch, sides, seed=number + 1)
        with inference():
            wanted = part.module(*inputs).float().numpy()
        try:
            found = run(inputs)
        except Exception as error:
            name = f"{batch}x{sides[1]}x{sides[0]}"
            raise UserError(f"the file can't be run on {name} ({' '.join(str(error).split())[:200]})") from error
        if found.shape != wanted.shape:
            raise UserError(f"the file gives {list(found.shape)} where PyTorch gives {list(wanted.shape)}")
        pairs.append((found, wanted))
        tried.append(f"{batch}x{sides[1]}x{sides[0]}")
    return Parity(max(apart(*pair) for pair in pairs), min(psnr(*pair) for pair in pairs), tuple(tried))


def apart(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    """The largest difference, as a share of the largest number.

    Example:
        >>> apart(np.float32([1, 4.5]), np.float32([1, 4]))
        0.125
    """
    return float(np.abs(found - wanted).max() / max(1e-9, np.abs(wanted).max()))


def psnr(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    """The peak signal-to-noise ratio of numbers in [-1, 1], in decibels; others are clamped.

    Example:
        >>> round(psnr(np.float32([0.0]), np.float32([0.02])), 2)
        40.0
    """
    error = float(np.mean((found.clip(-1, 1).astype(np.float64) - wanted.clip(-1, 1)) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(4 / error))


def _onnx(part: Part, file: bytes) -> Run | None:
    try:
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise UserError(f"ONNX Runtime can't open the file ({' '.join(str(error).split())[:200]})") from error
    names = {port.name for port in session.get_inputs()}

    def run(inputs: tuple[Tensor, ...]) -> NDArray[np.float32]:
        ports = zip(part.inputs, inputs, strict=True)
        found: NDArray[np.float32] = session.run(None, {p.name: x.numpy() for p, x in ports if p.name in names})[0]
        return found

    return run


def _torchscript(file: bytes) -> Run:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        loaded = torch.jit.load(io.BytesIO(file))  # type: ignore[no-untyped-call]

    def run(inputs: tuple[Tensor, ...]) -> NDArray[np.float32]:
        with torch.no_grad():
            found: NDArray[np.float32] = loaded(*inputs).float().numpy()
        return found

    return run
