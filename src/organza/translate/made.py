"""What a translator makes of sources that are made of images, as in its training: with targets that are known."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from organza.core.errors import UserError
from organza.data.photo import Photo
from organza.data.techniques import Technique, technique

if TYPE_CHECKING:
    from organza.models.translator import Size, Translator


def technique_of(T: Translator) -> Technique:
    """How the sources were made that a network was trained on.

    Raises:
        UserError: they were not made.
    """
    found = None
    if T.source is not None and (T.source / "config.json").is_file():
        plain = json.loads((T.source / "config.json").read_text()).get("data") or {}
        found = technique(str(plain.get("pairs", "none")))
    if found is None:
        raise UserError("its sources were not made by a technique", where=T.source, hint="train with --pairs")
    return found


def made_first(T: Translator, *, compare: bool, size: Size, seed: int = 0) -> Callable[[Photo], Photo]:
    """What makes a source of an image, and translates that.

    Args:
        T: a network that was trained with ``--pairs``.
        compare: lay source, result and image side by side.
        size: at which images are translated; see `Translator.translate`.
        seed: of what is random in sources and networks.

    Raises:
        UserError: as `technique_of`.
    """
    how, numbers = technique_of(T), iter(range(2**31))

    def figure(image: Photo) -> Photo:
        # At the size of the result, as in training: a reduced image is reduced from there.
        plain = Photo(image.resized(*T.fitting(image, size)).eight()[..., : T.model.channels])
        source = Photo(how(plain.pixels, seed + next(numbers)))
        result = T.photo(source, size="own", seed=seed)
        if not compare:
            return result
        parts = [_in_colour(part.eight()) for part in (source, result, plain)]
        return Photo(np.concatenate(parts, 1))

    return figure


def reader(T: Translator) -> Translator:
    """One that reads images as the targets of ``T``, of which sources are made."""
    return replace(T, model=replace(T.model, source=T.model.channels))


def _in_colour(
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return pixels.repeat(3, 2) if pixels.shape[2] == 1 else pixels[..., :3]
