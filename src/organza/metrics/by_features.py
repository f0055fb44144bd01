"""The metrics that compare sets of images in the features of a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from organza.core.errors import UserError
from organza.metrics import class_score, kernel, linear, manifold
from organza.metrics.by_labels import asked, labelled_features
from organza.metrics.collect import Collected, Wanted, collect, collect_real
from organza.metrics.frechet import distance_of, influence
from organza.metrics.intervals import bootstrap_mean, normal
from organza.metrics.job import Job
from organza.metrics.names import Metric
from organza.metrics.pictures import Drawn, Indices, Shown
from organza.metrics.report import Figure
from organza.vision.features import Features, metric_prefix

MOST_ROWS = 200_000
"""Real feature vectors that neighbours and kernels look at, at most."""
SAMPLE = 5000
"""Feature vectors from which the error of a Frechet distance is told."""


def by_features(job: Job, features: Features, metrics: Sequence[Metric]) -> dict[Metric, dict[str, Figure]]:
    """All metrics in one network's features: each side's images are looked at once."""
    ours, theirs = Wanted(), Wanted()
    for metric in metrics:
        if metric.kind == "fd":
            ours.moments.add(metric.count)
            ours.rows = max(ours.rows, min(metric.count, SAMPLE) if job.intervals else 0)
            if job.reference is not None:
                continue
            theirs.moments.add(job.real_count(metric))
            if job.intervals:
                theirs.rows = max(theirs.rows, 0 if metric.full else min(job.real_count(metric), SAMPLE))
        elif metric.kind in ("is", "classes"):
            ours.logits = max(ours.logits, metric.count)
        elif metric.kind in ("kd", "pr", "dc"):
            ours.rows = max(ours.rows, metric.count)
            theirs.rows = max(theirs.rows, min(job.real_count(metric), MOST_ROWS))
    what = f"generated images in {features.name}"
    generated = collect(job.pictures, features, ours, batch=job.batch, team=job.team, progress=job.on(what))
    real = Collected({}, torch.zeros(0, features.dim), torch.zeros(0, 0))
    if theirs.count:
        what = f"real images in {features.name}"
        real = collect_real(job.reals(), features, theirs, batch=job.batch, team=job.team, progress=job.on(what))
    found = {}
    for metric in metrics:
        name = metric.title(metric_prefix(features, metric.kind))
        job.progress(name, 0, 1)
        found[metric] = FIGURES[metric.kind](job, metric, name, features, generated, real)
    return found


def _frechet(
    job: Job, metric: Metric, name: str, features: Features, generated: Collected, real: Collected
) -> dict[str, Figure]:
    ours = generated.moments[metric.count]
    theirs = real.moments[job.real_count(metric)] if job.reference is None else job.reference.moments
    if theirs.dim != ours.dim:
        what = f"the reference has {theirs.dim} features, {features.name} gives {ours.dim}"
        raise UserError(what, hint="take fid or --features inception, as FID statistics are made with")
    count = theirs.count if job.reference is None else 0
    _warn_of_few(job, name, ours.dim, {"generated": ours.count} | ({"real": count} if count else {}))
    figure = Figure(0.0, None, ours.count, count, features.name)
    if not job.intervals:
        return {name: replace(figure, value=distance_of(ours, theirs))}
    value, pulls = influence(ours, theirs, generated.features[: metric.count])
    variance = float(pulls.var()) / ours.count
    if not metric.full:
        variance += float(influence(theirs, ours, real.features[: theirs.count])[1].var()) / theirs.count
    error = "infinitesimal jackknife over images" + (", real ones taken as given" if metric.full else "")
    return {name: replace(figure, value=value, interval=normal(value, variance**0.5), error=error)}


def _warn_of_few(job: Job, name: str, dim: int, counts: dict[str, int]) -> None:
    for which, count in counts.items():
        if count < 2 * dim:
            job.notes.append(
                f"{name}: {count} {which} images say too little about {dim} features; mostly bias. "
                f"Take at least {2 * dim}, and compare only at equal numbers"
            )
    if dim >= 2 * counts["generated"] or counts["generated"] < 2000:
        job.notes.append(f"{name}: under 2000 generated images it tells trends within one run, not quality")


def _kernel(
    job: Job, metric: Metric, name: str, features: Features, generated: Collected, real: Collected
) -> dict[str, Figure]:
    ours, theirs = generated.features[: metric.count], real.features[: job.real_count(metric)]
    found = kernel.kernel_distance(_fast(theirs, features), _fast(ours, features), seed=job.seed)
    variance = found.error_b**2 + found.error_subsets**2 + (0 if metric.full else found.error_a**2)
    interval = normal(found.value, variance**0.5, positive=False) if job.intervals else None
    figure = Figure(found.value, interval, len(ours), len(theirs), features.name, std=found.std)
    return {name: replace(figure, error="variance of the U-statistic's projection, and of the subsets")}


def _manifolds(
    job: Job, metric: Metric, name: str, features: Features, generated: Collected, real: Collected
) -> dict[str, Figure]:
    ours, theirs = generated.features[: metric.count], real.features[: min(job.real_count(metric), MOST_ROWS)]
    found = manifold.manifold(_fast(theirs, features), _fast(ours, features), metric.near)
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
            "bootstrap over images, the other set's manifold as given",
        )
    return figures


def _fast(vectors: Tensor, features: Features) -> Tensor:
    """Feature vectors where large products are quick; only there is float64 at hand."""
    return vectors.to(features.device) if features.device.type == "cuda" else vectors


def _inception(
    job: Job, metric: Metric, name: str, features: Features, generated: Collected, real: Collected
) -> dict[str, Figure]:
    scores = torch.tensor(class_score.split_scores(generated.logits[: metric.count]), dtype=torch.float64)
    mean, std = float(scores.mean()), float(scores.std(unbiased=False))
    interval = normal(mean, float(scores.std()) / len(scores) ** 0.5) if job.intervals else None
    figure = Figure(mean, interval, metric.count, 0, features.name, "higher", "deviation of the splits", std)
    return {f"{name}_mean": figure, f"{name}_std": Figure(std, None, metric.count, 0, features.name)}


def _classes(
    job: Job, metric: Metric, name: str, features: Features, generated: Collected, real: Collected
) -> dict[str, Figure]:
    chances = generated.logits[: metric.count].double().softmax(1)
    confidence, answers = chances.amax(1), chances.argmax(1)
    each = {"confidence": confidence}
    asked = asked_classes(job, len(chances), chances.shape[1])
    if asked is not None:
        each["right"] = (answers == asked).double()
    figures = {
        f"{name}_{what}": Figure(
            float(values.mean()),
            bootstrap_mean(values, job.seed) if job.intervals else None,
            metric.count,
            0,
            features.name,
            "higher",
            "bootstrap over images",
        )
        for what, values in each.items()
    }
    present = float(class_score.present(answers, chances.shape[1]))
    return figures | {f"{name}_present": Figure(present, None, metric.count, 0, features.name, "higher")}


def asked_classes(job: Job, count: int, classes: int) -> Tensor | None:
    """The classes with which a network's first images are made, ``[count]``; None where it knows no such classes."""
    if not isinstance(job.pictures, Drawn) or job.pictures.G.label_dim != classes:
        return None
    labels = job.pictures.label(np.arange(count))
    assert labels is not None  # a network with labels has been given some
    if bool((labels.sum(1) != 1).any() or (labels.amax(1) != 1).any()):
        return None
    return labels.argmax(1).cpu()


def _separability(
    job: Job, metric: Metric, name: str, features: Features, generated: Collected, real: Collected
) -> dict[str, Figure]:
    assert isinstance(job.pictures, Drawn)
    drawn, classifier = job.pictures, job.classifier
    if classifier is None:
        vectors, labels = labelled_features(job, features, Shown(job.reals().dataset, seed=job.seed), MOST_ROWS)
        model = linear.logistic_regression(vectors, labels)
        exclusive = labels.shape[1] > 1 and bool((labels.sum(1) == 1).all())

        def classifier(images: Tensor) -> Tensor:
            logits = model(features(images).features.cpu())
            return logits.softmax(1) if exclusive else logits.sigmoid()

    judge = classifier

    def work(indices: Indices) -> tuple[Tensor, Tensor]:
        z, label = drawn.codes(indices)
        codes = z if metric.space == "z" else drawn.G.mapping(z, label)[:, 0]
        return codes.cpu(), judge(drawn.fetch(indices)).cpu()

    parts = job.team.spread(metric.count, job.batch, work, job.on("classified images"))
    entropies = linear.entropies(torch.cat([c for c, _ in parts]), torch.cat([p for _, p in parts]))
    kept = [entropy for entropy in entropies if entropy is not None]
    if not kept:
        raise UserError(f"{name}: the classifier gives the same answer about every image")
    if len(kept) < len(entropies):
        skipped = ", ".join(str(index) for index, entropy in enumerate(entropies) if entropy is None)
        job.notes.append(
            f"{name}: of {len(entropies)} labels, {len(kept)} count; the others (columns {skipped}) are nearly always "
            "the same among the images about which the classifier is surest"
        )
    value = float(np.exp(np.sum(kept)))
    network = None if job.classifier else features.name
    return {name: Figure(value, None, metric.count, 0 if job.classifier else job.reals().limit, network)}


FIGURES = {
    "fd": _frechet,
    "kd": _kernel,
    "pr": _manifolds,
    "dc": _manifolds,
    "is": _inception,
    "classes": _classes,
    "sep": _separability,
    "asked": asked,
}
