"""The metrics that look at images directly, or at pairs of them through a perceptual distance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from organza.core.errors import UserError
from organza.media.images import as_input, to_tensor
from organza.methods.text.text_encoder import TextEncoder, image_network, seen
from organza.metrics import path_length, similarity, sliced
from organza.metrics.intervals import bootstrap_mean
from organza.metrics.job import Job
from organza.metrics.names import Metric
from organza.metrics.pictures import Drawn, Indices, Pictures, caption_words, places
from organza.metrics.report import Figure
from organza.vision.lpips import LPIPS, Perceptual64, open_distance


def by_pictures(job: Job, metric: Metric) -> dict[str, Figure]:
    """The figures of one metric."""
    return FIGURES[metric.kind](job, metric)


def _paths(job: Job, metric: Metric) -> dict[str, Figure]:
    assert isinstance(job.pictures, Drawn)
    drawn, G, sampling = job.pictures, job.pictures.G, job.pictures.sampling
    distance, network, name = _open_distance(job, metric)

    def work(indices: Indices) -> Tensor:
        first, labels = drawn.codes(2 * indices)
        second, _ = drawn.codes(2 * indices + 1)
        t = torch.from_numpy(places(indices, job.seed) if metric.sampling == "full" else np.zeros(len(indices))).to(
            first
        )

        def mapping(z: Tensor) -> Tensor:
            return G.mapping(z, None if labels is None else labels.repeat(2, 1), sampling.psi, sampling.cutoff)

        def synthesis(ws: Tensor) -> Tensor:
            return G.synthesis(ws, "const")

        found = path_length.path_distances(
            mapping, synthesis, distance, (first, second), t, space=metric.space, crop=metric.crop
        )
        return found.cpu()

    with torch.no_grad():
        parts = job.team.spread(metric.count, max(job.batch // 2, 1), work, job.on(name))
    kept = path_length.filtered(torch.cat(parts))
    interval = bootstrap_mean(kept, job.seed) if job.intervals else None
    error = "bootstrap over paths"
    return {name: Figure(float(kept.mean()), interval, metric.count, 0, network, error=error)}


def _perceptual_variety(job: Job, metric: Metric) -> dict[str, Figure]:
    distance, network, name = _open_distance(job, metric)

    def compare(a: Tensor, b: Tensor) -> Tensor:
        one, two = (path_length.prepare(as_input(images), crop=False) for images in (a, b))
        return distance(one, two)

    return {name: _pairs(job, metric, compare, name, network, "higher")}


def _structural_variety(job: Job, metric: Metric) -> dict[str, Figure]:
    name = metric.title("ms_ssim")
    try:
        return {name: _pairs(job, metric, similarity.ms_ssim, name, None, "lower")}
    except ValueError as error:
        raise UserError(f"{name}: {error}") from error


def _pairs(
    job: Job,
    metric: Metric,
    compare: Callable[[Tensor, Tensor], Tensor],
    name: str,
    network: str | None,
    better: str,
) -> Figure:
    """The mean over pairs of images 2i and 2i + 1, which share a class where there are classes."""
    pictures = replace(job.pictures, paired=True) if isinstance(job.pictures, Drawn) else job.pictures

    def work(indices: Indices) -> Tensor:
        images = pictures.fetch(np.stack([2 * indices, 2 * indices + 1], 1).reshape(-1)).permute(0, 3, 1, 2).float()
        return compare(images[::2], images[1::2]).cpu()

    with torch.no_grad():
        values = torch.cat(job.team.spread(metric.count, max(job.batch // 2, 1), work, job.on(name)))
    interval = bootstrap_mean(values, job.seed) if job.intervals else None
    return Figure(float(values.double().mean()), interval, metric.count, 0, network, better, "bootstrap over pairs")


OTHERS = 99
"""Captions of other images among which an image's own must be found (Xu et al. 2018, arXiv 1711.10485, section 4)."""


def _r_precision(job: Job, metric: Metric) -> dict[str, Figure]:
    """How often an image's own caption fits it best, of generated images and of real ones, by the network's encoder."""
    assert isinstance(job.pictures, Drawn)
    drawn, G, data, name = job.pictures, job.pictures.G, job.reals().dataset, metric.title("r_precision")
    if not isinstance(G.reader, TextEncoder) or data.captions is None:
        hint = "stackgan and stackgan-v2 learn one, from captions"
        raise UserError(f"{name} is of networks with an encoder of text, and of data with captions", hint=hint)
    encoder, net = G.reader, image_network().to(G.device)
    said = {row: caption_words(data.captions[row]) for row in drawn.captioned.tolist()}
    distinct = {words: place for place, words in enumerate(dict.fromkeys(said.values()))}
    if len(distinct) < 2:
        raise UserError(f"{name} needs captions that differ", where=data.name)
    if len(distinct) <= OTHERS:
        job.notes.append(f"{name}: only {len(distinct)} captions differ, so an image's own is one of these, not of 100")
    own = {row: distinct[words] for row, words in said.items()}
    vectors = G.captions([" ".join(words) for words in distinct])

    def right(images: Tensor, rows: Indices) -> Tensor:
        """Whether each image's best caption is that of the data's image in ``rows``."""
        levels = images.to(G.device).permute(0, 3, 1, 2).float()
        fit = encoder.fit(vectors, seen(net, as_input(levels)))
        found = []
        for scores, row in zip(fit.cpu(), rows.tolist(), strict=True):
            place = own[row]
            others = np.delete(np.arange(len(distinct)), place)
            if len(others) > OTHERS:
                others = np.random.RandomState([job.seed, row]).choice(others, OTHERS, replace=False)
            found.append(bool(scores[place] > scores[torch.from_numpy(others)].max()))
        return torch.tensor(found, dtype=torch.float32)

    counts = {"": metric.count, "_real": min(metric.count, len(drawn.captioned))}

    def of_the_data(indices: Indices) -> Tensor:
        rows = drawn.captioned[indices * len(drawn.captioned) // counts["_real"]]
        return right(torch.from_numpy(data.fetch(rows)[0]), rows)

    work: dict[str, Callable[[Indices], Tensor]] = {
        "": lambda indices: right(drawn.fetch(indices), drawn.caption_rows(indices)),
        "_real": of_the_data,
    }
    figures = {}
    with torch.no_grad():
        for ending, each in work.items():
            values = torch.cat(job.team.spread(counts[ending], job.batch, each, job.on(f"{name}{ending}")))
            interval = bootstrap_mean(values, job.seed) if job.intervals else None
            mean = float(values.double().mean())
            figures[f"{name}{ending}"] = Figure(
                mean, interval, counts[ending], 0, "voile64", "higher", "bootstrap over images"
            )
    return figures


def _sliced(job: Job, metric: Metric) -> dict[str, Figure]:
    count = min(metric.count, job.reals().limit)
    name = metric.title("swd")
    sides = []
    for number, (pictures, what) in enumerate(((job.reals(), "real"), (job.pictures, "generated"))):

        def work(indices: Indices, pictures: Pictures = pictures, number: int = number) -> list[Tensor]:
            images = pictures.fetch(indices).permute(0, 3, 1, 2).float()
            salt = np.random.RandomState([job.seed, number, int(indices[0])]).randint(2**31)
            rng = torch.Generator().manual_seed(int(salt))
            return [sliced.patches(level, rng).cpu() for level in sliced.pyramid(images)]

        parts = job.team.spread(count, job.batch, work, job.on(f"patches of {what} images"))
        sides.append([torch.cat(level) for level in zip(*parts, strict=True)])
    real, generated = sides
    if [level.shape for level in real] != [level.shape for level in generated]:
        raise UserError(f"{name} needs images of one size", hint="give --resolution")
    height = job.reals().dataset.resolution[0]
    levels = sliced.swd(real, generated, job.seed)
    figures = {}
    for number, repeats in enumerate(levels):
        figures[f"{name}_{-(-height // 2**number)}"] = Figure(float(np.mean(repeats)), None, count, count)
    mean = float(np.mean([np.mean(repeats) for repeats in levels]))
    return {**figures, f"{name}_mean": Figure(mean, None, count, count)}


def _accuracy(job: Job, metric: Metric) -> dict[str, Figure]:
    """How often the network's own classifier names the class of a real image."""
    assert isinstance(job.pictures, Drawn)  # evaluate has seen to it
    G, reals, name = job.pictures.G, job.reals(), metric.title("accuracy")
    count = job.real_count(metric)

    def work(indices: Indices) -> Tensor:
        found = G.classify(to_tensor(reals.fetch(indices).numpy(), G.device)).argmax(1).cpu()
        return (found == torch.from_numpy(reals.labels(indices).argmax(1))).double()

    right = torch.cat(job.team.spread(count, job.batch, work, job.on(name)))
    interval = bootstrap_mean(right, job.seed) if job.intervals and count > 1 else None
    return {name: Figure(float(right.mean()), interval, 0, count, None, "higher", "bootstrap over images")}


def _open_distance(job: Job, metric: Metric) -> tuple[Callable[[Tensor, Tensor], Tensor], str, str]:
    """The perceptual distance of a metric, what it is, and the metric's full name: only LPIPS by VGG goes without."""
    found, short = open_wanted(job, metric)
    if metric.kind == "lpips":
        prefix = "perceptual" if short == "voile64" else "lpips"
    else:
        prefix = "ppl" if metric.crop else "ppl2"
    return found, found.name, metric.title(prefix if short == "vgg" else f"{prefix}_{short}")


def open_wanted(job: Job, metric: Metric) -> tuple[LPIPS | Perceptual64, str]:
    """The perceptual distance that a metric or the caller names, and its short name."""
    wish = metric.network or job.distance
    found = open_distance(f"lpips-{wish}" if wish in NETS else wish, device=job.device)
    return found, next((net for net in NETS if f"({net}," in found.name), "voile64")


NETS = ("vgg", "alex", "squeeze")
FIGURES = {
    "ppl": _paths,
    "lpips": _perceptual_variety,
    "ms_ssim": _structural_variety,
    "swd": _sliced,
    "r_precision": _r_precision,
    "accuracy": _accuracy,
}
