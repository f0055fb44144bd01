"""A checkpoint as a frozen callable: images in, images out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from organza.contract.data import DataSpec
from organza.contract.model import Mode, Translation
from organza.core.device import computing, fit_threads
from organza.core.errors import UserError
from organza.core.files import read_error, user_path
from organza.data.decode import read_image
from organza.data.source import MAX_FILE, BadPicture
from organza.media.images import Pixels, to_image, to_pixels, to_tensor
from organza.models.labels import label_vectors
from organza.models.loaded import Loaded
from organza.nn.norms import running
from organza.ops import inference

Size = Literal["trained", "own"] | tuple[int, int]
"""At which size an image is translated: its shorter side as in training, as it is, or (height, width)."""

Picture = str | Path | Image.Image | Pixels
"""An image as people have it: a file, a Pillow image, or uint8 ``[H, W]`` or ``[H, W, C]``."""


@dataclass(frozen=True)
class Translator(Loaded):
    """A trained translator. Made by `organza.load`; it never changes.

    Attributes:
        kind: the method's name, such as ``"pix2pix"``.
        net, critic, encoder: the networks; the last two None where there are none.
        source: the checkpoint that it was read from; None for a network made in memory.
        name, names: which of the checkpoint's models this is, and all of them.

    Example:
        >>> T.apply(torch.zeros(2, 3, 16, 24)).shape
        torch.Size([2, 3, 16, 24])
        >>> T.translate(np.zeros([30, 50, 3], np.uint8), size="own").size
        (50, 30)
    """

    kind: str
    spec: DataSpec
    model: Translation
    net: nn.Module
    critic: nn.Module | None
    device: torch.device
    dtype: torch.dtype
    source: Path | None = None
    name: str = "AtoB"
    names: tuple[str, ...] = ("AtoB",)
    encoder: nn.Module | None = None

    @property
    def mode(self) -> Mode:
        """What normalisation and dropout do unless told otherwise, as the method's authors have it."""
        return self.model.mode

    @property
    def multiple(self) -> int:
        """Height and width of what `apply` takes are multiples of this."""
        return self.model.multiple

    def apply(
        self,
        images: Tensor,
        labels: ArrayLike | Tensor | None = None,
        z: Tensor | None = None,
        mode: Mode | None = None,
    ) -> Tensor:
        """The network alone: nothing is resized or clamped.

        Args:
            images: float32 ``[N, C, H, W]`` in [-1, 1]; height and width are multiples of `multiple`.
            labels: of networks with labels: floats ``[N, label_dim]``, or a class for all or for each.
            z: of networks with style codes: ``[N, z_dim]``; None samples them from PyTorch's default generator.
            mode: ``"eval"`` or ``"train"``, see `Mode`; None: `mode`. Dropout of ``"train"`` takes PyTorch's default
                generator, and the batch's statistics depend on all its images.

        Returns:
            float32 ``[N, channels, H, W]``.

        Raises:
            UserError: images of another shape, labels or codes that don't fit.
        """
        images = torch.as_tensor(images, dtype=torch.float32, device=self.device)
        self._check(images)
        if mode not in (None, "eval", "train"):
            raise UserError(f"there is no mode {mode!r}", hint="choose eval or train")
        rows = label_vectors(labels, len(images), self.model.label_dim, self.device)
        if self.model.z_dim:
            size = [len(images), self.model.z_dim]
            z = torch.randn(size).to(self.device) if z is None else torch.as_tensor(z, device=self.device).float()
            if list(z.shape) != size:
                raise UserError(f"style codes {list(z.shape)} don't fit", hint=f"give {size}")
        elif z is not None:
            raise UserError(f"{self.kind} takes no style codes")
        if self.device.type == "cpu":
            fit_threads()
        with inference(), computing(self.dtype), running(self.net, mode or self.mode):
            return self.model.apply(self.net, images, rows, z).float()

    def _padded(self, side: int) -> int:
        """The next side that the network takes."""
        return -(-max(side, self.model.least) // self.multiple) * self.multiple

    def _check(self, images: Tensor) -> None:
        channels, multiple = self.model.source, self.multiple
        if images.ndim != 4 or images.shape[1] != channels:
            raise UserError(f"images {list(images.shape)} don't fit", hint=f"give [N, {channels}, H, W]")
        if any(side % multiple or not side for side in images.shape[2:]):
            height, width = images.shape[2:]
            raise UserError(f"{width}x{height} pixels", hint=f"width and height must be multiples of {multiple}")
        if min(images.shape[2:]) < self.model.least:
            raise UserError(f"images {list(images.shape)} are too small", hint=f"{self.model.least} pixels at least")

    @torch.no_grad()
    def discriminator(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """Logits ``[N, 1, h, w]``, one for each patch, of images float32 ``[N, C, H, W]`` in [-1, 1]; high means real.

        Args:
            images: real or translated ones.
            condition: the source images, of a discriminator that sees them too.

        Raises:
            UserError: the network was loaded without its discriminator, or the condition is missing or too much.
        """
        if self.critic is None:
            raise UserError("no discriminator is loaded", hint='use load(path, networks="all")')
        if (condition is not None) != self.model.conditional:
            what = "needs the source images as well" if self.model.conditional else "takes no source images"
            raise UserError(f"the discriminator of {self.kind} {what}", hint="see the argument `condition`")
        images = torch.as_tensor(images, dtype=torch.float32, device=self.device)
        given = None if condition is None else torch.as_tensor(condition, dtype=torch.float32, device=self.device)
        with computing(self.dtype):
            logits = self.critic(images, given)
        found: Tensor = logits[0] if isinstance(logits, tuple) else logits
        return found.float()

    def encode(self, images: Picture | Sequence[Picture]) -> Tensor:
        """The style codes of images that could be results: with its own code, a source becomes most like such an image.

        Each is resized until its shorter side is that of the training, and encoded by itself.

        Args:
            images: as for `translate`, of the domain that is translated into.

        Returns:
            float32 ``[N, z_dim]``.

        Raises:
            UserError: the network has no encoder, or something that is no image.
        """
        model = self.model
        if self.encoder is None or model.encode is None:
            hint = "its encoder's file belongs beside it" if model.z_dim else None
            raise UserError(f"{self.kind} has no encoder here", where=self.source, hint=hint)
        several = isinstance(images, (list, tuple)) or (isinstance(images, np.ndarray) and images.ndim == 4)
        given: Sequence[Any] = images if several else [images]  # type: ignore[assignment]
        codes = []
        for each in given:
            image = self.read(each, model.channels)
            height, width = (max(side, model.least_encoded) for side in _fitting(image, "trained", self.resolution))
            pixels = np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))
            x = to_tensor(pixels.reshape(1, height, width, model.channels)).to(self.device)
            with inference(), computing(self.dtype), running(self.encoder, self.mode):
                codes.append(model.encode(self.encoder, x).float())
        return torch.cat(codes)

    def translate(
        self,
        images: Picture | Sequence[Picture],
        labels: ArrayLike | Tensor | None = None,
        z: Tensor | None = None,
        *,
        size: Size = "trained",
        mode: Mode | None = None,
        seed: int = 0,
    ) -> Any:
        """Translate images as people have them, of any size.

        Each is translated by itself, so that nothing depends on its neighbours; the margin that a network needs is
        mirrored and cut off again.

        Args:
            images: a file, a Pillow image or an array uint8 ``[H, W]`` or ``[H, W, C]``; or several, of any sizes.
            labels, z, mode: as for `apply`.
            size: see `Size`.
            seed: of dropout and style codes.

        Returns:
            A Pillow image; of several, a list of them.

        Raises:
            UserError: something that is no image, or as `apply`.
        """
        several = isinstance(images, (list, tuple)) or (isinstance(images, np.ndarray) and images.ndim == 4)
        given: Sequence[Any] = images if several else [images]  # type: ignore[assignment]
        rows = label_vectors(labels, len(given), self.model.label_dim, self.device)
        found = []
        for number, image in enumerate(given):
            code = z if z is None or len(z) == 1 else z[number : number + 1]
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed + number)
                found.append(self._translated(self.read(image), rows[number : number + 1], code, size, mode))
        return found if several else found[0]

    def read(self, image: Picture, channels: int | None = None) -> Image.Image:
        """An image as a person has it, upright, with the network's channels (those of its source, or ``channels``).

        Raises:
            UserError: it is no image, or broken.
        """
        where, channels = image if isinstance(image, (str, Path)) else None, channels or self.model.source
        try:
            if isinstance(image, (str, Path)):
                return read_image(_bytes(user_path(image)), channels)
            given = image if isinstance(image, Image.Image) else to_image(np.asarray(image))
            return read_image(given, channels)
        except (BadPicture, ValueError) as error:
            raise UserError(f"can't be used: {error}", where=where) from None

    def _translated(
        self, image: Image.Image, row: Tensor, z: Tensor | None, size: Size, mode: Mode | None
    ) -> Image.Image:
        height, width = _fitting(image, size, self.resolution)
        if (width, height) != image.size:
            image = image.resize((width, height), Image.Resampling.LANCZOS)
        x = to_tensor(np.asarray(image).reshape(1, height, width, self.model.source))
        down, right = (self._padded(side) - side for side in (height, width))
        if down or right:
            x = _mirrored(x, (right // 2, right - right // 2, down // 2, down - down // 2))
        y = self.apply(x, row if self.model.label_dim else None, z, mode)
        scale = y.shape[2] / x.shape[2]
        top, left = round(down // 2 * scale), round(right // 2 * scale)
        y = y[:, :, top : top + round(height * scale), left : left + round(width * scale)]
        return to_image(to_pixels(y)[0])


def _fitting(image: Image.Image, size: Size, trained: tuple[int, int]) -> tuple[int, int]:
    """Height and width at which an image is translated."""
    if isinstance(size, tuple):
        height, width = size
    elif size == "own":
        height, width = image.height, image.width
    elif size == "trained":
        scale = min(trained) / min(image.size)
        height, width = max(1, round(image.height * scale)), max(1, round(image.width * scale))
    else:
        raise UserError(f"there is no size {size!r}", hint='choose "trained", "own" or (height, width)')
    if not 1 <= height * width <= 2**26:
        raise UserError(f"{width}x{height} pixels are too many at once", hint="give a smaller size")
    return height, width


def _mirrored(x: Tensor, edges: tuple[int, int, int, int]) -> Tensor:
    """Mirrored at its edges; where the image is smaller than the margin, its border is repeated."""
    most = max(edges[0], edges[1]) < x.shape[3] and max(edges[2], edges[3]) < x.shape[2]
    return F.pad(x, edges, mode="reflect" if most else "replicate")


def _bytes(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_FILE:
            raise UserError(f"{size / 2**20:.0f} MB is more than an image may have", where=path)
        return path.read_bytes()
    except OSError as error:
        raise read_error(path, error) from error
