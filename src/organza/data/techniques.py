"""Sources made of their targets: pairs out of any images, for colouring, inpainting, restoration and enlargement.

What is random in a source comes from a number: its position in the stream of a training, so that an image is damaged
anew each time that it is shown and exactly so when a training is resumed; or its place in the dataset, wherever images
are looked at or compared.
"""

from __future__ import annotations

import hashlib
import io
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from organza.core.errors import UserError
from organza.data.dataset import Dataset
from organza.data.hashing import mix
from organza.media.edges import blurred, canny
from organza.media.edges import grey as grey_levels
from organza.media.images import Pixels, to_image

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

    from organza.contract.data import DataSpec

TEACHER = "teacher:"
"""What names a network whose translations are the targets."""
FILL = 128
"""The grey of holes."""


@dataclass(frozen=True)
class Kind:
    """A way to make sources.

    Attributes:
        about: what a network learns by it.
        make: ``(pixels [H, W, C], amount or None, random numbers) -> [H, W, C or 1]``.
        grey: whether sources have one channel.
        amounts: the least and the most that may be said behind a colon; None where nothing may.
        usual: what it is where nothing is said; None where it varies by chance.
    """

    about: str
    make: Callable[[Pixels, float | None, np.random.RandomState], Pixels]
    grey: bool = False
    amounts: tuple[float, float] | None = None
    usual: float | None = None


def _grey(pixels: Pixels, amount: float | None, rng: np.random.RandomState) -> Pixels:
    return grey_levels(pixels)[..., None]


def _edges(pixels: Pixels, amount: float | None, rng: np.random.RandomState) -> Pixels:
    """Black lines on white, as in edges2shoes."""
    return np.where(canny(grey_levels(pixels)), 0, 255).astype(np.uint8)[..., None]


def _sketch(pixels: Pixels, amount: float | None, rng: np.random.RandomState) -> Pixels:
    """A pencil drawing: each grey level over those around it."""
    plain = grey_levels(pixels)[..., None].astype(np.float64)
    around = plain
    for _ in range(4):
        around = blurred(around)
    return np.asarray(np.rint(255 * np.minimum(1, (plain + 1) / (around + 1))), np.uint8)


def _low_res(pixels: Pixels, amount: float | None, rng: np.random.RandomState) -> Pixels:
    assert amount is not None
    height, width = pixels.shape[:2]
    small = max(1, round(width / amount)), max(1, round(height / amount))
    image = to_image(pixels).resize(small, Image.Resampling.BOX)
    found: Pixels = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC)).reshape(pixels.shape)
    return found


def _holes(pixels: Pixels, amount: float | None, rng: np.random.RandomState) -> Pixels:
    """Up to four rectangles, each of an eighth to a half of the sides."""
    found: Pixels = pixels.copy()
    height, width = pixels.shape[:2]
    for _ in range(rng.randint(1, 5)):
        tall, wide = (max(1, int(side * (0.125 + 0.375 * rng.rand()))) for side in (height, width))
        top, left = rng.randint(0, height - tall + 1), rng.randint(0, width - wide + 1)
        found[top : top + tall, left : left + wide, :3] = FILL
    return found


def _noise(pixels: Pixels, amount: float | None, rng: np.random.RandomState) -> Pixels:
    deviation = 5 + 45 * rng.rand() if amount is None else amount
    noisy = pixels + deviation * rng.standard_normal(pixels.shape)
    found: Pixels = np.rint(noisy).clip(0, 255).astype(np.uint8)
    return found


def _jpeg(pixels: Pixels, amount: float | None, rng: np.random.RandomState) -> Pixels:
    quality = rng.randint(5, 41) if amount is None else round(amount)
    buffer = io.BytesIO()
    colours = pixels[..., :3] if pixels.shape[2] == 4 else pixels
    to_image(np.ascontiguousarray(colours)).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer)).reshape(colours.shape)


KINDS: dict[str, Kind] = {
    "grey": Kind("colouring", _grey, grey=True),
    "edges": Kind("photographs from black edges on white (Canny)", _edges, grey=True),
    "sketch": Kind("photographs from pencil drawings", _sketch, grey=True),
    "low-res": Kind("enlargement: reduced so many times, and enlarged again", _low_res, amounts=(1.01, 64), usual=4),
    "holes": Kind("inpainting: grey rectangles", _holes),
    "noise": Kind("denoising: a standard deviation in levels, otherwise from 5 to 50", _noise, amounts=(0.1, 255)),
    "jpeg": Kind("restoration of JPEGs: a quality, otherwise from 5 to 40", _jpeg, amounts=(1, 95)),
}
"""The ways, by name."""


@dataclass(frozen=True)
class Technique:
    """How a source is made of its target.

    Attributes:
        name: a key of `KINDS`.
        amount: what was said behind the colon, or the usual.

    Example:
        >>> technique("low-res:4").about
        'low-res:4 (enlargement: reduced so many times, and enlarged again)'
        >>> technique("grey")(np.zeros([4, 6, 3], np.uint8), key=0).shape
        (4, 6, 1)
    """

    name: str
    amount: float | None = None

    @property
    def words(self) -> str:
        """As one types it."""
        return self.name if self.amount is None else f"{self.name}:{self.amount:g}"

    @property
    def about(self) -> str:
        """As one types it, and what it is for."""
        return f"{self.words} ({KINDS[self.name].about})"

    def channels(self, target: int) -> int:
        """Channels of sources of targets with so many."""
        if KINDS[self.name].grey:
            return 1
        return 3 if self.name == "jpeg" and target == 4 else target

    def __call__(self, pixels: Pixels, key: int) -> Pixels:
        """The source of a target ``[H, W, C]``; ``key`` says what is random in it."""
        rng = np.random.RandomState([key & 0xFFFFFFFF, key >> 32 & 0xFFFFFFFF])
        return KINDS[self.name].make(pixels, self.amount, rng)


def technique(words: str) -> Technique | None:
    """What ``--pairs`` says; None where both sides are in the dataset (``"none"``), or a teacher makes them.

    Raises:
        UserError: no such technique, or an amount that it doesn't take.
    """
    if words == "none" or words.startswith(TEACHER):
        if words == TEACHER:
            raise UserError("a teacher is not named", where="--pairs", hint="write teacher:RUN, a run or a file")
        return None
    name, _, text = words.partition(":")
    if name not in KINDS:
        known = ", ".join(KINDS)
        raise UserError(f"{words!r} is no way to make pairs", where="--pairs", hint=f"choose {known}, or teacher:RUN")
    kind = KINDS[name]
    if not text:
        if ":" in words:
            raise UserError(f"{words!r} lacks a number", where="--pairs", hint=f"write {name}, or {name}:4")
        return Technique(name, kind.usual)
    if kind.amounts is None:
        raise UserError(f"{name} takes no number", where="--pairs", hint=f"write {name} alone")
    least, most = kind.amounts
    if not re.fullmatch(r"\d{1,6}(\.\d{1,6})?", text, re.ASCII) or not least <= float(text) <= most:
        raise UserError(f"{text!r} is no number from {least:g} to {most:g}", where=f"--pairs {name}")
    return Technique(name, float(text))


class Made(Dataset):
    """The sources that a technique makes of a dataset's images.

    Args:
        target: the images.
        technique: how.

    Example:
        >>> from organza import open_dataset
        >>> made = Made(open_dataset(faces), technique("grey"))
        >>> made.spec.channels, made.fetch([0])[0].shape
        (1, (1, 16, 16, 1))
    """

    def __init__(self, target: Dataset, technique: Technique | None) -> None:
        assert technique is not None
        super().__init__(target.name, target._folder, target._meta, mirror=target.mirror)
        self._rows, self.technique, self.part = target._rows, technique, target.part
        self.key = hashlib.sha256(f"{target.key} {technique.words}".encode()).hexdigest()[:20]

    @property
    def spec(self) -> DataSpec:
        """As of the targets, with the channels of sources."""
        whole = super().spec
        return replace(whole, channels=self.technique.channels(whole.channels))

    def select(self, indices: ArrayLike) -> Made:
        """Sources of some of the images, in the given order."""
        return Made(super().select(indices), self.technique)

    def fetch(self, indices: ArrayLike) -> tuple[Pixels, NDArray[np.float32]]:
        """Sources by number, always the same ones; see `Dataset.fetch`."""
        wanted = np.asarray(indices, np.int64).reshape(-1)
        images, labels = self.originals(wanted)
        return self.shown(images, self._stored(wanted), seed=0), labels

    def originals(self, indices: ArrayLike) -> tuple[Pixels, NDArray[np.float32]]:
        """The images that sources are made of."""
        return super().fetch(indices)

    def shown(self, images: Pixels, positions: NDArray[np.int64], seed: int) -> Pixels:
        """Sources of images ``[N, H, W, C]`` that stand at positions of a stream."""
        salt = mix(np.array([seed & 0xFFFFFFFFFFFFFFFF], np.uint64)) ^ np.uint64(0x3A1D)
        keys = mix(salt ^ positions.astype(np.uint64)).tolist()
        height, width = images.shape[1:3]
        found = np.empty((len(images), height, width, self.spec.channels), np.uint8)
        for place, (image, key) in enumerate(zip(images, keys, strict=True)):
            found[place] = self.technique(image, key)
        return found
