"""What should become of a source: which images, at which size, with which labels and captions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from organza.core.errors import UserError
from organza.data.decode import Target, is_grey, open_picture
from organza.data.options import DataOptions, default_resolution, parse_resolution
from organza.data.source import BadPicture, Entry, Source, check_some
from organza.data.tables.captions import find_captions
from organza.data.tables.labels import find_labels, take
from organza.data.tables.values import Labels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Coloured(Exception):
    """A coloured image turned up in a set that was taken for grey."""


@dataclass(frozen=True)
class Plan:
    """Decisions, made before the long part so that their errors come at once.

    Attributes:
        source, everything: where from, and all its entries.
        rows: which of them are wanted.
        labels, captions: for everything, or None.
        target: what each image becomes.
        guessed: "grey" is a guess from a sample; decoding raises `Coloured` where it is refuted.
    """

    source: Source
    everything: list[Entry]
    rows: list[int]
    labels: Labels | None
    captions: list[str | None] | None
    target: Target
    guessed: bool

    @property
    def entries(self) -> list[Entry]:
        """The wanted ones."""
        return [self.everything[row] for row in self.rows]

    def labels_of(self, slots: Sequence[int]) -> Labels | None:
        """Labels of the wanted images that turned out usable.

        Raises:
            UserError: one has none.
        """
        return None if self.labels is None else take(self.labels, [self.rows[s] for s in slots], self.everything)

    def captions_of(self, slots: Sequence[int]) -> list[str] | None:
        """Captions of the wanted images that turned out usable; "" where there is none."""
        return None if self.captions is None else [self.captions[self.rows[s]] or "" for s in slots]


def make_plan(source: Source, options: DataOptions, *, keep_size: bool = False) -> Plan:
    """Look at names, labels and some headers, and decide.

    Args:
        source: the images.
        options: what the user said.
        keep_size: without a resolution in ``options``, leave each image its size instead of choosing one for all.

    Raises:
        UserError: no images, or labels that are missing or wrong.
    """
    check_some(source)
    everything = source.entries()
    rows = list(range(len(everything)))
    if options.max_images is not None:
        if options.max_images < 1:
            raise UserError("at least one image is needed", where="--max-images")
        if options.max_images < len(rows):
            rows = [i * len(rows) // options.max_images for i in range(options.max_images)]
    labels = find_labels(source, everything, options.labels)
    if labels is not None and options.classes is not None and labels.values.ndim == 1:
        labels = replace(labels, least=max(options.classes, labels.least))
    captions = find_captions(source, everything, options.captions)
    target, guessed = _choose(source, [everything[row] for row in rows], options, keep_size)
    return Plan(source, everything, rows, labels, captions, target, guessed)


def chosen_resolution(source: Source, options: DataOptions) -> tuple[int, int]:
    """Height and width that ``options`` ask for or, if they leave it open, that fit the images.

    Raises:
        UserError: as `make_plan`.
    """
    size = make_plan(source, replace(options, labels="none", captions="none")).target.size
    assert size is not None
    return size


def _choose(source: Source, entries: Sequence[Entry], options: DataOptions, keep_size: bool) -> tuple[Target, bool]:
    size = None if options.resolution is None else parse_resolution(options.resolution)
    channels = 0 if options.channels == "auto" else int(options.channels)
    choose_size = size is None and not keep_size
    if choose_size or channels == 0:
        sample = entries[:: max(1, len(entries) // 400)]
        seen = list(_probe(source, sample)) or list(_probe(source, entries))
        if choose_size:
            side = default_resolution([short for short, _ in seen] or [4])
            size = (side, side)
        channels = channels or (1 if all(grey for _, grey in seen) else 3)
    guessed = options.channels == "auto" and channels == 1
    return Target(size, channels, options.fit, options.filter), guessed


def _probe(source: Source, entries: Sequence[Entry]) -> Iterator[tuple[int, bool]]:
    """(short side, is grey) of each readable image, from its header."""
    for entry in entries:
        try:
            image = open_picture(source.read(entry))
            yield min(image.size), is_grey(image)
        except BadPicture:
            pass


def pixels_in(target: Target) -> int:
    """Bytes of one image at a fixed size."""
    assert target.size is not None
    return int(np.prod(target.size)) * target.channels
