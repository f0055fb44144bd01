"""Evaluate a network or a set of images by any metrics: `evaluate`."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from organza.core.device import computing
from organza.core.download import digest
from organza.core.errors import UserError
from organza.core.version import __version__
from organza.data.domains import Domains
from organza.data.sequences import Sequences
from organza.media.flow import check_flow
from organza.metrics.by_faces import by_faces, face_file
from organza.metrics.by_features import by_features
from organza.metrics.by_labels import check_asked
from organza.metrics.by_pictures import by_pictures
from organza.metrics.by_translations import by_translations
from organza.metrics.by_videos import by_videos
from organza.metrics.job import Classifier, Job, Progress
from organza.metrics.names import Metric, parse_metric, parse_metrics
from organza.metrics.pictures import SEEDS, Drawn, Followed, Pictures, Retargeted, Shown, Translated
from organza.metrics.reference import Reference, read_reference
from organza.metrics.report import Figure, Report
from organza.metrics.team import Team
from organza.models.generator import Generator
from organza.models.sampling import Noise, Sampling
from organza.models.translator import Translator
from organza.vision.face_id import open_face_id
from organza.vision.features import DEFAULT, Features, open_features

if TYPE_CHECKING:
    from organza.data.dataset import Dataset

NAMED = ("voile64", "inception")
"""Feature networks whose name alone is enough; others are known by the file that the user gives."""


def evaluate(
    generated: Generator | Translator | Dataset,
    real: Dataset | Domains | Sequences | None = None,
    metrics: str | Sequence[str | Metric] = "fd2k",
    *,
    features: str | Features | None = None,
    distance: str | None = None,
    back: Translator | None = None,
    classifier: Classifier | None = None,
    reference: str | Path | Reference | None = None,
    face_id: str | Path | None = None,
    seed: int = 0,
    psi: float = 1.0,
    noise: Noise = "random",
    mirror: bool = False,
    batch: int = 32,
    intervals: bool = True,
    team: Team | None = None,
    progress: Progress | None = None,
) -> Report:
    """Evaluate what a network generates, or a set of images, against real images.

    Under torchrun every process calls it with the same arguments, takes its share of the images, and gets the report.

    Args:
        generated: a network, or a dataset.
        real: real images; not needed by metrics that never look at any. Conditional networks take their labels here. A
            translator needs source and target, from `organza.data.open_domains`; one with labels needs labelled images;
            of videos sequences, whose frames are then translated in the order of their time.
        metrics: names, see `organza.metrics.names`.
        features: feature network for names that state none; ``fid`` and ``kid`` mean Inception unless one is given
            here, and then they are called ``fd_...`` and ``kd_...``.
        back: the translator of the other direction, for ``cycle``.
        distance: perceptual distance for ``ppl``, ``lpips`` and ``content``; None takes the default of
            `organza.vision.lpips`.
        classifier: for ``sep``; None learns one from the labels of ``real``.
        reference: FID statistics (a file with ``mu`` and ``sigma``) instead of real images, for ``fid`` and ``fd``.
        face_id: file of the network that compares faces, or a folder of weights, for ``face_id``; None takes that of
            the network's training, or of the cache.
        seed: of the images: those of seeds ``1000000 * seed`` and on.
        psi: truncation.
        noise: detail noise of the network's images; papers draw it afresh. Path lengths never draw any.
        mirror: real images count mirrored as well, as they should where the network was trained so.
        batch: images at a time.
        intervals: also find confidence intervals.
        team: the processes that share the work; None takes all of torchrun's.
        progress: see `Progress`.

    Raises:
        UserError: an unknown metric, too few images, missing labels, or a feature network that can't be had.

    Example:
        >>> from organza import load, open_dataset
        >>> report = evaluate(load(tiny_run), open_dataset(faces), "fd_voile64_100_full,ms_ssim10")
        >>> sorted(report.figures)
        ['fd_voile64_100_full', 'ms_ssim10']
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
    films = real if isinstance(real, Sequences) else None
    real = real.domains if isinstance(real, Sequences) else real
    targets = real.target if isinstance(real, Domains) else real
    if isinstance(generated, Translator) and generated.model.label_dim:
        if real is None or isinstance(real, Domains) or real.spec.label_dim != generated.model.label_dim:
            what = f"a translator with labels needs images with its {generated.model.label_dim} labels"
            raise UserError(what, hint="give --data, and --labels as in its training")
        pictures = Retargeted(generated, real, seed)
    elif isinstance(generated, Translator):
        if not isinstance(real, Domains):
            raise UserError("a translator needs source and target images", hint="give pairs or two sets with --data")
        cycle = any(metric.compared == "cycle" for metric in parsed)
        pictures = Translated(generated, real, back if cycle else None)
        if films is not None:
            pictures = Followed(generated, real, sequences=films)
    elif isinstance(generated, Generator):
        pictures = Drawn(generated, seed * SEEDS, Sampling(psi=psi, noise=noise), targets)
    else:
        pictures = Shown(generated, seed=seed)
    job = Job(
        pictures,
        None if targets is None else Shown(targets, mirror),
        distance,
        classifier,
        getattr(generated, "device", None),
        seed,
        batch,
        intervals,
        team or Team.all(),
        progress or (lambda what, done, total: None),
        read_reference(reference) if isinstance(reference, (str, Path)) else reference,
    )
    if any(metric.compared == "face_id" for metric in parsed):
        job.face_id = face_file(face_id, generated)
        open_face_id(job.face_id)  # what is broken is told before the work
    if job.reference is not None:  # against all that it was made of
        parsed = [replace(metric, full=True) if metric.kind == "fd" else metric for metric in parsed]
    _check(job, parsed)
    groups: dict[str, list[Metric]] = {}
    chosen: dict[str, Features] = {}
    device = getattr(generated, "device", None)
    for metric in parsed:
        if metric.by_features:
            implied = "inception" if job.reference is not None and metric.kind == "fd" else metric.implied
            wish = metric.network or features or implied or DEFAULT
            found = wish if isinstance(wish, Features) else chosen.get(wish) or _open(metric, wish, features, device)
            chosen[wish if isinstance(wish, str) else wish.name] = found
            groups.setdefault(found.name, []).append(metric)
    figures: dict[Metric, dict[str, Figure]] = {}
    with computing(torch.float32):
        for network in {found.name: found for found in chosen.values()}.values():
            figures |= by_features(job, network, groups[network.name])
        if compared := [metric for metric in parsed if metric.kind == "translation"]:
            own = {"face_id": by_faces, "flicker": by_videos}
            figures |= by_translations(job, [metric for metric in compared if metric.compared not in own])
            for metric in compared:
                if metric.compared in own:
                    figures[metric] = own[metric.compared](job, metric)
        for metric in parsed:
            if metric not in figures:
                figures[metric] = by_pictures(job, metric)
    used = {found.name: found for found in chosen.values()}
    return Report(
        figures={name: figure for metric in parsed for name, figure in figures[metric].items()},
        networks={n: {"digest": f.digest, "resize": f.resize, "dim": f.dim} for n, f in used.items()},
        generated=_describe(generated),
        real=_describe_real(targets, job.reference),
        settings={"seed": seed, "psi": psi, "noise": noise, "mirror": mirror, "batch": batch},
        versions={
            "organza": __version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        notes=tuple(dict.fromkeys(job.notes)),
        seconds=round(time.perf_counter() - started, 2),
    )


def _check(job: Job, metrics: Sequence[Metric]) -> None:
    """Refuse what can't be computed before any work begins."""
    for metric in metrics:
        name = metric.title(metric.compared or metric.kind)
        given = job.classifier if metric.kind == "sep" else job.reference if metric.kind == "fd" else None
        if metric.against_real and job.real is None and given is None:
            raise UserError(f"{name} needs real images", hint="give them with --data")
        if metric.by_codes and not isinstance(job.pictures, Drawn):
            hint = "give the --network of a generator"
            raise UserError(f"{name} needs a network's latent space", hint=hint)
        if metric.kind == "translation":
            _check_translation(job, metric, name)
            continue
        if metric.kind == "asked":
            check_asked(job, name)
        if metric.kind == "accuracy":
            _check_accuracy(job, name)
        needed = metric.count * (2 if metric.kind in ("lpips", "ms_ssim") else 1)
        if job.pictures.limit is not None and needed > job.pictures.limit:
            raise UserError(
                f"{name} needs {needed} images, there are {job.pictures.limit}",
                where=job.pictures.name,
                hint=_fewer(metric),
            )
        if metric.kind == "sep" and job.classifier is None and not job.reals().dataset.spec.label_dim:
            raise UserError(f"{name} needs labels in the data", hint="open it with --labels, or give a classifier")
        least = max(2, metric.near + 1)
        if job.real is not None and metric.against_real and job.real.limit < least:
            raise UserError(
                f"{name} needs at least {least} real images, there are {job.real.limit}", where=job.real.name
            )
        if job.real is not None and metric.against_real and not metric.full and job.real.limit < metric.count:
            job.notes.append(f"{name}: only {job.real.limit} real images are there, all were taken")


def _check_translation(job: Job, metric: Metric, name: str) -> None:
    if not isinstance(job.pictures, Translated):
        raise UserError(f"{name} compares translations", hint="give the --network of a translator")
    if metric.of_pairs and not job.pictures.domains.paired:
        raise UserError(f"{name} needs pairs", where=job.pictures.domains.source.name, hint="take fd, kd or content")
    if metric.compared == "face_id" and job.pictures.limit < 2:
        raise UserError(f"{name} compares people, and there is one image", where=job.pictures.domains.source.name)
    if metric.compared == "flicker":
        if not isinstance(job.pictures, Followed):
            raise UserError(f"{name} is of videos", hint="give frames in the order of their time with --data")
        if job.pictures.sequences.flow is None:
            check_flow()
    if metric.compared == "cycle" and job.pictures.back is None:
        raise UserError(f"{name} needs a way back, which {job.pictures.T.kind} has not")


def _check_accuracy(job: Job, name: str) -> None:
    if not isinstance(job.pictures, Drawn) or job.pictures.G.classifier is None:
        raise UserError(f"{name} needs a network that classifies", hint="give the --network of a triple-gan run")
    classes, known = job.pictures.G.label_dim, job.reals().dataset.spec.label_dim
    if known != classes:
        what = f"{name} needs labels of {classes} classes, the real images have {known or 'none'}"
        raise UserError(what, where=job.reals().name, hint="open them with --labels")


def _open(metric: Metric, wish: str, given: str | Features | None, device: torch.device | None) -> Features:
    """The network called ``wish``. Names in reports may be those of a file: of the one that is given, if it has it."""
    if metric.network is None or given is None or wish in NAMED:
        return open_features(wish, device=device)
    found = given if isinstance(given, Features) else open_features(given, device=device)
    return found if found.name == wish else open_features(wish, device=device)


def _fewer(metric: Metric) -> str:
    """How to ask for what was perhaps meant."""
    if metric.near and metric.count % 1000 == 0:
        fewer = replace(metric, count=metric.count // 1000).title(metric.kind)
        return f"ask for fewer in the metric's name: {fewer} takes {metric.count // 1000} and {metric.near} neighbours"
    return "ask for fewer in the metric's name"


def _describe_real(real: Dataset | None, reference: Reference | None) -> dict[str, Any] | None:
    if reference is not None:
        return {"reference": str(reference.path), "sha256": reference.sha256}
    return None if real is None else _describe(real)


def _describe(source: Generator | Translator | Dataset) -> dict[str, Any]:
    if isinstance(source, (Generator, Translator)):
        return {
            "network": source.kind,
            "path": None if source.source is None else str(source.source.resolve()),
            "sha256": _weights(source),
            "resolution": list(source.resolution),
        }
    return {
        "data": source.name,
        "key": source.key,
        "part": source.part,
        "pictures": len(source),
        "resolution": list(source.resolution),
    }


def _weights(G: Generator | Translator) -> str | None:
    """Checksum of the file that the network was loaded from: runs move, and their checkpoints go."""
    for file in () if G.source is None else (G.source / "ema.safetensors", G.source):
        if file.is_file():
            return digest(file)
    return None
