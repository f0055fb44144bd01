"""An image of each stage, to see where a cartoon went wrong."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from organza.media.images import Pixels, to_image
from organza.translate.faces.frame import F
from organza.translate.faces.pasting import feathered
from organza.translate.faces.pipeline import Portrait

LONGEST = 1024
"""Longer side of the photograph in these images."""
FRAME, POINT = (255, 80, 0), (0, 200, 80)


def steps(photo: Pixels, portrait: Portrait) -> dict[str, Pixels]:
    """By name: the face found, the crop, the person, what the network was shown, what it made, and what is pasted.

    Args:
        photo: uint8 ``[H, W, 3]``.
        portrait: one of its faces.
    """
    return {
        "step1_found": found(photo, portrait),
        "step2_cut": portrait.crop,
        "step3_person": _grey(portrait.mask),
        "step4_white": portrait.cutout,
        "step5_translated": portrait.translated,
        "step6_feathered": _grey(feathered(portrait.mask)),
    }


def found(photo: Pixels, *portraits: Portrait) -> Pixels:
    """The photograph with the box, the landmarks and the frame of each face, at most `LONGEST` pixels long."""
    scale = min(1.0, LONGEST / max(photo.shape[:2]))
    size = (max(1, round(photo.shape[1] * scale)), max(1, round(photo.shape[0] * scale)))
    image = to_image(photo).resize(size, Image.Resampling.BOX, reducing_gap=2.0)
    pen, width = ImageDraw.Draw(image), max(1, max(size) // 300)

    def placed(places: F) -> list[tuple[float, float]]:
        return [(float(x), float(y)) for x, y in (places + 0.5) * scale - 0.5]

    for one in portraits:
        corners = placed(one.quad)
        pen.line([*corners, corners[0]], FRAME, width)
        pen.rectangle([value for place in placed(one.face.box.reshape(2, 2)) for value in place], None, POINT, width)
        for x, y in placed(one.face.points):
            pen.ellipse([x - 2 * width, y - 2 * width, x + 2 * width, y + 2 * width], POINT)
    return np.asarray(image)


def _grey(mask: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Pixels:
    return np.rint(mask * 255).astype(np.uint8)[..., None]
