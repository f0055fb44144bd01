"""Which augmentation a discriminator's images get and how strongly: settings that several methods share, and ADA.

Karras et al. 2020, arXiv 2006.06676: the probability p of the augmentations follows a heuristic of overfitting, the
mean sign of D's outputs for training images, r_t (eq. 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from organza.contract.data import Batch
from organza.contract.method import Nets, Result, Stats
from organza.core.ranges import Kimg, Range, Share
from organza.nn.augment import augment, groups
from organza.nn.diffaugment import diffaugment, parse_policy

ADJUST_EVERY = 4  # steps of the discriminator (section 3.1)


@dataclass(frozen=True, kw_only=True)
class Augmented:
    """Settings of methods whose discriminator can look at augmented images."""

    augment: Literal["none", "ada", "fixed", "diffaugment"] = "none"
    """What D sees: images as they are; augmented with a probability p that adapts (ADA) or is fixed; DiffAugment."""
    augment_pipe: str = "bgc"
    """Transformations of ada and fixed: blit, geom, color, filter, noise, cutout, or the first few: bg ... bgcfnc."""
    augment_p: Share | None = None
    """Probability p of each transformation: of fixed (default 0.2), or where ada starts (default 0)."""
    augment_policy: str = "color,translation,cutout"
    """Transformations of diffaugment."""
    ada_target: Annotated[float, Range(least=-1, most=1)] = 0.6
    """ADA raises p while the mean sign of D's outputs for training images is above this, else it lowers p."""
    ada_kimg: Kimg = 500.0
    """ADA's speed: p can go from 0 to 1 within so many thousand images."""


class Augmenter:
    """Augments images as the settings say, and adapts p.

    Args:
        settings: what to do.

    Attributes:
        state: for `Method.state`: ADA's p and what it has measured since it was last changed; else empty.
        shapes: for `Phase.shapes` of the phase that measures.

    Raises:
        UserError: no transformations, or unknown ones.

    Example:
        >>> augmenter = Augmenter(Augmented(augment="ada"))
        >>> augmenter.state["augment/p"]
        tensor(0.)
    """

    def __init__(self, settings: Augmented) -> None:
        self.settings = settings
        if settings.augment in ("ada", "fixed"):
            self.groups = groups(settings.augment_pipe)
        if settings.augment == "diffaugment":
            parse_policy(settings.augment_policy)
        p = settings.augment_p
        if p is None:
            p = 0.2 if settings.augment == "fixed" else 0.0
        self.p = torch.tensor(p)
        self._signs, self._steps, self._since = torch.zeros(()), torch.zeros(()), torch.zeros(())
        self.state = (
            {"augment/p": self.p, "ada/signs": self._signs, "ada/steps": self._steps, "ada/since": self._since}
            if settings.augment == "ada"
            else {}
        )

        self.shapes = {"ada": (2,)} if settings.augment == "ada" else {}

    def __call__(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Images ``[N, C, H, W]`` as the discriminator sees them."""
        kind = self.settings.augment
        if kind == "none":
            return images
        if kind == "diffaugment":
            return diffaugment(images, self.settings.augment_policy, rng)
        return augment(images, self.p, self.groups, rng)

    def measure(self, batch: Batch, signs: Tensor) -> Stats:
        """Statistics for `adapt`: ``signs`` is +1 where D takes a training image for real, else -1."""
        if self.settings.augment != "ada":
            return {}
        seen = torch.full((), float(batch.seen), device=signs.device)
        return {"ada": torch.stack([signs.float().mean(), seen])}

    def after(self, nets: Nets, result: Result, rng: torch.Generator) -> None:
        """`adapt`, as `Phase.after`."""
        self.adapt(result.stats)

    @torch.no_grad()
    def adapt(self, stats: Stats) -> None:
        """Move p by the measurements of the last `ADJUST_EVERY` steps, once they are complete; add p to the log.

        p takes equal steps up or down, so that it could go from 0 to 1 in ``ada_kimg``, and stays in [0, 1].
        """
        if "ada" not in stats:
            return
        sign, seen = stats["ada"].to(self.p.device).unbind()
        # Statistics say how many images came before their step. So a window is complete when the next one begins.
        seen, complete = seen.round(), self._steps >= ADJUST_EVERY
        step = (self._signs / ADJUST_EVERY - self.settings.ada_target).sign() * (seen - self._since)
        moved = (self.p + step / (self.settings.ada_kimg * 1000)).clamp(0, 1)
        self.p.copy_(torch.where(complete, moved, self.p))
        self._since.copy_(torch.where(complete, seen, self._since))
        self._signs.copy_(torch.where(complete, sign, self._signs + sign))
        self._steps.copy_(torch.where(complete, 1.0, self._steps + 1))
        stats["augment/p"] = self.p.clone()
