"""Judge a network or a set of pictures by any metrics: `evaluate`."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

import organza
from organza.core.device import computing
from organza.core.errors import UserError
from organza.metrics import class_score, kernel, linear, manifold, path_length, similarity, sliced
from organza.metrics.collect import Collected, Wanted, collect, collect_real
from organza.metrics.features import DEFAULT, Features, metric_prefix, open_features
from organza.metrics.frechet import distance_of, influence
from organza.metrics.intervals import bootstrap_mean, normal
from organza.metrics.moments import Moments
from organza.metrics.names import Metric, parse_metric, parse_metrics
from organza.metrics.pictures import SEEDS, Drawn, Indices, Pictures, Shown
from organza.metrics.report import Figure, Report
from organza.metrics.team import Team

if TYPE_CHECKING:
    from organza.data.dataset import Dataset
    from organza.generator import Generator, Noise

MOST_ROWS = 200_000
"""Real feature vectors that neighbours and kernels look at, at most."""
SAMPLE = 5000
"""Feature vectors from which the error of a Frechet distance is told."""
Progress = Callable[[str, int, int], None]
"""Called with what is being done, and the numbers done and wanted."""
Classifier = Callable[[Tensor], Tensor]
"""Pictures uint8 ``[N, H, W, C]`` to probabilities of attributes ``[N, A]``."""


def evaluate(
    generated: Generator | Dataset,
    real: Dataset | None = None,
    metrics: str | Sequence[str | Metric] = "fd2k",
    *,
    features: str | Features | None = None,
    distance: str | None = None,
    classifier: Classifier | None = None,
    seed: int = 0,
    psi: float = 1.0,
    noise: Noise = "random",
    mirror: bool = False,
    batch: int = 32,
    intervals: bool = True,
    team: Team | None = None,
    progress: Progress | None = None,
) -> Report:
    """Judge what a network draws, or a set of pictures, against real pictures.

    Under torchrun every process calls it with the same arguments, takes its share of the pictures, and gets the report.

    Args:
        generated: a network, or a data set.
        real: real pictures; not needed by metrics that never look at any. Conditional networks take their labels here.
        metrics: names, see `organza.metrics.names`.
        features: feature network for names that state none; ``fid`` and ``kid`` mean Inception unless one is given here,
            and then they are called ``fd_...`` and ``kd_...``.
        distance: perceptual distance for ``ppl`` and ``lpips``; None takes the default of `organza.metrics.lpips`.
        classifier: for ``sep``; None learns one from the labels of ``real``.
        seed: of the pictures: those of seeds ``1000000 * seed`` and on.
        psi: truncation.
        noise: detail noise of the network's pictures; papers draw it afresh. Path lengths never draw any.
        mirror: real pictures count mirrored as well, as they should where the network was trained so.
        batch: pictures at a time.
        intervals: also find confidence intervals.
        team: the processes that share the work; None takes all of torchrun's.
        progress: see `Progress`.

    Raises:
        UserError: an unknown metric, too few pictures, missing labels, or a feature network that can't be had.

    Example:
        >>> from organza import load, open_dataset
        >>> report = evaluate(load(tiny_run), open_dataset(faces), "fd_organza64_100_full,ms_ssim10")
        >>> sorted(report.figures)
        ['fd_organza64_100_full', 'ms_ssim10']
    """
    started = time.perf_counter()
    if not 0 <= seed < 2**32 // SEEDS:
        raise UserError(f"seed {seed} is not from 0 to {2**32 // SEEDS - 1}")
    parsed = (
        parse_metrics(metrics)
        if isinstance(metrics, str)
        else [m if isinstance(m, Metric) else parse_metric(m) for m in metrics]
    )
    pictures: Pictures
    if hasattr(generated, "latents"):
        pictures = Drawn(generated, seed * SEEDS, psi, noise, real)
    else:
        pictures = Shown(generated, seed=seed)
    job = _Job(
        pictures,
        None if real is None else Shown(real, mirror),
        distance,
        classifier,
        seed,
        batch,
        intervals,
        team or Team.all(),
        progress or (lambda what, done, total: None),
    )
    _check(job, parsed)
    groups: dict[str, list[Metric]] = {}
    chosen: dict[str, Features] = {}
    device = getattr(generated, "device", None)
    for metric in parsed:
        if metric.by_features:
            wish = metric.network or features or metric.implied or DEFAULT
            found = wish if isinstance(wish, Features) else chosen.get(wish) or open_features(wish, device=device)
            chosen[wish if isinstance(wish, str) else wish.name] = found
            groups.setdefault(found.name, []).append(metric)
    figures: dict[Metric, dict[str, Figure]] = {}
    with computing(torch.float32):
        for network in {found.name: found for found in chosen.values()}.values():
            figures |= _by_features(job, network, groups[network.name])
        for metric in parsed:
            if metric not in figures:
                figures[metric] = OTHERS[metric.kind](job, metric)
    used = {found.name: found for found in chosen.values()}
    return Report(
        figures={name: figure for metric in parsed for name, figure in figures[metric].items()},
        networks={n: {"digest": f.digest, "resize": f.resize, "dim": f.dim} for n, f in used.items()},
        generated=_describe(generated),
        real=None if real is None else _describe(real),
        settings={"seed": seed, "psi": psi, "noise": noise, "mirror": mirror, "batch": batch},
        versions={
            "organza": organza.__version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        notes=tuple(dict.fromkeys(job.notes)),
        seconds=round(time.perf_counter() - started, 2),
    )


@dataclass
class _Job:
    """What all metrics of one evaluation share."""

    pictures: Pictures
    real: Shown | None
    distance: str | None
    classifier: Classifier | None
    seed: int
    batch: int
    intervals: bool
    team: Team
    progress: Progress
    notes: list[str] = field(default_factory=list)

    def reals(self) -> Shown:
        assert self.real is not None  # _check has seen to it
        return self.real

    def real_count(self, metric: Metric) -> int:
        return self.reals().limit if metric.full else min(metric.count, self.reals().limit)

    def on(self, what: str) -> Callable[[int, int], None]:
        return lambda done, total: self.progress(what, done, total)


def _check(job: _Job, metrics: Sequence[Metric]) -> None:
    """Refuse what can't be computed before any work begins."""
    for metric in metrics:
        name = metric.title(metric.kind)
        if metric.against_real and job.real is None and not (metric.kind == "sep" and job.classifier):
            raise UserError(f"{name} needs real pictures", hint="give them with --data")
        if metric.by_codes and not isinstance(job.pictures, Drawn):
            raise UserError(f"{name} needs a network's latent space", hint="give --network instead of pictures")
        needed = metric.count * (2 if metric.kind in ("lpips", "ms_ssim") else 1)
        if job.pictures.limit is not None and needed > job.pictures.limit:
            raise UserError(
                f"{name} needs {needed} pictures, there are {job.pictures.limit}",
                where=job.pictures.name,
                hint="ask for fewer in the metric's name",
            )
        if metric.kind == "sep" and job.classifier is None and not job.reals().dataset.spec.label_dim:
            raise UserError(f"{name} needs labels in the data", hint="open it with --labels, or give a classifier")
        least = max(2, metric.near + 1)
        if job.real is not None and metric.against_real and job.real.limit < least:
            raise UserError(
                f"{name} needs at least {least} real pictures, there are {job.real.limit}", where=job.real.name
            )
        if job.real is not None and metric.against_real and not metric.full and job.real.limit < metric.count:
            job.notes.append(f"{name}: only {job.real.limit} real pictures are there, all were taken")


def _by_features(job: _Job, features: Features, metrics: Sequence[Metric]) -> dict[Metric, dict[str, Figure]]:
    """All metrics in one network's features: each side's pictures are looked at once."""
    ours, theirs = Wanted(), Wanted()
    for metric in metrics:
        if metric.kind == "fd":
            ours.moments.add(metric.count)
            theirs.moments.add(job.real_count(metric))
            if job.intervals:
                ours.rows = max(ours.rows, min(metric.count, SAMPLE))
                theirs.rows = max(theirs.rows, 0 if metric.full else min(job.real_count(metric), SAMPLE))
        elif metric.kind == "is":
            ours.logits = max(ours.logits, metric.count)
        elif metric.kind in ("kd", "pr", "dc"):
            ours.rows = max(ours.rows, metric.count)
            theirs.rows = max(theirs.rows, min(job.real_count(metric), MOST_ROWS))
    what = f"generated pictures in {features.name}"
    generated = collect(job.pictures, features, ours, batch=job.batch, team=job.team, progress=job.on(what))
    real = Collected({}, torch.zeros(0, features.dim), torch.zeros(0, 0))
    if theirs.count:
        what = f"real pictures in {features.name}"
        real = collect_real(job.reals(), features, theirs, batch=job.batch, team=job.team, progress=job.on(what))
    found = {}
    for metric in metrics:
        name = metric.title(metric_prefix(features, metric.kind))
        job.progress(name, 0, 1)
        found[metric] = FEATURES[metric.kind](job, metric, name, features, generated, real)
    return found


def _frechet(
    job: _Job, metric: Metric, name: str, features: Features, generated: Collected, real: Collected
) -> dict[str, Figure]:
    ours, theirs = generated.moments[metric.count], real.moments[job.real_count(metric)]
    _warn_of_few(job, name, ours, theirs)
    figure = Figure(0.0, None, ours.count, theirs.count, features.name)
    if not job.intervals:
        return {name: replace(figure, value=distance_of(ours, theirs))}
    value, pulls = influence(ours, theirs, generated.features[: metric.count])
    variance = float(pulls.var()) / ours.count
    if not metric.full:
        variance += float(influence(theirs, ours, real.features[: theirs.count])[1].var()) / theirs.count
    error = "infinitesimal jackknife over pictures" + (", real ones taken as given" if metric.full else "")
    return {name: replace(figure, value=value, interval=normal(value, variance**0.5), error=error)}


def _warn_of_few(job: _Job, name: str, ours: Moments, theirs: Moments) -> None:
    for count, which in ((ours.count, "generated"), (theirs.count, "real")):
        if count < 2 * ours.dim:
            job.notes.append(
                f"{name}: {count} {which} pictures say too little about {ours.dim} features; the figure is mostly bias. "
                f"Take at least {2 * ours.dim}, and compare only at equal numbers"
            )
    if ours.dim >= 2 * ours.count or ours.count < 2000:
        job.notes.append(f"{name}: under 2000 generated pictures it tells trends within one run, not quality")


def _kernel(
    job: _Job, metric: Metric, name: str, features: Features, generated: Collected, real: Collected
) -> dict[str, Figure]:
    ours, theirs = generated.features[: metric.count], real.features[: job.real_count(metric)]
    found = kernel.kernel_distance(theirs, ours, seed=job.seed)
    variance = found.error_b**2 + found.error_subsets**2 + (0 if metric.full else found.error_a**2)
    interval = normal(found.value, variance**0.5, positive=False) if job.intervals else None
    figure = Figure(found.value, interval, len(ours), len(theirs), features.name, std=found.std)
    return {name: replace(figure, error="variance of the U-statistic's projection, and of the subsets")}


def _manifolds(
    job: _Job, metric: Metric, name: str, features: Features, generated: Collected, real: Collected
) -> dict[str, Figure]:
    ours, theirs = generated.features[: metric.count], real.features[: min(job.real_count(metric), MOST_ROWS)]
    found = manifold.manifold(theirs, ours, metric.near)
    figures = {}
    for ending in metric.figures:
        each = getattr(found, ending[1:])
        interval = bootstrap_mean(each, job.seed) if job.intervals else None
        figures[f"{name}{ending}"] = Figure(
            float(each.mean()),
            interval,
            len(ours),
            len(theirs),
            features.name,
            "higher",
            "bootstrap over pictures, the other set's manifold as given",
        )
    return figures


def _inception(
    job: _Job, metric: Metric, name: str, features: Features, generated: Collected, real: Collected
) -> dict[str, Figure]:
    scores = torch.tensor(class_score.split_scores(generated.logits[: metric.count]), dtype=torch.float64)
    mean, std = float(scores.mean()), float(scores.std(unbiased=False))
    interval = normal(mean, float(scores.std()) / len(scores) ** 0.5) if job.intervals else None
    figure = Figure(mean, interval, metric.count, 0, features.name, "higher", "deviation of the splits", std)
    return {f"{name}_mean": figure, f"{name}_std": Figure(std, None, metric.count, 0, features.name)}


def _separability(
    job: _Job, metric: Metric, name: str, features: Features, generated: Collected, real: Collected
) -> dict[str, Figure]:
    assert isinstance(job.pictures, Drawn)
    drawn, classifier = job.pictures, job.classifier
    if classifier is None:
        vectors, labels = _labelled(job, features)
        model = linear.logistic_regression(vectors, labels)

        def classifier(images: Tensor) -> Tensor:
            return model(features(images).features.cpu()).sigmoid()

    judge = classifier

    def work(indices: Indices) -> tuple[Tensor, Tensor]:
        z, label = drawn.codes(indices)
        codes = z if metric.space == "z" else drawn.G.mapping(z, label)[:, 0]
        return codes.cpu(), judge(drawn.fetch(indices)).cpu()

    parts = job.team.spread(metric.count, job.batch, work, job.on("classified pictures"))
    try:
        value = linear.separability(torch.cat([c for c, _ in parts]), torch.cat([p for _, p in parts]))
    except ValueError as error:
        raise UserError(f"{name}: {error}") from error
    network = None if job.classifier else features.name
    return {name: Figure(value, None, metric.count, 0 if job.classifier else job.reals().limit, network)}


def _labelled(job: _Job, features: Features) -> tuple[Tensor, Tensor]:
    """Features and labels of the real pictures."""
    shown = Shown(job.reals().dataset, seed=job.seed)
    count = min(shown.limit, MOST_ROWS)
    wanted = Wanted(rows=count)
    found = collect_real(
        shown, features, wanted, batch=job.batch, team=job.team, progress=job.on(f"real pictures in {features.name}")
    )
    return found.features, torch.from_numpy(shown.labels(np.arange(count))).clamp(0, 1)


def _paths(job: _Job, metric: Metric) -> dict[str, Figure]:
    assert isinstance(job.pictures, Drawn)
    drawn, G = job.pictures, job.pictures.G
    distance, network, name = _open_distance(job, metric)

    def work(indices: Indices) -> Tensor:
        rng = np.random.RandomState([job.seed, int(indices[0])])
        first, labels = drawn.codes(2 * indices)
        second, _ = drawn.codes(2 * indices + 1)
        t = torch.from_numpy(rng.rand(len(indices)) if metric.sampling == "full" else np.zeros(len(indices))).to(first)

        def mapping(z: Tensor) -> Tensor:
            return G.mapping(z, None if labels is None else labels.repeat(2, 1), drawn.psi)

        def synthesis(ws: Tensor) -> Tensor:
            return G.synthesis(ws, "const")

        found = path_length.path_distances(
            mapping, synthesis, distance, (first, second), t, space=metric.space, crop=metric.crop  # type: ignore[arg-type]
        )
        return found.cpu()

    with torch.no_grad():
        parts = job.team.spread(metric.count, max(job.batch // 2, 1), work, job.on(name))
    kept = path_length.filtered(torch.cat(parts))
    interval = bootstrap_mean(kept, job.seed) if job.intervals else None
    error = "bootstrap over paths"
    return {name: Figure(float(kept.mean()), interval, metric.count, 0, network, error=error)}


def _perceptual_variety(job: _Job, metric: Metric) -> dict[str, Figure]:
    distance, network, name = _open_distance(job, metric)

    def compare(a: Tensor, b: Tensor) -> Tensor:
        one, two = (path_length.prepare(images / 127.5 - 1, crop=False) for images in (a, b))
        return distance(one, two)

    return {name: _pairs(job, metric, compare, name, network, "higher")}


def _structural_variety(job: _Job, metric: Metric) -> dict[str, Figure]:
    name = metric.title("ms_ssim")
    try:
        return {name: _pairs(job, metric, similarity.ms_ssim, name, None, "lower")}
    except ValueError as error:
        raise UserError(f"{name}: {error}") from error


def _pairs(
    job: _Job,
    metric: Metric,
    compare: Callable[[Tensor, Tensor], Tensor],
    name: str,
    network: str | None,
    better: str,
) -> Figure:
    """The mean over pairs of pictures 2i and 2i + 1, which share a class where there are classes."""
    pictures = replace(job.pictures, paired=True) if isinstance(job.pictures, Drawn) else job.pictures

    def work(indices: Indices) -> Tensor:
        images = pictures.fetch(np.stack([2 * indices, 2 * indices + 1], 1).reshape(-1)).permute(0, 3, 1, 2).float()
        return compare(images[::2], images[1::2]).cpu()

    with torch.no_grad():
        values = torch.cat(job.team.spread(metric.count, max(job.batch // 2, 1), work, job.on(name)))
    interval = bootstrap_mean(values, job.seed) if job.intervals else None
    return Figure(float(values.double().mean()), interval, metric.count, 0, network, better, "bootstrap over pairs")


def _sliced(job: _Job, metric: Metric) -> dict[str, Figure]:
    count = min(metric.count, job.reals().limit)
    name = metric.title("swd")
    sides = []
    for number, (pictures, what) in enumerate(((job.reals(), "real"), (job.pictures, "generated"))):

        def work(indices: Indices, pictures: Pictures = pictures, number: int = number) -> list[Tensor]:
            images = pictures.fetch(indices).permute(0, 3, 1, 2).float()
            rng = torch.Generator().manual_seed(int(np.random.RandomState([job.seed, number, indices[0]]).randint(2**31)))
            return [sliced.patches(level, rng).cpu() for level in sliced.pyramid(images)]

        parts = job.team.spread(count, job.batch, work, job.on(f"patches of {what} pictures"))
        sides.append([torch.cat(level) for level in zip(*parts, strict=True)])
    real, generated = sides
    if [level.shape for level in real] != [level.shape for level in generated]:
        raise UserError(f"{name} needs pictures of one size", hint="give --resolution")
    height = job.reals().dataset.resolution[0]
    levels = sliced.swd(real, generated, job.seed)
    figures = {}
    for number, repeats in enumerate(levels):
        figures[f"{name}_{-(-height // 2**number)}"] = Figure(float(np.mean(repeats)), None, count, count)
    mean = float(np.mean([np.mean(repeats) for repeats in levels]))
    return {**figures, f"{name}_mean": Figure(mean, None, count, count)}


def _open_distance(job: _Job, metric: Metric) -> tuple[Callable[[Tensor, Tensor], Tensor], str, str]:
    """The perceptual distance of a metric, its name, and the metric's full name."""
    from organza.metrics.lpips import open_distance

    found: Any = open_distance(metric.network or job.distance)
    return found, found.name, metric.title(metric.kind)


FEATURES = {
    "fd": _frechet,
    "kd": _kernel,
    "pr": _manifolds,
    "dc": _manifolds,
    "is": _inception,
    "sep": _separability,
}
OTHERS = {"ppl": _paths, "lpips": _perceptual_variety, "ms_ssim": _structural_variety, "swd": _sliced}


def _describe(source: Generator | Dataset) -> dict[str, Any]:
    if hasattr(source, "latents"):
        return {
            "network": source.kind,
            "path": None if source.source is None else str(source.source),
            "resolution": list(source.resolution),
        }
    return {
        "data": source.name,
        "key": source.key,
        "pictures": len(source),
        "resolution": list(source.resolution),
    }
