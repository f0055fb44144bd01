"""Clusters of the features that an encoder finds in regions of a class, and codes that choose among them.

Wang et al. 2018 (arXiv 1711.11585), section 3.4: an edit takes, for each region, one of the main features of its class.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from organza.core.errors import UserError


def clusters(memory: Tensor, filled: Tensor, count: int = 10) -> Tensor:
    """The main features of each class (section 3.4): k-means from points far from each other, always the same.

    Args:
        memory: ``[K, R, F]``.
        filled: ``[K]``: how many of each came; the first so many of ``memory`` count.
        count: of clusters, where a class has as many different features.

    Returns:
        ``[K, count, F]``, by their sizes, the largest first; the rest is NaN.

    Example:
        >>> memory = torch.tensor([[[0.0], [1.0], [1.2], [9.0]]])
        >>> clusters(memory, torch.tensor([3]), count=2).flatten().tolist()
        [1.10..., 0.0]
    """
    found = memory.new_full((len(memory), count, memory.shape[2]), torch.nan)
    for number, (points, known) in enumerate(zip(memory, filled.tolist(), strict=True)):
        points = points[: min(known, len(points))]
        if not len(points):
            continue
        centres = points[:1]
        while len(centres) < count:
            far, place = torch.cdist(points, centres).min(1).values.max(0)
            if float(far) < 1e-6:
                break
            centres = torch.cat([centres, points[place][None]])
        for _ in range(20):
            owner = torch.cdist(points, centres).argmin(1)
            own = F.one_hot(owner, len(centres)).to(points.dtype)
            sizes = own.sum(0)
            centres = torch.where(sizes[:, None] > 0, own.t() @ points / sizes.clamp(min=1)[:, None], centres)
        order = sizes.argsort(descending=True, stable=True)
        found[number, : len(centres)] = centres[order]
    return found


def codes(table: Tensor, choice: Mapping[int, int]) -> Tensor:
    """The code that names a cluster for some classes; the others get their largest.

    Args:
        table: of `clusters`.
        choice: class -> cluster.

    Returns:
        ``[1, K]``, where the cluster of a class is the number of its share, if a standard normal distribution is cut
        into equal ones: so a random code chooses each with the same probability.

    Raises:
        UserError: there is no such class or cluster.

    Example:
        >>> table = torch.zeros(3, 4, 2)
        >>> places = (torch.special.ndtr(codes(table, {2: 1})) * 4).long()
        >>> places.tolist()
        [[0, 0, 1]]
    """
    counts = (~table[..., 0].isnan()).sum(1).clamp(min=1)
    wanted = torch.zeros_like(counts)
    for kind, cluster in choice.items():
        if not 0 <= kind < len(table):
            raise UserError(f"there is no class {kind}", hint=f"classes go from 0 to {len(table) - 1}")
        if not 0 <= cluster < int(counts[kind]):
            what = f"class {kind} has no cluster {cluster}"
            raise UserError(what, hint=f"its clusters go from 0 to {int(counts[kind]) - 1}")
        wanted[kind] = cluster
    found: Tensor = torch.special.ndtri((wanted + 0.5) / counts)
    return found[None].float()
