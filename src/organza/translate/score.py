"""How near translations come to their targets, where there are pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from organza.core.errors import UserError
from organza.media.images import to_levels, to_tensor
from organza.metrics.similarity import ssim

if TYPE_CHECKING:
    from organza.contract.model import NormMode
    from organza.core.progress import Progress
    from organza.data.domains import Domains
    from organza.models.translator import Translator


@dataclass(frozen=True)
class Score:
    """Means over pairs.

    Attributes:
        l1: mean distance of a pixel's channel from the target's, in levels of 255.
        ssim: structural similarity, 1 for equals.
        count: pairs.
    """

    l1: float
    ssim: float
    count: int


def score(
    T: Translator, pairs: Domains, *, mode: NormMode | None = None, seed: int = 0, progress: Progress | None = None
) -> Score:
    """Translate the sources of ``pairs`` one by one, as `Translator.translate` does, and compare with the targets.

    Args:
        T: from `organza.load`.
        pairs: from `organza.data.open_domains`, at a size that the network takes.
        mode, seed: as for `Translator.translate`.
        progress: called as ``progress(done, total)``.

    Raises:
        UserError: images that are no pairs, or that the network can't take.
    """
    if not pairs.paired:
        raise UserError("a score needs pairs", hint="images of A and B with the same names")
    distances, likenesses, total = [], [], len(pairs.source)
    for index in range(total):
        source, target = (side.fetch([index])[0] for side in (pairs.source, pairs.target))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + index)
            made = to_levels(T.apply(to_tensor(source), mode=mode)).permute(0, 3, 1, 2).float().cpu()
        wanted = torch.from_numpy(target).permute(0, 3, 1, 2).float()
        distances.append(float((made - wanted).abs().mean()))
        likenesses.append(float(ssim(made, wanted)))
        if progress is not None:
            progress(index + 1, total)
    return Score(float(np.mean(distances)), float(np.mean(likenesses)), total)
