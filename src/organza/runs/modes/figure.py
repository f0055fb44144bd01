"""The figure of `organza bench modes`: what each game's samples look like, and the figures with their deviations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from organza.core.files import atomic_write
from organza.runs.modes.study import Outcome, of, spread
from organza.runs.modes.worlds import WORLDS


def draw(outcomes: Sequence[Outcome], path: Path) -> Path:
    """Write the figure, a PNG: a row for each world, samples of the first seed, then bars over all seeds.

    Raises:
        UserError: it can't be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    worlds = [*dict.fromkeys(outcome.world for outcome in outcomes)]
    games = [*dict.fromkeys(outcome.game for outcome in outcomes)]
    figure = Figure(figsize=(1.7 * len(games) + 4.2, 1.9 * len(worlds) + 0.3), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    ratios = [1.0] * len(games) + [1.9]
    panels = figure.subplots(len(worlds), len(games) + 1, squeeze=False, width_ratios=ratios)
    for axes, game in zip(panels[0], games, strict=False):
        axes.set_title(game, fontsize=9)
    for row, world in zip(panels, worlds, strict=True):
        for axes, game in zip(row[:-1], games, strict=True):
            _samples(axes, world, of(outcomes, world, game)[:1])
            axes.set_xticks([])
            axes.set_yticks([])
        row[0].set_ylabel(world, fontsize=9)
        _bars(row[-1], outcomes, world, games)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png")
    return path


def _samples(axes: Any, world: str, outcomes: Sequence[Outcome]) -> None:
    """Generated points over the modes; on a line, their histogram."""
    if world not in WORLDS or not outcomes or not outcomes[0].samples:
        axes.axis("off")
        return
    mixture, points = WORLDS[world](), np.array(outcomes[0].samples)
    centres = mixture.centres.numpy()
    if points.shape[1] == 1:
        low, high = centres.min() - 15, centres.max() + 15
        axes.hist(points[:, 0].clip(low, high), bins=80, range=(low, high), color="#336699")
        for centre in centres[:, 0]:
            axes.axvline(centre, color="#cc4433", linewidth=0.6)
        return
    edge = abs(centres).max() * 1.3
    axes.scatter(centres[:, 0], centres[:, 1], s=12, color="#cc4433", alpha=0.35, linewidths=0)
    axes.scatter(points[:, 0], points[:, 1], s=1.2, color="#336699", linewidths=0)
    axes.set(xlim=(-edge, edge), ylim=(-edge, edge), aspect="equal")


def _bars(axes: Any, outcomes: Sequence[Outcome], world: str, games: Sequence[str]) -> None:
    """Share of modes found and of good samples, means and deviations over seeds."""
    places = np.arange(len(games))
    kinds = (("modes", "#336699"), ("good", "#ddaa44"))
    for number, (what, colour) in enumerate(kinds):
        found = []
        for game in games:
            mine = of(outcomes, world, game)
            found.append(spread([o.modes / o.of if what == "modes" else o.good for o in mine]) if mine else (0.0, 0.0))
        values, errors = zip(*found, strict=True)
        label = "modes found" if what == "modes" else "good samples"
        axes.bar(places + 0.4 * number, values, 0.38, yerr=errors, color=colour, label=label, error_kw={"lw": 0.8})
    axes.set_xticks(places + 0.2, games, fontsize=6)
    axes.set_ylim(0, 1.3)
    axes.tick_params(axis="y", labelsize=7)
    axes.legend(fontsize=6, frameon=False, ncol=2, loc="upper left")
