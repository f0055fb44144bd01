"""What a user may say about a dataset."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from organza.contract.data import Direction
from organza.core.errors import UserError
from organza.core.ranges import Count, Range
from organza.data.decode import Filter, Fit


@dataclass(frozen=True)
class DataOptions:
    """How images are read, sized and labelled.

    Example:
        >>> DataOptions(resolution="64", mirror=True).fit
        'center-crop'
    """

    resolution: str | None = None
    """Size of the images: "64", or "512x768" (height x width). Otherwise: the largest power of two not above
    the median short side, between 4 and 1024."""
    channels: Literal["auto", "1", "3", "4"] = "auto"
    """1 grey, 3 RGB, 4 RGB with transparency. auto: 1 where every file is grey, otherwise 3, with white behind
    transparent parts."""
    fit: Fit = "center-crop"
    """How images of another shape fit: cut off the sides; cut to 4:3 with black bars above and below (LSUN cars); pad
    with black (clear with 4 channels); or stretch."""
    filter: Filter = "lanczos"
    """Resize filter; nearest mixes no colours."""
    labels: str = "none"
    """none; dataset.json; folders (one class for each sub-folder); own (dataset.json or the format's own labels, if
    any); auto (own, else folders); or a table as FILE:COLUMN,COLUMN, for example list_attr_celeba.txt:Smiling,Male."""
    classes: Count | None = None
    """Number of classes, where not all occur in what is opened: of streamed shards, the first says it otherwise."""
    captions: str = "none"
    """none; txt (beside each image); a table as FILE:COLUMN; or auto."""
    layout: Literal["auto", "images"] = "auto"
    """auto: refuse to train on pairs side by side, or on two sets trainA/ and trainB/, as if they were single images;
    images: take every file as an image of its own."""
    mirror: bool = False
    """Show each image mirrored half of the time."""
    strict: bool = False
    """Refuse a dataset with bad files instead of skipping them."""
    max_images: Count | None = None
    """Use at most this many images, evenly spread over the sorted set."""
    held_out: str | None = None
    """Never train on some of the images, to see whether D has memorised the others: a number (500), a share (5%), or
    another dataset of such images."""


@dataclass(frozen=True)
class DomainOptions(DataOptions):
    """How the two sides of a translation are read: pairs of images, or two sets.

    Example:
        >>> DomainOptions(resolution="256").load_size((256, 256))
        (286, 286)
    """

    direction: Direction = "AtoB"
    """Which side is translated into which: A is trainA/, A/ or the left half of images that lie side by side."""
    split: str = "train"
    """Which part to train on, where the dataset has parts (train, val, test)."""
    jitter: Annotated[float, Range(least=1, most=4)] = 286 / 256
    """Images are read this much larger, and each time a random part of the training size is shown, the same of both
    images of a pair (pix2pix, section 6.2: 286 instead of 256). 1: always the whole image."""
    label_map: str = "none"
    """Source images are label maps, whose colours are classes, and are resized without mixing them. auto: all colours
    that occur; a number: so many main ones, for label maps that are JPEGs; or a file with a colour in each line."""
    instances: str | None = None
    """Numbers of instances for label maps: a folder of images under the same names, in the dataset or elsewhere."""
    pairs: str = "none"
    """none: the dataset holds both sides. Otherwise its images are targets, and each source is made of its target:
    grey, edges, sketch, low-res:4, holes, noise or noise:25, jpeg or jpeg:20. With teacher:NETWORK they are sources,
    and what another translator makes of them are the targets."""

    def load_size(self, resolution: tuple[int, int]) -> tuple[int, int]:
        """The size at which images are read, for a training at ``resolution``."""
        return round(resolution[0] * self.jitter), round(resolution[1] * self.jitter)


@dataclass(frozen=True)
class VideoOptions(DomainOptions):
    """How the two sides of a translation of videos are read: frames that belong together, in the order of their time.

    Example:
        >>> VideoOptions(resolution="256").load_size((256, 256))
        (256, 256)
    """

    jitter: Annotated[float, Range(least=1, most=4)] = 1.0
    """Frames are read this much larger, and each time a random part of the training size is shown, the same of all
    frames of a sequence."""
    frames: Annotated[int, Range(least=2, most=1000)] = 30
    """Frames of the sequences that are shown, at most; fewer where no scene is so long."""


@dataclass(frozen=True)
class LabelledOptions(DataOptions):
    """How images are read whose labels say what a translator makes of them; one dataset, or two with other labels.

    Example:
        >>> LabelledOptions(labels="celeba.csv:Male,Young", also="rafd.zip").also_labels
        'auto'
    """

    also: str | None = None
    """A second dataset with labels of its own, to be trained on together with the first, by turns."""
    also_labels: str = "auto"
    """Labels of --also, in the words of --labels."""


@dataclass(frozen=True)
class CaptionedOptions(DataOptions):
    """How images and the words about them are read.

    Example:
        >>> CaptionedOptions(captions="captions.csv:caption").embeddings is None
        True
    """

    captions: str = "auto"
    """Where the words are: txt (a file beside each image); a table as FILE:COLUMN; auto: what is there; or none."""
    embeddings: str | None = None
    """Vectors that another program made of the texts, in place of captions: an .npz with embeddings [N, D] and names of
    images [N], or an .npy in the dataset's order."""


@dataclass(frozen=True)
class PartlyLabelled(DataOptions):
    """How images are read of which only some need a label.

    Example:
        >>> PartlyLabelled(labels="folders", labelled=100).labelled
        100
    """

    labelled: Count | None = None
    """Keep the labels of so many images alone, of each class as many: always the same ones. Otherwise: all."""


def parse_resolution(text: str, where: str = "--resolution") -> tuple[int, int]:
    """Text -> (height, width); ``where`` is for messages.

    Raises:
        UserError: not a size between 1 and 16384.

    Example:
        >>> parse_resolution("64"), parse_resolution("512x768")
        ((64, 64), (512, 768))
    """
    found = re.fullmatch(r"\s*(\d+)\s*(?:[xX]\s*(\d+)\s*)?", text)
    if not found:
        raise UserError(f"{text!r} is not a size", where=where, hint='write "64", or "512x768" (height x width)')
    height = int(found[1])
    size = (height, int(found[2] or height))
    if not all(1 <= n <= 16384 for n in size):
        raise UserError(f"{text} is out of range", where=where, hint="sizes go from 1 to 16384")
    return size


def default_resolution(short_sides: list[int]) -> int:
    """The largest power of two that is at most the median short side, between 4 and 1024.

    Example:
        >>> default_resolution([96, 96, 300]), default_resolution([1])
        (64, 4)
    """
    median = sorted(short_sides)[len(short_sides) // 2]
    return max(4, min(1024, 1 << (median.bit_length() - 1)))
