"""Images with all their precision: 16-bit `.png` and float `.npy`."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
from torch import Tensor

from organza.core.files import atomic_write
from organza.media.images import check_suffix

_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}


def save_png16(image: Tensor, path: str | os.PathLike[str]) -> Path:
    """Write ``image``, float ``[1, C, H, W]`` in [-1, 1] (grey, RGB or RGBA), as a ``.png`` with 16 bits a channel.

    Pillow writes 16 bits in grey only; the format (https://www.w3.org/TR/png-3/) is short.

    Raises:
        UserError: another suffix, or the file can't be written.

    Example:
        >>> import torch
        >>> save_png16(torch.zeros(1, 3, 8, 8), folder / "grey.png").name
        'grey.png'
    """
    path = check_suffix(path, (".png",))
    values = ((image[0].permute(1, 2, 0).double() + 1) * 32767.5).round().clamp(0, 65535)
    pixels = values.cpu().numpy().astype(">u2")
    height, width, channels = pixels.shape
    rows = pixels.reshape(height, -1).view(np.uint8)
    # Each row is stored as its difference from the row above (filter 2), which compresses well.
    up = np.concatenate([rows[:1], rows[1:] - rows[:-1]])
    data = np.concatenate([np.full([height, 1], 2, np.uint8), up], axis=1).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 16, _COLOUR_TYPES[channels], 0, 0, 0)
    with atomic_write(path) as temporary:
        chunks = [_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(data, 6)), _chunk(b"IEND", b"")]
        temporary.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return path


def save_npy(image: Tensor, path: str | os.PathLike[str]) -> Path:
    """Write ``image``, float ``[1, C, H, W]``, as the network gave it: a float32 array ``[H, W, C]`` in a ``.npy``.

    Raises:
        UserError: another suffix, or the file can't be written.
    """
    path = check_suffix(path, (".npy",))
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.save(file, np.ascontiguousarray(image[0].permute(1, 2, 0).cpu().numpy()))
    return path


def _chunk(name: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))
