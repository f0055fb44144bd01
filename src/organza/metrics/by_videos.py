"""How much translations of videos flicker: what is left between neighbours when motion is taken away.

Lai, Huang, Wang, Shechtman, Yumer, Yang: Learning Blind Video Temporal Consistency. ECCV 2018, arXiv 1808.00449,
section 4.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from organza.metrics.intervals import bootstrap_mean
from organza.metrics.job import Job
from organza.metrics.names import Metric
from organza.metrics.pictures import Followed, Indices
from organza.metrics.report import Figure
from organza.ops.flow import along


def by_videos(job: Job, metric: Metric) -> dict[str, Figure]:
    """Two figures: the warping error of translations along the motion of their targets, and that of the targets
    themselves, which is what bilinear moving and changes of light leave."""
    films, name = job.pictures, metric.title("flicker")
    assert isinstance(films, Followed)  # evaluate has seen to it
    count = min(metric.count, films.limit)

    def work(indices: Indices) -> Tensor:
        first = int(indices[0])
        shown = indices if first in films.starts else np.arange(first - 1, indices[-1] + 1)
        made, targets = films.fetch(shown).cpu(), films.targets(shown)
        found = []
        for place, index in enumerate(shown.tolist()):
            if index in films.starts or not place:
                continue
            motion = torch.from_numpy(films.sequences.motion(films.order[index - 1 : index + 1]))
            found.append(torch.stack([warping_error(x[place - 1 : place + 1], motion[0]) for x in (made, targets)]))
        return torch.stack(found) if found else torch.zeros(0, 2, dtype=torch.float64)

    with torch.no_grad():
        parts = job.team.spread(count, job.batch, work, job.on("frames compared"))
    values = torch.cat(parts)
    values = values[~values.isnan().any(1)]
    found = {}
    for ending, column in zip(metric.figures, values.T, strict=True):
        interval = bootstrap_mean(column, job.seed) if job.intervals and len(column) > 1 else None
        mean = float(column.mean()) if len(column) else 0.0
        figure = Figure(mean, interval, len(column), 0, None, "lower", "bootstrap over frames")
        found[f"{name}{ending}"] = figure
    if not len(values):
        job.notes.append(f"{name}: the motion between frames is known nowhere, so nothing was measured")
    return found


def warping_error(pair: Tensor, motion: Tensor) -> Tensor:
    """The mean distance of a frame from the one before, moved, where the motion is known; NaN where it is nowhere.

    Args:
        pair: uint8 ``[2, H, W, C]``, the frame before and the frame.
        motion: ``[3, H, W]``, see `Batch.flow`.

    Example:
        >>> pair = torch.stack([torch.zeros(2, 2, 1), torch.full((2, 2, 1), 8)]).byte()
        >>> float(warping_error(pair, torch.tensor([0.0, 0.0, 1.0])[:, None, None].expand(3, 2, 2)))
        8.0
    """
    before, here = pair.permute(0, 3, 1, 2).float()
    moved = along(before[None], motion[None, :2])[0]
    off: Tensor = (here - moved).abs().mean(0)
    return off[motion[2] > 0.5].double().mean()
