"""Drawn faces that move as a dataset of pairs of videos in a zip, with the motion of their pixels."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

from organza.core.errors import UserError
from organza.core.files import atomic_write
from organza.data.drawn_faces.drawing import draw
from organza.data.drawn_faces.moving import motion_between, moving_face, shapes_of
from organza.data.motion import stored_flow
from organza.media.images import Pixels, check_suffix


def write_films(
    dest: str | os.PathLike[str],
    count: int,
    frames: int,
    resolution: int | tuple[int, int],
    seed: int = 0,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Draw ``count`` sequences into a zip: ``A/00000/0000.png`` in ink, ``B/00000/0000.png`` painted, and ``flow/``.

    The same arguments give the same bytes. The file is there whole or not at all.

    Args:
        dest: the zip to write.
        count: how many sequences, each of another face.
        frames: of each.
        resolution: the side of square frames, or height and width, in pixels.
        seed: which faces.
        progress: called with frames done and all.

    Returns:
        The path written.

    Raises:
        UserError: a number out of range, or the file can't be written.

    Example:
        >>> with zipfile.ZipFile(write_films(folder / "faces.zip", 1, 2, 32)) as file:
        ...     print(file.namelist())
        ['A/00000/0000.png', 'B/00000/0000.png', 'A/00000/0001.png', 'B/00000/0001.png', 'flow/00000/0001.png', ...]
    """
    path = check_suffix(dest, (".zip",))
    if count < 1 or frames < 2:
        raise UserError(f"{count} sequences of {frames} frames", hint="ask for one of two frames at least")
    if not 0 <= seed < 2**32:
        raise UserError(f"the seed is {seed}", hint="give a whole number from 0 to 4294967295")
    size = (resolution, resolution) if isinstance(resolution, int) else resolution
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as file:
        for number in range(count):
            for frame, sides in enumerate(_film(seed, number, frames, size)):
                for side, pixels in sides.items():
                    buffer = io.BytesIO()
                    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=4)
                    file.writestr(zipfile.ZipInfo(f"{side}/{number:05d}/{frame:04d}.png"), buffer.getvalue())
                if progress is not None:
                    progress(number * frames + frame + 1, count * frames)
        file.writestr(zipfile.ZipInfo("films.json"), json.dumps({"seed": seed, "count": count, "frames": frames}))
    return path


def _film(seed: int, number: int, frames: int, size: tuple[int, int]) -> Iterator[dict[str, Pixels]]:
    before = None
    for face in moving_face(seed, number, frames):
        sides = {"A": draw(face, size, "line"), "B": draw(face, size, "paint")}
        now = shapes_of(face, size)
        if before is not None:
            sides["flow"] = stored_flow(*motion_between(now, before))
        before = now
        yield sides
