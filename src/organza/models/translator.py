"""A checkpoint as a frozen callable: images in, images out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from organza.contract.data import DataSpec
from organza.contract.model import Memory, NormMode, Translation
from organza.contract.targets import every_target, label_names, target_vector
from organza.core.device import computing, fit_threads
from organza.core.errors import UserError
from organza.core.files import read_error, user_path
from organza.data.photo import Photo, read_label_map, read_photo
from organza.data.source import MAX_FILE, BadPicture
from organza.media.heat import overlay
from organza.media.images import Pixels
from organza.models.following import Following
from organza.models.labels import as_array, check_labels, is_classes, label_vectors
from organza.models.loaded import Loaded
from organza.models.tiles import OVERLAP, check_tiles, in_tiles
from organza.nn.clusters import codes
from organza.nn.norms import calibrated, running, with_statistics
from organza.ops import inference

Size = Literal["trained", "own"] | tuple[int, int]
"""At which size an image is translated: its shorter side as in training, as it is, or (height, width)."""

Picture = str | Path | Image.Image | Pixels | Photo
"""An image as people have it: a file, a Pillow image, or uint8 or uint16 ``[H, W]`` or ``[H, W, C]``."""


@dataclass(frozen=True)
class Translator(Loaded):
    """A trained translator. Made by `organza.load`; it never changes.

    Attributes:
        kind: the method's name, such as ``"pix2pix"``.
        net, critic, encoder: the networks; the last two None where there are none.
        source: the checkpoint that it was read from; None for a network made in memory.
        name, names: which of the checkpoint's models this is, and all of them.
        statistics: of batch normalisation in the mode ``"calibrated"``, by the names of buffers; {} without.
        preferred: the mode that was measured to be the best, or None.
        tile, overlap: see `tiled`; None: images are translated whole.

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
    statistics: Mapping[str, Tensor] = field(default_factory=dict)
    preferred: NormMode | None = None
    encoder: nn.Module | None = None
    tile: int | None = None
    overlap: int = OVERLAP

    @property
    def mode(self) -> NormMode:
        """What normalisation and dropout do unless told otherwise: what was measured to be the best after training,
        else what the method's authors do."""
        return self.preferred or self.model.mode

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of its labels, which `translate` takes as targets; none of a network without labels."""
        return label_names(self.spec) if self.model.label_dim else ()

    @property
    def multiple(self) -> int:
        """Height and width of what `apply` takes are multiples of this."""
        return self.model.multiple

    def apply(
        self,
        images: Tensor,
        labels: ArrayLike | Tensor | None = None,
        z: Tensor | None = None,
        mode: NormMode | None = None,
    ) -> Tensor:
        """The network alone: nothing is resized or clamped.

        Args:
            images: float32 ``[N, C, H, W]`` in [-1, 1]; height and width are multiples of `multiple`.
            labels: of networks with labels: floats ``[N, label_dim]``, or a class for all or for each.
            z: of networks with style codes: ``[N, z_dim]``; None samples them from PyTorch's default generator.
            mode: see `NormMode`; None: the property `mode`. Dropout of ``"train"`` takes PyTorch's default generator,
                and the batch's statistics depend on all its images.

        Returns:
            float32 ``[N, channels, H, W]``.

        Raises:
            UserError: images of another shape, labels or codes that don't fit.
        """
        images = torch.as_tensor(images, dtype=torch.float32, device=self.device)
        self._check(images)
        mode = self.check_mode(mode)
        rows = label_vectors(labels, len(images), self.model.label_dim, self.device)
        if self.model.z_dim:
            size = [len(images), self.model.z_dim]
            z = torch.randn(size).to(self.device) if z is None else torch.as_tensor(z, device=self.device).float()
            if list(z.shape) != size:
                raise UserError(f"style codes {list(z.shape)} don't fit", hint=f"give {size}")
            if not torch.isfinite(z).all():
                raise UserError("a style code is not finite")
        elif z is not None:
            raise UserError(f"{self.kind} takes no style codes")
        if self.device.type == "cpu":
            fit_threads()
        with self._running(mode):
            return self.model.apply(self.net, images, rows, z).float()

    @contextmanager
    def _running(self, mode: NormMode) -> Iterator[None]:
        statistics = self.statistics if mode == "calibrated" else {}
        plain = "eval" if mode == "calibrated" else mode
        with inference(), computing(self.dtype), running(self.net, plain), with_statistics(self.net, statistics):
            yield

    def check_mode(self, mode: NormMode | None) -> NormMode:
        """The mode that is meant by ``mode``, as for `apply`.

        Raises:
            UserError: there is no such mode, or it needs statistics that are not stored.
        """
        if mode is not None and mode not in get_args(NormMode):
            raise UserError(f"there is no mode {mode!r}", hint="choose eval, train or calibrated")
        if mode == "calibrated" and not self.statistics:
            raise UserError("no calibrated statistics are stored", hint="--calibrate DATA measures them")
        return mode or self.mode

    def calibrate(self, images: Iterable[Tensor]) -> Translator:
        """The same with statistics of batch normalisation over ``images``, and used with them.

        Args:
            images: batches of source images as `apply` takes them.

        Returns:
            One whose `mode` is ``"calibrated"``; the same as before where there is no batch normalisation.

        Raises:
            UserError: as `apply`.
        """

        def forward(x: Tensor) -> None:
            x = torch.as_tensor(x, dtype=torch.float32, device=self.device)
            self._check(x)
            rows = torch.zeros([len(x), self.model.label_dim], device=self.device)
            z = torch.zeros([len(x), self.model.z_dim], device=self.device) if self.model.z_dim else None
            with computing(self.dtype):
                self.model.apply(self.net, x, rows, z)

        with torch.no_grad():
            found = calibrated(self.net, (partial(forward, x) for x in images))
        return replace(self, statistics=found, preferred="calibrated") if found else self

    def using(self, statistics: Mapping[str, Tensor], mode: NormMode, where: Path) -> Translator:
        """The same with stored ``statistics``, used in ``mode``; ``where`` is for messages.

        Raises:
            UserError: the network has no such statistics.
        """
        wanted = {name: value.shape for name, value in self.net.named_buffers() if not name.endswith("_tracked")}
        for name, value in statistics.items():
            if wanted.get(name) != value.shape:
                raise UserError(f"statistics {name[:80]!r} don't fit the network", where=where, hint="delete this file")
        here = {name: value.to(self.device) for name, value in statistics.items()}
        return replace(self, statistics=here, preferred=mode)

    def in_mode(self, mode: NormMode) -> Translator:
        """The same, translating in ``mode`` unless told otherwise.

        Raises:
            UserError: as `check_mode`.
        """
        return replace(self, preferred=self.check_mode(mode))

    def tiled(self, tile: int, overlap: int = OVERLAP) -> Translator:
        """The same, translating large images in tiles: see `organza.models.tiles.in_tiles`. Memory holds one tile's
        features, and the image.

        Args:
            tile: height and width of a tile.
            overlap: what neighbours share.

        Raises:
            UserError: tiles that are too small, or a network for one size alone.
        """
        if self.model.only is not None:
            raise UserError(
                f"this {self.kind} takes images of one size alone, so there are no tiles", where=self.source
            )
        check_tiles(max(tile, 0), overlap, self.multiple, self.model.least)
        return replace(self, tile=tile, overlap=overlap)

    def _padded(self, side: int) -> int:
        """The next side that the network takes."""
        return -(-max(side, self.model.least) // self.multiple) * self.multiple

    def _check(self, images: Tensor) -> None:
        channels, multiple = self.model.source, self.multiple
        if images.ndim != 4 or images.shape[1] not in (channels, self.model.encoded or channels):
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
        codes = [torch.zeros(0, model.z_dim, device=self.device)]
        for each in _one_by_one(images)[0]:
            photo = self.read(each, model.channels)
            fitting = _fitting(photo.size, "trained", self.resolution)
            x = photo.resized(*(max(side, model.least_encoded) for side in fitting)).tensor().to(self.device)
            with inference(), computing(self.dtype), running(self.encoder, self.model.mode):
                codes.append(model.encode(self.encoder, x).float())
        return torch.cat(codes)

    def translate(
        self,
        images: Picture | Sequence[Picture],
        labels: ArrayLike | Tensor | None = None,
        z: Tensor | None = None,
        *,
        target: str | None = None,
        size: Size = "trained",
        mode: NormMode | None = None,
        seed: int = 0,
    ) -> Any:
        """Translate images as people have them, of any size.

        Each is translated by itself, so that nothing depends on its neighbours; the margin that a network needs is
        mirrored and cut off again.

        Args:
            images: a file, a Pillow image or an array, uint8 or uint16, ``[H, W]`` or ``[H, W, C]``; or several, of any
                sizes.
            labels, z, mode: as for `apply`.
            target: of networks with labels: what the images should become, by names of `targets`: ``"Young, no Male"``.
                ``labels`` are then those that the images have, where they are known: what is not named stays.
                Otherwise it is taken for 0.
            size: see `Size`.
            seed: of dropout and style codes.

        Returns:
            A Pillow image; of several, a list of them. Transparency of the input is kept, and 16 bits of grey; `photo`
            keeps those of colours, too.

        Raises:
            UserError: something that is no image, an unknown target, or as `apply`.
        """
        given, several = _one_by_one(images)
        if z is not None and (z.ndim != 2 or len(z) not in (1, len(given))):
            hint = f"give [{len(given)}, {self.model.z_dim}], or one for all"
            raise UserError(f"style codes {list(z.shape)} for {len(given)} images", hint=hint)
        rows = self._rows(labels, target, len(given))
        found = []
        for number, image in enumerate(given):
            code = z if z is None or len(z) == 1 else z[number : number + 1]
            row = rows[number : number + 1]
            found.append(self.photo(image, row, code, size=size, mode=mode, seed=seed + number).image())
        return found if several else found[0]

    def domains(
        self,
        image: Picture,
        labels: ArrayLike | Tensor | None = None,
        *,
        size: Size = "trained",
        mode: NormMode | None = None,
    ) -> dict[str, Image.Image]:
        """What an image becomes for each of `targets`, by name.

        Args:
            image, size, mode: as for `translate`.
            labels: those that the image has, where they are known: an attribute that it has is then taken away.

        Raises:
            UserError: a network without labels, or as `translate`.
        """
        if not self.targets:
            raise UserError(f"{self.kind} has no labels, so there are no targets to choose from")
        known = None if labels is None else self._rows(labels, None, 1)[0].tolist()
        given, found = self.read(image), {}
        for name, vector in every_target(self.spec, known).items():
            row = torch.tensor([vector], device=self.device)
            found[name] = self.photo(given, row, size=size, mode=mode).image()
        return found

    def _rows(self, labels: ArrayLike | Tensor | None, target: str | None, count: int) -> Tensor:
        """A label vector for each of ``count`` images."""
        if labels is not None and not self.model.label_dim and as_array(labels).size:
            raise UserError(f"{self.kind} has no labels, so it takes none", hint="leave them out")
        if isinstance(labels, str):
            raise UserError(f"labels {labels!r} are no numbers", hint="names are given as the target")
        if target is None:
            if labels is None and self.targets:
                listed = ", ".join(self.targets[:12]) + (" ..." if len(self.targets) > 12 else "")
                raise UserError(f"{self.kind} must be told what the images should become", hint=f"choose of {listed}")
            if labels is not None and len(self.spec.label_sets) > 1 and is_classes(as_array(labels)):
                # The mask follows from which set a class is of.
                places = np.broadcast_to(check_labels(labels, count, len(self.targets)).reshape(-1), count)
                labels = [target_vector(self.spec, self.targets[place]) for place in places]
            return label_vectors(labels, count, self.model.label_dim, self.device)
        if not self.targets:
            raise UserError(f"{self.kind} has no labels, so it takes no target")
        if labels is None:
            return torch.tensor([target_vector(self.spec, target)] * count, device=self.device)
        known = label_vectors(labels, count, self.model.label_dim, self.device)
        return torch.tensor([target_vector(self.spec, target, row) for row in known.tolist()], device=self.device)

    def heat(self, images: Picture | Sequence[Picture], *, size: Size = "trained") -> Any:
        """Where the network looks, as a heat map over each image: of networks with attention, such as U-GAT-IT.

        Args:
            images, size: as for `translate`.

        Returns:
            A Pillow image (RGB); of several, a list of them.

        Raises:
            UserError: a network without attention, or as `translate`.
        """
        look = self.model.heat
        if look is None:
            raise UserError(f"{self.kind} has no attention, so there is no heat map")

        def shown(x: Tensor) -> Tensor:
            with self._running(self.mode):
                return overlay(x, look(self.net, x.to(self.device)).to(x.device))

        given, several = _one_by_one(images)
        found = [self._framed(self.read(image), size, shown).image() for image in given]
        return found if several else found[0]

    def read(self, image: Picture, channels: int | None = None) -> Photo:
        """An image as a person has it, upright, with the network's channels (those of its source, or ``channels``).

        Raises:
            UserError: it is no image, or broken.
        """
        if isinstance(image, Photo):
            return image
        where = image if isinstance(image, (str, Path)) else None
        given = _bytes(user_path(image)) if isinstance(image, (str, Path)) else image
        try:
            known = given if isinstance(given, (bytes, Image.Image)) else np.asarray(given)
            return read_photo(known, channels) if channels is not None else self.source_of(known)
        except BadPicture as error:
            raise UserError(f"can't be used: {error}", where=where) from None

    def source_of(self, data: bytes | Image.Image | NDArray[Any]) -> Photo:
        """An image with the channels that the network is given, its classes as they are where it is a label map.

        Raises:
            BadPicture: it is no image, or broken, or a label map with a colour that is no class.
        """
        model = self.model
        if model.palette:
            return read_label_map(data, model.source, model.palette, model.palette_exact)
        return read_photo(data, model.source)

    def fitting(self, photo: Photo, size: Size = "trained") -> tuple[int, int]:
        """Height and width at which an image is translated.

        Raises:
            UserError: no such size, or too many pixels.
        """
        return _fitting(photo.size, size, self.resolution, whole=self.model.only is not None)

    def codes_of(self, choice: Mapping[int, int]) -> Tensor:
        """The style code that names a cluster of features for some classes of label maps; others get their largest.

        Args:
            choice: class -> cluster, both from 0 on.

        Returns:
            float32 ``[1, z_dim]``.

        Raises:
            UserError: no such class or cluster, or a network without features of regions.
        """
        if self.model.clusters is None:
            hint = "pix2pixhd has, trained with --features 3 on label maps"
            raise UserError(f"{self.kind} has no clusters of features here", where=self.source, hint=hint)
        return codes(self.model.clusters(self.net), choice)

    def photo(
        self,
        image: Picture,
        labels: ArrayLike | Tensor | None = None,
        z: Tensor | None = None,
        *,
        target: str | None = None,
        size: Size = "trained",
        mode: NormMode | None = None,
        seed: int = 0,
    ) -> Photo:
        """`translate` of one image, with all bits of the image that it was made of.

        Raises:
            UserError: as `translate`.
        """
        row = self._rows(labels, target, 1)

        def translated(x: Tensor) -> Tensor:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                return self.apply(x, row, z, mode)

        return self._framed(self.read(image), size, translated)

    def follow(self, *, cuts: bool = True) -> Following:
        """What translates the frames of a video one after the other and remembers those before: of networks that do,
        such as vid2vid.

        Args:
            cuts: begin a new sequence where one frame has little in common with the one before.

        Raises:
            UserError: a network that looks at single images, or tiles, which would each need a memory.

        Example:
            >>> T.follow()
            Traceback (most recent call last):
            ...
            organza.core.errors.UserError: cyclegan remembers nothing: each image is translated by itself
        """
        if self.model.follow is None:
            raise UserError(f"{self.kind} remembers nothing: each image is translated by itself")
        if self.tile is not None:
            raise UserError(f"{self.kind} remembers whole frames, not tiles", hint="leave --tile out, or say --size")
        return Following(self.read, self._framed, self.next, cuts)

    def next(self, frame: Tensor, memory: Memory, mode: NormMode | None = None) -> tuple[Tensor, Memory]:
        """The network alone, of networks that remember: a frame as `apply` takes it, with what is kept of those before.

        Args:
            frame: float32 ``[N, C, H, W]`` in [-1, 1].
            memory: what the frame before left; () where a sequence begins.
            mode: as for `apply`.

        Returns:
            float32 ``[N, channels, H, W]``, and what to keep.

        Raises:
            UserError: a frame of another shape.
        """
        assert self.model.follow is not None
        frame = frame.to(self.device)
        self._check(frame)
        with self._running(self.check_mode(mode)):
            found, memory = self.model.follow(self.net, frame, memory)
        return found.float(), memory

    def _framed(self, photo: Photo, size: Size, function: Callable[[Tensor], Tensor]) -> Photo:
        """What a function of images ``[1, C, H, W]`` makes of one, with the margin that the network needs."""
        only = self.model.only
        height, width = _fitting(photo.size, size, self.resolution, whole=only is not None)
        if only is not None and (height > only[0] or width > only[1]):
            what = f"{width}x{height} pixels are more than the {only[1]}x{only[0]} that this network takes"
            raise UserError(what, hint='take the size "trained"')
        given = photo.resized(height, width, exact=bool(self.model.palette))
        x = given.tensor()
        padded = only or (self._padded(height), self._padded(width))
        down, right = padded[0] - height, padded[1] - width
        if down or right:
            x = _mirrored(x, (right // 2, right - right // 2, down // 2, down - down // 2))
        y = function(x) if self.tile is None else in_tiles(x, function, self.tile, self.overlap, self.multiple)
        scale = y.shape[2] / x.shape[2]
        top, left = round(down // 2 * scale), round(right // 2 * scale)
        return given.like(y[:, :, top : top + round(height * scale), left : left + round(width * scale)])


def _one_by_one(images: Picture | Sequence[Picture]) -> tuple[list[Any], bool]:
    """Images as a sequence, and whether they were given as several."""
    if isinstance(images, (list, tuple)) or (isinstance(images, np.ndarray) and images.ndim == 4):
        return list(images), True
    return [images], False


def _fitting(own: tuple[int, int], size: Size, trained: tuple[int, int], whole: bool = False) -> tuple[int, int]:
    """Height and width at which an image is translated; ``whole``: it must fit into the size of training."""
    if isinstance(size, tuple):
        if len(size) != 2 or not all(isinstance(side, (int, np.integer)) and side > 0 for side in size):
            raise UserError(f"there is no size {size}", hint="give (height, width), two whole numbers from 1 up")
        height, width = map(int, size)
    elif size == "own":
        height, width = own
    elif size == "trained":
        scale = min(trained) / min(own)
        if whole:
            scale = min(trained[0] / own[0], trained[1] / own[1])
        height, width = max(1, round(own[0] * scale)), max(1, round(own[1] * scale))
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
