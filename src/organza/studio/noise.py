"""What the noise inputs do: the figures of StyleGAN (arXiv 1812.04948) on stochastic variation, 4 and 5.

Where noise inputs can be set one by one (`StyleAccess.noise`), layers can be switched; of other networks that hear
noise, such as lucidrains', the figure shows what all of it does.
"""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from organza.core.errors import UserError
from organza.media.figure import captioned, table
from organza.media.images import PICTURE_SUFFIXES, Pixels, check_suffix, save_picture
from organza.models.sampling import Sampling
from organza.studio.codes import codes, draw, raw

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from organza.models.generator import Generator

EXAMPLES = 4
"""Images with fresh noise beside the one with the stored noise."""


@dataclass(frozen=True)
class Variation:
    """What `noise` found.

    Attributes:
        path: the figure.
        deviation: standard deviation of each pixel over the samples ``[H, W]``, in levels of 255, the mean of colours.
    """

    path: Path
    deviation: NDArray[np.float64]


def noise_sizes(G: Generator) -> list[int]:
    """The larger side of each noise input, in their order; empty where there are none that can be switched.

    Example:
        >>> noise_sizes(G)
        [4, 8, 8, 16, 16, 32, 32]
    """
    styles = G.latents.styles
    return [] if styles is None else [max(one.plane.shape) for one in styles.noise(G.net)]


def with_noise(G: Generator, keep: Callable[[int], bool]) -> Generator:
    """``G`` with noise only on those inputs whose size ``keep`` accepts.

    Raises:
        UserError: the network has no noise inputs.
    """
    styles, net = G.latents.styles, copy.deepcopy(G.net)
    inputs = [] if styles is None else styles.noise(net)
    if not inputs:
        raise UserError(f"{G.kind} has no noise inputs", hint="try StyleGAN2")
    for one in inputs:
        if not keep(max(one.plane.shape)):
            one.strength.zero_()
    return replace(G, net=net)


def hears_noise(G: Generator, ws: Tensor) -> bool:
    """Whether the images of ``ws [N, num_ws, w_dim]`` change with the noise."""
    fresh = [torch.cat(list(raw(G, ws, "random", [seed] * len(ws)))) for seed in (0, 1)]
    return not torch.equal(*fresh)


def fine_from(resolution: tuple[int, int]) -> int:
    """The size from which noise counts as fine: 64 as in figure 5, or half the image where that is less.

    Example:
        >>> fine_from((1024, 1024)), fine_from((64, 64))
        (64, 32)
    """
    return min(64, max(resolution) // 2)


def deviation(G: Generator, ws: Tensor, samples: int, seed: int = 0) -> NDArray[np.float64]:
    """Standard deviation of each pixel of one image over ``samples`` Samples of noise, ``[H, W]``, in levels of 255.

    Args:
        G: a network from `organza.load`.
        ws: ``[1, num_ws, w_dim]``.
        samples: how many, at least 2.
        seed: the first sample; the next takes the number after it.

    Raises:
        UserError: fewer than 2 samples.
    """
    if samples < 2:
        raise UserError("a deviation needs two samples or more", hint="give 100, as in the paper")
    total = torch.zeros(1, G.channels, *G.resolution, dtype=torch.float64, device=G.device)
    squares = torch.zeros_like(total)
    first: Tensor | None = None
    for image in raw(G, ws.expand(samples, -1, -1), "random", range(seed, seed + samples)):
        levels = image.double() * 127.5
        first = levels if first is None else first
        # Differences from the first sample are small, so their squares lose no digits.
        total += levels - first
        squares += (levels - first) ** 2
    variance = (squares - total**2 / samples) / samples
    mean: NDArray[np.float64] = variance.clamp(min=0).sqrt().mean(1)[0].cpu().numpy()
    return mean


def noise(
    G: Generator,
    seed: int,
    output: str | os.PathLike[str],
    *,
    samples: int = 100,
    sampling: Sampling = Sampling(),
    scale: int = 1,
) -> Variation:
    """Write the figure for one seed.

    The first row, or the only one where layers can't be switched, shows the image with its stored noise, four samples
    of fresh noise, and the standard deviation of each pixel over ``samples`` samples, brightest where it is largest.
    The second shows fresh noise on all layers, on fine ones only (see `fine_from`), on coarse ones only, and on none,
    and where the fine and the coarse ones act.

    Args:
        G: a network from `organza.load` with noise inputs.
        seed: which image.
        output: ``.png``, ``.jpg``, ``.jpeg`` or ``.webp``.
        samples: how many for the deviation.
        sampling: its label and truncation; the figure shows every kind of noise.
        scale: make each pixel a square of so many pixels.

    Raises:
        UserError: a network without noise inputs, see `organza.studio.codes.codes`, an unknown format, a file that
            can't be written.
    """
    path = check_suffix(output, PICTURE_SUFFIXES)
    ws = codes(G, [seed], sampling)
    if not noise_sizes(G) and hears_noise(G, ws):
        return _whole(G, ws, path, samples, scale)
    edge = fine_from(G.resolution)
    fine, coarse = with_noise(G, lambda size: size >= edge), with_noise(G, lambda size: size < edge)
    everywhere = deviation(G, ws, samples)
    maps = [everywhere, deviation(fine, ws, samples), deviation(coarse, ws, samples)]
    most = max(float(values.max()) for values in maps)
    shown = [_grey(values, most, G.channels) for values in maps]
    fresh = draw(G, ws.expand(EXAMPLES, -1, -1), "random")
    parts = [draw(net, ws, "random") for net in (G, fine, coarse)]
    images = np.concatenate(
        [draw(G, ws), fresh, shown[0], *parts, draw(G, ws, "none"), shown[1], shown[2]],
    )
    columns = EXAMPLES + 2
    width = G.resolution[1]
    upper = table(images[:columns], columns, scale)
    lower = table(images[columns:], columns, scale)
    texts = (
        ["stored", *(f"fresh {n + 1}" for n in range(EXAMPLES)), "deviation"],
        ["all", "fine", "coarse", "none", "dev. fine", "dev. coarse"],
    )
    figure = np.concatenate([captioned(upper, texts[0], width, scale), captioned(lower, texts[1], width, scale)])
    return Variation(save_picture(figure, path), everywhere)


def _whole(G: Generator, ws: Tensor, path: Path, samples: int, scale: int) -> Variation:
    everywhere = deviation(G, ws, samples)
    shown = _grey(everywhere, float(everywhere.max()), G.channels)
    fresh = draw(G, ws.expand(EXAMPLES, -1, -1), "random")
    images = np.concatenate([draw(G, ws), fresh, draw(G, ws, "none"), shown])
    texts = ["stored", *(f"fresh {n + 1}" for n in range(EXAMPLES)), "none", "deviation"]
    figure = captioned(table(images, len(texts), scale), texts, G.resolution[1], scale)
    return Variation(save_picture(figure, path), everywhere)


def _grey(values: NDArray[np.float64], most: float, channels: int) -> Pixels:
    levels = np.rint(values / most * 255 if most > 0 else values).astype(np.uint8)[None, ..., None]
    grey: Pixels = np.repeat(levels, channels, axis=3)
    if channels == 4:
        grey[..., 3] = 255
    return grey
