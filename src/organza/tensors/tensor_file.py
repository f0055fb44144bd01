"""The header of a safetensors file, checked before any of its tensors is asked for."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from organza.core.errors import UserError
from organza.core.jsons import read_json
from organza.tensors.records import RefusedError, brief, sizes

MAX_HEADER = 1 << 23
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


@dataclass(frozen=True)
class Place:
    """Where a tensor lies in a file.

    Attributes:
        start, stop: its bytes, from the beginning of the file.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    stop: int


def looks_like(start: bytes) -> bool:
    """Whether a file that begins so may be one: a length, then JSON."""
    return len(start) > 8 and start[8:9] == b"{" and struct.unpack("<Q", start[:8])[0] < 1 << 40


def read_header(path: Path) -> dict[str, Place]:
    """The tensors of a safetensors file by name, in the order in which they lie.

    Raises:
        RefusedError: the header is not one, or doesn't agree with the file.
        OSError: it can't be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, MAX_HEADER):
            raise RefusedError(f"a header of {length} bytes in a file of {size}")
        raw = file.read(length)
    try:
        header = read_json(raw.rstrip(b" "), path)
    except UserError as error:
        raise RefusedError(f"a header that is {error.what}") from None
    if not isinstance(header, dict):
        raise RefusedError("a header that is no table of tensors")
    found = {name: _place(name, about, 8 + length) for name, about in header.items() if name != "__metadata__"}
    found = dict(sorted(found.items(), key=lambda item: (item[1].start, item[1].stop)))
    end = 8 + length
    for name, place in found.items():
        if place.start != end:
            raise RefusedError(f"the tensor {name[:80]!r} overlaps another or leaves a gap")
        end = place.stop
    if end != size:
        raise RefusedError(f"tensors of {end} bytes in a file of {size}")
    return found


def _place(name: str, about: Any, data: int) -> Place:
    if not isinstance(about, dict):
        raise RefusedError(f"the tensor {name[:80]!r} is not described")
    code, offsets = about.get("dtype"), about.get("data_offsets")
    dtype = DTYPES.get(code) if isinstance(code, str) else None
    if dtype is None:
        raise RefusedError(f"the tensor {name[:80]!r} holds numbers of the kind {brief(code)}")
    shape, (start, stop) = sizes(about.get("shape")), _two(offsets)
    if stop - start != math.prod(shape) * dtype.itemsize:
        raise RefusedError(f"the tensor {name[:80]!r} {list(shape)} in {stop - start} bytes")
    return Place(dtype, shape, data + start, data + stop)


def _two(offsets: Any) -> tuple[int, int]:
    found = sizes(offsets)
    if len(found) != 2:
        raise RefusedError("offsets that are not two numbers")
    return found[0], found[1]
