"""Drawn faces as a dataset in a zip, with everything known of each beside it."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from organza.core.errors import UserError
from organza.core.files import atomic_write
from organza.data.drawn_faces.drawing import draw
from organza.data.drawn_faces.face import (
    choices_of,
    class_index,
    random_faces,
)
from organza.data.drawn_faces.pen import Style
from organza.media.images import check_suffix


def write_faces(
    dest: str | os.PathLike[str],
    count: int,
    resolution: int | tuple[int, int],
    seed: int = 0,
    *,
    factor: str = "hair",
    style: Style = "paint",
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Draw ``count`` faces into a zip in the layout of NVIDIA's data sets: stored PNG files and ``dataset.json``.

    The same arguments give the same bytes. The file is there whole or not at all.

    Args:
        dest: the zip to write.
        count: how many.
        resolution: the side of square images, or height and width, in pixels.
        seed: which faces.
        factor: the choice that becomes the class label.
        style: ``"paint"`` or ``"line"``.
        progress: called with the number done and ``count`` after each face.

    Returns:
        The path written.

    Raises:
        UserError: a number out of range, no such factor, or the file can't be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with zipfile.ZipFile(write_faces(Path(folder, "faces.zip"), 2, 32)) as file:
        ...         print(file.namelist())
        ['00000/img00000000.png', '00000/img00000001.png', 'dataset.json']
    """
    path = check_suffix(dest, (".zip",))
    if count < 1:
        raise UserError(f"the count is {count}", hint="ask for at least one face")
    if not 0 <= seed < 2**32:
        raise UserError(f"the seed is {seed}", hint="give a whole number from 0 to 4294967295")
    labels: list[tuple[str, int]] = []
    options = choices_of(factor)
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as file:
        for index, face in enumerate(random_faces(count, seed)):
            name = f"{index:08d}"[:5] + f"/img{index:08d}.png"
            buffer = io.BytesIO()
            Image.fromarray(draw(face, resolution, style)).save(buffer, format="PNG", compress_level=4)
            # A ZipInfo without a date carries the zip format's first day, so the bytes don't depend on the clock.
            file.writestr(zipfile.ZipInfo(name), buffer.getvalue())
            labels.append((name, class_index(face, factor)))
            if progress is not None:
                progress(index + 1, count)
        contents = {"labels": labels, "label_names": options, "faces": {"seed": seed, "factor": factor, "style": style}}
        file.writestr(zipfile.ZipInfo("dataset.json"), json.dumps(contents))
    return path
