"""Moving w's along directions: tables, strips and videos."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from organza.core.errors import UserError
from organza.core.progress import Progress
from organza.media.figure import captioned, table
from organza.media.images import PICTURE_SUFFIXES, Pixels, check_suffix, enlarge, save_picture
from organza.media.video import VIDEO_SUFFIXES, check_video, write_video
from organza.models.sampling import Noise
from organza.studio.codes import draw
from organza.studio.directions import Direction
from organza.studio.interpolate import evenly, film, frame_count
from organza.studio.mix import parse_layers

if TYPE_CHECKING:
    from organza.models.generator import Generator


@dataclass(frozen=True)
class Edit:
    """A direction, how far, and in which layers (None for those of the direction itself)."""

    direction: Direction
    strength: float
    layers: tuple[int, ...] | None = None


def parse_edits(text: str, directions: Sequence[Direction], num_ws: int) -> list[Edit]:
    """``NAME=STRENGTH`` or ``NAME=STRENGTH@LAYERS``, several joined by ``;``.

    Raises:
        UserError: something else, an unknown name, an endless strength, or layers that the network doesn't have.

    Example:
        >>> found = parse_edits("a=2;b=-1.5@0-3", [Direction(n, torch.zeros(4)) for n in "ab"], 10)
        >>> [(edit.direction.name, edit.strength, edit.layers) for edit in found]
        [('a', 2.0, None), ('b', -1.5, (0, 1, 2, 3))]
    """
    known = {direction.name: direction for direction in directions}
    edits = []
    for part in text.split(";"):
        match = re.fullmatch(r" *([\w.-]+) *= *([-+]?[\d.]+(?:e[-+]?\d+)?) *(?:@(.*))?", part)
        if match is None:
            raise UserError(f"can't read the edit {part.strip()!r}", hint="write NAME=STRENGTH or NAME=STRENGTH@0-6")
        if match[1] not in known:
            names = ", ".join(list(known)[:12])
            raise UserError(f"there is no direction {match[1]!r}", hint=f"the file has {names}")
        try:
            strength = float(match[2])
        except ValueError as error:
            raise UserError(f"{match[2]!r} is not a number", hint="write a strength such as 2 or -1.5") from error
        layers = None if match[3] is None else tuple(parse_layers(match[3], num_ws))
        edits.append(Edit(known[match[1]], strength, layers))
    return edits


def moved(ws: Tensor, edits: Sequence[Edit], amount: float = 1.0) -> Tensor:
    """``ws [N, num_ws, w_dim]`` after all of ``edits``, each ``amount`` times as strong.

    Raises:
        UserError: a direction's layers are not the network's.

    Example:
        >>> up = Edit(Direction("up", torch.tensor([1.0, 0.0])), 2.0, (1,))
        >>> moved(torch.zeros(1, 2, 2), [up]).tolist()
        [[[0.0, 0.0], [2.0, 0.0]]]
    """
    ws = ws.clone()
    for edit in edits:
        layers = edit.direction.layers if edit.layers is None else edit.layers
        if layers is not None and any(layer >= ws.shape[1] for layer in layers):
            raise UserError(
                f"{edit.direction.name} moves layer {max(layers)}", hint=f"this network has {ws.shape[1]} layers"
            )
        step = amount * edit.strength * edit.direction.vector.to(ws.device)
        ws[:, slice(None) if layers is None else list(layers)] += step
    return ws


def amounts(columns: int) -> list[float]:
    """Evenly spaced from -1 to 1; two columns show before and after.

    Raises:
        UserError: fewer than two.

    Example:
        >>> amounts(2), amounts(5)
        ([0.0, 1.0], [-1.0, -0.5, 0.0, 0.5, 1.0])
    """
    if columns < 2:
        raise UserError(f"a strip of {columns} images", hint="give two or more, such as 7")
    return [0.0, 1.0] if columns == 2 else [2 * index / (columns - 1) - 1 for index in range(columns)]


def edit(
    G: Generator,
    ws: Tensor,
    edits: Sequence[Edit],
    output: str | os.PathLike[str],
    *,
    columns: int = 7,
    moving: bool | None = None,
    seconds: float = 4.0,
    fps: float = 30.0,
    noise: Noise = "const",
    scale: int = 1,
    progress: Progress | None = None,
) -> Path:
    """Write a strip for each of ``ws``, a row each, or a video that swings from one end to the other and back.

    Args:
        G: a network from `organza.load`.
        ws: ``[N, num_ws, w_dim]``.
        edits: applied together.
        output: ``.png``, ``.jpg``, ``.webp``; or ``.mp4``, ``.gif``, ``.webp`` for a video.
        columns: images from -1 to 1 times the strengths; 2 for before and after.
        moving: whether it is a video; None goes by the name, where ``.webp`` is a strip.
        seconds, fps: of a video.
        noise: see `Noise`.
        scale: make each pixel a square of so many pixels.
        progress: called with frames done and wanted, of a video.

    Returns:
        The path written.

    Raises:
        UserError: nothing to do, see `amounts` and `moved`; an unknown format; a file that can't be written.

    Example:
        >>> from organza.studio.directions import sefa
        >>> way = Edit(sefa(G, 1)[0], 2.0)
        >>> edit(G, G.mapping(G.z([1, 2])), [way], folder / "strip.png", columns=3).name
        'strip.png'
    """
    either = (*PICTURE_SUFFIXES, *(s for s in VIDEO_SUFFIXES if s not in PICTURE_SUFFIXES))
    path = check_suffix(output, either if moving is None else VIDEO_SUFFIXES if moving else PICTURE_SUFFIXES)
    if not edits:
        raise UserError("no edits", hint="give at least one, such as sefa0=2")
    moved(ws[:1], edits)
    if not moving and path.suffix.lower() in PICTURE_SUFFIXES:
        values = amounts(columns)
        # [N, columns, ...] in rows
        rows = torch.stack([moved(ws, edits, value) for value in values], dim=1).flatten(0, 1)
        one = edits[0].strength if len(edits) == 1 else 1.0
        return save_picture(_strips(G, rows, values, one, noise, scale), path)
    check_video(path, fps)
    count = frame_count(seconds, fps)

    def swing(places: NDArray[np.float64], cell: int) -> Tensor:
        return torch.cat([moved(ws[cell : cell + 1], edits, math.sin(2 * math.pi * place)) for place in places])

    frames = (enlarge(frame, scale) for frame in film(G, swing, evenly(count), len(ws), noise=noise))
    return write_video(path, frames, count, fps, progress=progress)


def overview(
    G: Generator,
    ws: Tensor,
    directions: Sequence[Direction],
    output: str | os.PathLike[str],
    *,
    strength: float = 2.0,
    columns: int = 7,
    scale: int = 1,
) -> Path:
    """Write a row for each of ``directions``: one image, ``ws [1, num_ws, w_dim]``, moved along it.

    Raises:
        UserError: see `edit`.
    """
    path = check_suffix(output, PICTURE_SUFFIXES)
    values = amounts(columns)
    rows = [moved(ws, [Edit(direction, strength)], value) for direction in directions for value in values]
    return save_picture(_strips(G, torch.cat(rows), values, strength, "const", scale), path)


def _strips(G: Generator, ws: Tensor, values: Sequence[float], strength: float, noise: Noise, scale: int) -> Pixels:
    """The images of ``ws``, row by row; below each column how strong its edit is."""
    figure = table(draw(G, ws, noise), len(values), scale)
    texts = [f"{value * strength:+.2g}" if value else "0" for value in values]
    return captioned(figure, texts, G.resolution[1], scale)
