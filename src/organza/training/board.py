"""TensorBoard's event files, written without TensorBoard.

Its own writer works in a thread of its own: on a full disk that thread dies, and the training waits for it for ever.

Sources: tensorflow/core/util/event.proto, tensorflow/core/framework/summary.proto.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Mapping
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from organza.core.files import append
from organza.data.tfrecord import field, frames, varint
from organza.media.images import Pixels

_STEP, _VERSION, _SUMMARY, _SESSION = 2, 3, 5, 7  # fields of an event
_VALUE, _TAG, _SIMPLE, _IMAGE = 1, 1, 2, 4  # of a summary, and of its values


class Board:
    """An event file in ``folder`` that TensorBoard shows beside earlier ones.

    Args:
        folder: where event files are.
        seen: images so far; what earlier files say of later steps is void.

    Raises:
        UserError: the disk is full or can't be written; so does every method.

    Example:
        >>> Board(folder, 0).scalars(1, {"loss/G": 0.5})
        >>> next(folder.iterdir()).name
        'events.out.tfevents...'
    """

    def __init__(self, folder: Path, seen: int) -> None:
        self.path = folder / f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}.{os.getpid()}"
        self._write(0, field(_VERSION, b"brain.Event:2"))
        if seen:
            self._write(seen + 1, field(_SESSION, _number(1, 1)))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers by name."""
        parts = [field(_TAG, name.encode()) + _fixed(_SIMPLE, "f", value) for name, value in values.items()]
        self._write(step, field(_SUMMARY, b"".join(field(_VALUE, part) for part in parts)))

    def image(self, step: int, name: str, pixels: Pixels) -> None:
        """An image, uint8 ``[H, W, C]``."""
        encoded = BytesIO()
        Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(encoded, "PNG")
        sizes = b"".join(_number(at, size) for at, size in enumerate(pixels.shape, 1))
        image = field(_IMAGE, sizes + field(4, encoded.getvalue()))
        self._write(step, field(_SUMMARY, field(_VALUE, field(_TAG, name.encode()) + image)))

    def _write(self, step: int, what: bytes) -> None:
        event = _fixed(1, "d", time.time()) + _number(_STEP, step) + what
        append(self.path, frames(np.frombuffer(event, np.uint8)[None])[0])


def open_board(folder: Path, seen: int) -> Board | None:
    """A `Board`, if TensorBoard is here to show it."""
    return Board(folder, seen) if find_spec("tensorboard") else None


def _number(at: int, value: int) -> bytes:
    return varint(at << 3) + varint(value)


def _fixed(at: int, kind: str, value: float) -> bytes:
    return varint(at << 3 | (1 if kind == "d" else 5)) + struct.pack("<" + kind, value)
