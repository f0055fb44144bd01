"""What a cycle hides in its output.

Casey Chu, Andrey Zhmoginov, Mark Sandler: CycleGAN, a Master of Steganography. 2017, arXiv 1712.02950. A map made from
a photo can't say where each tree stands, yet the photo comes back with every tree: CycleGAN writes what its cycle needs
into the output, as a faint pattern of high frequency. It shows when it is amplified, and it is lost when the output is
changed by less than anybody sees: a cycle that breaks then did not come from what the output shows.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

from organza.core.errors import UserError
from organza.data.photo import Photo
from organza.media.images import to_image

if TYPE_CHECKING:
    from organza.media.images import Pixels
    from organza.models.translator import Picture, Size, Translator

BLUR = 2.0
"""Standard deviation, in pixels, of the blur that leaves what is not high frequency."""


@dataclass(frozen=True)
class Hidden:
    """What `hidden` found. Distances are means over pixels and channels, in levels of 255.

    Attributes:
        source, output, residue, cycle, after_jpeg, after_noise: images uint8 ``[H, W, C]`` of one size: what went in,
            what came out, its amplified high frequencies (128 for none), and what comes back: of the output as it is,
            after JPEG, and with noise.
        distance: from the source to what comes back.
        distance_jpeg, distance_noise: to what comes back after JPEG, and with noise.
        changed_jpeg, changed_noise: how much these change the output itself.
    """

    source: Pixels
    output: Pixels
    residue: Pixels
    cycle: Pixels
    after_jpeg: Pixels
    after_noise: Pixels
    distance: float
    distance_jpeg: float
    distance_noise: float
    changed_jpeg: float
    changed_noise: float

    @property
    def figure(self) -> Image.Image:
        """All six images side by side, in that order."""
        images = (self.source, self.output, self.residue, self.cycle, self.after_jpeg, self.after_noise)
        return Image.fromarray(np.concatenate([_rgb(image) for image in images], axis=1))

    @property
    def distances(self) -> tuple[float, float, float, float, float]:
        """The five numbers alone."""
        return self.distance, self.distance_jpeg, self.changed_jpeg, self.distance_noise, self.changed_noise


def told(found: Sequence[tuple[float, float, float, float, float]]) -> str:
    """The means of `Hidden.distances` of some images, for people.

    Example:
        >>> told([(4, 20, 1.5, 30, 2.4), (6, 22, 1.5, 30, 2.4)])
        'comes back to 5.0 levels; to 21.0 after JPEG, which changes the output by 1.5; to 30.0 with noise of 2.4'
    """
    back, jpeg, by_jpeg, noise, by_noise = np.mean(found, axis=0)
    return (
        f"comes back to {back:.1f} levels; to {jpeg:.1f} after JPEG, which changes the output by {by_jpeg:.1f}; "
        f"to {noise:.1f} with noise of {by_noise:.1f}"
    )


def hidden(
    there: Translator,
    home: Translator,
    image: Picture,
    *,
    size: Size = "trained",
    quality: int = 75,
    noise: float = 3.0,
    amplify: float = 8.0,
    seed: int = 0,
) -> Hidden:
    """Send an image there and home again, also over an output that was changed a little in between.

    Args:
        there, home: both ways of one CycleGAN, from `organza.load` with ``model="AtoB"`` and ``"BtoA"``.
        image: as for `Translator.translate`.
        size: likewise.
        quality: of the JPEG file, 1 to 95.
        noise: standard deviation of the noise, in levels of 255.
        amplify: factor on the high frequencies.
        seed: of the noise.

    Raises:
        UserError: something that is no image, or two networks that don't lead there and home.
    """
    if (home.model.source, home.model.channels) != (there.model.channels, there.model.source):
        raise UserError("these two networks don't lead there and home", hint="load both models of one CycleGAN")
    given = Photo(Photo(there.read(image).pixels).eight())  # a JPEG file holds 8 bits
    output = there.photo(given, size=size, seed=seed).image()
    rng = np.random.RandomState(seed)
    noisy = _array(output) + noise * rng.standard_normal(_array(output).shape)
    changed = [output, _jpeg(output, quality), to_image(_pixels(noisy))]
    backs = [_pixels(_array(home.translate(each, size="own", seed=seed))) for each in changed]
    source = to_image(given.eight()).resize(output.size, Image.Resampling.LANCZOS)
    residue = _array(output) - _array(output.filter(ImageFilter.GaussianBlur(BLUR)))
    distances = [float(np.abs(back - _array(source)).mean()) for back in backs]
    changes = [float(np.abs(_array(each) - _array(output)).mean()) for each in changed]
    return Hidden(
        source=_pixels(_array(source)),
        output=_pixels(_array(output)),
        residue=_pixels(128 + amplify * residue),
        cycle=backs[0],
        after_jpeg=backs[1],
        after_noise=backs[2],
        distance=distances[0],
        distance_jpeg=distances[1],
        distance_noise=distances[2],
        changed_jpeg=changes[1],
        changed_noise=changes[2],
    )


def _jpeg(image: Image.Image, quality: int) -> Image.Image:
    """The image as a JPEG file gives it back; transparency, which such files lack, stays as it is."""
    plain = image.convert("RGB") if image.mode == "RGBA" else image
    with io.BytesIO() as file:
        plain.save(file, "JPEG", quality=quality)
        found = Image.open(file).convert(plain.mode)
    if image.mode == "RGBA":
        found.putalpha(image.getchannel("A"))
    return found


def _array(image: Image.Image) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """``[H, W, C]``."""
    return np.asarray(image, np.float64).reshape(image.height, image.width, -1)


def _pixels(levels: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Pixels:
    found: Pixels = levels.round().clip(0, 255).astype(np.uint8)
    return found


def _rgb(image: Pixels) -> Pixels:
    return image.repeat(3, axis=2) if image.shape[2] == 1 else image[..., :3]
