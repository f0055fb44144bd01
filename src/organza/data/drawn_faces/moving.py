"""Drawn faces that move: one face turns, tilts and looks around, and how each of its pixels moves is known.

A face is drawn of shapes, the same ones in the same order in every frame of a sequence, so the motion of each is that
of its points. Where a shape turns, stretches and slides as a whole, the motion of its pixels is exact; where its points
move against each other by more than `EXACT` pixels (hair around a turning head), and where a pixel was hidden before,
it is not known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from organza.data.drawn_faces.drawing import draw_with
from organza.data.drawn_faces.face import NUMBERS, Face
from organza.data.drawn_faces.pen import Colour, Outline, Pen
from organza.media.flow import Flow

EXACT = 0.125
"""Pixels by which a shape's points may differ from moving as a whole."""
SOLID = 0.9
"""Shapes that are more transparent belong to what they lie on."""
MOVING = ("yaw", "pitch", "tilt", "x", "y", "size", "gaze_x", "gaze_y")


def moving_face(seed: int, number: int, frames: int, length: int = 24) -> Iterator[Face]:
    """The frames of a sequence: a random face whose pose and gaze move smoothly within their ranges.

    Args:
        seed, number: which sequence; it is the same whatever ``frames``.
        frames: how many.
        length: frames in which the slowest motion comes back to where it began.

    Example:
        >>> [face.hair for face in moving_face(0, 0, 3)] == [Face.random([0, 0]).hair] * 3
        True
    """
    rng = np.random.RandomState([seed, number, 1])
    face = Face.random([seed, number])
    waves = {name: (rng.uniform(0, 2 * np.pi, 2), rng.uniform(0.5, 1.0)) for name in MOVING}
    for frame in range(frames):
        now: dict[str, Any] = {}
        for name, (phases, share) in waves.items():
            low, high = NUMBERS[name]
            angle = 2 * np.pi * frame / length
            wave = 0.7 * np.sin(angle + phases[0]) + 0.3 * np.sin(2 * angle + phases[1])
            now[name] = float((low + high) / 2 + 0.9 * share * wave * (high - low) / 2)
        yield replace(face, **now)


class Shape(NamedTuple):
    """One stroke or filled shape of an image.

    Attributes:
        points: ``[K, 2]``, right and down from the upper left corner, in pixels.
        covered: ``[H, W]``, the pixels that it covers.
    """

    points: NDArray[np.float64]
    covered: NDArray[np.bool_]


class Recorder(Pen):
    """A pen that remembers the shapes of a painting."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__(height, width, "paint")
        self.shapes: list[Shape] = []
        self._height = height

    def _draw(
        self,
        outline: Outline,
        *,
        fill: Colour | None = None,
        stroke: Colour | None = None,
        width: float = 0.0,
        alpha: float = 1.0,
    ) -> None:
        if alpha < SOLID:
            return
        path = self._placed(outline)
        covered = self._covered(path, fill is not None, width if stroke is not None else 0.0)
        if self._clip is not None:
            covered &= self._covered(self._clip.get_fully_transformed_path(), True, 0.0)
        points = np.array(path.vertices, np.float64)
        points[:, 1] = self._height - points[:, 1]
        self.shapes.append(Shape(points, covered))

    def _covered(self, path: Any, filled: bool, width: float) -> NDArray[np.bool_]:
        self._renderer.clear()
        context = self._renderer.new_gc()
        context.set_snap(False)
        context.set_antialiased(False)
        context.set_linewidth(width * self.unit)
        context.set_foreground((0, 0, 0, 1), isRGBA=True)
        context.set_capstyle("round")
        context.set_joinstyle("round")
        self._renderer.draw_path(context, path, self._identity, (0, 0, 0, 1) if filled else None)
        return np.asarray(self._renderer.buffer_rgba())[:, :, 3] > 127


def shapes_of(face: Face, size: tuple[int, int]) -> list[Shape]:
    """The shapes of a painting of ``size`` (height, width), from back to front."""
    pen = Recorder(*size)
    draw_with(pen, face)
    return pen.shapes


def motion_between(now: list[Shape], before: list[Shape]) -> tuple[Flow, NDArray[np.bool_]]:
    """Where each pixel of a frame was in the one before: ``[H, W, 2]``, and where that is known, ``[H, W]``.

    Args:
        now, before: shapes of two frames of a sequence.
    """
    height, width = now[0].covered.shape
    rows, columns = np.mgrid[:height, :width] + 0.5
    flow = np.zeros((height, width, 2), np.float32)
    known = np.ones((height, width), bool)
    owners, owned = (np.zeros((height, width), np.int64) for _ in range(2))
    for number, (shape, old) in enumerate(zip(now, before, strict=True), 1):
        moved = old.points - shape.points
        middle = shape.points.mean(0)
        ones = np.ones((len(shape.points), 1))
        fit = np.linalg.lstsq(np.hstack([shape.points - middle, ones]), moved, rcond=1e-6)[0]
        off = np.abs(np.hstack([shape.points - middle, ones]) @ fit - moved).max()
        places = np.stack([columns[shape.covered] - middle[0], rows[shape.covered] - middle[1]], 1)
        flow[shape.covered] = places @ fit[:2] + fit[2]
        known[shape.covered] = off <= EXACT
        owners[shape.covered] = number
        owned[old.covered] = number
    x, y = (np.floor(place + flow[..., axis]).astype(np.int64) for axis, place in enumerate((columns, rows)))
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    known &= inside & (owned[y.clip(0, height - 1), x.clip(0, width - 1)] == owners)
    return flow, known
