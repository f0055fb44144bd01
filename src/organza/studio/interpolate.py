"""A seamless loop through latent space: keyframes from seeds, and a smooth closed curve through them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from organza.core.errors import UserError
from organza.core.progress import Progress
from organza.media.audio import Sound, with_sound
from organza.media.images import Pixels, enlarge, make_grid, to_pixels
from organza.media.video import check_video, write_video
from organza.models.sampling import Noise, Sampling
from organza.studio.codes import batch_size, mapped, truncated

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from organza.models.generator import Generator

Space = Literal["w", "z"]
Curve = Literal["cubic", "linear"]

CELL_OFFSET = 1000
"""What is added to the seeds from one cell of the grid to the next when there are not enough for all."""


@dataclass(frozen=True)
class Plan:
    """Which seeds each cell of the grid passes through.

    Attributes:
        seeds: a row of keyframes for each cell.
        note: how the seeds were made or which were left out; empty when each was given and used.
    """

    seeds: tuple[tuple[int, ...], ...]
    note: str = ""


def plan(seeds: Sequence[int], cells: int) -> Plan:
    """Share ``seeds`` out over ``cells`` loops of equally many keyframes.

    With two seeds or more for each cell, the cells take them in turn. With fewer, every cell has as many keyframes as
    there are seeds: the first cell passes through these, the next through the same plus 1000, and so on.

    Raises:
        UserError: fewer than two seeds, or no cells.

    Example:
        >>> plan([0, 1, 2, 3], cells=2).seeds
        ((0, 1), (2, 3))
        >>> plan([5, 9], cells=2).seeds
        ((5, 9), (1005, 1009))
    """
    if cells < 1:
        raise UserError("a grid without cells", hint="give at least 1x1")
    if len(seeds) < 2:
        raise UserError("an interpolation needs two seeds or more", hint="give several, such as 1,5,9,13")
    if len(seeds) >= 2 * cells:
        count = len(seeds) // cells
        rows = tuple(tuple(seeds[cell * count : (cell + 1) * count]) for cell in range(cells))
        spare = len(seeds) - cells * count
        return Plan(rows, f"{cells} cells x {count} keyframes: the last {spare} of the seeds stay out" if spare else "")
    # In 32 bits, where seeds live.
    rows = tuple(tuple((seed + CELL_OFFSET * cell) % 2**32 for seed in seeds) for cell in range(cells))
    needed = f"{cells} cells x {len(seeds)} keyframes need {cells * len(seeds)} seeds"
    return Plan(rows, f"{needed}: each cell adds {CELL_OFFSET} to those of the cell before")


def periodic_cubic(keys: Tensor, times: ArrayLike) -> Tensor:
    """The closed natural curve through ``keys``: a cubic spline with continuous velocity and acceleration throughout.

    Args:
        keys: ``[K, ...]``, reached at times 0, 1, ..., K - 1; at time K the curve is at ``keys[0]`` again.
        times: ``[T]``, any real numbers.

    Returns:
        ``[T, ...]``.

    Example:
        >>> periodic_cubic(torch.tensor([0.0, 1.0]), [0, 0.5, 1, 1.5, 2]).tolist()
        [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    count = len(keys)
    flat = keys.double().reshape(count, -1)
    # Second derivatives m: m[i-1] + 4 m[i] + m[i+1] = 6 (y[i+1] - 2 y[i] + y[i-1]), indices modulo K.
    eye = torch.eye(count, dtype=torch.float64, device=keys.device)
    neighbours = eye.roll(1, 0) + eye.roll(-1, 0)
    moments = torch.linalg.solve(neighbours + 4 * eye, 6 * (neighbours - 2 * eye) @ flat)
    at = torch.as_tensor(np.asarray(times, np.float64), device=keys.device) % count
    left = at.floor().long() % count
    right = (left + 1) % count
    b = (at - at.floor())[:, None]
    a = 1 - b
    curve = a * flat[left] + b * flat[right] + ((a**3 - a) * moments[left] + (b**3 - b) * moments[right]) / 6
    result: Tensor = curve.to(keys.dtype).reshape(-1, *keys.shape[1:])
    return result


def periodic_linear(keys: Tensor, times: ArrayLike) -> Tensor:
    """The closed way along straight lines from each of ``keys [K, ...]`` to the next; see `periodic_cubic`.

    Example:
        >>> periodic_linear(torch.tensor([0.0, 1.0]), [0, 0.25, 1, 1.5]).tolist()
        [0.0, 0.25, 1.0, 0.5]
    """
    at = torch.as_tensor(np.asarray(times, np.float64), device=keys.device) % len(keys)
    left = at.floor().long() % len(keys)
    part = (at - at.floor()).to(keys.dtype).reshape(-1, *[1] * (keys.ndim - 1))
    return keys[left].lerp(keys[(left + 1) % len(keys)], part)


def periodic_slerp(keys: Tensor, times: ArrayLike) -> Tensor:
    """The closed path along great circles from each of ``keys`` to the next, its length changing evenly.

    Args:
        keys: ``[K, D]``, reached at times 0, 1, ..., K - 1; at time K the path is at ``keys[0]`` again.
        times: ``[T]``, any real numbers.

    Returns:
        ``[T, D]``.

    Example:
        >>> periodic_slerp(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), [0.5])
        tensor([[0.7071, 0.7071]])
    """
    count = len(keys)
    lengths = keys.double().norm(dim=1, keepdim=True)
    units = keys.double() / lengths
    at = torch.as_tensor(np.asarray(times, np.float64), device=keys.device) % count
    left = at.floor().long() % count
    right = (left + 1) % count
    b = (at - at.floor())[:, None]
    cosine = (units[left] * units[right]).sum(dim=1, keepdim=True).clamp(-1, 1)
    angle = cosine.acos()
    # Equal or opposite ends have no great circle of their own; the straight line is as good there.
    straight = angle.sin() < 1e-6
    sine = torch.where(straight, torch.ones_like(angle), angle.sin())
    first = torch.where(straight, 1 - b, ((1 - b) * angle).sin() / sine)
    second = torch.where(straight, b, (b * angle).sin() / sine)
    direction = first * units[left] + second * units[right]
    result: Tensor = (direction * ((1 - b) * lengths[left] + b * lengths[right])).to(keys.dtype)
    return result


Codes = Callable[["NDArray[np.float64]", int], Tensor]
"""(places in the loop from 0 to 1 ``[T]``, number of the cell) -> w's ``[T, num_ws, w_dim]``."""


def film(
    G: Generator,
    codes: Codes,
    places: NDArray[np.float64],
    cells: int = 1,
    *,
    columns: int | None = None,
    noise: Noise = "const",
) -> Iterator[Pixels]:
    """The frames of a video, uint8 ``[rows * H, columns * W, C]``, generated a batch at a time.

    Args:
        G: a network from `organza.load`.
        codes: what each cell shows when.
        places: where in the loop each frame is, from 0 to 1.
        cells: videos side by side.
        columns: cells in a row; None for an about square grid.
        noise: see `Noise`; fresh noise is another in each frame.
    """
    step = batch_size(G.resolution)
    waiting: list[Pixels] = []
    for start in range(0, len(places) * cells, step):
        # Counted cell by cell within frame after frame.
        index = np.arange(start, min(start + step, len(places) * cells))
        parts = [codes(places[i // cells : i // cells + 1], int(i % cells)) for i in index]
        # Seeded by the place in the loop, so that the same command gives the same video.
        rng = torch.Generator(G.device).manual_seed(start) if noise == "random" else None
        waiting.extend(to_pixels(G.synthesis(torch.cat(parts), noise, rng)))
        while len(waiting) >= cells:
            yield make_grid(np.stack(waiting[:cells]), columns)
            del waiting[:cells]


def through_seeds(
    G: Generator,
    seeds: Sequence[Sequence[int]],
    *,
    space: Space = "w",
    curve: Curve = "cubic",
    sampling: Sampling = Sampling(),
) -> Codes:
    """The loop of each cell through its seeds; see `frames`.

    Raises:
        UserError: what `Sampling.check` says.
    """
    sampling.check(G.latents, len(seeds[0]))
    z = [G.z(row) for row in seeds]
    if space == "w":
        return through_codes([mapped(G, row, sampling) for row in z], curve)
    return lambda places, cell: mapped(G, periodic_slerp(z[cell], places * len(z[cell])), sampling)


def through_codes(keys: Sequence[Tensor], curve: Curve = "cubic") -> Codes:
    """The loop of each cell through its w's ``[K, num_ws, w_dim]``."""
    path = periodic_cubic if curve == "cubic" else periodic_linear
    return lambda places, cell: path(keys[cell], places * len(keys[cell]))


def evenly(count: int) -> NDArray[np.float64]:
    """The places of ``count`` frames of a loop at even speed: 0, 1 / count, 2 / count ..."""
    return np.arange(count) / count


def frames(
    G: Generator,
    seeds: Sequence[Sequence[int]],
    count: int,
    *,
    columns: int | None = None,
    space: Space = "w",
    curve: Curve = "cubic",
    sampling: Sampling = Sampling(),
) -> Iterator[Pixels]:
    """``count`` frames of a loop, uint8 ``[rows * H, columns * W, C]``; the last leads on to the first.

    Args:
        G: a network from `organza.load`.
        seeds: for each cell the seeds of its keyframes, equally many; see `plan`.
        count: frames in the whole loop.
        columns: cells in a row; None for an about square grid.
        space: ``"w"``: through the keyframes' w; ``"z"``: along great circles between their z.
        curve: through w: ``"cubic"``, smooth, or ``"linear"``, straight from key to key.
        sampling: a label for all, truncation and noise.

    Raises:
        UserError: what `Sampling.check` says.

    Example:
        >>> from organza import load
        >>> [frame.shape for frame in frames(load(tiny_run), [(1, 5), (2, 6)], count=2, columns=2)]
        [(16, 32, 3), (16, 32, 3)]
    """
    codes = through_seeds(G, seeds, space=space, curve=curve, sampling=sampling)
    return film(G, codes, evenly(count), len(seeds), columns=columns, noise=sampling.noise)


def frame_count(seconds: float, fps: float) -> int:
    """Frames in a video.

    Raises:
        UserError: less than two, or more than a million.
    """
    count = round(seconds * fps) if np.isfinite(seconds) else 0
    if count > 10**6:
        raise UserError(f"{seconds:g} seconds at {fps:g} frames a second are {count:,} frames", hint="make it shorter")
    if count < 2:
        raise UserError(f"{seconds:g} seconds at {fps:g} frames a second make no video", hint="make it longer")
    return count


def interpolate(
    G: Generator,
    seeds: Sequence[int] | Tensor,
    output: str | os.PathLike[str],
    *,
    grid: tuple[int, int] = (1, 1),
    seconds: float | None = None,
    fps: float = 30.0,
    space: Space = "w",
    curve: Curve = "cubic",
    audio: str | os.PathLike[str] | None = None,
    sampling: Sampling = Sampling(),
    scale: int = 1,
    dither: bool = True,
    progress: Progress | None = None,
) -> Path:
    """Write a seamless loop through ``seeds``.

    Args:
        G: a network from `organza.load`.
        seeds: the keyframes; `plan` says how they are shared out over the cells. Or w's ``[N, num_ws, w_dim]`` from
            `organza.studio.codes.load_codes`, shared out evenly.
        output: ``.mp4`` (needs the extra ``video``), ``.gif`` or ``.webp``.
        grid: columns and rows of loops side by side.
        seconds: length of the whole loop: without it 8, or as long as ``audio``.
        fps: frames a second.
        space: ``"w"``: through the keyframes' w; ``"z"``: along great circles between their z.
        curve: through w: ``"cubic"``, smooth, or ``"linear"``, straight from key to key.
        audio: a file whose loudness drives the speed, see `organza.media.audio`; an ``.mp4`` sounds as well.
        sampling: a label for all, truncation and noise.
        scale: make each pixel a square of so many pixels.
        dither: see `organza.media.animation.write_gif`.
        progress: called with frames done and wanted.

    Returns:
        The path written.

    Raises:
        UserError: fewer than two seeds, no length, an unknown format, a missing extra, a file that can't be read or
            written.

    Example:
        >>> from organza import load
        >>> interpolate(load(tiny_run), [1, 5, 9, 13], tmp_path / "loop.gif", grid=(2, 1), seconds=0.5, fps=10).name
        'loop.gif'
    """
    columns, cells = grid[0], grid[0] * grid[1]
    if isinstance(seeds, Tensor):
        keys = share(seeds, cells)
    else:
        planned = plan(seeds, cells)
    path = check_video(output, fps)
    sound = None if audio is None else Sound.read(audio)
    seconds = seconds if seconds is not None else 8.0 if sound is None else sound.seconds
    count = frame_count(seconds, fps)
    if isinstance(seeds, Tensor):
        if space != "w":
            raise UserError("saved w's have no z", hint="leave --space z out")
        codes = through_codes([truncated(G, row, sampling) for row in keys], curve)
    else:
        codes = through_seeds(G, planned.seeds, space=space, curve=curve, sampling=sampling)
    places = evenly(count) if sound is None else sound.places(count, fps)
    drawn = (enlarge(frame, scale) for frame in film(G, codes, places, cells, columns=columns, noise=sampling.noise))
    if audio is not None and path.suffix.lower() == ".mp4":
        with with_sound(path, audio, seconds) as silent:
            write_video(silent, drawn, count, fps, progress=progress)
        return path
    return write_video(path, drawn, count, fps, dither=dither, progress=progress)


def share(keys: Tensor, cells: int) -> list[Tensor]:
    """Keyframes ``[N, ...]`` shared out evenly over ``cells`` loops; what is left over stays out.

    Raises:
        UserError: less than two for each.
    """
    if cells < 1:
        raise UserError("a grid without cells", hint="give at least 1x1")
    each = len(keys) // cells
    if each < 2:
        hint = "save more w's or make the grid smaller"
        raise UserError(f"{len(keys)} w's are not two keyframes for each of {cells} cells", hint=hint)
    return [keys[cell * each : (cell + 1) * each] for cell in range(cells)]
