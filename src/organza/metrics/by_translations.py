"""The metrics that compare translations one by one: with their targets, with their sources, or with what comes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from organza.data.label_maps import main_colours
from organza.media.images import as_input
from organza.metrics import path_length, similarity
from organza.metrics.by_pictures import open_wanted
from organza.metrics.intervals import bootstrap_mean
from organza.metrics.job import Job
from organza.metrics.names import Metric
from organza.metrics.pictures import Indices, Translated
from organza.metrics.report import Figure

Compare = Callable[[Tensor, Tensor], Tensor]
"""Images and others, both float ``[N, C, H, W]`` from 0 to 255, to a number for each ``[N]``."""


def by_translations(job: Job, metrics: Sequence[Metric]) -> dict[Metric, dict[str, Figure]]:
    """The figure of each metric, a mean over images with its interval; every image is translated once for all."""
    translated = job.pictures
    assert isinstance(translated, Translated)
    if not metrics:
        return {}
    ways = [_comparison(job, metric, translated) for metric in metrics]
    counts = [min(metric.count, translated.limit) for metric in metrics]

    def work(indices: Indices) -> list[Tensor]:
        sources, made, back = translated.triples(indices)
        targets = translated.targets(indices) if any(metric.of_pairs for metric in metrics) else None
        values = []
        for metric, (compare, _, _) in zip(metrics, ways, strict=True):
            one, other = made, targets if metric.of_pairs else sources
            if metric.compared == "cycle":
                assert back is not None
                one = back
            assert other is not None
            images = [x.permute(0, 3, 1, 2).float().to(one.device) for x in (one, other)]
            values.append(compare(*images).cpu())
        return values

    with torch.no_grad():
        parts = job.team.spread(max(counts), job.batch, work, job.on("translations compared"))
    found: dict[Metric, dict[str, Figure]] = {}
    for metric, (_, prefix, network), count, columns in zip(
        metrics, ways, counts, zip(*parts, strict=True), strict=True
    ):
        values = torch.cat(columns)[:count].double()
        interval = bootstrap_mean(values, job.seed) if job.intervals and count > 1 else None
        better = "higher" if metric.compared in ("psnr", "ssim", "palette") else "lower"
        figure = Figure(float(values.mean()), interval, count, 0, network, better, "bootstrap over images")
        found[metric] = {metric.title(prefix): figure}
    return found


def _comparison(job: Job, metric: Metric, translated: Translated) -> tuple[Compare, str, str | None]:
    """How to compare, the metric's prefix, and the network that it takes."""
    if metric.compared in ("distance", "content"):
        distance, short = open_wanted(job, metric)
        prefix = "content" if metric.compared == "content" else "perceptual" if short == "voile64" else "lpips"
        if prefix != "perceptual" and short != "vgg":
            prefix += f"_{short}"

        def perceptual(one: Tensor, other: Tensor) -> Tensor:
            images = (path_length.prepare(as_input(x), crop=False) for x in (one, other))
            found: Tensor = distance(*images)
            return found

        return perceptual, prefix, distance.name
    if metric.compared == "palette":
        colours = torch.from_numpy(palette(translated, metric.colours))

        def same(one: Tensor, other: Tensor) -> Tensor:
            return (nearest(one, colours) == nearest(other, colours)).double().mean((1, 2))

        return same, "palette", None
    assert metric.compared is not None
    return {"l1": l1, "psnr": psnr, "ssim": similarity.ssim, "cycle": l1}[metric.compared], metric.compared, None


def l1(one: Tensor, other: Tensor) -> Tensor:
    """Mean distance of images ``[N, C, H, W]`` in their own units: ``[N]``."""
    return (one - other).abs().mean((1, 2, 3))


def psnr(one: Tensor, other: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of images ``[N, C, H, W]`` from 0 to 255: ``[N]``, at most 100.

    Example:
        >>> [round(value, 2) for value in psnr(torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 25.5)).tolist()]
        [20.0]
    """
    error = (one - other).double().square().mean((1, 2, 3))
    return (10 * torch.log10(255**2 / error)).clamp(max=100)


def nearest(images: Tensor, colours: Tensor) -> Tensor:
    """The number of the nearest of ``colours`` ``[K, C]`` at each place of images ``[N, C, H, W]``: ``[N, H, W]``."""
    best = torch.full_like(images[:, 0], torch.inf)
    found = torch.zeros_like(best, dtype=torch.int64)
    for number, colour in enumerate(colours.to(images)):
        distance = (images - colour[:, None, None]).square().sum(1)
        closer = distance < best
        best, found = torch.where(closer, distance, best), torch.where(closer, number, found)
    return found


def palette(translated: Translated, count: int) -> NDArray[np.float32]:
    """The main colours of the targets: k-medians from the most frequent ones, in levels, ``[count, C]``."""
    target = translated.domains.target
    chosen = np.linspace(0, len(target) - 1, min(len(target), 40)).astype(np.int64)
    return main_colours(target.fetch(chosen)[0].reshape(-1, target.spec.channels), count)
