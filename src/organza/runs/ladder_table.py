"""An ablation ladder as a table: in text, and as an image."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from organza.media.figure import table
from organza.media.images import Pixels

STRIP = 330
"""Width of the text beside a row of images."""


@dataclass(frozen=True)
class Rung:
    """A preset after its training.

    Attributes:
        name: of the preset.
        summary: what the preset says of itself.
        changed: settings that differ from the config before: name to old and new value.
        parameters: of each network, by name.
        seconds_per_kimg: mean over the training.
        losses: the last ones, by player.
        distance: value of the ladder's metric, or None.
        seen: images.
        run: the run's folder.
        note: why there is no distance.
        scores: of a translator, by name: how near it comes to targets.
    """

    name: str
    summary: str
    changed: dict[str, Any]
    parameters: dict[str, int]
    seconds_per_kimg: float
    losses: dict[str, float]
    distance: float | None
    seen: int
    run: str
    note: str | None = None
    scores: dict[str, float] = field(default_factory=dict)


def text_table(climbed: Sequence[Rung], metric: str | None) -> str:
    """The ladder as text, a line for each config.

    Example:
        >>> rung = Rung("stylegan-a", "A: ProGAN", {}, {"G": 1000, "D": 2500}, 1.5, {"G": 0.5}, 12.3, 10, "runs")
        >>> print(text_table([rung], "fd2k"))
        config        what changed  parameters G  D      s/kimg  loss G  fd2k
        stylegan-a  A: ProGAN     1,000         2,500  1.5     0.50    12.30
    """
    players = list(dict.fromkeys(player for rung in climbed for player in rung.losses))
    nets = list(dict.fromkeys(net for rung in climbed for net in rung.parameters))
    head = ["config", "what changed", *(("parameters " if not i else "") + net for i, net in enumerate(nets)), "s/kimg"]
    head += [f"loss {player}" for player in players] + ([metric] if metric else [])
    scores = list(dict.fromkeys(name for rung in climbed for name in rung.scores))
    head += scores
    lines = [head]
    for rung in climbed:
        line = [rung.name, rung.summary, *(f"{rung.parameters.get(net, 0):,}" for net in nets)]
        line += [f"{rung.seconds_per_kimg:g}"]
        line += [f"{rung.losses[player]:.2f}" if player in rung.losses else "-" for player in players]
        line += [] if not metric else ["-" if rung.distance is None else f"{rung.distance:.2f}"]
        lines.append(line + [f"{rung.scores[name]:.3f}" if name in rung.scores else "-" for name in scores])
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def picture(climbed: Sequence[Rung], rows: Sequence[Pixels], metric: str | None) -> Pixels:
    """The ladder as an image: a row for each config, its figures on the left, its samples on the right.

    Args:
        climbed: the configs.
        rows: uint8 ``[N, H, W, C]`` for each, all of one shape.
        metric: what the distances are called.

    Returns:
        uint8 ``[rows * height, width, 3]``.
    """
    bands = []
    for rung, images in zip(climbed, rows, strict=True):
        colours = images if images.shape[3] == 3 else images[..., [0, 0, 0] if images.shape[3] == 1 else [0, 1, 2]]
        samples = table(colours, len(images), max(1, 96 // images.shape[1]))
        counts = ", ".join(f"{net} {count / 1e6:.2f}M" for net, count in rung.parameters.items())
        losses = ", ".join(f"{player} {value:.2f}" for player, value in rung.losses.items())
        score = [] if not metric else [f"{metric} " + ("-" if rung.distance is None else f"{rung.distance:.2f}")]
        about = textwrap.wrap(rung.summary, 52)[:2]
        lines = [rung.name, *about, f"{counts}, {rung.seconds_per_kimg:g} s/kimg", f"loss {losses}", *score]
        height = max(samples.shape[0], 15 * len(lines) + 8)
        samples = np.pad(samples, ((0, height - samples.shape[0]), (0, 0), (0, 0)), constant_values=255)
        bands.append(np.concatenate([strip(lines, height), samples], 1))
    return np.concatenate(bands)


def strip(lines: Sequence[str], height: int, width: int = STRIP) -> Pixels:
    """Lines of text to stand beside a row of images, uint8 ``[height, width, 3]``."""
    image = Image.new("RGB", (width, height), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(12)
    for index, line in enumerate(lines):
        pen.text((8, 4 + 15 * index), line, fill="black", font=font)
    return np.asarray(image)
