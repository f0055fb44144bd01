"""Evaluate the checkpoints of a training while it runs, within a share of its time, and keep the best."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from organza.core.device import Precision
from organza.core.errors import UserError
from organza.core.files import atomic_folder, atomic_write
from organza.data import Dataset
from organza.data.domains import Domains
from organza.data.sequences import Sequences
from organza.metrics import evaluate
from organza.metrics.by_pictures import NETS
from organza.metrics.names import Metric, parse_metric, parse_metrics
from organza.metrics.report import Figure, Report
from organza.metrics.team import Team
from organza.models.generator import Generator
from organza.models.load import load
from organza.models.translator import Translator
from organza.vision import features
from organza.vision.features import voile64
from organza.vision.lpips import open_distance

DEFAULT = "fd_voile64_2k"
PROBES = (64, 256)
"""Images by which the time of an evaluation is told in advance."""
LEAST = 500
"""An evaluation may shrink to so many images to fit into its share of the time, no further."""
LEAST_UNPAIRED = 20
"""Translations of fewer images than this say nothing about a distance between sets."""
LEAST_LABELLED = 200
"""Fewer labelled images don't teach a classifier."""
WORTH = 4
"""It shrinks if it would not fit at least so many times into the whole training."""


def wanted(names: str) -> list[Metric]:
    """The metrics of ``--metrics``: names, ``"none"``, or ``"auto"``: ours, if its feature network is there.

    Raises:
        UserError: an unknown name.

    Example:
        >>> wanted("none"), [metric.count for metric in wanted("fid5k,fd_lenet_1k")]
        ([], [5000, 1000])
    """
    if names == "none":
        return []
    if names == "auto":
        return parse_metrics(DEFAULT) if voile64.WEIGHTS.exists() else []
    return parse_metrics(names)


def wanted_of_translations(names: str, images: Domains | Dataset | Sequences, *, joint: bool = False) -> list[Metric]:
    """The same for a translator: ``"auto"`` means SSIM of pairs, and of two sets ours, from `LEAST_UNPAIRED` images on;
    of labelled images, whether translations show what they were asked for.

    Args:
        names: of ``--metrics``.
        images: what the snapshots are tried on.
        joint: whether labels are those of two datasets.

    Raises:
        UserError: an unknown name, or one that is not for these images.
    """
    films = isinstance(images, Sequences)
    images = images.domains if isinstance(images, Sequences) else images
    sides = images if isinstance(images, Domains) else None
    if names != "auto":
        found = wanted(names)
        for metric in found:
            name = f"--metrics {metric.title(metric.compared or metric.kind)}"
            if metric.of_pairs and (sides is None or not sides.paired):
                raise UserError(f"{name} needs pairs", hint="take kd or content" if sides else "take asked or kd")
            if metric.compared == "flicker" and not films:
                raise UserError(f"{name} is of videos, and this method learns from single images", hint="take ssim")
            if metric.by_codes:
                raise UserError(f"{name} needs a latent space, which a translator has not")
            if metric.compared and sides is None:
                raise UserError(f"{name} is for two sides", hint="take asked or kd")
            if metric.kind == "asked" and (sides or joint):
                raise UserError(f"{name} is for the labels of one dataset")
        return found
    here = voile64.WEIGHTS.exists()
    if not isinstance(images, Domains):
        return parse_metrics("asked50") if here and not joint and len(images) >= LEAST_LABELLED else []
    if images.paired:
        return parse_metrics("ssim")
    enough = min(len(images.source), len(images.target)) >= LEAST_UNPAIRED
    return parse_metrics(f"kd_voile64_{len(images.source)}_full") if here and enough else []


def check(metrics: Sequence[Metric], dataset: Dataset, mirror: bool) -> None:
    """See before the training whether each of ``metrics`` can be computed, so that hours later it is no surprise.

    Raises:
        UserError: a feature network or distance that can't be had, too few images, or labels are missing.

    Example:
        >>> from organza import open_dataset
        >>> check(wanted("fd_resnet_1k"), open_dataset(faces), False)
        Traceback (most recent call last):
        ...
        organza.core.errors.UserError: no feature network is called 'resnet'; choose voile64, inception, lenet, or ...
    """
    for metric in metrics:
        name, least = metric.title(metric.kind), max(2, metric.near + 1)
        if metric.kind == "sep" and not dataset.spec.label_dim:
            raise UserError(f"{name} needs labels in the data", hint="open it with --labels, or leave it out")
        if metric.against_real and len(dataset) * (2 if mirror else 1) < least:
            raise UserError(f"{name} needs at least {least} real images", where=dataset.name)
        if metric.by_features:
            features.open_features(metric.network or metric.implied or features.DEFAULT)
        elif metric.kind in ("ppl", "lpips"):
            open_distance(f"lpips-{metric.network}" if metric.network in NETS else metric.network)


@dataclass
class Watch:
    """Called with each new checkpoint's folder; gives what should be logged.

    Evaluations never take more than ``share`` of the training's own time: one that does not fit is left out, and the
    next one that fits is done. They draw nothing from PyTorch's global generators, so the training's weights are the
    same with and without.

    Attributes:
        run: the run's folder; the best checkpoint is kept as ``checkpoints/best``, with ``best.json`` beside.
        dataset: the real images; for a translator, sources and targets.
        metrics: what to compute; the first figure decides which checkpoint is the best.
        share: of the training's time; from 1 on there is no limit.
        trained: seconds of training so far.
        total: seconds that the whole training is going to take.
        say: tells the person at the terminal something.
        records: the log so far.
        options: for `organza.metrics.evaluate`.
        precision, device: of the network.
    """

    run: Path
    dataset: Dataset | Domains | Sequences
    metrics: list[Metric]
    share: float
    trained: Callable[[], float]
    total: Callable[[], float]
    say: Callable[[str], None]
    records: Sequence[Mapping[str, Any]] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    precision: Precision = "auto"
    device: str | None = None
    clock: Callable[[], float] = time.perf_counter
    spent: float = field(init=False)
    cost: float | None = field(init=False, default=None)
    probed: int = field(init=False, default=0)
    skipped: int = field(init=False, default=0)
    told: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        costs = [record["metrics/seconds"] for record in self.records if "metrics/seconds" in record]
        self.spent = sum(costs)
        self.cost = costs[-1] if costs else None
        self.probed = len(PROBES) if costs else 0
        self.metrics = [_as_before(metric, self.records) for metric in self.metrics]

    def __call__(self, saved: Path) -> dict[str, float]:
        """Evaluate the checkpoint ``saved`` if there is time for it."""
        if not self.metrics or not self._fits(saved):
            self.skipped += 1
            return {}
        report, seconds = self._judge(saved, self.metrics)
        if report is None:
            return {}
        self.cost = seconds
        found: dict[str, float] = {"metrics/seconds": round(seconds, 3)}
        for name, figure in report.figures.items():
            found[f"metrics/{name}"] = round(figure.value, 6)
            if figure.interval is not None:
                found[f"metrics/{name}/low"], found[f"metrics/{name}/high"] = (round(x, 6) for x in figure.interval)
        for note in report.notes:
            if note not in self.told:
                self.told.add(note)
                self.say(f"warning: {note}")
        name, figure = next(iter(report.figures.items()))
        best = keep_best(self.run, saved, name, figure)
        self.say(f"{int(saved.name) / 1000:.1f} kimg: {name} {_text(figure)}{', the best so far' if best else ''}")
        return found

    def _left(self) -> float:
        return float("inf") if self.share >= 1 else self.share * self.trained() - self.spent

    def _fits(self, saved: Path) -> bool:
        if self.share >= 1:
            return True
        for count in PROBES[self.probed :]:
            ahead = 1.0 if self.cost is None else self.cost * count / self._pictures()
            if ahead <= self._left() < (self.cost or float("inf")):
                self._measure(saved, count)
                if not self.metrics:  # they can't be had
                    return False
        return self.cost is not None and self.cost <= self._left()

    def _measure(self, saved: Path, count: int) -> None:
        """Evaluate a few images to learn what many would take, and ask for fewer if they would hardly ever fit."""
        count = min(count, max(metric.count for metric in self.metrics))  # there may be no more
        few = [
            replace(metric, count=min(count, metric.count), full=False)
            for metric in self.metrics
            if metric.near < count
        ]
        report, seconds = self._judge(saved, few)
        self.probed += 1
        if report is None:
            return
        self.cost = seconds * self._pictures() / count
        # The first probe is mostly start-up, and says too much.
        whole = self.share * self.total() / WORTH
        while self.probed == len(PROBES) and self.cost > whole and max(m.count for m in self.metrics) > LEAST:
            self.metrics = [replace(m, count=max(m.count // 2, min(m.count, LEAST))) for m in self.metrics]
            self.cost = seconds * self._pictures() / count

    def _pictures(self) -> float:
        """How many images to look at on each side, on average."""
        most = max([1, *(metric.count for metric in self.metrics)])
        return (most + max(most, self._reals())) / 2 if any(metric.full for metric in self.metrics) else most

    def _reals(self) -> int:
        found = self.dataset.domains if isinstance(self.dataset, Sequences) else self.dataset
        return len(found.target if isinstance(found, Domains) else found)

    def _judge(self, saved: Path, metrics: list[Metric]) -> tuple[Report | None, float]:
        started = self.clock()
        report = None
        try:
            with torch.random.fork_rng(devices=[]):
                found = self._load(saved)
                report = evaluate(found, self.dataset, metrics, team=Team(), **self._options(saved, found))
        except Exception as error:  # a training is worth more than a figure
            self.say(f"warning: the metrics could not be computed and are off from now on ({error})")
            self.metrics = []
        seconds = self.clock() - started
        self.spent += seconds
        return report, seconds

    def _load(self, saved: Path, model: str | None = None) -> Generator | Translator:
        return load(saved, model=model, precision=self.precision, device=self.device)

    def _options(self, saved: Path, found: Generator | Translator) -> dict[str, Any]:
        """Of `evaluate`: for a cycle, the way back as well."""
        cycle = any(metric.compared == "cycle" for metric in self.metrics)
        if not cycle or not isinstance(found, Translator) or len(found.names) < 2:
            return dict(self.options)
        return {**self.options, "back": self._load(saved, found.names[1])}

    def summary(self) -> str | None:
        """What to say when the training ends; None: nothing."""
        best = best_of(self.run)
        if best is None:
            few = f"no time for metrics within {100 * self.share:g}% of the training; `organza evaluate` computes them"
            return few if self.metrics and self.skipped and self.trained() > 60 else None
        return best


@dataclass
class Converging:
    """Called with each new checkpoint's folder: keeps the one at which a statistic of the log was lowest.

    Attributes:
        run: the run's folder, as for `Watch`.
        name: of the statistic, such as BEGAN's ``"convergence/m_global"``.
        records: the log, which grows.
        say: tells the person at the terminal something.
    """

    run: Path
    name: str
    records: Sequence[Mapping[str, Any]]
    say: Callable[[str], None]

    def __call__(self, saved: Path) -> dict[str, float]:
        """Look at the mean since the checkpoint before."""
        seen = int(saved.name)
        before = max((r["seen"] for r in self.records if CONVERGED in r), default=0)
        values = [r[self.name] for r in self.records if self.name in r and before < r["seen"] <= seen]
        if not values:
            return {}
        mean = sum(values) / len(values)
        best = keep_best(self.run, saved, self.name, Figure(mean))
        self.say(f"{seen / 1000:.1f} kimg: {self.name} {mean:.4g}{', the best so far' if best else ''}")
        return {CONVERGED: mean}

    def summary(self) -> str | None:
        """What to say when the training ends; None: nothing."""
        return best_of(self.run)


CONVERGED = "metrics/convergence"


def best_of(run: Path) -> str | None:
    """Where the best checkpoint of a run is, as text; None where none was found."""
    best = read_best(run)
    if best is None:
        return None
    interval = "" if best["interval"] is None else " ({:.4g} to {:.4g})".format(*best["interval"])
    where = run / "checkpoints" / "best"
    return f"best: {best['metric']} {best['value']:.4g}{interval} at {best['kimg']:g} kimg, kept in {where}"


def keep_best(run: Path, saved: Path, name: str, figure: Figure) -> bool:
    """Keep ``saved`` as ``checkpoints/best`` of ``run`` if its figure is the best so far of that name.

    The files are linked, not copied, where the disk allows it.
    """
    before = read_best(run)
    if before is not None and before["metric"] == name and (run / "checkpoints" / "best").is_dir():
        gain = before["value"] - figure.value
        if (gain if figure.better == "lower" else -gain) <= 0:
            return False
    with atomic_folder(saved.parent / "best", replace=True) as work:
        for file in saved.iterdir():
            _link(file, work / file.name)
    seen = int(saved.name)
    best = {"metric": name, "value": figure.value, "interval": figure.interval, "kimg": seen / 1000, "seen": seen}
    with atomic_write(run / "best.json") as temporary:
        temporary.write_text(json.dumps({**best, "checkpoint": f"checkpoints/{saved.name}"}, indent=2) + "\n")
    return True


def read_best(run: Path) -> dict[str, Any] | None:
    """``best.json`` of a run; None where there is none that can be read."""
    try:
        found: dict[str, Any] = json.loads((run / "best.json").read_text())
    except (OSError, ValueError):
        return None
    return found if {"metric", "value", "interval", "kimg"} <= found.keys() else None


def _link(file: Path, to: Path) -> None:
    try:
        os.link(file, to)
    except OSError:
        shutil.copyfile(file, to)


def _as_before(metric: Metric, records: Sequence[Mapping[str, Any]]) -> Metric:
    """``metric`` with the number of images that it had shrunk to before the training was stopped."""
    for record in reversed(records):
        for key in record:
            name = key.removeprefix("metrics/")
            if name == key or name.endswith(("/low", "/high")) or name == "seconds":
                continue
            ending = next((end for end in metric.figures if end and name.endswith(end)), "")
            try:
                found = parse_metric(name.removesuffix(ending))
            except UserError:
                continue
            same = replace(found, count=metric.count, network=metric.network, implied=metric.implied)
            if same == metric and found.count <= metric.count and _network_of(metric, found.network):
                return replace(metric, count=found.count)
    return metric


def _network_of(metric: Metric, name: str | None) -> bool:
    """Whether a result that is called after the network ``name`` may be one of ``metric``."""
    wish = Path((metric.network or metric.implied or features.DEFAULT).partition(":")[0]).stem
    return wish in (name or "inception", (name or "").rpartition("-")[0])


def _text(figure: Figure) -> str:
    interval = "" if figure.interval is None else " ({:.4g} to {:.4g})".format(*figure.interval)
    return f"{figure.value:.4g}{interval}"
