"""How a `Face` becomes an image: shapes from back to front.

Coordinates: the largest centred square of the image is ``[-1, 1] x [-1, 1]``, x to the right and y down. In images
that aren't square the face keeps that square; backdrop and shoulders simply go on beyond it. Parts of the head are
placed around the head's own centre and turned, moved and scaled with it; parts of the face also slide over it, the
nose most, which the eye takes for a turn of the head.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from organza.core.errors import UserError
from organza.data.drawn_faces.pen import (
    INK,
    WHITE,
    Colour,
    Pen,
    Point,
    Style,
    arc,
    blob,
    colour_of,
    curve,
    ellipse,
    mirrored,
    mix,
    place,
    points_of,
    shade,
)

if TYPE_CHECKING:
    from organza.data.drawn_faces.face import Face


def _palette(**colours: str) -> dict[str, Colour]:
    return {name: colour_of(code) for name, code in colours.items()}


HAIR = _palette(
    black="2f2735",
    brown="56352b",
    chestnut="8a4f2d",
    ginger="dd7530",
    blond="f0c565",
    silver="cfd3dc",
    pink="ee86a8",
    blue="5583d6",
    teal="35a79c",
)
SKIN = _palette(
    porcelain="fde6d6",
    fair="fad5b6",
    peach="f3c09a",
    honey="e3a678",
    tan="cc8a5b",
    brown="a06746",
    deep="744731",
)
EYES = _palette(brown="6f4427", hazel="a67c35", green="4d9553", blue="3f86cf", grey="788797", violet="8360bd")
CLOTHES = _palette(
    red="dd5850",
    mustard="e6aa43",
    green="57a56f",
    teal="3da0a2",
    blue="4a78c0",
    navy="38466a",
    violet="8b67b7",
    cream="f5ecdc",
    rose="ea93a6",
)
BACKGROUND = _palette(
    sky="a9dbee",
    mint="b9e8cc",
    butter="fce9a9",
    coral="f9b09a",
    lilac="d1c0ef",
    rose="fad0d8",
    teal="63bbb5",
    slate="66759c",
)
CREAM = colour_of("fffaf2")
MOUTH = colour_of("8c3040")
TONGUE = colour_of("e9797c")
GOLD = colour_of("f2c14b")
LIPS = colour_of("b5505a")


def _skin_shade(colour: Colour, share: float) -> Colour:
    return mix(colour, colour_of("a03a2c"), share)


# ---- The image ---------------------------------------------------------------------------------------------------


def draw(face: Face, resolution: int | tuple[int, int], style: Style = "paint") -> NDArray[np.uint8]:
    """Draw ``face``.

    Args:
        face: whom.
        resolution: the side of a square image, or height and width, from 8 to 8192 pixels. In an image that isn't
            square the face fills the shorter side, centred; backdrop and shoulders go on.
        style: ``"paint"`` in colour, or ``"line"``: ink on white paper.

    Returns:
        uint8 RGB ``[H, W, 3]``.

    Raises:
        UserError: a side is out of range or the style is unknown.

    Example:
        >>> from organza.data.drawn_faces.face import (Face)
        >>> draw(Face.random(0), (48, 64)).shape
        (48, 64, 3)
    """
    height, width = (resolution, resolution) if isinstance(resolution, int) else resolution
    if not (8 <= height <= 8192 and 8 <= width <= 8192):
        raise UserError(f"a face of {width} x {height} pixels", hint="keep both sides within 8 and 8192")
    if style not in ("paint", "line"):
        raise UserError(f"no style is called {style!r}", hint="choose paint or line")
    pen = Pen(height, width, style)
    draw_with(pen, face)
    return np.array(pen.pixels[:, :, :3])


def draw_with(pen: Pen, face: Face) -> None:
    """Draw ``face`` with a pen of one's own."""
    _backdrop(pen, face)
    head = _placement(face.tilt, face.x, face.y + 0.02, 1.1 * face.size)
    body = _placement(0.0, face.x * 0.5, face.y * 0.5 + 0.02, 1.1 * face.size)
    with pen.moved(head):
        _hair_behind(pen, face)
    with pen.moved(body):
        _body(pen, face)
    with pen.moved(head):
        _head(pen, face)
        _cheeks(pen, face)
        _nose(pen, face)
        _beard(pen, face)
        _mouth(pen, face)
        _eyes(pen, face)
        _hair_in_front(pen, face)
        _brows(pen, face)
        _glasses(pen, face)


def _placement(tilt: float, x: float, y: float, size: float) -> NDArray[np.float64]:
    """Turn by ``tilt`` degrees about the neck, scale, and move."""
    cos, sin = size * math.cos(math.radians(tilt)), size * math.sin(math.radians(tilt))
    neck = np.array([0.0, 0.55])
    turn = np.array([[cos, -sin], [sin, cos]])
    move = neck - turn @ neck + [x, y]
    return np.block([[turn, move[:, None]], [np.zeros([1, 2]), np.ones([1, 1])]])


def _slide(face: Face, x: float, y: float, depth: float = 1.0) -> Point:
    """Where a point of the face goes when the head turns; ``depth`` is how far it stands out."""
    return x * (1 - 0.05 * abs(face.yaw)) + 0.075 * face.yaw * depth, y + 0.05 * face.pitch * depth


def _backdrop(pen: Pen, face: Face) -> None:
    if pen.line_art:
        pen.pixels[:] = 255
        return
    colour = BACKGROUND[face.background]
    light, dark = mix(colour, WHITE, 0.45), shade(colour, 0.16)
    rows = np.linspace(0, 1, len(pen.pixels))[:, None]
    share = rows if face.backdrop == "gradient" else np.zeros_like(rows)
    top = light if face.backdrop == "gradient" else colour
    pen.pixels[:, :, :3] = np.round(255 * (np.array(top) * (1 - share) + np.array(dark) * share))[:, None]
    pen.pixels[:, :, 3] = 255
    if face.backdrop == "disc":
        pen.light(ellipse(0, -0.02, 0.86), light)


HEADS: dict[str, list[Point]] = {
    "round": points_of("0,-0.56 0.28,-0.51 0.45,-0.28 0.49,0.02 0.45,0.28 0.27,0.48 0,0.54"),
    "oval": points_of("0,-0.58 0.26,-0.52 0.42,-0.28 0.455,0.02 0.405,0.3 0.23,0.52 0,0.59"),
    "square": points_of("0,-0.56 0.29,-0.51 0.45,-0.28 0.475,0.02 0.465,0.3 0.335,0.485 0,0.54"),
    "heart": points_of("0,-0.56 0.29,-0.51 0.46,-0.28 0.49,-0.02 0.41,0.27 0.19,0.49 0,0.56"),
}
_EARS_COVERED = ("bob", "long", "wavy", "curly")


def _head(pen: Pen, face: Face) -> None:
    skin = SKIN[face.skin]
    if face.hair not in _EARS_COVERED:
        for side in (-1, 1):
            x, y = side * 0.475 - 0.035 * face.yaw, 0.06 - 0.02 * face.pitch
            pen.fill(ellipse(x, y, 0.085, 0.115), skin, 0.016)
            pen.tint(ellipse(x + side * 0.008, y + 0.005, 0.042, 0.062), _skin_shade(skin, 0.35), 0.8)
            _earring(pen, face, x + side * 0.015, y + 0.12)
    outline = blob(mirrored(HEADS[face.shape]))
    pen.fill(outline, skin, 0.016)
    if face.hair not in ("bald", "buzzed"):
        with pen.inside(outline):
            shape = [(x, y + 0.055) for x, y in _front(face)]
            pen.tint(blob(shape), _skin_shade(skin, 0.32), 0.75)


def _earring(pen: Pen, face: Face, x: float, y: float) -> None:
    if face.earrings == "studs":
        pen.light(ellipse(x, y - 0.015, 0.026), WHITE if pen.line_art else GOLD)
        pen.line(ellipse(x, y - 0.015, 0.026), shade(GOLD, 0.3), 0.01)
    elif face.earrings == "rings":
        pen.line(ellipse(x, y + 0.05, 0.055, 0.065), GOLD, 0.024)


def _body(pen: Pen, face: Face) -> None:
    skin, cloth = SKIN[face.skin], CLOTHES[face.clothes_colour]
    dark = shade(cloth, 0.24)
    if face.clothes == "hoodie":
        pen.fill(blob(mirrored(points_of("0,0.5 0.28,0.53 0.41,0.68 0.36,0.86 0,0.92"))), dark, 0.016)
    neck = points_of("0.165,0.3 0.165,0.3 0.16,0.6 0.24,0.74 0.24,0.74 0,1.05")
    pen.fill(blob([*neck, *((-x, y) for x, y in reversed(neck[:-1]))]), skin, 0.016)
    pen.tint(
        blob(mirrored(points_of("0,0.4 0.15,0.42 0.152,0.58 0.09,0.645 0,0.665"))),
        _skin_shade(skin, 0.4),
        0.8,
    )

    necklines: dict[str, list[Point]] = {
        "vneck": points_of("0,0.95 0,0.95 0.215,0.68 0.215,0.68"),
        "collar": points_of("0,0.88 0,0.88 0.21,0.67 0.21,0.67"),
        "turtleneck": points_of("0,0.6 0.19,0.57 0.19,0.57 0.2,0.7"),
    }
    neckline = necklines.get(face.clothes, points_of("0,0.8 0.13,0.765 0.225,0.67 0.225,0.67"))
    # Images taller than wide show more of the body, so it goes on far below the square.
    right = [
        *neckline,
        (0.36, 0.725),
        (0.62, 0.80),
        (0.79, 0.98),
        (0.85, 1.3),
        (0.86, 1.7),
        (0.86, 1.7),
        (0.86, 9.0),
        (0.86, 9.0),
    ]
    torso = blob(mirrored(right))
    pen.fill(torso, cloth, 0.016)
    rim = [*((-x, y) for x, y in reversed(neckline) if x), *neckline]
    with pen.inside(torso):
        for side in (-1, 1):
            sleeve = points_of("0.64,0.99 0.585,1.16 0.575,1.7 0.575,9")
            pen.line(curve([(side * x, y) for x, y in sleeve]), dark, 0.02)
        if face.clothes == "striped":
            band = mix(cloth, WHITE, 0.75) if face.clothes_colour != "cream" else colour_of("d97b6c")
            for y in (0.88, 1.02, 1.16):
                pen.line(curve([(-1, y), (0, y + 0.035), (1, y)]), band, 0.055)
    if face.clothes in ("crew", "striped", "vneck"):
        pen.line(curve(rim), dark, 0.042)
    elif face.clothes == "turtleneck":
        pen.line(curve([(-0.195, 0.70), (0, 0.735), (0.195, 0.70)]), dark, 0.022)
    elif face.clothes == "collar":
        for side in (-1, 1):
            flap = points_of("0,0.865 0.22,0.645 0.31,0.73 0.17,0.93")
            pen.fill(blob([p for x, y in flap for p in ((side * x, y),) * 2]), CREAM, 0.016)
    elif face.clothes == "hoodie":
        pen.line(curve(rim), dark, 0.075)
        for side in (-1, 1):
            pen.line(curve([(side * 0.12, 0.79), (side * 0.125, 0.88), (side * 0.115, 0.97)]), CREAM, 0.026)


def _cheeks(pen: Pen, face: Face) -> None:
    skin = SKIN[face.skin]
    for side in (-1, 1):
        if face.cheeks == "blush":
            pen.tint(ellipse(*_slide(face, side * 0.285, 0.195), 0.085, 0.058), colour_of("f0524f"), 0.34)
        elif face.cheeks == "freckles":
            for x, y in ((0.21, 0.17), (0.285, 0.155), (0.25, 0.215), (0.325, 0.205)):
                pen.dark(ellipse(*_slide(face, side * x, y), 0.0155), _skin_shade(skin, 0.55))


def _nose(pen: Pen, face: Face) -> None:
    skin = SKIN[face.skin]
    x, y = _slide(face, 0, 0.165, 1.7)
    dark = _skin_shade(skin, 0.5)
    if face.nose == "button":
        pen.line(curve(place(points_of("-0.035,0 0,0.022 0.035,0"), x, y)), dark, 0.024)
    elif face.nose == "round":
        if pen.line_art:
            pen.line(curve(place(points_of("-0.055,-0.03 -0.04,0.025 0.04,0.025 0.055,-0.03"), x, y)), dark, 0.02)
        pen.tint(ellipse(x, y, 0.062, 0.05), _skin_shade(skin, 0.34), 1.0)
        pen.tint(ellipse(x - 0.02, y - 0.02, 0.018, 0.013), WHITE, 0.5)
    else:
        side = 1 if face.yaw >= 0 else -1
        pen.line(curve(place(points_of("-0.01,-0.1 0.04,0.005 -0.025,0.02"), x, y, side)), dark, 0.024)


def _beard(pen: Pen, face: Face) -> None:
    if face.beard == "none":
        return
    colour = shade(HAIR[face.hair_colour], 0.12)
    x, y = _slide(face, 0, 0.0, 1.2)
    if face.beard == "full":
        outline = blob(mirrored(HEADS[face.shape]))
        jaw = points_of(
            "0.41,0.02 0.52,0 0.52,0 0.6,0.4 0.35,0.72 0,0.74 -0.35,0.72 -0.6,0.4 -0.52,0 -0.52,0 -0.41,0.02"
        )
        lip = place(points_of("-0.22,0.215 0,0.205 0.22,0.215"), x, y)
        with pen.inside(outline):
            pen.fill(blob([*jaw, (-0.36, 0.17), *lip, (0.36, 0.17)]), colour, 0.012)
        if pen.line_art:
            pen.line(outline, INK, 0.022)
    else:
        points = points_of("0,0.225 0.09,0.215 0.2,0.285 0.2,0.285 0.1,0.3 0,0.275")
        pen.fill(blob(place(mirrored(points), x, y)), colour, 0.0)


def _mouth(pen: Pen, face: Face) -> None:
    skin = SKIN[face.skin]
    lips = mix(LIPS, _skin_shade(skin, 0.75), 0.45)
    if face.beard == "full" or face.skin in ("brown", "deep"):
        lips = mix(lips, colour_of("ffb0a8"), 0.45)
    x, y = _slide(face, 0, 0.335, 1.25)

    def here(text: str) -> list[Point]:
        return place(points_of(text), x, y)

    wide = here("-0.155,-0.035 -0.155,-0.035 0,-0.022 0.155,-0.035 0.155,-0.035 0.105,0.06 0,0.092 -0.105,0.06")
    if face.mouth == "smile":
        pen.line(curve(here("-0.13,-0.02 -0.07,0.032 0,0.046 0.07,0.032 0.13,-0.02")), lips, 0.034)
    elif face.mouth == "smirk":
        pen.line(curve(here("-0.09,0.022 0,0.03 0.08,0.012 0.135,-0.038")), lips, 0.034)
    elif face.mouth == "neutral":
        pen.line(curve(here("-0.085,0.01 0,0.014 0.085,0.01")), lips, 0.034)
    elif face.mouth == "sad":
        pen.line(curve(here("-0.1,0.045 -0.055,0.01 0,0 0.055,0.01 0.1,0.045")), lips, 0.034)
    elif face.mouth == "surprised":
        pen.dark(ellipse(x, y + 0.02, 0.058, 0.075), MOUTH)
        pen.tint(ellipse(x, y + 0.062, 0.036, 0.024), TONGUE, 1.0)
    elif face.mouth == "grin":
        pen.fill(blob(wide), CREAM)
        pen.line(curve(here("-0.125,0.022 0,0.036 0.125,0.022")), mix(CREAM, lips, 0.35), 0.012)
        pen.line(blob(wide), lips, 0.026)
    else:
        pen.dark(blob(wide), MOUTH)
        with pen.inside(blob(wide)):
            pen.tint(ellipse(x, y + 0.085, 0.085, 0.05), TONGUE, 1.0)
            pen.light(ellipse(x, y - 0.045, 0.115, 0.036), CREAM)


_LIDS: dict[str, list[Point]] = {
    "round": points_of("0,-0.112 0.068,-0.078 0.092,0 0.068,0.078 0,0.108 -0.068,0.078 -0.092,0 -0.068,-0.078"),
    "almond": points_of(
        "0,-0.082 0.07,-0.06 0.128,-0.022 0.128,-0.022 0.07,0.058 "
        "0,0.074 -0.07,0.05 -0.112,0.012 -0.112,0.012 -0.075,-0.05"
    ),
    "sleepy": points_of(
        "0,-0.042 0.07,-0.036 0.108,0 0.108,0 0.068,0.062 0,0.082 -0.068,0.062 -0.102,0 -0.102,0 -0.07,-0.036"
    ),
}


def _eyes(pen: Pen, face: Face) -> None:
    lash = colour_of("3a2a33")
    for side in (-1, 1):
        x, y = _slide(face, side * 0.205, 0.02)
        gaze_x, gaze_y = 0.024 * face.gaze_x, 0.02 * face.gaze_y
        if face.eyes == "closed":
            pen.line(
                curve(place(points_of("-0.095,0.03 -0.05,-0.022 0,-0.036 0.05,-0.022 0.095,0.03"), x, y)), lash, 0.036
            )
            continue
        if face.eyes == "dotted":
            x, y = x + gaze_x, y + gaze_y
            pen.dark(ellipse(x, y, 0.054, 0.068), mix(EYES[face.eye_colour], INK, 0.45))
            pen.light(ellipse(x + 0.017, y - 0.025, 0.0185), WHITE)
            continue
        # The outer corner of an eye points away from the nose.
        lids = place(_LIDS[face.eyes], x, y, side)
        outline = blob(lids)
        pen.fill(outline, CREAM)
        radius = {"round": 0.074, "almond": 0.07, "sleepy": 0.066}[face.eyes]
        iris_x, iris_y = x + gaze_x, y + gaze_y + (0.012 if face.eyes == "sleepy" else 0)
        colour = EYES[face.eye_colour]
        with pen.inside(outline):
            pen.fill(ellipse(iris_x, iris_y, radius, radius * 1.08), shade(colour, 0.2))
            pen.tint(
                ellipse(iris_x, iris_y + radius * 0.3, radius * 0.74, radius * 0.66), mix(colour, WHITE, 0.25), 0.9
            )
            pen.dark(ellipse(iris_x, iris_y, radius * 0.52, radius * 0.58), colour_of("251d2b"))
            pen.light(ellipse(iris_x + 0.024, iris_y - 0.030, 0.0235), WHITE)
            pen.tint(ellipse(iris_x - 0.026, iris_y + 0.034, 0.012), WHITE, 0.85)
        tops = {"round": (7, 8, 9, 10), "almond": (8, 9, 10, 11, 12), "sleepy": (8, 9, 10, 11, 12)}[face.eyes]
        pen.line(curve([lids[i % len(lids)] for i in tops]), lash, 0.036)


def _brows(pen: Pen, face: Face) -> None:
    depth = 0.55 if face.skin in ("brown", "deep") else 0.38
    colour = HAIR["brown"] if face.hair == "bald" else shade(HAIR[face.hair_colour], depth)
    shapes: dict[str, list[Point]] = {
        "flat": [(0.10, 0.0), (0.20, -0.012), (0.30, 0.004)],
        "arched": [(0.10, 0.012), (0.205, -0.045), (0.305, 0.01)],
        "worried": [(0.105, -0.04), (0.20, -0.022), (0.295, 0.03)],
        "stern": [(0.10, 0.035), (0.20, -0.012), (0.30, -0.022)],
    }
    for side in (-1, 1):
        points = [_slide(face, side * x, y - 0.165, 1.05) for x, y in shapes[face.brows]]
        pen.line(curve(points), colour, 0.038)


def _glasses(pen: Pen, face: Face) -> None:
    if face.glasses == "none":
        return
    frame = colour_of("3b3140") if face.glasses != "round" else colour_of("a8572f")
    y = 0.03
    for side in (-1, 1):
        x, top = _slide(face, side * 0.205, y, 1.1)
        if face.glasses == "round":
            lens = ellipse(x, top, 0.152, 0.15)
        else:
            w, h = 0.158, 0.112
            corners: list[Point] = [(w, -h), (w, h), (-w, h), (-w, -h)]
            points = [p for px, py in corners for p in ((x + px, top + py * 0.55), (x + px * 0.62, top + py))]
            order = (1, 0, 2, 3, 5, 4, 6, 7)
            lens = blob([points[i] for i in order])
        if face.glasses == "shades":
            pen.dark(lens, colour_of("2c2836"))
            pen.gleam(curve([(x - 0.07, top + 0.01), (x - 0.02, top - 0.05)]), WHITE, 0.03, 0.35)
        else:
            pen.tint(lens, WHITE, 0.16)
        pen.line(lens, frame, 0.03)
        end = _slide(face, side * 0.36, y - 0.03, 1.1)
        pen.line(curve([end, (side * 0.475 - 0.035 * face.yaw, 0.02)]), frame, 0.03)
    left, right = _slide(face, -0.055, y - 0.02, 1.1), _slide(face, 0.055, y - 0.02, 1.1)
    middle = ((left[0] + right[0]) / 2, left[1] - 0.025)
    pen.line(curve([left, middle, right]), frame, 0.03)


# ---- Hair ----------------------------------------------------------------------------------------------------------


def _hair_behind(pen: Pen, face: Face) -> None:
    colour = shade(HAIR[face.hair_colour], 0.2)
    sway = -0.03 * face.yaw
    shapes: dict[str, list[Point]] = {
        "bob": points_of("0,-0.66 0.36,-0.58 0.56,-0.25 0.61,0.12 0.6,0.42 0.45,0.55 0,0.5"),
        "long": points_of("0,-0.66 0.36,-0.58 0.56,-0.22 0.6,0.2 0.64,0.6 0.68,1 0.45,1.12 0,1.1"),
        "wavy": points_of(
            "0,-0.66 0.38,-0.6 0.57,-0.32 0.56,-0.06 0.67,0.14 0.6,0.33 0.72,0.54 0.63,0.74 0.7,0.95 0.4,1.05 0,1"
        ),
    }
    if face.hair in shapes:
        pen.fill(blob(place(mirrored(shapes[face.hair]), sway, 0)), colour, 0.016)
    elif face.hair == "curly":
        pen.fill(blob(_scallops(sway, -0.13, 0.70, 0.67, 0, 360, 13, 0.10)[:-1]), colour, 0.016)
    elif face.hair == "bun":
        pen.fill(ellipse(sway * 2, -0.70, 0.185, 0.165), shade(HAIR[face.hair_colour], 0.08), 0.016)
        pen.gleam(curve(arc(0.11, 0.10, sway * 2, -0.71, 150, 60, 4)), WHITE, 0.03, 0.22)
    elif face.hair == "pigtails":
        for side in (-1, 1):
            tail = points_of("0.46,-0.2 0.7,-0.22 0.87,0.06 0.85,0.42 0.7,0.68 0.7,0.68 0.62,0.4 0.56,0.08")
            pen.fill(blob(place(tail, sway, 0, side)), colour, 0.016)
            pen.gleam(curve(place(points_of("0.74,-0.06 0.79,0.14 0.77,0.34"), sway, 0, side)), WHITE, 0.035, 0.2)
    elif face.hair == "ponytail":
        side = -1 if face.parting > 0 else 1
        tail = points_of("0.16,-0.52 0.46,-0.74 0.78,-0.52 0.86,-0.02 0.74,0.42 0.74,0.42 0.62,0.12 0.52,-0.25")
        pen.fill(blob(place(tail, sway, 0, side)), colour, 0.016)
        pen.gleam(curve(place(points_of("0.62,-0.5 0.74,-0.28 0.76,0"), sway, 0, side)), WHITE, 0.04, 0.2)


def _scallops(
    x: float, y: float, rx: float, ry: float, start: float, stop: float, count: int, depth: float
) -> list[Point]:
    """An arc of ``count`` round bumps, the corners between them ``depth`` deep."""
    points: list[Point] = []
    for index, (out_x, out_y) in enumerate(arc(rx, ry, 0, 0, start, stop, 4 * count + 1)):
        share = 1 - (depth, 0.012, 0.0, 0.012)[index % 4] / max(rx, ry)
        points += [(x + out_x * share, y + out_y * share)] * (2 if index % 4 == 0 else 1)
    return points


def _hairline(face: Face) -> list[Point]:
    """The edge of the hair over the forehead, from right to left."""
    slide = 0.05 * face.yaw
    if face.hair == "curly":
        return _scallops(slide, -0.10, 0.42, 0.27, 15, 165, 5, 0.075)
    if face.hair == "spiky":
        tips = points_of(
            "0.4,-0.12 0.34,-0.33 0.24,-0.2 0.15,-0.36 0.03,-0.19 -0.08,-0.36 -0.19,-0.2 -0.3,-0.34 -0.4,-0.12"
        )
        return [point for point in place(tips, slide, 0) for _ in range(2)]
    if face.hair == "buzzed" or face.fringe == "open":
        return place(
            points_of("0.425,-0.08 0.39,-0.27 0.24,-0.385 0,-0.42 -0.24,-0.385 -0.39,-0.27 -0.425,-0.08"), slide, 0
        )
    if face.fringe == "straight":
        half = points_of("0.41,-0.13 0.41,-0.13 0.28,-0.205 0.1,-0.222")
        return place(mirrored(half), slide, 0)
    peak = 0.27 * face.parting
    right = [*points_of("0.42,-0.06 0.39,-0.2"), (0.5 * (0.36 + peak), -0.335), (peak, -0.45)]
    left = [(peak, -0.45), (0.5 * (-0.36 + peak), -0.335), *points_of("-0.39,-0.2 -0.42,-0.06")]
    return place(right + left, slide, 0)


def _front(face: Face) -> list[Point]:
    """The outline of the hair in front: over the skull from left to right, then back along the forehead."""
    hairline = _hairline(face)
    if face.hair == "buzzed":
        skull = arc(0.487, 0.50, 0, -0.09, 172, 8, 9)
        return [(-0.475, 0), (-0.475, 0), *skull, (0.475, 0), (0.475, 0), *hairline]
    if face.hair == "spiky":
        spikes = arc(0.54, 0.52, 0, -0.10, 178, 2, 9)
        tips = arc(0.70, 0.66, 0, -0.10, 160, 8, 8)
        outer = [spikes[0], spikes[0]]
        for tip, valley in zip(tips, spikes[1:], strict=True):
            outer += [tip, tip, valley]
        return [(-0.50, 0.06), (-0.50, 0.06), *outer, (0.50, 0.06), (0.50, 0.06), *hairline]
    if face.hair == "curly":
        outer = _scallops(0, -0.11, 0.56, 0.55, 186, -6, 8, 0.06)
        return [(-0.56, 0.16), *outer, (0.56, 0.16), (0.47, 0.12), *hairline, (-0.47, 0.12)]
    outer = arc(0.535, 0.555, 0, -0.10, 178, 2, 9)
    ends: dict[str, list[Point]] = {
        "bob": points_of("0.565,0.1 0.585,0.36 0.5,0.5 0.5,0.5 0.425,0.28 0.44,0.05"),
        "long": points_of("0.565,0.12 0.6,0.45 0.575,0.78 0.575,0.78 0.46,0.4 0.44,0.05"),
        "wavy": points_of("0.56,0.02 0.63,0.2 0.58,0.4 0.64,0.6 0.56,0.74 0.56,0.74 0.5,0.5 0.45,0.28 0.46,0.05"),
    }
    side = ends.get(face.hair, points_of("0.515,0.09 0.475,0.15 0.475,0.15 0.455,0.03"))
    return [*((-x, y) for x, y in reversed(side)), *outer, *side, *hairline]


def _hair_in_front(pen: Pen, face: Face) -> None:
    colour = HAIR[face.hair_colour]
    if face.hair == "bald":
        pen.gleam(curve(arc(0.30, 0.36, -0.02, -0.10, 128, 88, 4)), WHITE, 0.05, 0.35)
        return
    if face.hair == "buzzed":
        colour = mix(colour, SKIN[face.skin], 0.3)
    outline = blob(_front(face))
    pen.fill(outline, colour, 0.016)
    with pen.inside(outline):
        gleam = mix(colour, WHITE, 0.55)
        shift = 0.06 * face.yaw
        if face.hair != "buzzed":
            pen.gleam(curve(arc(0.40, 0.42, shift, -0.12, 150, 112, 5)), gleam, 0.055, 0.55)
            pen.gleam(curve(arc(0.40, 0.42, shift, -0.12, 102, 96, 3)), gleam, 0.055, 0.55)
    if face.hair == "pigtails":
        for side in (-1, 1):
            pen.fill(ellipse(side * 0.535 - 0.03 * face.yaw, -0.13, 0.062, 0.075), CLOTHES[face.clothes_colour], 0.012)
    elif face.hair == "ponytail":
        side = -1 if face.parting > 0 else 1
        pen.fill(ellipse(side * 0.365 - 0.03 * face.yaw, -0.565, 0.085, 0.06), CLOTHES[face.clothes_colour], 0.012)
