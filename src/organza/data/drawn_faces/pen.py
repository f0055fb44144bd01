"""A pen for images made of smooth shapes: a few points with a curve through them, filled or stroked.

Matplotlib's Agg renderer does the filling: exact coverage at the edges at any size, and tens of microseconds a shape.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Style = Literal["paint", "line"]
Colour = tuple[float, float, float]
Point = tuple[float, float]
Outline = tuple[NDArray[np.float64], NDArray[np.uint8]]
"""Vertices ``[K, 2]`` and Matplotlib's path codes ``[K]``."""


@cache
def colour_of(code: str) -> Colour:
    """The colour of ``"rrggbb"``."""
    red, green, blue = (int(code[i : i + 2], 16) / 255 for i in (0, 2, 4))
    return red, green, blue


INK = colour_of("2b2633")
WHITE = colour_of("ffffff")


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """``share`` of the way from ``a`` to ``b``."""
    red, green, blue = (x + (y - x) * share for x, y in zip(a, b, strict=True))
    return red, green, blue


def shade(colour: Colour, share: float) -> Colour:
    """A shadow on ``colour``: towards a warm violet rather than black, so that shadows stay colourful."""
    return mix(colour, colour_of("5a2340"), share)


# ---- Outlines ------------------------------------------------------------------------------------------------------


@cache
def points_of(text: str) -> list[Point]:
    """The points of ``"x,y x,y ..."``.

    Example:
        >>> points_of("0,1 -0.5,2")
        [(0.0, 1.0), (-0.5, 2.0)]
    """
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in text.split())]


def _smooth(points: NDArray[np.float64], before: NDArray[np.float64], after: NDArray[np.float64]) -> Outline:
    """Bezier curves through ``points`` whose tangents follow the neighbours (Catmull-Rom)."""
    tangents = (after - before) / 6
    vertices = np.empty([3 * len(points) - 2, 2])
    vertices[0::3] = points
    vertices[1::3] = points[:-1] + tangents[:-1]
    vertices[2::3] = points[1:] - tangents[1:]
    # Between the two halves of a corner nothing may bulge.
    corner = np.flatnonzero((points[1:] == points[:-1]).all(axis=1))
    vertices[3 * corner + 1] = vertices[3 * corner + 2] = points[corner]
    return vertices, _codes(len(vertices))


@cache
def _codes(count: int) -> NDArray[np.uint8]:
    return np.array([1] + [4] * (count - 1), np.uint8)


def blob(points: Sequence[Point]) -> Outline:
    """A closed smooth outline through ``points``; a point given twice is a corner."""
    array = np.array([*points, points[0]], np.float64)
    return _smooth(array, np.concatenate([array[-2:-1], array[:-1]]), np.concatenate([array[1:], array[1:2]]))


def curve(points: Sequence[Point]) -> Outline:
    """An open smooth line through ``points``."""
    array = np.array(points, np.float64)
    return _smooth(array, np.concatenate([array[:1], array[:-1]]), np.concatenate([array[1:], array[-1:]]))


_K = 4 / 3 * (math.sqrt(2) - 1)
_CIRCLE = np.array(
    [
        (1, 0),
        (1, _K),
        (_K, 1),
        (0, 1),
        (-_K, 1),
        (-1, _K),
        (-1, 0),
        (-1, -_K),
        (-_K, -1),
        (0, -1),
        (_K, -1),
        (1, -_K),
        (1, 0),
    ]
)


def ellipse(x: float, y: float, rx: float, ry: float | None = None) -> Outline:
    """An ellipse around ``(x, y)``; a circle without ``ry``."""
    return _CIRCLE * [rx, rx if ry is None else ry] + [x, y], _codes(13)


def place(points: Sequence[Point], x: float, y: float, side: int = 1) -> list[Point]:
    """``points`` around ``(x, y)``; with ``side`` -1, mirrored."""
    return [(x + side * px, y + py) for px, py in points]


def mirrored(half: Sequence[Point]) -> list[Point]:
    """The outline whose right half, from top to bottom, is given; ends on the axis are not doubled."""
    return [*half, *((-x, y) for x, y in reversed(half) if x)]


def arc(rx: float, ry: float, x: float, y: float, start: float, stop: float, count: int) -> list[Point]:
    """Points on an ellipse; angles in degrees, 0 to the right, 90 up."""
    return [
        (x + rx * math.cos(math.radians(a)), y - ry * math.sin(math.radians(a)))
        for a in np.linspace(start, stop, count)
    ]


# ---- The pen -------------------------------------------------------------------------------------------------------


class Pen:
    """Fills and strokes outlines on a canvas, in one of the styles."""

    def __init__(self, height: int, width: int, style: Style) -> None:
        # Imported here: Matplotlib takes half a second that nobody else should wait for.
        from matplotlib.backends.backend_agg import RendererAgg
        from matplotlib.path import Path
        from matplotlib.transforms import IdentityTransform, TransformedPath

        self._path: Any = Path
        self._identity: Any = IdentityTransform()
        self._transformed: Any = TransformedPath
        self._renderer: Any = RendererAgg(width, height, 72)
        self.pixels: NDArray[np.uint8] = np.asarray(self._renderer.buffer_rgba())
        self.line_art = style == "line"
        self.unit = min(height, width) / 2
        # Agg counts y from the bottom.
        self._canvas = np.array([[self.unit, 0, width / 2], [0, -self.unit, height / 2], [0, 0, 1]])
        self._matrix = self._canvas
        self._clip: Any = None
        # Agg knows the clip it last prepared by its address alone, so no clip may be freed while we draw.
        self._clips: list[Any] = []

    @contextmanager
    def moved(self, matrix: NDArray[np.float64]) -> Iterator[None]:
        """Draw in coordinates that ``matrix`` ``[3, 3]`` maps to the image's."""
        self._matrix = self._canvas @ matrix
        try:
            yield
        finally:
            self._matrix = self._canvas

    @contextmanager
    def inside(self, outline: Outline) -> Iterator[None]:
        """Draw only within ``outline``."""
        self._clip = self._transformed(self._placed(outline), self._identity)
        self._clips.append(self._clip)
        try:
            yield
        finally:
            self._clip = None

    def fill(self, outline: Outline, colour: Colour, edge: float = 0.0) -> None:
        """A solid shape with a darker edge ``edge`` wide; in line art, white with an inked edge."""
        if self.line_art:
            self._draw(outline, fill=WHITE, stroke=INK, width=0.022)
        else:
            self._draw(outline, fill=colour, stroke=shade(colour, 0.28) if edge else None, width=edge)

    def dark(self, outline: Outline, colour: Colour) -> None:
        """A shape that is solid in every style."""
        self._draw(outline, fill=INK if self.line_art else colour)

    def light(self, outline: Outline, colour: Colour) -> None:
        """A bright shape without an edge in any style."""
        self._draw(outline, fill=colour)

    def tint(self, outline: Outline, colour: Colour, alpha: float) -> None:
        """Light or shadow on what is there; left out in line art."""
        if not self.line_art:
            self._draw(outline, fill=colour, alpha=alpha)

    def line(self, outline: Outline, colour: Colour, width: float) -> None:
        """A stroke with round ends."""
        if self.line_art:
            self._draw(outline, stroke=INK, width=min(width, 0.03))
        else:
            self._draw(outline, stroke=colour, width=width)

    def gleam(self, outline: Outline, colour: Colour, width: float, alpha: float) -> None:
        """A see-through stroke; left out in line art."""
        if not self.line_art:
            self._draw(outline, stroke=colour, width=width, alpha=alpha)

    def _placed(self, outline: Outline) -> Any:
        vertices, codes = outline
        return self._path(vertices @ self._matrix[:2, :2].T + self._matrix[:2, 2], codes)

    def _draw(
        self,
        outline: Outline,
        *,
        fill: Colour | None = None,
        stroke: Colour | None = None,
        width: float = 0.0,
        alpha: float = 1.0,
    ) -> None:
        context = self._renderer.new_gc()
        context.set_snap(False)
        context.set_linewidth(width * self.unit)
        if stroke is not None:
            context.set_foreground((*stroke, alpha), isRGBA=True)
            context.set_capstyle("round")
            context.set_joinstyle("round")
        if self._clip is not None:
            context.set_clip_path(self._clip)
        self._renderer.draw_path(
            context, self._placed(outline), self._identity, None if fill is None else (*fill, alpha)
        )
