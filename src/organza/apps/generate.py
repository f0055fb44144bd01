"""Seeds to pictures: one file a seed, or all in one grid."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from organza.core.errors import UserError
from organza.core.pictures import PICTURE_SUFFIXES, Pixels, check_suffix, enlarge, make_grid, save_picture

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from organza.generator import Generator

Noise = Literal["const", "random", "none"]
Progress = Callable[[int, int], None]
"""Called with what is done and how much there is."""


def batch_size(resolution: tuple[int, int]) -> int:
    """Pictures of ``resolution`` (H, W) to draw at once: enough to keep the processor busy, few enough for any memory.

    Example:
        >>> batch_size((64, 64)), batch_size((1024, 1024))
        (16, 4)
    """
    return max(1, min(16, 2**22 // (resolution[0] * resolution[1])))


def check_request(G: Generator, labels: ArrayLike | None, psi: float, cutoff: int | None) -> None:
    """Refuse what ``G`` can't do, in words that say what it can.

    Raises:
        UserError: labels for a network without classes, a cutoff that it has no layers for, an infinite psi.
    """
    if not np.isfinite(psi):
        raise UserError(f"a truncation of {psi}", hint="give a number, such as 0.7")
    if cutoff is not None and not 0 <= cutoff <= G.num_ws:
        raise UserError(f"a cutoff of {cutoff}", hint=f"this network has {G.num_ws} layers to truncate")
    if labels is not None and G.label_dim == 0:
        raise UserError("this network has no classes", hint="leave the class out")


def pictures(
    G: Generator,
    seeds: Sequence[int],
    *,
    labels: ArrayLike | None = None,
    psi: float = 1.0,
    cutoff: int | None = None,
    noise: Noise = "const",
) -> Iterator[Pixels]:
    """The picture of each seed in turn, uint8 ``[H, W, C]``, drawn a batch at a time.

    Args:
        G: a network from `organza.load`.
        seeds: whole numbers from 0 to 2^32 - 1.
        labels: for conditional networks: one class index or label vector for all, or one for each seed.
        psi: truncation: 1 for the full variety, 0 for the average picture.
        cutoff: truncate only the first so many layers.
        noise: the stored noise, fresh noise for each seed, or none.

    Raises:
        UserError: a seed is out of range, a class is missing, unknown, or given to a network without classes.

    Example:
        >>> from organza import load
        >>> next(pictures(load(tiny_run), [7], psi=0.7)).shape
        (16, 16, 3)
    """
    check_request(G, labels, psi, cutoff)
    per_seed = labels is not None and np.ndim(labels) > 0 and len(np.asarray(labels)) == len(seeds) > 1
    step = batch_size(G.resolution)
    for start in range(0, len(seeds), step):
        part = slice(start, start + step)
        chosen = np.asarray(labels)[part] if per_seed else labels
        yield from G.generate(seeds=list(seeds[part]), labels=chosen, psi=psi, cutoff=cutoff, noise=noise)


def generate(
    G: Generator,
    seeds: Sequence[int],
    *,
    output: str | os.PathLike[str] | None = None,
    outdir: str | os.PathLike[str] = "out",
    suffix: str = ".png",
    grid: tuple[int, int] | None = None,
    labels: ArrayLike | None = None,
    psi: float = 1.0,
    cutoff: int | None = None,
    noise: Noise = "const",
    scale: int = 1,
    progress: Progress | None = None,
) -> list[Path]:
    """Write the pictures of ``seeds``.

    With ``grid`` or ``output`` they go into one file, else into one file each, called ``seed0000.png`` and so on.

    Args:
        G: a network from `organza.load`.
        seeds: whole numbers from 0 to 2^32 - 1.
        output: the one file; None with ``grid`` makes it ``grid.png`` in ``outdir``.
        outdir: folder of the files when ``output`` is None; made where missing.
        suffix: their format: ``.png``, ``.jpg``, ``.jpeg`` or ``.webp``.
        grid: columns and rows; None with ``output`` makes the grid about square. Cells without a seed stay empty.
        labels, psi, cutoff, noise: see `pictures`.
        scale: make each pixel a square of so many pixels.
        progress: called with pictures done and wanted.

    Returns:
        The files written.

    Raises:
        UserError: no seeds, more seeds than cells, an unknown format, a file that can't be written, or see `pictures`.

    Example:
        >>> from organza import load
        >>> G = load(tiny_run)
        >>> [path.name for path in generate(G, [0, 1], outdir=tmp_path)]
        ['seed0000.png', 'seed0001.png']
        >>> [path.name for path in generate(G, range(16), grid=(4, 4), psi=0.7, outdir=tmp_path)]
        ['grid.png']
    """
    if not seeds:
        raise UserError("no seeds", hint="give at least one, such as 0-15")
    single = output is not None or grid is not None
    if grid is not None:
        columns, rows = grid
        if len(seeds) > columns * rows:
            hint = f"give at most {columns * rows} seeds or a larger grid"
            raise UserError(f"{len(seeds)} seeds don't fit a grid of {columns}x{rows}", hint=hint)
    named = Path(output) if output is not None else Path(outdir, f"grid{suffix}")
    # Asked before the work rather than after it.
    check_suffix(named, PICTURE_SUFFIXES)

    drawn = _counted(pictures(G, seeds, labels=labels, psi=psi, cutoff=cutoff, noise=noise), len(seeds), progress)
    if single:
        images = np.stack(list(drawn))
        if grid is not None:
            empty = np.full([grid[0] * grid[1] - len(images), *images.shape[1:]], 255, np.uint8)
            if images.shape[3] == 4:
                empty[..., 3] = 0
            images = np.concatenate([images, empty])
        picture = images[0] if len(images) == 1 else make_grid(images, grid[0] if grid is not None else None)
        return [save_picture(enlarge(picture, scale), named)]
    return [
        save_picture(enlarge(image, scale), Path(outdir, f"seed{seed:04d}{suffix}"))
        for seed, image in zip(seeds, drawn, strict=True)
    ]


def _counted(images: Iterator[Pixels], count: int, progress: Progress | None) -> Iterator[Pixels]:
    for index, image in enumerate(images):
        yield image
        if progress is not None:
            progress(index + 1, count)
