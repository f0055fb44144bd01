"""GIF and animated WebP, one frame at a time: memory stays flat however long the animation is.

Pillow compresses the single frames; the containers around them are short enough to write here, and Pillow's own
writers hold every frame at once.
"""

from __future__ import annotations

import io
import struct
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import GifImagePlugin, Image

from organza.media.images import Pixels, over_white, to_image

PALETTE_SAMPLE = 2**18
"""Pixels that choose a GIF's colours: 512 x 512 hold enough of them."""


def write_gif(path: Path, frames: Iterable[Pixels], count: int, fps: float, *, dither: bool = True) -> None:
    """Write ``count`` frames, uint8 ``[H, W, C]``, as an endless GIF with one palette for all of them.

    Args:
        path: the file.
        frames: images of one size.
        count: how many there are.
        fps: frames a second, at most 50. GIF counts in hundredths of a second, so durations alternate to keep time.
        dither: hide the steps between the 256 colours under a fixed pattern. The pattern does not move, so still
            parts of the image do not flicker.
    """
    # The palette must be known before the first frame is written, so frames wait on the disk.
    with tempfile.TemporaryFile() as spool, open(path, "wb") as file:
        sample: list[NDArray[np.uint8]] = []
        rng = np.random.RandomState(0)
        shape = (0, 0, 3)
        for frame in frames:
            rgb = _rgb(frame)
            shape = rgb.shape
            spool.write(rgb.tobytes())
            pixels = rgb.reshape(-1, 3)
            sample.append(pixels[rng.randint(len(pixels), size=min(len(pixels), 1 + PALETTE_SAMPLE // count))])
        palette = _palette(np.concatenate(sample))
        table = bytes(palette.getpalette("RGB") or b"").ljust(768, b"\0")
        # 0xF7: a global table of 256 colours with 8 bits each; no background, square pixels.
        file.write(b"GIF89a" + struct.pack("<HHBBB", shape[1], shape[0], 0xF7, 0, 0) + table)
        file.write(b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00")
        spool.seek(0)
        bias = _pattern(shape[0], shape[1], table) if dither else np.zeros([1, 1, 1], np.int16)
        for index in range(count):
            rgb = np.frombuffer(spool.read(shape[0] * shape[1] * 3), np.uint8).reshape(shape)
            biased = np.clip(rgb + bias, 0, 255).astype(np.uint8)
            image = Image.fromarray(biased).quantize(palette=palette, dither=Image.Dither.NONE)
            ticks = round(100 * (index + 1) / fps) - round(100 * index / fps)
            for block in GifImagePlugin.getdata(image, duration=10 * ticks, interlace=0):
                file.write(block)
        file.write(b";")


def write_webp(path: Path, frames: Iterable[Pixels], fps: float, *, quality: int = 90) -> None:
    """Write ``frames``, uint8 ``[H, W, C]``, as an endless animated WebP; transparency is kept.

    The container is described at https://developers.google.com/speed/webp/docs/riff_container.
    """
    with open(path, "wb") as file:
        file.write(b"RIFF\0\0\0\0WEBP")
        for index, frame in enumerate(frames):
            height, width, channels = frame.shape
            size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
            if index == 0:
                alpha = 0x10 if channels == 4 else 0
                _chunk(file, b"VP8X", bytes([0x02 | alpha, 0, 0, 0]) + size)
                _chunk(file, b"ANIM", b"\xff\xff\xff\xff\0\0")
            buffer = io.BytesIO()
            image = to_image(frame)
            image = image if image.mode == "RGBA" else image.convert("RGB")
            image.save(buffer, format="WEBP", quality=quality, method=2)
            duration = round(1000 * (index + 1) / fps) - round(1000 * index / fps)
            # 0x02: frames replace what was there rather than being blended over it.
            head = bytes(6) + size + struct.pack("<I", duration)[:3] + b"\x02"
            _chunk(file, b"ANMF", head + _still_chunks(buffer.getvalue()))
        length = file.tell() - 8
        file.seek(4)
        file.write(struct.pack("<I", length))


def _rgb(frame: Pixels) -> NDArray[np.uint8]:
    return np.asarray(over_white(to_image(frame)).convert("RGB"))


def _palette(sample: NDArray[np.uint8]) -> Image.Image:
    """A palette image with the 256 colours that serve ``sample`` ``[N, 3]`` best."""
    sample = sample[: len(sample) // 64 * 64] if len(sample) >= 64 else sample
    rows = 64 if len(sample) >= 64 else 1
    # Median cut starts, k-means settles.
    return Image.fromarray(sample.reshape(rows, -1, 3)).quantize(256, method=Image.Quantize.MEDIANCUT, kmeans=2)


def _pattern(height: int, width: int, table: bytes) -> NDArray[np.int16]:
    """Bayer's 8 x 8 ordered-dither offsets, as strong as neighbouring palette colours differ, ``[H, W, 1]``."""
    colours = np.frombuffer(table, np.uint8).reshape(-1, 3).astype(np.float32)
    distances = np.abs(colours[:, None] - colours[None]).mean(axis=2)
    distances[distances == 0] = np.inf
    nearest = distances.min(axis=1)
    strength = float(np.median(nearest[np.isfinite(nearest)])) if np.isfinite(nearest).any() else 0.0
    bayer = np.zeros([1, 1])
    for _ in range(3):
        bayer = np.block([[4 * bayer, 4 * bayer + 2], [4 * bayer + 3, 4 * bayer + 1]])
    offsets = np.rint((bayer / 63 - 0.5) * min(strength, 16.0)).astype(np.int16)
    return np.tile(offsets, [-(-height // 8), -(-width // 8)])[:height, :width, None]


def _chunk(file: IO[bytes], name: bytes, payload: bytes) -> None:
    file.write(name + struct.pack("<I", len(payload)) + payload + b"\0" * (len(payload) % 2))


def _still_chunks(still: bytes) -> bytes:
    """The chunks of a still WebP that belong into a frame: transparency and the image itself."""
    kept, at = b"", 12
    while at < len(still):
        size = struct.unpack("<I", still[at + 4 : at + 8])[0]
        end = at + 8 + size + size % 2
        if still[at : at + 4] in (b"ALPH", b"VP8 ", b"VP8L"):
            kept += still[at:end]
        at = end
    return kept
