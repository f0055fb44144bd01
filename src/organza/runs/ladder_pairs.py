"""Configs of a ladder that translate: each translates the same images, and is compared with their targets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from organza.core.errors import UserError
from organza.core.files import atomic_write
from organza.data.material import open_material, other_part, whole_images
from organza.data.opening import open_source
from organza.data.options import DomainOptions
from organza.media.figure import captioned, table
from organza.media.images import Pixels
from organza.metrics import evaluate
from organza.metrics.pictures import Translated
from organza.models.translator import Translator
from organza.presets import Run
from organza.runs.ladder_table import Rung

MOST = 100
"""Pairs that a score is the mean of, evenly spread over those there are."""


class Pairs:
    """What configs translate: pairs of val/ or test/, where the dataset has such parts, or else those of the training.

    Args:
        data: pairs, as `organza.data.open_domains` opens them.
        options: how they are read.
        numbers: of the pairs that are shown.

    Attributes:
        name, spec: of the data, as a training sees it.
        split: where the pairs are from.

    Raises:
        UserError: no pairs, or they can't be used.
    """

    def __init__(self, data: str | Path, options: DomainOptions, numbers: Sequence[int]) -> None:
        material = open_material(data, options, "pairs")
        self.name, self.spec = material.name, material.spec
        height, width = self.spec.resolution
        whole = replace(options, resolution=f"{height}x{width}", max_images=MOST)
        self.split = other_part(open_source(data), whole) or whole.split
        self.domains = whole_images(data, whole, "pairs", self.split)
        self.numbers = [number % len(self.domains.source) for number in numbers]

    def check(self, name: str, run: Run) -> None:
        """See that a preset's networks take images of this size, before the first config is trained.

        Raises:
            UserError: they don't.
        """
        with torch.device("meta"):
            method = run.method.resolve(self.spec, 1).build(self.spec)
        critic = method.nets[method.model.critic] if method.model.critic else None
        least, short = int(getattr(critic, "least", 1)), min(self.spec.resolution)
        if short < least:
            what = f"{name} needs images of {least} pixels at least, and these have {short}"
            raise UserError(what, hint="take a larger --resolution")

    def judge(self, rung: Rung, T: Translator, folder: Path) -> Rung:
        """The config with its score: found now, or read from the time before."""
        kept, key = folder / "score.json", {"run": Path(rung.run).name, "seen": rung.seen}
        try:
            found = json.loads(kept.read_text())
            if {name: found[name] for name in key} == key:
                return replace(rung, scores={name: float(value) for name, value in found["scores"].items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass
        made = evaluate(T, self.domains, "l1,ssim", intervals=False)
        scores = {"L1": made["l1"], "SSIM": made["ssim"]}
        with atomic_write(kept) as temporary:
            temporary.write_text(json.dumps({**key, "scores": scores}) + "\n")
        return replace(rung, scores=scores)

    def outputs(self, T: Translator) -> Pixels:
        """What a config makes of the images that are shown, each by itself: uint8 ``[N, H, W, C]``."""
        made: Pixels = Translated(T, self.domains).fetch(np.array(self.numbers)).cpu().numpy()
        return made

    def picture(self, climbed: Sequence[Rung], rows: Sequence[Pixels]) -> Pixels:
        """A column for the sources, one for each config, and one for the targets; figures below.

        Returns:
            uint8 ``[height, width, 3]``.
        """
        columns = [_coloured(images) for images in (self._shown[0], *rows, self._shown[1])]
        cells = np.stack(columns, 1).reshape(-1, *columns[0].shape[1:])
        width = columns[0].shape[2]
        scale = max(1, 128 // width)
        figure = table(cells, len(columns), scale)
        lines = (
            ["source", *(rung.name for rung in climbed), "target"],
            ["", *(f"L1 {rung.scores['L1']:.1f}, SSIM {rung.scores['SSIM']:.3f}" for rung in climbed), ""],
        )
        for line in lines:
            figure = captioned(figure, line, width, scale)
        return figure

    @cached_property
    def _shown(self) -> tuple[Pixels, Pixels]:
        source, target = (side.fetch(self.numbers)[0] for side in (self.domains.source, self.domains.target))
        return source, target


def _coloured(images: Pixels) -> Pixels:
    return images if images.shape[3] == 3 else images[..., [0, 0, 0] if images.shape[3] == 1 else [0, 1, 2]]
