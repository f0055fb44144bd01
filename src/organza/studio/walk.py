"""Random walks through latent space that end where they began."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from organza.core.errors import UserError
from organza.core.progress import Progress
from organza.media.images import enlarge
from organza.media.video import check_video, write_video
from organza.models.sampling import Sampling
from organza.studio.codes import mapped
from organza.studio.interpolate import film, frame_count

if TYPE_CHECKING:
    from organza.models.generator import Generator


def random_walk(seed: int, count: int, dim: int, smooth: float) -> NDArray[np.float32]:
    """A closed random walk ``[count, dim]``: white noise under a Gaussian that runs around the loop.

    As in the videos of Karras et al. 2018 (arXiv 1710.10196): each frame alone is a standard normal code, and frames
    closer than about ``smooth`` are alike.

    Args:
        seed: another seed walks elsewhere.
        count: frames in the loop.
        dim: length of a code.
        smooth: standard deviation of the Gaussian, in frames.

    Raises:
        UserError: ``smooth`` is not positive.

    Example:
        >>> walk = random_walk(0, 100, 64, smooth=10)
        >>> bool(abs(walk[0] - walk[-1]).mean() < 0.2), bool(abs(walk[0] - walk[50]).mean() > 0.7)
        (True, True)
    """
    if not 0 < smooth < np.inf:
        raise UserError(f"a smoothness of {smooth:g}", hint="give a positive number of seconds")
    digest = hashlib.blake2b(f"walk/{seed}".encode(), digest_size=4).digest()
    white = np.random.RandomState(int.from_bytes(digest, "little")).randn(count, dim)
    # The periodic Gaussian's gain at each frequency; its constant part is kept, so short loops stay random.
    gain = np.exp(-2 * (np.pi * smooth * np.fft.rfftfreq(count)) ** 2)
    # What is left of white noise's variance, so that each frame has variance 1 again.
    double = np.full(len(gain), 2.0)
    double[0] = 1
    if count % 2 == 0:
        double[-1] = 1
    power = (double * gain**2).sum() / count
    walk = np.fft.irfft(np.fft.rfft(white, axis=0) * gain[:, None], count, axis=0) / np.sqrt(power)
    return np.asarray(walk, np.float32)


def walk(
    G: Generator,
    seeds: Sequence[int],
    output: str | os.PathLike[str],
    *,
    grid: tuple[int, int] | None = None,
    seconds: float = 8.0,
    fps: float = 30.0,
    smooth: float | None = None,
    sampling: Sampling = Sampling(),
    scale: int = 1,
    dither: bool = True,
    progress: Progress | None = None,
) -> Path:
    """Write a video of random walks, one for each of ``seeds``; it is a seamless loop.

    Args:
        G: a network from `organza.load`.
        seeds: which walks; they do not pass through the images of these seeds.
        output: ``.mp4`` (needs the extra ``video``), ``.gif`` or ``.webp``.
        grid: columns and rows; None for an about square grid.
        seconds: length of the whole loop.
        fps: frames a second.
        smooth: seconds within which images stay alike; None takes 1, or a fifth of a shorter loop, which would stand
            still otherwise.
        sampling: a label for all, truncation (how far from the average the walk goes), and noise.
        scale: make each pixel a square of so many pixels.
        dither: see `organza.media.animation.write_gif`.
        progress: called with frames done and wanted.

    Returns:
        The path written.

    Raises:
        UserError: no seeds, more than cells, no length, an unknown format, a missing extra, a file that can't be
            written.

    Example:
        >>> walk(G, [0], folder / "walk.gif", seconds=0.3, fps=10).name
        'walk.gif'
    """
    if not len(seeds):
        raise UserError("no seeds", hint="give at least one, such as 0-3")
    sampling.check(G.latents, 1)
    if grid is not None and grid[0] * grid[1] != len(seeds):
        hint = "give one seed for each cell"
        raise UserError(f"{len(seeds)} seeds for a grid of {grid[0]}x{grid[1]}", hint=hint)
    path = check_video(output, fps)
    count = frame_count(seconds, fps)
    smooth = min(1.0, seconds / 5) if smooth is None else smooth
    paths = [torch.from_numpy(random_walk(seed, count, G.z_dim, smooth * fps)).to(G.device) for seed in seeds]

    def codes(places: NDArray[np.float64], cell: int) -> Tensor:
        index = torch.from_numpy(np.rint(places * count).astype(np.int64))
        return mapped(G, paths[cell][index], sampling)

    places = np.arange(count) / count
    drawn = film(G, codes, places, len(seeds), columns=None if grid is None else grid[0], noise=sampling.noise)
    return write_video(path, (enlarge(frame, scale) for frame in drawn), count, fps, dither=dither, progress=progress)
