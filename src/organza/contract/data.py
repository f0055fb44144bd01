"""What a method is told of the data, and what it is given at each step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from organza.core.ranges import Count, CountOrZero

if TYPE_CHECKING:
    from torch import Tensor

Layout = Literal["images", "captioned", "pairs", "unpaired", "labelled", "video"]
"""How images lie in a dataset: one by one; one by one, with words about each; as pairs of source and target; as two
sets that don't correspond; one by one with labels, each the source of a translation into what other labels say; or as
pairs of frames in the order of their time."""


def translates(layout: Layout) -> bool:
    """Whether a method of this layout makes images from images."""
    return layout not in ("images", "captioned")


Direction = Literal["AtoB", "BtoA"]
"""Which side of a dataset is translated into which."""


@dataclass(frozen=True)
class LabelSet:
    """Labels of one dataset, as a part of label vectors.

    Attributes:
        size: how many numbers.
        kind: a class for each image, one-hot; or numbers of their own, such as attributes.
    """

    size: Count
    kind: Literal["classes", "numbers"] = "numbers"


@dataclass(frozen=True)
class DataSpec:
    """What a network must know of the images it is built for.

    Attributes:
        resolution: height and width in pixels, of source and target alike.
        channels: of what is generated: 1 (grey), 3 (RGB) or 4 (RGBA).
        label_dim: length of a label vector; 0 without labels.
        source: channels of the images that a translator is given; 0 without such.
        count: images in an epoch (of the larger set, where there are two); 0 where nobody knows.
        direction: which side of the dataset is the source of a translation.
        label_names: of the classes, or of the places of a label vector, where known; of all `label_sets` in order.
        label_sets: what label vectors are made of. Where several datasets are trained on together there are several,
            and the vector ends in a mask, one-hot: whose labels are known (StarGAN, arXiv 1711.09020, section 3.3).
        palette: where sources are label maps, the colour of each class in levels, as long as its images have channels
            (a fourth channel holds the numbers of instances, and no colour has it); () of plain images.
        palette_exact: no other colours occur; else each stands for the nearest, as in label maps that were JPEGs.
        words: of the captions, for methods that learn from text: a token is a word's place here, plus 1; 0 is no word.
        text_length: words in the longest caption.
        embedding_dim: length of a text's vector, where vectors are given in place of captions; else 0.
        frames: of each sequence that is shown, where images are frames of videos; else 0. `count` is of sequences then.

    Example:
        >>> DataSpec(resolution=(64, 64), channels=3).label_dim
        0
    """

    resolution: tuple[Count, Count]
    channels: Count = 3
    label_dim: CountOrZero = 0
    source: CountOrZero = 0
    count: CountOrZero = 0
    direction: Direction = "AtoB"
    label_names: tuple[str, ...] = ()
    label_sets: tuple[LabelSet, ...] = ()
    palette: tuple[tuple[CountOrZero, ...], ...] = ()
    palette_exact: bool = True
    words: tuple[str, ...] = ()
    text_length: CountOrZero = 0
    embedding_dim: CountOrZero = 0
    frames: CountOrZero = 0


@dataclass(frozen=True)
class Batch:
    """Real images for one step; of videos, N sequences of T frames, the oldest first.

    Attributes:
        images: float32 ``[N, C, H, W]`` in ``[-1, 1]``: what a generator learns to make, the target of a translation.
            Of videos ``[N, T, C, H, W]``, and so is ``source``.
        labels: float32 ``[N, label_dim]``; ``label_dim`` may be 0.
        seen: training images consumed before this step, over all processes. What grows or anneals reads it.
        source: for translation, as many images of the other domain: partners in pairs, or strangers. Where only some
            images are labelled, as many of these: then ``labels`` are theirs.
        carry: what earlier phases of the same step left for each image, by name, ``[N, ...]``; see `Result.carry`.
        text: what is said about each image: tokens, int64 ``[N, text_length]``, or float32 ``[N, embedding_dim]``.
        flow: of videos, how far to the right and down each pixel of a target frame was in the one before, in pixels,
            and whether that is known (1) or not (0): float32 ``[N, T - 1, 3, H, W]``.
    """

    images: Tensor
    labels: Tensor
    seen: int = 0
    source: Tensor | None = None
    carry: Mapping[str, Tensor] = field(default_factory=dict)
    text: Tensor | None = None
    flow: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)

    def leaving(self, carry: Mapping[str, Tensor]) -> Batch:
        """The same, as later phases find it: with ``carry`` added to what it carries."""
        return replace(self, carry={**self.carry, **carry})

    def part(self, start: int, stop: int) -> Batch:
        """The micro-batch of images ``start`` to ``stop``."""
        return replace(
            self,
            images=self.images[start:stop],
            labels=self.labels[start:stop],
            source=None if self.source is None else self.source[start:stop],
            carry={name: value[start:stop] for name, value in self.carry.items()},
            text=None if self.text is None else self.text[start:stop],
            flow=None if self.flow is None else self.flow[start:stop],
        )
