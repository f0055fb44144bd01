"""Modules as files that other programs run: ONNX and TorchScript.

PyTorch's tracing exporter is used, not the one over ``torch.export``: it takes every network here with free sizes. The
other, of PyTorch 2.13, stops at networks that grow, at stages, at MAD-GAN and at instance normalisation image by image.
Operations take their plain form (`organza.ops.using`), so a graph has standard operators alone.
"""

from __future__ import annotations

import contextlib
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from organza.core.errors import UserError
from organza.core.protobuf import bytes_field
from organza.core.text import printable
from organza.ops import using
from organza.weights.export.parts import OPSET, Part

OPSETS = range(13, 21)
"""Versions of ONNX's operators that can be asked for; PyTorch's tracing exporter ends with the last."""


def check_opset(opset: int) -> int:
    """``opset``, if graphs can be written with it.

    Raises:
        UserError: too old or too new.

    Example:
        >>> check_opset(17)
        17
        >>> check_opset(9)
        Traceback (most recent call last):
        organza.core.errors.UserError: opset 9 is too old: these networks need 13 at least; leave --opset out to take 17
    """
    if opset in OPSETS:
        return opset
    old = f"is too old: these networks need {OPSETS[0]} at least"
    new = f"is newer than PyTorch's exporter knows: {OPSETS[-1]} at most"
    raise UserError(f"opset {opset} {old if opset < OPSETS[0] else new}", hint=f"leave --opset out to take {OPSET}")


def as_onnx(part: Part, metadata: Mapping[str, object], opset: int = OPSET) -> bytes:
    """A module as an ONNX file; sizes that are words in its ports stay free.

    Args:
        part: on the CPU.
        metadata: goes into the file's table of texts, values other than text as JSON.
        opset: version of the operators, see `check_opset`.

    Raises:
        UserError: PyTorch can't write the module as a graph.
    """
    ports = (*part.inputs, part.output)
    free = {
        port.name: {place: side for place, side in enumerate(port.shape) if isinstance(side, str)} for port in ports
    }
    with tempfile.TemporaryDirectory() as folder, tracing(part.module) as module:
        path = Path(folder) / "graph.onnx"  # PyTorch writes files alone
        try:
            # Frozen first: what follows from weights alone is computed now, and its shapes are known.
            torch.onnx.export(
                torch.jit.freeze(traced(module, part)),
                part.samples(2),
                str(path),
                input_names=[port.name for port in part.inputs],
                output_names=[part.output.name],
                dynamic_axes={name: axes for name, axes in free.items() if axes},
                opset_version=opset,
                dynamo=False,
            )
        except (RuntimeError, torch.onnx.errors.OnnxExporterError, NotImplementedError) as error:
            raise UserError(f"can't be written as ONNX: {printable(error, 300)}") from error
        graph = path.read_bytes()
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in metadata.items()}
    # Fields of a message may be added at its end: these are ModelProto's.
    entries = [
        bytes_field(14, bytes_field(1, name.encode()) + bytes_field(2, value.encode())) for name, value in texts.items()
    ]
    return graph + b"".join(entries)


def as_torchscript(part: Part, metadata: Mapping[str, object]) -> bytes:
    """A module as a TorchScript file, with ``organza.json`` in it that says what it is.

    Raises:
        UserError: PyTorch can't trace the module.
    """
    with tracing(part.module) as module:
        try:
            found = traced(module, part)
        except (RuntimeError, NotImplementedError) as error:
            raise UserError(f"can't be written as TorchScript: {printable(error, 300)}") from error
        file = found.save_to_buffer(_extra_files={"organza.json": json.dumps(metadata)})
    return bytes(file)


def traced(module: nn.Module, part: Part) -> Any:
    """``module`` as a script, from what it does with two images."""
    return torch.jit.trace(module, part.samples(2), check_trace=False)  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def tracing(module: nn.Module) -> Iterator[nn.Module]:
    """``module`` while it is traced: operations in their plain form, no gradients, and no word of PyTorch's."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    inside, spoken = vars(torch._C), "_jit_onnx_log"  # prints whole graphs where something fails, whoever asked
    said = inside.get(spoken)
    with warnings.catch_warnings(), torch.no_grad(), using("reference"):
        # Sizes that Python looks at are those that don't vary; parity is checked with other sizes.
        warnings.simplefilter("ignore")
        log.setLevel(logging.ERROR)
        inside[spoken] = lambda *words: None
        try:
            yield module
        finally:
            log.setLevel(level)
            inside[spoken] = said
