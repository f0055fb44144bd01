"""What a recipe found: a table in Markdown, the entries as JSON, and a figure of samples."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean, stdev

import numpy as np
from PIL import Image

from organza.core.files import atomic_write
from organza.media.images import Pixels, enlarge, save_picture
from organza.runs.ladder_table import strip
from organza.runs.recipe import Budget, Entry, Mark

STRIP = 150
"""Width of the text beside a row of samples."""


def write(entries: Sequence[Entry], budget: Budget, folder: Path) -> list[Path]:
    """``comparison.md``, ``comparison.json`` and, once there are samples, ``comparison.png``.

    Args:
        entries: as from `organza.runs.recipe.carry_out`.
        budget: of the trainings.
        folder: where to; that of the recipe, whose samples are shown.
    """
    files = [folder / "comparison.md", folder / "comparison.json"]
    with atomic_write(files[0]) as temporary:
        temporary.write_text(markdown(entries, budget), encoding="utf-8")
    with atomic_write(files[1]) as temporary:
        temporary.write_text(json.dumps([asdict(entry) for entry in entries], indent=2) + "\n")
    if (shown := figure(entries, folder)) is not None:
        files.append(save_picture(shown, folder / "comparison.png"))
    return files


def markdown(entries: Sequence[Entry], budget: Budget) -> str:
    """A table for each mark, a line for each method: means over seeds, with deviations where there are several.

    Example:
        >>> made = [Entry("gan", s, "minutes", 9000, 60.0, {"fd_lenet_2k": 4.0 + s}, "runs") for s in (0, 1)]
        >>> print(markdown(made, Budget(kimg=9, minutes=1)))
        ## After 1 minute
        <BLANKLINE>
        | method | kimg | fd_lenet_2k | seeds |
        |---|---|---|---|
        | gan | 9 | 4.5 ± 0.71 | 2 |
        <BLANKLINE>
    """
    parts = []
    heads: dict[Mark, str] = {
        "images": f"After {budget.kimg:g} kimg",
        "minutes": f"After {budget.minutes:g} minute{'' if budget.minutes == 1 else 's'}",
    }
    for mark, head in heads.items():
        own = [entry for entry in entries if entry.mark == mark]
        if not own:
            continue
        names = list(dict.fromkeys(name for entry in own for name in entry.figures))
        length = "kimg" if mark == "minutes" else "minutes"
        rows = [["method", length, *names, "seeds"], ["---"] * (len(names) + 3)]
        for preset in dict.fromkeys(entry.preset for entry in own):
            rows.append(_row([entry for entry in own if entry.preset == preset], names, mark))
        lines = [f"| {' | '.join(row)} |" for row in rows]
        lines[1] = lines[1].replace(" ", "")
        notes = [f"- {entry.preset}, seed {entry.seed}: {entry.note}" for entry in own if entry.note]
        parts.append("\n".join([f"## {head}", "", *lines, "", *([*notes, ""] if notes else [])]))
    return "\n".join(parts)


def _row(entries: Sequence[Entry], names: Sequence[str], mark: Mark) -> list[str]:
    good = [entry for entry in entries if not entry.note]
    if not good:
        return [entries[0].preset, *["-"] * (len(names) + 1), "0"]
    length = [entry.seen / 1000 if mark == "minutes" else entry.seconds / 60 for entry in good]
    cells = [f"{mean(length):.3g}"]
    for name in names:
        values = [entry.figures[name] for entry in good if name in entry.figures]
        cells.append(_spread(values) if values else "-")
    return [good[0].preset, *cells, str(len(good))]


def _spread(values: Sequence[float]) -> str:
    """Mean and deviation over seeds."""
    number = f"{mean(values):.3g}"
    return f"{number} ± {stdev(values):.2g}" if len(values) > 1 else number


def figure(entries: Sequence[Entry], folder: Path) -> Pixels | None:
    """Samples of the first seed at equal time, a row for each method; None where there are none yet.

    Returns:
        uint8 ``[H, W, 3]``.
    """
    rows = []
    for entry in entries:
        file = folder / entry.preset / f"seed{entry.seed}" / "minutes.png"
        if entry.mark != "minutes" or entry.seed != entries[0].seed or entry.note or not file.is_file():
            continue
        with Image.open(file) as opened:
            samples = np.asarray(opened.convert("RGB"))
        samples = enlarge(samples, max(1, 64 // samples.shape[0]))
        value = next(iter(entry.figures.items()), None)
        lines = [entry.preset, f"{entry.seen / 1000:.3g} kimg"] + ([f"{value[0]} {value[1]:.3g}"] if value else [])
        rows.append(np.concatenate([strip(lines, samples.shape[0], STRIP), samples], axis=1))
    if not rows:
        return None
    width = max(row.shape[1] for row in rows)
    return np.concatenate(
        [np.pad(row, ((0, 2), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    )
