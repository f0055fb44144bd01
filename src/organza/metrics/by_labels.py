"""Whether translations show the labels that they were asked for, by a classifier that learns from real images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from organza.contract.targets import every_target, exclusive, label_names
from organza.core.errors import UserError
from organza.metrics.collect import Collected, Wanted, collect_real
from organza.metrics.intervals import bootstrap_mean
from organza.metrics.job import Job
from organza.metrics.linear import logistic_regression
from organza.metrics.names import Metric
from organza.metrics.pictures import Indices, Retargeted, Shown
from organza.metrics.report import Figure
from organza.vision.features import Features

LEAST = 20
"""Labelled images, to teach a classifier with half of them."""
MOST_TAUGHT = 20_000

Answers = Callable[[Tensor], Tensor]
"""Images uint8 ``[N, H, W, C]`` to what a classifier holds for true: booleans ``[N, label_dim]``."""


def check_asked(job: Job, name: str) -> None:
    """Refuse what can't be computed.

    Raises:
        UserError: a network without labels, labels of two datasets, or too few images.
    """
    if not isinstance(job.pictures, Retargeted):
        raise UserError(f"{name} needs a translator with labels", hint="give the --network of a stargan run")
    if len(job.pictures.T.spec.label_sets) > 1:
        raise UserError(f"{name} can't evaluate a network of two datasets", where=job.pictures.name)
    if job.pictures.limit < LEAST:
        what = f"{name} needs {LEAST} labelled images at least, there are {job.pictures.limit}"
        raise UserError(what, where=job.pictures.dataset.name)


def asked(
    job: Job, metric: Metric, name: str, features: Features, generated: Collected, real: Collected
) -> dict[str, Figure]:
    """How often a translation shows the label that it was asked for, and keeps the others.

    Half of the real images teach a linear classifier in the features of a network. Each image of the other half is
    translated to every label that it has not; an attribute that it has is taken away. ``_kept`` is the share of the
    labels that were not asked for, nor excluded by what was, which the classifier finds as it found them in the source.
    ``_real`` is how often it is right about the real images of that half: translations can hardly do better.
    """
    retargeted = job.pictures
    assert isinstance(retargeted, Retargeted)  # check_asked has seen to it
    taught = min(retargeted.limit - retargeted.limit // 2, MOST_TAUGHT)
    answers = _classifier(job, features, retargeted.shown, taught)
    spec, count = retargeted.T.spec, min(metric.count, retargeted.limit // 2)
    names = label_names(spec)
    groups = exclusive(names) if not _classes(retargeted) else [frozenset(range(len(names)))]

    def work(numbers: Indices) -> tuple[Tensor, Tensor, Tensor]:
        indices = retargeted.limit - 1 - numbers  # those that taught come first
        sources = retargeted.shown.fetch(indices)
        labels = torch.from_numpy(retargeted.shown.labels(indices)).round()
        before, right, kept = answers(sources), [], []
        for row, own, index in zip(labels, before, indices, strict=True):
            wanted = torch.tensor(list(every_target(spec, row.tolist()).values()))
            wanted = wanted[(wanted != row).any(1)]
            if not len(wanted):
                continue
            seen = answers(retargeted.to(np.repeat(index, len(wanted)), wanted))
            for vector, found in zip(wanted, seen, strict=True):
                changed = {place for place in range(len(names)) if vector[place] != row[place]}
                most = {place for place in changed if vector[place]} or changed
                others = set(range(len(names))) - changed
                for group in groups:
                    others -= group if group & changed else set()
                right.append(all(bool(found[place]) == bool(vector[place]) for place in most))
                if others:
                    kept.append(float(np.mean([bool(found[place] == own[place]) for place in sorted(others)])))
        real = (before == labels.bool()).double().mean(1)
        return torch.tensor(right, dtype=torch.float64), torch.tensor(kept, dtype=torch.float64), real

    with torch.no_grad():
        parts = job.team.spread(count, job.batch, work, job.on(name))
    figures = {}
    for ending, columns in zip(metric.figures, zip(*parts, strict=True), strict=True):
        values = torch.cat(columns)
        if not len(values):
            continue
        interval = bootstrap_mean(values, job.seed) if job.intervals and len(values) > 1 else None
        error = "bootstrap over translations" if ending != "_real" else "bootstrap over images"
        figure = Figure(float(values.mean()), interval, len(values), taught, features.name, "higher", error)
        figures[f"{name}{ending}"] = figure
    return figures


def _classes(retargeted: Retargeted) -> bool:
    return any(part.kind == "classes" for part in retargeted.T.spec.label_sets)


def _classifier(job: Job, features: Features, shown: Shown, taught: int) -> Answers:
    """A classifier that learns from the first ``taught`` images."""
    vectors, labels = labelled_features(job, features, shown, taught)
    model = logistic_regression(vectors, labels)
    one = labels.shape[1] > 1 and bool((labels.sum(1) == 1).all())

    def answers(images: Tensor) -> Tensor:
        logits = model(features(images).features.cpu())
        if one:
            return logits == logits.max(1, keepdim=True).values
        return logits > 0

    return answers


def labelled_features(job: Job, features: Features, shown: Shown, most: int) -> tuple[Tensor, Tensor]:
    """Features ``[N, D]`` and labels ``[N, A]``, from 0 to 1, of the first ``most`` real images."""
    count = min(shown.limit, most)
    what = f"real images in {features.name}"
    wanted = Wanted(rows=count)
    found = collect_real(shown, features, wanted, batch=job.batch, team=job.team, progress=job.on(what))
    return found.features, torch.from_numpy(shown.labels(np.arange(count))).clamp(0, 1)
