"""Images to latent codes: what would a network generate them from? See `organza.studio.projection.invert` for how."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from torch import Tensor

from organza.core.errors import UserError
from organza.core.files import user_path
from organza.core.progress import Progress
from organza.data.align import Crop, align_face, five_point_quad
from organza.data.decode import Fit, Target, decode, open_picture, render
from organza.data.source import BadPicture
from organza.media.figure import table
from organza.media.images import (
    PICTURE_SUFFIXES,
    Pixels,
    check_suffix,
    enlarge,
    save_picture,
    to_image,
    to_pixels,
    to_tensor,
)
from organza.media.video import check_video, write_video
from organza.models.sampling import Sampling
from organza.studio.codes import draw, save_codes
from organza.studio.projection.encoder import load_encoder
from organza.studio.projection.invert import Projecting, Step, Tuning, optimise, tune
from organza.vision.perceptual import open_perceptual
from organza.weights.save import averaged, check_new, own_checkpoint, save_network

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from PIL.Image import Image

    from organza.models.generator import Generator

Film = Literal["mp4", "gif", "webp", "none"]
FRAMES = 75
"""Frames of the video of a projection, at most."""
FPS = 15


@dataclass(frozen=True)
class Projection:
    """What `project` found.

    Attributes:
        names: of the images.
        ws: ``[N, num_ws, w_dim]``.
        distance: perceptual, of each image's projection from it.
        error: root mean square of the difference of pixels, in levels of 255.
        tuned_error: the same after tuning; None without.
        perceptual: what the distance is.
        files: what was written, the comparison first.
    """

    names: tuple[str, ...]
    ws: Tensor
    distance: tuple[float, ...]
    error: tuple[float, ...]
    tuned_error: tuple[float, ...] | None
    perceptual: str
    files: tuple[Path, ...]


def read_targets(
    paths: Sequence[str | os.PathLike[str]],
    size: tuple[int, int],
    channels: int,
    fit: Fit = "center-crop",
    align: Align | None = None,
) -> tuple[list[str], Pixels]:
    """Images, and those in folders, made to fit: their names and pixels ``[N, H, W, C]``.

    Raises:
        UserError: none, one that can't be read, one without a face where ``align`` looks for it, or two of one name.
    """
    files: list[Path] = []
    for path in map(user_path, paths):
        inside = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES) if path.is_dir() else [path]
        if not inside:
            raise UserError("holds no images", where=path, hint="give images or a folder of them")
        files += inside
    if not files:
        raise UserError("no images", hint="give at least one")
    target = Target(size, channels, fit)
    images: list[Pixels] = []
    for file in files:
        try:
            image = decode(open_picture(file.read_bytes()))
            images.append(render(image if align is None else align(image, max(size)), target))
        except OSError as error:
            raise UserError("can't be read", where=file, hint="give an image or a folder of them") from error
        except BadPicture as error:
            raise UserError(f"{error}", where=file, hint="give another image") from error
        except NoFace as error:
            raise UserError("no face was found", where=file, hint="give another image, or don't align") from error
    names = [file.stem for file in files]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"two images are called {twice[0]}", hint="give them different names")
    return names, np.stack(images)


class NoFace(Exception):
    """Nothing to align."""


Align = Callable[["Image", int], "Image"]
"""(image, side in pixels) -> the aligned square; `NoFace` where there is none."""


def by_landmarks(weights: str | os.PathLike[str], crop: Crop = "ffhq") -> Align:
    """Cut out the largest face that MTCNN finds, as `organza.data.align.five_point_quad` crops.

    Args:
        weights: folder of its networks, see `organza.vision.mtcnn`.
        crop: FFHQ's, approximately, or the middle square of CelebA's.

    Raises:
        UserError: not such weights.
    """
    from organza.vision.mtcnn import Detector

    detector = Detector.read(weights)

    def align(image: Image, side: int) -> Image:
        picture = to_image(render(image, Target(None, 3)))
        if not (faces := detector.find(np.asarray(picture))):
            raise NoFace
        return align_face(picture, five_point_quad(faces[0].points, crop), side)

    return align


def project(
    G: Generator,
    pictures: Sequence[str | os.PathLike[str]],
    outdir: str | os.PathLike[str],
    *,
    settings: Projecting | None = None,
    tuning: Tuning | None = None,
    fit: Fit = "center-crop",
    align: Align | None = None,
    distance: str | os.PathLike[str] | None = None,
    encoder: str | os.PathLike[str] | None = None,
    labels: ArrayLike | None = None,
    seed: int = 0,
    film: Film = "gif",
    suffix: str = ".png",
    scale: int = 1,
    progress: Progress | None = None,
    show: Callable[[Pixels], None] | None = None,
) -> Projection:
    """Find the codes of images, several at once.

    Writes into ``outdir``: ``comparison.png`` (targets above, projections below, then tuned ones),
    ``target-NAME.png``, ``projected-NAME.png``, ``projected.npz`` (``w``, and the noise maps that were found as
    ``noise0``, ``noise1`` ...), a video of the search, and with ``tuning`` the network ``tuned`` and
    ``tuned-NAME.png``.

    Args:
        G: a network from `organza.load`.
        pictures: files, or folders of them.
        outdir: made where missing.
        settings: of the projection.
        tuning: tune the network's weights afterwards; None leaves them.
        fit: how images of another shape fit, see `organza.data.DataOptions`.
        align: cuts faces out first, such as `by_landmarks`: networks of aligned faces want aligned faces.
        distance: see `organza.vision.perceptual.open_perceptual`.
        encoder: a file of `organza.studio.projection.encoder` whose guess the search starts from; None starts
            from the mean w.
        labels: for conditional networks: the class.
        seed: of everything random.
        film: its format.
        suffix: of the images: ``.png``, ``.jpg``, ``.jpeg`` or ``.webp``.
        scale: make each pixel of comparison and video a square of so many pixels.
        progress: called with steps done and wanted.
        show: called with each frame of the video, uint8 ``[H, W, C]``: the targets above what is found so far.

    Raises:
        UserError: see `read_targets`; no steps; a network file that can't be used; a file that can't be written.

    Example:
        >>> from organza import load
        >>> target = load(tiny_run).generate([1])[0]
        >>> _ = save_picture(target, folder / "a.png")
        >>> quick = Projecting(steps=3, samples=10)
        >>> project(load(tiny_run), [folder / "a.png"], folder / "out", settings=quick, film="none").names
        ('a',)
    """
    settings = Projecting() if settings is None else settings
    Sampling(labels).check(G.latents, 1)
    if settings.steps < 1 or (tuning is not None and tuning.steps < 1):
        raise UserError("a search without steps", hint="give at least one, such as 1000")
    if tuning is not None:
        own_checkpoint(G)
        check_new(user_path(outdir) / "tuned")
    outdir = user_path(outdir)
    check_suffix(f"comparison{suffix}", PICTURE_SUFFIXES)
    moving = None if film == "none" else check_video(outdir / f"film.{film}", FPS)
    guess = None if encoder is None else load_encoder(encoder, G)
    names, pixels = read_targets(pictures, G.resolution, G.channels, fit, align)
    perceptual = open_perceptual(distance, G.channels, G.device)
    targets = to_tensor(pixels, G.device)
    start = None if guess is None else guess(targets)
    total = settings.steps + (0 if tuning is None else tuning.steps)
    search = _Search(optimise(G, targets, perceptual, settings, start=start, labels=labels, seed=seed), total, progress)
    wanted = np.unique(np.linspace(0, settings.steps, min(FRAMES, settings.steps + 1)).round().astype(int))

    def frame(step: Step) -> Pixels:
        found = enlarge(table(np.concatenate([pixels, to_pixels(step.images)]), len(pixels)), scale)
        if show is not None:
            show(found)
        return found

    frames = (frame(step) for step in search if step.number in wanted)
    files = []
    if moving is None:
        for _ in frames:
            pass
    else:
        files.append(write_video(moving, frames, len(wanted), FPS))
    last = search.last()
    ws, found = last.ws, to_pixels(last.images)
    shown, tuned_error = [pixels, found], None
    if tuning is not None:
        tuned = G
        for done, network in enumerate(tune(G, ws, targets, perceptual, tuning, labels=labels, seed=seed), 1):
            tuned = network
            if progress is not None:
                progress(settings.steps + done, total)
        after = draw(tuned, ws)
        shown.append(after)
        tuned_error = _error(after, pixels)
        files.append(save_network(G, averaged(tuned), outdir / "tuned", f"tuned to {', '.join(names)}"))
        files += [
            save_picture(image, outdir / f"tuned-{name}{suffix}") for name, image in zip(names, after, strict=True)
        ]
    maps = {f"noise{index}": noise.cpu().numpy() for index, noise in enumerate(last.noise)}
    files.append(save_codes(outdir / "projected.npz", ws, **maps))
    for name, target, image in zip(names, pixels, found, strict=True):
        files.append(save_picture(target, outdir / f"target-{name}{suffix}"))
        files.append(save_picture(image, outdir / f"projected-{name}{suffix}"))
    comparison = save_picture(table(np.concatenate(shown), len(pixels), scale), outdir / f"comparison{suffix}")
    return Projection(
        names=tuple(names),
        ws=ws,
        distance=tuple(last.distance.tolist()),
        error=_error(found, pixels),
        tuned_error=tuned_error,
        perceptual=perceptual.name,
        files=(comparison, *files),
    )


class _Search:
    """The steps of a search, counted, with the last one kept."""

    def __init__(self, steps: Iterator[Step], total: int, progress: Progress | None) -> None:
        self.steps, self.total, self.progress = steps, total, progress
        self.newest: Step | None = None

    def __iter__(self) -> Iterator[Step]:
        for step in self.steps:
            self.newest = step
            if self.progress is not None:
                self.progress(step.number, self.total)
            yield step

    def last(self) -> Step:
        for _ in self:
            pass
        assert self.newest is not None
        return self.newest


def _error(images: Pixels, targets: Pixels) -> tuple[float, ...]:
    square = (images.astype(np.float64) - targets) ** 2
    return tuple(np.sqrt(square.mean((1, 2, 3))).tolist())
