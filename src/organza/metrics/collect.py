"""Images to features, once for all metrics that need them; those of real images are kept in Organza's cache."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from organza.core.cache import cache_root
from organza.core.errors import UserError
from organza.core.files import atomic_write
from organza.core.progress import Progress
from organza.metrics.moments import Moments
from organza.metrics.pictures import Indices, Pictures, Shown
from organza.metrics.team import Team
from organza.vision.features import Features


@dataclass
class Wanted:
    """What the metrics need of one set of images.

    Attributes:
        moments: of the first so many images, for each of these numbers.
        rows: feature vectors of the first so many.
        logits: class scores of the first so many.

    Example:
        >>> Wanted(moments={10, 20}, rows=5).count
        20
    """

    moments: set[int] = field(default_factory=set)
    rows: int = 0
    logits: int = 0

    @property
    def count(self) -> int:
        """Images to look at."""
        return max([self.rows, self.logits, *self.moments])


@dataclass(frozen=True)
class Collected:
    """What `collect` found.

    Attributes:
        moments: by the number of images.
        features: float32 ``[rows, D]``.
        logits: float32 ``[logits, classes]``.
    """

    moments: dict[int, Moments]
    features: Tensor
    logits: Tensor


def collect(
    pictures: Pictures,
    features: Features,
    wanted: Wanted,
    *,
    batch: int = 32,
    team: Team | None = None,
    progress: Progress | None = None,
) -> Collected:
    """Features of images, in one pass; memory does not grow with the images beyond ``wanted.rows``.

    Raises:
        UserError: class scores are wanted of a network that has none.
    """
    team = team or Team()
    cuts = tuple(sorted(wanted.moments))
    running = {cut: Moments(features.dim) for cut in cuts}  # of the images between the cut before and this one

    def work(indices: Indices) -> tuple[Tensor, Tensor]:
        found = features(pictures.fetch(indices))
        vectors, last = found.features.cpu(), int(indices[-1])
        cut = next((cut for cut in cuts if last < cut), None)
        if cut is not None:
            running[cut].add(vectors)
        logits = torch.zeros(0, 0)
        if wanted.logits > int(indices[0]):
            if found.logits is None:
                raise UserError(
                    f"the feature network {features.name} does not classify",
                    hint="take one that does: --features inception, or --features lenet:FILE for digits",
                )
            logits = found.logits.cpu()[: wanted.logits - int(indices[0])]
        return vectors[: max(wanted.rows - int(indices[0]), 0)].clone(), logits

    parts = team.spread(wanted.count, batch, work, progress, cuts)
    moments, total = {}, Moments(features.dim)
    shares = team.gather(running)
    for cut in cuts:
        for share in shares:
            total.merge(share[cut])
        moments[cut] = Moments(features.dim)
        moments[cut].merge(total)
    vectors = [part for part, _ in parts if len(part)]
    logits = [part for _, part in parts if len(part)]
    return Collected(
        moments,
        torch.cat(vectors) if vectors else torch.zeros(0, features.dim),
        torch.cat(logits) if logits else torch.zeros(0, 0),
    )


def collect_real(
    pictures: Pictures,
    features: Features,
    wanted: Wanted,
    *,
    batch: int = 32,
    team: Team | None = None,
    progress: Progress | None = None,
    cache: Path | None = None,
) -> Collected:
    """`collect`, remembered for datasets: the second time nothing is computed.

    Args:
        cache: folder to keep results in; None is ``metrics`` in Organza's cache.
    """
    if not isinstance(pictures, Shown) or wanted.count == 0:
        return collect(pictures, features, wanted, batch=batch, team=team, progress=progress)
    team = team or Team()
    store = _Store(cache or cache_root() / "metrics", f"{pictures.key}/{features.digest}")
    known = store.read(wanted, features.dim) if team.rank == 0 else None
    known = team.gather(known)[0]
    if known is not None:
        return known
    found = collect(pictures, features, wanted, batch=batch, team=team, progress=progress)
    if team.rank == 0:
        store.write(wanted, found)
    return found


@dataclass(frozen=True)
class _Store:
    folder: Path
    key: str

    def path(self, what: str, count: int) -> Path:
        digest = hashlib.sha256(f"{self.key}/{what}/{count}".encode()).hexdigest()[:24]
        return self.folder / f"{what}-{digest}.npz"

    def read(self, wanted: Wanted, dim: int) -> Collected | None:
        """Everything wanted, or None if a part is missing or broken."""
        try:
            moments = {}
            for count in wanted.moments:
                moments[count] = Moments(dim)
                with self.path("moments", count).open("rb") as opened, np.load(opened) as file:
                    moments[count].count = int(file["count"])
                    moments[count].mean = torch.from_numpy(file["mean"])
                    moments[count].scatter = torch.from_numpy(file["scatter"])
            rows = torch.zeros(0, dim)
            if wanted.rows:
                with self.path("features", wanted.rows).open("rb") as opened, np.load(opened) as file:
                    rows = torch.from_numpy(file["features"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        sound = all(m.count == count and len(m.mean) == dim for count, m in moments.items())
        sound = sound and rows.shape == (wanted.rows, dim) and not wanted.logits
        return Collected(moments, rows, torch.zeros(0, 0)) if sound else None

    def write(self, wanted: Wanted, found: Collected) -> None:
        for count, moments in found.moments.items():
            with atomic_write(self.path("moments", count)) as temporary:
                np.savez(temporary, count=moments.count, mean=moments.mean.numpy(), scatter=moments.scatter.numpy())
        if wanted.rows:
            with atomic_write(self.path("features", wanted.rows)) as temporary:
                np.savez(temporary, features=found.features.numpy())
