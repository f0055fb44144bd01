"""How different the results of one image are, for translators with style codes.

Zhu et al. 2017 (arXiv 1711.11586), section 5.2: the mean LPIPS distance between results of the same image with random
codes. The paper takes 19 pairs of each of 100 images; here all pairs of a number of results count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from organza.core.errors import UserError
from organza.media.images import to_tensor
from organza.translate.files import check_codes
from organza.vision.lpips import open_distance

if TYPE_CHECKING:
    from organza.core.progress import Progress
    from organza.models.translator import Picture, Size, Translator


@dataclass(frozen=True)
class Diversity:
    """What `diversity` found.

    Attributes:
        distance: mean over pairs of results of one image, and over images; 0 where all are alike.
        measured: with which distance. Numbers of different ones can't be compared.
        images, samples: how many images, and results of each.
    """

    distance: float
    measured: str
    images: int
    samples: int


@torch.no_grad()
def diversity(
    T: Translator,
    images: Sequence[Picture],
    samples: int = 10,
    *,
    size: Size = "trained",
    distance: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Diversity:
    """The mean distance between results of the same image with random codes.

    Args:
        T: from `organza.load`, with style codes.
        images: as for `Translator.translate`.
        samples: results of each image, at least 2.
        size: as for `Translator.translate`.
        distance: as for `organza.vision.lpips.open_distance`; None: LPIPS where its weights are in the cache, else
            voile64.
        seed: of the codes.
        progress: called as ``progress(done, total)``.

    Raises:
        UserError: no images, too few samples, or a network without codes.
    """
    check_codes(T)
    if samples < 2 or not images:
        raise UserError("a distance needs two results of an image at least", hint="give images, and samples=2 or more")
    measure, found = open_distance(distance, device=T.device), []
    for number, image in enumerate(images):
        codes = []
        for k in range(samples):
            made = np.asarray(T.translate(image, size=size, seed=seed + number * samples + k))
            x = to_tensor(made.reshape(1, *made.shape[:2], -1)).to(T.device)
            codes.append(measure.embed(x)[0].double())
        vectors = torch.stack(codes)
        # Over all pairs, the sum of squared distances is the number of vectors times that from their mean.
        found.append(float(2 * (vectors - vectors.mean(0)).square().sum() / (samples - 1)))
        if progress is not None:
            progress(number + 1, len(images))
    return Diversity(float(np.mean(found)), measure.name, len(images), samples)
