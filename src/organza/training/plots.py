"""The image of a run: losses, scores and speed against images seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from organza.core.files import atomic_write

PANELS = {
    "loss": ("loss/",),
    "discriminator's scores": ("scores/",),
    "convergence": ("convergence/",),
    "terms": ("terms/",),
    "overfitting": ("signs/", "overfit/", "augment/"),
    "regularisers": ("penalty/",),
    "variety of samples": ("samples/",),
    "images per second": ("images_per_second",),
}


def plot_log(records: Sequence[dict[str, Any]], path: Path) -> Path:
    """Draw the entries of a log as PNG; panels without data are left out.

    Args:
        records: entries with ``kimg`` and statistics, as in ``log.jsonl``.
        path: where the image goes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = []
    for title, prefixes in PANELS.items():
        found = dict.fromkeys(name for r in records for name in r if name.startswith(prefixes))
        if found:
            panels.append((title, list(found)))
    quality = dict.fromkeys(n for r in records for n in r if n.startswith("metrics/") and n != "metrics/seconds")
    panels += [(name.removeprefix("metrics/"), [name]) for name in quality if name.count("/") == 1]
    figure = Figure(figsize=(9, 2.4 * len(panels)), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    for row, (title, names) in enumerate(panels):
        axes = figure.add_subplot(len(panels), 1, row + 1)
        for name in names:
            points = [(r["kimg"], r[name]) for r in records if name in r]
            if band := [(r["kimg"], r[f"{name}/low"], r[f"{name}/high"]) for r in records if f"{name}/low" in r]:
                x, low, high = zip(*band, strict=True)
                axes.fill_between(x, low, high, alpha=0.25, linewidth=0)
            axes.plot([x for x, _ in points], [y for _, y in points], label=name.split("/")[-1], linewidth=1.2)
        axes.set_ylabel(title)
        axes.grid(alpha=0.25)
        if len(names) > 1:
            axes.legend(fontsize=8, loc="upper right", frameon=False)
    figure.axes[-1].set_xlabel("kimg")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png")
    return path
