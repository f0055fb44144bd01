"""Runs side by side: how good, how fast, and in which settings they differ."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from organza.core.errors import UserError
from organza.core.files import atomic_write, user_path
from organza.training.checkpoint import newest_first
from organza.training.monitor import read_log

if TYPE_CHECKING:
    from organza.data.dataset import Dataset
    from organza.data.domains import Domains
    from organza.data.sequences import Sequences

_QUIET = ("kimg", "minutes", "keep", "tick_kimg", "snapshot_kimg", "grid")
QUIET = {"organza"} | {f"training.{name}" for name in _QUIET}
"""Settings that don't change what is learnt."""


@dataclass(frozen=True)
class Point:
    """A figure of a checkpoint.

    Attributes:
        kimg: where in the training.
        value: the figure.
        interval: its 95% confidence interval, or None.
    """

    kimg: float
    value: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class RunLog:
    """What a run's folder says.

    Attributes:
        folder: the run's.
        name: short, and different from the others'.
        settings: the config, flat: ``{"config.r1_gamma": 1.0}``.
        ticks: (kimg, seconds of training) at each tick of the log.
        figures: metric -> points, in order of kimg.

    Example:
        >>> read_run(tiny_run).settings["config.z_dim"]
        8
    """

    folder: Path
    name: str
    settings: Mapping[str, Any]
    ticks: Sequence[tuple[float, float]]
    figures: Mapping[str, Sequence[Point]] = field(default_factory=dict)

    @property
    def kimg(self) -> float:
        """Thousands of images shown."""
        return self.ticks[-1][0] if self.ticks else 0.0

    @property
    def seconds(self) -> float:
        """Time in training steps."""
        return self.ticks[-1][1] if self.ticks else 0.0

    def hours_at(self, kimg: float) -> float:
        """When the run was there."""
        places, seconds = zip((0.0, 0.0), *self.ticks, strict=True)
        return float(np.interp(kimg, list(places), list(seconds))) / 3600

    def best(self, metric: str) -> Point | None:
        """The best point of a metric."""
        points = self.figures.get(metric, ())
        choose = max if higher_is_better(metric) else min
        return choose(points, key=lambda point: point.value, default=None)


def higher_is_better(metric: str) -> bool:
    """Whether a large figure is a good one.

    Example:
        >>> higher_is_better("pr_voile64_2k3_recall"), higher_is_better("fid5k")
        (True, False)
    """
    endings = ("_precision", "_recall", "_density", "_coverage", "_mean", "_confidence", "_present", "_right")
    if metric.startswith(("lpips", "perceptual")):  # of so many pairs: variety; else the distance of translations
        return re.search(r"(^lpips|_)\d+k?$", metric) is not None
    names = ("accuracy", "asked", "r_precision", "psnr", "ssim", "palette")
    return (metric.endswith(endings) and not metric.startswith("swd")) or metric.startswith(names)


def read_run(folder: str | Path) -> RunLog:
    """Read the log and the settings of a run.

    Raises:
        UserError: not the folder of a run.
    """
    folder = user_path(folder)
    try:
        config = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise UserError(
            "is not the folder of a run", where=folder, hint="give folders such as runs/00000-..."
        ) from error
    records = read_log(folder)
    figures: dict[str, list[Point]] = {}
    for record in records:
        for key in record:
            name = key.removeprefix("metrics/")
            if name == key or "/" in name or name == "seconds":
                continue
            low, high = record.get(f"{key}/low"), record.get(f"{key}/high")
            interval = None if low is None or high is None else (low, high)
            figures.setdefault(name, []).append(Point(record["kimg"], record[key], interval))
    ticks = [(record["kimg"], record["seconds"]) for record in records if "seconds" in record]
    return RunLog(folder, folder.resolve().name, flat(config), ticks, figures)


def read_runs(folders: Sequence[str | Path]) -> list[RunLog]:
    """Several runs; those of the same name are told apart by the folders that they are in.

    Raises:
        UserError: not the folder of a run.
    """
    runs = [read_run(folder) for folder in folders]
    often = Counter(run.name for run in runs)
    named = [
        replace(run, name=f"{run.folder.resolve().parent.name}/{run.name}") if often[run.name] > 1 else run
        for run in runs
    ]
    return named


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings under names with dots.

    Example:
        >>> flat({"a": {"b": 1}, "c": 2})
        {'a.b': 1, 'c': 2}
    """
    found: dict[str, Any] = {}
    for key, value in config.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def differing(runs: Sequence[RunLog]) -> list[str]:
    """The settings in which the runs are not all equal.

    Example:
        >>> differing([RunLog(Path(), "a", {"lr": 1, "seed": 0}, []), RunLog(Path(), "b", {"lr": 2, "seed": 0}, [])])
        ['lr']
    """
    names = dict.fromkeys(name for run in runs for name in run.settings)
    return [name for name in names if name not in QUIET and len({str(run.settings.get(name)) for run in runs}) > 1]


def common_metric(runs: Sequence[RunLog], wish: str | None = None) -> str | None:
    """The metric to compare by: ``wish``, or the one that most runs have; None where there is none.

    Raises:
        UserError: no run has the one that is wished for.
    """
    has = Counter(name for run in runs for name in run.figures)
    if wish is not None and wish not in has:
        known = ", ".join(has) or "none"
        raise UserError(f"no run has the metric {wish}", hint=f"they have {known}; --metrics {wish} computes it")
    return wish or (has.most_common(1)[0][0] if has else None)


def complete(
    runs: Sequence[RunLog],
    metrics: str,
    data: str | Path,
    *,
    features: str | None = None,
    mirror: bool | None = None,
    cache: Path | None = None,
    device: str | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[RunLog]:
    """The runs with ``metrics`` of every checkpoint that they have kept.

    Figures are remembered in Organza's cache by the contents of the checkpoint, so nothing is computed twice.

    Args:
        runs: as from `read_runs`.
        metrics: names with commas between them.
        data: real images; read as for each run's training. Of translators: pairs, two sets ..., as `tried_on`.
        features: feature network for names that state none.
        mirror: count real images mirrored as well; None: as each run was trained.
        cache: folder to remember figures in.
        device, progress: as for `organza.metrics.evaluate`.

    Raises:
        UserError: an unknown metric, or unusable data.
    """
    from organza.core.cache import cache_root
    from organza.metrics import evaluate
    from organza.metrics.names import parse_metrics
    from organza.metrics.opened import open_real, trained_with
    from organza.metrics.report import Figure
    from organza.models.load import load, load_translator
    from organza.models.translator import Translator
    from organza.runs.videos import tried_on

    wanted = parse_metrics(metrics)
    store = cache or cache_root() / "metrics"
    done = []
    for run in runs:
        figures = {name: list(points) for name, points in run.figures.items()}
        for checkpoint in kept(run):
            G = load(checkpoint, device=device, precision="auto")  # as in training
            back: Translator | None = None
            real: Dataset | Domains | Sequences
            if isinstance(G, Translator):
                real, mirrored = tried_on(data, G, wanted), False
                if (other := next((name for name in G.names if name != G.name), None)) is not None:
                    back = load_translator(checkpoint, model=other, device=device, precision="auto")
            else:
                real, mirrored = open_real(data, G), trained_with(G).mirror if mirror is None else mirror
            weights = (checkpoint / "ema.safetensors").read_bytes()
            mode = f"/{G.mode}" if isinstance(G, Translator) else ""
            asked = f"{hashlib.sha256(weights).hexdigest()}/{_key(real)}/{metrics}/{features}/{mirrored}{mode}"
            file = store / f"figures-{hashlib.sha256(asked.encode()).hexdigest()[:24]}.json"
            try:
                found = {name: Figure(**figure) for name, figure in json.loads(file.read_text()).items()}
            except (OSError, ValueError, TypeError):
                report = evaluate(
                    G, real, metrics, back=back, features=features, mirror=mirrored, batch=64, progress=progress
                )
                found = report.figures
                with atomic_write(file) as temporary:
                    temporary.write_text(json.dumps({name: asdict(figure) for name, figure in found.items()}))
            kimg = seen_of(checkpoint) / 1000
            for name, figure in found.items():
                interval = None if figure.interval is None else (figure.interval[0], figure.interval[1])
                others = [point for point in figures.get(name, []) if abs(point.kimg - kimg) > 1e-6]
                figures[name] = sorted([*others, Point(kimg, figure.value, interval)], key=lambda point: point.kimg)
        done.append(replace(run, figures=figures))
    return done


def _key(images: Dataset | Domains | Sequences) -> str:
    """What changes with the images that a network is tried on."""
    from organza.data.dataset import Dataset
    from organza.data.sequences import Sequences

    if isinstance(images, Dataset):
        return images.key
    if isinstance(images, Sequences):
        return f"{_key(images.domains)}/{images.flow is not None}"
    return f"{images.source.key}/{images.target.key}"


def kept(run: RunLog) -> list[Path]:
    """The checkpoints of a run, oldest first, with the best one where only that is left of it."""
    paths = {seen_of(path): path for path in newest_first(run.folder / "checkpoints")}
    best = run.folder / "checkpoints" / "best"
    if (best / "ema.safetensors").is_file():
        paths.setdefault(seen_of(best), best)
    return [paths[seen] for seen in sorted(paths)]


def seen_of(checkpoint: Path) -> int:
    """Images seen at a checkpoint: its name, or for the best one what ``best.json`` says."""
    if checkpoint.name.isdigit():
        return int(checkpoint.name)
    try:
        return int(json.loads((checkpoint.parent.parent / "best.json").read_text())["seen"])
    except (OSError, ValueError, KeyError):
        return 0


def table(runs: Sequence[RunLog], metric: str | None) -> tuple[list[str], list[list[str]]]:
    """Heads and rows for people.

    Example:
        >>> heads, rows = table([read_run(tiny_run)], None)
        >>> heads
        ['run', 'kimg', 'hours', 's/kimg', 'settings']
    """
    heads = ["run", "kimg", "hours", "s/kimg", *([f"best {metric}", "at kimg", "last"] if metric else []), "settings"]
    names = differing(runs)
    rows = []
    for run in runs:
        row = [run.name, f"{run.kimg:g}", f"{run.seconds / 3600:.2f}", f"{run.seconds / max(run.kimg, 1e-9):.1f}"]
        if metric:
            best = run.best(metric)
            last = run.figures[metric][-1] if best else None
            row += ["-", "-", "-"] if best is None else [_text(best), f"{best.kimg:g}", _text(last or best)]
        settings = [f"{name.rpartition('.')[2]}={run.settings.get(name)}" for name in names if _plain(name)]
        rows.append([*row, " ".join(settings)])
    return heads, rows


def plot(runs: Sequence[RunLog], metric: str, path: str | Path) -> Path:
    """Draw a metric against images shown and against the time of training, as PNG.

    Raises:
        UserError: the image can't be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2, sharey=True)
    names = [name for name in differing(runs) if _plain(name)]
    for run in runs:
        settings = ", ".join(f"{name.rpartition('.')[2]}={run.settings.get(name)}" for name in names)
        label = f"{run.name} ({settings})" if settings and len(settings) < 40 else run.name
        points = run.figures.get(metric, ())
        if not points:
            continue
        for axes, place in zip(panels, ([p.kimg for p in points], [run.hours_at(p.kimg) for p in points]), strict=True):
            (line,) = axes.plot(place, [p.value for p in points], marker="o", markersize=3, label=label)
            if all(p.interval for p in points):
                low, high = zip(*(p.interval for p in points if p.interval), strict=True)
                axes.fill_between(place, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    for axes, unit in zip(panels, ("kimg", "hours of training"), strict=True):
        axes.set_xlabel(unit)
        axes.grid(alpha=0.25)
    panels[0].set_ylabel(f"{metric} ({'higher' if higher_is_better(metric) else 'lower'} is better)")
    panels[0].legend(fontsize=8, frameon=False)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png")
    return Path(path)


def _plain(name: str) -> bool:
    """Whether a setting says something in a table: file checksums don't."""
    return not name.endswith((".key", "_key"))


def _text(point: Point) -> str:
    interval = "" if point.interval is None else f" ({point.interval[0]:.4g} to {point.interval[1]:.4g})"
    return f"{point.value:.4g}{interval}"
