"""Seeds, or saved w's, to images: one file each, or all in one grid."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from organza.core.arrays import read_arrays
from organza.core.errors import UserError
from organza.core.files import user_path
from organza.core.progress import Progress
from organza.media.exact import save_npy, save_png16
from organza.media.images import (
    PICTURE_SUFFIXES,
    Pixels,
    check_scale,
    check_suffix,
    enlarge,
    make_grid,
    save_picture,
    to_pixels,
)
from organza.models.sampling import Noise, Sampling
from organza.studio.codes import batch_size, check_seeds, codes, raw, truncated

if TYPE_CHECKING:
    from organza.models.generator import Generator


@dataclass(frozen=True)
class Job:
    """Images to generate, each with its name: the start of its file's name."""

    ws: Callable[[slice], Tensor]
    names: Sequence[str]
    noise: Noise
    noise_seeds: Sequence[int]

    def __len__(self) -> int:
        return len(self.names)

    def images(self, G: Generator) -> Iterator[Tensor]:
        """Each image in turn, float ``[1, C, H, W]``, generated a batch at a time."""
        step = batch_size(G.resolution)
        for start in range(0, len(self), step):
            part = slice(start, start + step)
            yield from raw(G, self.ws(part), self.noise, self.noise_seeds[part])

    def image(self, G: Generator, index: int) -> Tensor:
        """The image at ``index``, as `images` gives it: in a batch of another size the last bits would differ.

        Raises:
            UserError: there is no such image.
        """
        if not 0 <= index < len(self):
            raise UserError(f"there is no image {index}", hint=f"they go from 0 to {len(self) - 1}")
        step = batch_size(G.resolution)
        part = slice(index // step * step, index // step * step + step)
        return list(raw(G, self.ws(part), self.noise, self.noise_seeds[part]))[index % step]


def from_seeds(G: Generator, seeds: Sequence[int], sampling: Sampling = Sampling()) -> Job:
    """The images of ``seeds``; see `organza.studio.codes.codes`.

    Raises:
        UserError: no seeds, or what `Sampling.check` says.
    """
    check_seeds(G, seeds, sampling)

    def ws(part: slice) -> Tensor:
        return codes(G, list(seeds[part]), sampling.part(part, len(seeds)))

    return Job(ws, [f"seed{seed:04d}" for seed in seeds], sampling.noise, seeds)


def rows_of_texts(
    texts: Sequence[str] | NDArray[np.float32], seeds: Sequence[int], sampling: Sampling = Sampling()
) -> tuple[list[int], Sampling, tuple[int, int]]:
    """A grid with a row for each text and a column for each seed.

    Args:
        texts: words, or vectors ``[N, label_dim]``.
        seeds: whole numbers from 0 to 2^32 - 1.
        sampling: truncation and noise.

    Returns:
        A seed for each cell, the sampling with a text for each cell, and columns and rows.

    Example:
        >>> seeds, sampling, grid = rows_of_texts(["pink hair", "blue hair"], [0, 1, 2])
        >>> seeds, sampling.text[2:4], grid
        ([0, 1, 2, 0, 1, 2], ('pink hair', 'blue hair'), (3, 2))
    """
    size = (len(seeds), len(texts))
    if isinstance(texts, np.ndarray):
        sampling = replace(sampling, labels=np.repeat(texts, size[0], axis=0))
    else:
        sampling = replace(sampling, text=tuple(text for text in texts for _ in seeds))
    return [*seeds] * size[1], sampling, size


def load_vectors(path: str | os.PathLike[str], G: Generator) -> NDArray[np.float32]:
    """Vectors of texts for ``G``, float32 ``[N, label_dim]``, from an ``.npy`` or the ``embeddings`` of an ``.npz``.

    Raises:
        UserError: not such a file, or vectors of another length.
    """
    path = user_path(path)
    if not path.is_file():
        raise UserError("does not exist", where=path, hint="give an .npy or .npz with vectors of texts")
    if G.latents.text is None:
        raise UserError("this network takes no text", hint="leave --embeddings out")
    arrays = read_arrays(path)
    found = arrays.get("embeddings", next(iter(arrays.values())) if len(arrays) == 1 else np.zeros(0))
    rows = found.reshape(-1, found.shape[-1]) if found.ndim else found
    if found.dtype.kind not in "fiu" or rows.shape[-1] != G.label_dim or not len(rows):
        raise UserError(f"its vectors are {list(found.shape)}", where=path, hint=f"give [N, {G.label_dim}] numbers")
    return rows.astype(np.float32)


def from_codes(G: Generator, saved: Tensor, sampling: Sampling = Sampling()) -> Job:
    """The images of saved w's ``[N, num_ws, w_dim]``, from `organza.studio.codes.load_codes`.

    Raises:
        UserError: what `Sampling.check` says.
    """
    sampling.check(G.latents, None)
    names = [f"w{index:04d}" for index in range(len(saved))]
    return Job(lambda part: truncated(G, saved[part], sampling), names, sampling.noise, range(len(saved)))


def pictures(G: Generator, seeds: Sequence[int], sampling: Sampling = Sampling()) -> Iterator[Pixels]:
    """The image of each seed in turn, uint8 ``[H, W, C]``, generated a batch at a time.

    Args:
        G: a network from `organza.load`.
        seeds: whole numbers from 0 to 2^32 - 1.
        sampling: labels, truncation and noise.

    Raises:
        UserError: see `organza.studio.codes.codes`.

    Example:
        >>> from organza import load
        >>> next(pictures(load(tiny_run), [7], Sampling(psi=0.7))).shape
        (16, 16, 3)
    """
    return (to_pixels(image)[0] for image in from_seeds(G, seeds, sampling).images(G))


def generate(
    G: Generator,
    seeds: Sequence[int] | Job,
    *,
    output: str | os.PathLike[str] | None = None,
    outdir: str | os.PathLike[str] = "out",
    suffix: str = ".png",
    deep: bool = False,
    grid: tuple[int, int] | None = None,
    sampling: Sampling = Sampling(),
    scale: int = 1,
    only: int | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Write the images of ``seeds``.

    With ``grid`` or ``output`` they go into one file, else into one file each, called ``seed0000.png`` and so on.

    Args:
        G: a network from `organza.load`.
        seeds: whole numbers from 0 to 2^32 - 1; or what `from_codes` gives, and then ``sampling`` goes there.
        output: the one file; None with ``grid`` makes it ``grid.png`` in ``outdir``.
        outdir: folder of the files when ``output`` is None; made where missing.
        suffix: their format: ``.png``, ``.jpg``, ``.jpeg``, ``.webp``, or ``.npy`` for floats ``[H, W, C]``.
        deep: 16 bits a channel, in ``.png``.
        grid: columns and rows; None with ``output`` makes the grid about square. Cells without a seed stay empty.
        sampling: labels, truncation and noise.
        scale: make each pixel a square of so many pixels.
        only: write just the image at this place in ``seeds``, bit for bit as it comes among all of them.
        progress: called with images done and wanted.

    Returns:
        The files written.

    Raises:
        UserError: more seeds than cells, an unknown format, a file that can't be written, or what `from_seeds` says.

    Example:
        >>> from organza import load
        >>> G = load(tiny_run)
        >>> [path.name for path in generate(G, [0, 1], outdir=tmp_path)]
        ['seed0000.png', 'seed0001.png']
        >>> calm = Sampling(psi=0.7)
        >>> [path.name for path in generate(G, range(16), grid=(4, 4), sampling=calm, outdir=tmp_path)]
        ['grid.png']
    """
    job = seeds if isinstance(seeds, Job) else from_seeds(G, seeds, sampling)
    count = len(job) if only is None else 1
    if grid is not None and len(job) > grid[0] * grid[1]:
        cells = grid[0] * grid[1]
        hint = f"give at most {cells} seeds or a larger grid"
        raise UserError(f"{len(job)} seeds don't fit a grid of {grid[0]}x{grid[1]}", hint=hint)
    outdir = user_path(outdir)
    named = user_path(output) if output is not None else outdir / f"grid{suffix}"
    # Asked before the work rather than after it.
    check_suffix(named, (".png",) if deep else (*PICTURE_SUFFIXES, ".npy"))
    exact = deep or named.suffix.lower() == ".npy"
    single = output is not None or grid is not None
    if exact and (grid is not None or (single and count > 1)):
        raise UserError("16-bit and float files hold one image each", hint="leave --grid and --output out")

    drawn = _counted(job.images(G) if only is None else iter([job.image(G, only)]), count, progress)
    if single and not exact:
        picture = _grid(np.concatenate([to_pixels(image) for image in drawn]), grid)
        return [save_picture(enlarge(picture, scale), named)]
    names = job.names if only is None else [job.names[only]]
    paths = [named] if single else [Path(outdir, f"{name}{named.suffix}") for name in names]
    return [_save(image, path, deep, scale) for path, image in zip(paths, drawn, strict=True)]


def _save(image: Tensor, path: Path, deep: bool, scale: int) -> Path:
    if not deep and path.suffix.lower() != ".npy":
        return save_picture(enlarge(to_pixels(image)[0], scale), path)
    check_scale(image.shape[2], image.shape[3], scale)
    image = image.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    return save_png16(image, path) if deep else save_npy(image, path)


def _grid(images: Pixels, grid: tuple[int, int] | None) -> Pixels:
    if grid is not None:
        empty = np.full([grid[0] * grid[1] - len(images), *images.shape[1:]], 255, np.uint8)
        if images.shape[3] == 4:
            empty[..., 3] = 0
        images = np.concatenate([images, empty])
    return images[0] if len(images) == 1 else make_grid(images, grid[0] if grid is not None else None)


def _counted(images: Iterator[Tensor], count: int, progress: Progress | None) -> Iterator[Tensor]:
    for index, image in enumerate(images):
        yield image
        if progress is not None:
            progress(index + 1, count)


def all_codes(G: Generator, job: Job) -> Tensor:
    """Every w of a job, ``[N, num_ws, w_dim]``, as its images are generated: for `organza.studio.codes.save_codes`."""
    step = batch_size(G.resolution)
    return torch.cat([job.ws(slice(start, start + step)) for start in range(0, len(job), step)])
