"""What goes wrong in the training of translators without a word in the losses, found in what they show of themselves.

Each finding is a plain sentence with what to do. Limits are wide: they speak of trainings that have failed, not of
those that might be better.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from organza.media.images import Pixels

Floats = NDArray[np.float64]

SAME = 2.5
"""Levels of 255 between two images that look alike."""
WON, TICKS = 0.01, 5
"""A discriminator's loss, and for how many ticks on end, from which on it teaches nothing."""
GRID, TIMES = 0.02, 6.0
"""The share of an image's energy at every second pixel, and how many times the targets' share."""


def findings(shown: Mapping[str, Pixels], records: Sequence[Mapping[str, float]]) -> Iterator[tuple[str, str]]:
    """What is wrong: (a short name, a sentence).

    Args:
        shown: what the sample grid shows, by name, uint8 ``[N, H, W, C]``; see `organza.training.preview.preview`.
        records: the entries of the log so far.
    """
    source, output, target = (shown.get(name) for name in ("source", "output", "target"))
    if source is not None and output is not None and target is not None:
        yield from _nothing_translated(source, output, target)
        if "cycle" in shown:
            yield from _inverted(source, output)
        yield from _checkerboard(output, target)
    yield from _style_ignored(shown)
    yield from _discriminator_won(records)


def _nothing_translated(source: Pixels, output: Pixels, target: Pixels) -> Iterator[tuple[str, str]]:
    if source.shape == output.shape and _distance(source, output) < SAME < _distance(source, target) / 4:
        yield (
            "identity",
            "the outputs equal their sources: nothing is translated; lower --identity-weight or --cycle-weight "
            "(--nce-weight 1 with fastcut), or train longer",
        )


def _inverted(source: Pixels, output: Pixels) -> Iterator[tuple[str, str]]:
    pairs = zip(_grey(source), _grey(output), strict=True)
    if np.mean([_correlation(one, other) < -0.5 for one, other in pairs]) >= 0.75:
        yield (
            "inverted",
            "light and dark are exchanged between sources and outputs: a cycle allows that; --identity-weight 0.5 "
            "keeps colours, and another --seed may do",
        )


def _checkerboard(output: Pixels, target: Pixels) -> Iterator[tuple[str, str]]:
    found, usual = checkerboard(output), checkerboard(target)
    if found > GRID and found > TIMES * usual:
        yield (
            "checkerboard",
            f"the outputs have a checkerboard: {found:.0%} of their energy lies at every second pixel, {usual:.1%} of "
            "the targets'; it often fades with training, and cut's anti-aliased networks avoid it",
        )


def _style_ignored(shown: Mapping[str, Pixels]) -> Iterator[tuple[str, str]]:
    groups: dict[str, list[Pixels]] = {}
    for name, images in shown.items():
        if match := re.fullmatch(r"(.+?)\W*\d+", name):
            groups.setdefault(match[1], []).append(images)
    for variants in groups.values():
        if (
            len(variants) > 1
            and np.mean([_distance(one, other) for one, other in combinations(variants, 2)]) < SAME / 2
        ):
            yield (
                "style",
                "other style codes change nothing: they are ignored; raise --latent-weight or lower --kl-weight, or "
                "train longer",
            )


def _discriminator_won(records: Sequence[Mapping[str, float]]) -> Iterator[tuple[str, str]]:
    ticks = [record for record in records if "images_per_second" in record][-TICKS:]
    if len(ticks) < TICKS:
        return
    for name in ticks[-1]:
        if name.startswith("loss/D") and all(0 <= tick.get(name, 1.0) < WON for tick in ticks):
            what = name.removeprefix("loss/")
            yield (
                f"won/{what}",
                f"{what} tells real from generated images without error ({ticks[-1][name]:.4f}) and has nothing left "
                "to teach; more data, a smaller --layers-d, or a lower --lr help",
            )


def checkerboard(images: Pixels) -> float:
    """The share of energy that changes sign from pixel to pixel in both directions, or in one: 0 to 1.

    Args:
        images: ``[N, H, W, C]``.

    Example:
        >>> board = np.indices([16, 16]).sum(0) % 2 * 255
        >>> checkerboard(board[None, ..., None].astype(np.uint8)) > 0.99
        True
        >>> ramp = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
        >>> checkerboard(ramp) < 0.01
        True
    """
    grey = _grey(images)
    if min(grey.shape[1:]) < 3:
        return 0.0
    signs = np.where(np.indices(grey.shape[1:]) % 2 == 0, 1.0, -1.0)
    # Second differences are blind to shades; a pattern of the pixel grid gives them one sign, while edges and texture
    # have both signs, which cancel in a mean over a neighbourhood.
    down, right = _second(grey, 1), _second(grey, 2)
    rows, columns = signs[0][1:-1], signs[1][:, 1:-1]
    both = _second(right, 1)
    parts = (down * rows, right * columns, both * rows[:, 1:-1] * columns[1:-1])
    steady = sum(float((_local(part) ** 2).mean()) for part in parts)
    whole = float(grey.var(axis=(1, 2)).mean())
    return min(1.0, steady / whole) if whole > 0 else 0.0


def _second(x: Floats, axis: int) -> Floats:
    """The second difference of ``[N, H, W]``: of a pattern that changes sign from pixel to pixel, its amplitude."""
    found: Floats = np.diff(x, 2, axis=axis) / 4
    return found


def _local(part: Floats) -> Floats:
    """Means over squares of about 8x8 places: ``[N, h, w]``."""
    for axis in (1, 2):
        starts = np.arange(0, part.shape[axis], 8)
        sizes = np.diff(np.append(starts, part.shape[axis]))
        part = np.add.reduceat(part, starts, axis=axis) / np.expand_dims(sizes, tuple({0, 1, 2} - {axis}))
    return part


def _grey(images: Pixels) -> Floats:
    grey: Floats = images[..., :3].astype(np.float64).mean(3)
    return grey


def _distance(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(np.float64) - other).mean()) if one.shape == other.shape else np.inf


def _correlation(one: Floats, other: Floats) -> float:
    a, b = one - one.mean(), other - other.mean()
    return float((a * b).sum() / max(float(np.sqrt((a**2).sum() * (b**2).sum())), 1e-9))
