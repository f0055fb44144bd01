"""Augmenting what the discriminator sees, reals and fakes alike, so that it can't memorise a small dataset.

Training Generative Adversarial Networks with Limited Data. Tero Karras, Miika Aittala, Janne Hellsten, Samuli Laine,
Jaakko Lehtinen, Timo Aila. NeurIPS 2020, arXiv 2006.06676 (ADA). Transformations are those of its appendix B: each
is drawn for each image with probability p, so that augmentations do not leak into what the generator generates as long
as p < 1 or so (appendix C).

Everything is differentiable with respect to the images, twice: the generator and R1 learn through it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from organza.core.errors import UserError
from organza.ops.warp import mirrored, shuffle, stretch, warp

GROUPS = ("blit", "geom", "color", "filter", "noise", "cutout")
"""Groups of transformations, in the order in which they are applied."""

_SYM2 = (-0.12940952255126037, 0.22414386804201339, 0.8365163037378079, 0.48296291314453416)
_BAND_POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)  # a typical image's, low frequencies first (appendix B.2)
_GREY = torch.tensor([1.0, 1.0, 1.0, 0.0]) / 3**0.5  # the luma axis


def groups(name: str) -> tuple[str, ...]:
    """The groups that a name stands for: one of `GROUPS`, or the initials of the first few as in ``"bgc"``.

    Raises:
        UserError: neither.

    Example:
        >>> groups("bgc"), groups("noise")
        (('blit', 'geom', 'color'), ('noise',))
    """
    if name in GROUPS:
        return (name,)
    if len(name) > 1 and name == "".join(group[0] for group in GROUPS)[: len(name)]:
        return GROUPS[: len(name)]
    raise UserError(f"no augmentation pipe is called {name!r}", hint=f"take {', '.join(GROUPS)}, or bg ... bgcfnc")


def augment(x: Tensor, p: float | Tensor, chosen: tuple[str, ...], rng: torch.Generator) -> Tensor:
    """Transform each image at random: appendix B of the ADA paper.

    Args:
        x: float32 ``[N, C, H, W]`` in [-1, 1] with 1 (grey), 3 (RGB) or 4 (RGBA) channels. Colours change in RGB alone.
        p: probability of each transformation, a number or a scalar tensor; 0 leaves the images as they are.
        chosen: some of `GROUPS`.
        rng: source of all randomness, on the device of ``x``.

    Returns:
        Shape of ``x``.

    Example:
        >>> x = torch.zeros(2, 3, 16, 16)
        >>> augment(x, 0.5, groups("bgc"), torch.Generator().manual_seed(0)).shape
        torch.Size([2, 3, 16, 16])
    """
    dice = _Dice(len(x), torch.as_tensor(p, dtype=torch.float32, device=x.device), rng)
    if "blit" in chosen or "geom" in chosen:
        x = _geometry(x, dice, chosen)
    if "color" in chosen:
        x = _colours(x, dice)
    if "filter" in chosen:
        x = _filter(x, dice)
    if "noise" in chosen:
        x = _noise(x, dice)
    if "cutout" in chosen:
        x = _cutout(x, dice)
    return x


class _Dice:
    """Draws for each of ``n`` images; what is drawn does not depend on p."""

    def __init__(self, n: int, p: Tensor, rng: torch.Generator) -> None:
        self.n, self.p, self.rng = n, p, rng

    def happens(self, p: Tensor | None = None) -> Tensor:
        """1 with probability p, else 0: ``[N]``."""
        return (self.uniform() < (self.p if p is None else p)).float()

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(self.n, *shape, generator=self.rng, device=self.p.device)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(self.n, *shape, generator=self.rng, device=self.p.device)


def _some(x: Tensor, which: Tensor, change: Callable[..., Tensor], *parameters: Tensor) -> Tensor:
    """``change(x, *parameters)`` for the images in ``which`` ``[N]``, the others untouched."""
    if x.device.type != "cpu":  # asking which would wait for the GPU
        return torch.where(which[:, None, None, None], change(x, *parameters), x)
    rows = which.nonzero().flatten()
    if not len(rows):
        return x
    if len(rows) == len(x):
        return change(x, *parameters)
    return x.index_copy(0, rows, change(x[rows], *(each[rows] for each in parameters)))


# --- geometry (appendix B.1) -----------------------------------------------------------------------------------------


class _Map:
    """The inverse of a growing chain of affine maps, for each image: pixel ``v`` comes from ``inverse @ v + offset``.

    Each method appends a map that acts after the others.
    """

    def __init__(self, n: int, device: torch.device) -> None:
        self.inverse = torch.eye(2, device=device).repeat(n, 1, 1)
        self.offset = torch.zeros(n, 2, device=device)

    def scale(self, x: Tensor, y: Tensor) -> None:
        self.inverse = self.inverse / torch.stack([x, y], 1)[:, None]

    def turn(self, cos: Tensor, sin: Tensor) -> None:
        back = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
        self.inverse = self.inverse @ back

    def move(self, by: Tensor) -> None:
        self.offset = self.offset - (self.inverse @ by[:, :, None])[:, :, 0]


def _geometry(x: Tensor, dice: _Dice, chosen: tuple[str, ...]) -> Tensor:
    """Exact moves of pixels where those are all; otherwise the whole chain in one resampling."""
    chain = _Map(len(x), x.device)
    size = torch.tensor([x.shape[3], x.shape[2]], dtype=torch.float32).to(x.device)
    blitted = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    if "blit" in chosen:
        flips = dice.happens() * (dice.uniform() < 0.5)
        chain.scale(1 - 2 * flips, torch.ones_like(flips))
        quarters = (dice.happens() * (dice.uniform() * 4).floor()).long()
        turns = torch.tensor([1.0, 0.0, -1.0, 0.0, 1.0]).to(x.device)
        chain.turn(turns[quarters], turns[quarters + 1])
        steps = (dice.happens()[:, None] * (dice.uniform(2) - 0.5) * 0.25 * size).round()
        chain.move(steps)
        blitted = (flips != 0) | (quarters != 0) | (steps != 0).any(1)
    blit = (chain.inverse, chain.offset)
    if "geom" not in chosen:
        return _some(x, blitted, shuffle, *blit)
    ones = torch.ones_like(dice.uniform())
    zooms = dice.happens()
    factor = torch.exp2(0.2 * dice.normal() * zooms)
    chain.scale(factor, factor)
    # A rotation before or after stretching has probability p in all.
    p_turn = 1 - (1 - dice.p.clamp(max=1)).sqrt()
    before = dice.happens(p_turn)
    angle = (2 * dice.uniform() - 1) * math.pi * before
    chain.turn(angle.cos(), angle.sin())
    stretches = dice.happens()
    factor = torch.exp2(0.2 * dice.normal() * stretches)
    chain.scale(factor, ones / factor)
    after = dice.happens(p_turn)
    angle = (2 * dice.uniform() - 1) * math.pi * after
    chain.turn(angle.cos(), angle.sin())
    shifts = dice.happens()
    chain.move(0.125 * dice.normal(2) * size * shifts[:, None])
    warped = (zooms + before + stretches + after + shifts) > 0
    x = _some(x, blitted & ~warped, shuffle, *blit)
    inverse, offset = chain.inverse, chain.offset
    if x.device.type != "cpu":
        return _some(x, warped, warp, inverse, offset)
    # Most images are not turned, or by right angles alone; these are much cheaper.
    straight = warped & (inverse[:, 0, 1] == 0) & (inverse[:, 1, 0] == 0)
    x = _some(x, straight, stretch, inverse.diagonal(dim1=1, dim2=2), offset)
    if x.shape[2] == x.shape[3]:
        crossed = warped & (inverse[:, 0, 0] == 0) & (inverse[:, 1, 1] == 0)
        swapped = inverse.flip(1), offset.flip(1)
        x = _some(x, crossed, _stretch_crossed, swapped[0].diagonal(dim1=1, dim2=2), swapped[1])
        straight = straight | crossed
    return _some(x, warped & ~straight, warp, inverse, offset)


def _stretch_crossed(x: Tensor, factor: Tensor, offset: Tensor) -> Tensor:
    return stretch(x.mT, factor, offset)


# --- colours (appendix B.1) ------------------------------------------------------------------------------------------


def _colours(x: Tensor, dice: _Dice) -> Tensor:
    """Brightness, contrast, luma flip, hue and saturation as one affine map of RGB."""
    axis = _GREY.to(x.device)
    along = axis[:, None] * axis
    unit = torch.eye(4, device=x.device)
    happens = [dice.happens() for _ in range(5)]
    shift, contrast, flips, turns, saturation = happens

    matrix = unit.repeat(len(x), 1, 1)
    matrix[:, :3, 3] = (0.2 * dice.normal() * shift)[:, None]
    matrix = _diagonal(torch.exp2(0.5 * dice.normal() * contrast)) @ matrix
    flips = flips * (dice.uniform() < 0.5)
    matrix = (unit - 2 * along * flips[:, None, None]) @ matrix
    matrix = _hue((2 * dice.uniform() - 1) * math.pi * turns) @ matrix
    factor = torch.exp2(dice.normal() * saturation)[:, None, None]
    matrix = (along + (unit - along) * factor) @ matrix
    if x.shape[1] == 1:
        mean = matrix[:, :3].mean(1)
        matrix = torch.stack([mean[:, :3].sum(1), mean[:, 3]], 1)
    return _some(x, torch.stack(happens).sum(0) > 0, _recolour, matrix.to(x.dtype))


def _diagonal(factor: Tensor) -> Tensor:
    return torch.diag_embed(torch.stack([factor, factor, factor, torch.ones_like(factor)], 1))


def _hue(angle: Tensor) -> Tensor:
    """Rotations of RGB about the grey axis, ``[N, 4, 4]`` (Rodrigues' formula)."""
    axis = _GREY.to(angle.device)
    ways = torch.tensor([[0.0, -1, 1, 0], [1, 0, -1, 0], [-1, 1, 0, 0], [0, 0, 0, 0]]).to(angle.device) / 3**0.5
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    turned = cos * torch.eye(4, device=angle.device) + sin * ways + (1 - cos) * axis[:, None] * axis
    turned[:, 3, 3] = 1
    return turned


def _recolour(x: Tensor, matrix: Tensor) -> Tensor:
    if x.shape[1] == 1:
        return x * matrix[:, 0, None, None, None] + matrix[:, 1, None, None, None]
    colours = (matrix[:, :3, :3] @ x[:, :3].flatten(2) + matrix[:, :3, 3:]).reshape(-1, 3, *x.shape[2:])
    return colours if x.shape[1] == 3 else torch.cat([colours, x[:, 3:]], 1)


# --- filtering and corruption (appendix B.2) -------------------------------------------------------------------------


def _filter(x: Tensor, dice: _Dice) -> Tensor:
    """Amplify or weaken four octaves of frequencies, keeping a typical image's power."""
    power = torch.tensor(_BAND_POWER).to(x.device)
    gains = torch.ones(len(x), 4, device=x.device)
    touched = torch.zeros(len(x), device=x.device)
    for band in range(4):
        happens = dice.happens()
        one = torch.ones(len(x), 4, device=x.device)
        one[:, band] = torch.exp2(dice.normal() * happens)
        gains = gains * one / (power * one.square()).sum(1, keepdim=True).sqrt()
        touched = touched + happens
    return _some(x, touched > 0, _equalise, gains)


def _equalise(x: Tensor, gains: Tensor) -> Tensor:
    """Filter rows and columns ``[N, C, H, W]`` with the sum of the four bands weighted by ``gains`` ``[N, 4]``."""
    rows, columns = (
        torch.einsum("nb,bij->nij", gains.to(x.dtype), _bands(n, x.dtype, x.device))[:, None] for n in x.shape[2:]
    )
    return rows @ x @ columns.mT


@lru_cache(maxsize=64)
def _bands(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The four filters, low frequencies first, as matrices ``[4, n, n]`` that sum to the identity."""
    matrices = np.zeros([4, n, n])
    lines = band_filters()
    for row in range(n):
        for k in range(lines.shape[1]):
            matrices[:, row, mirrored(row + k - lines.shape[1] // 2, n)] += lines[:, k]
    return torch.from_numpy(matrices).to(device, dtype)


def band_filters() -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Symmetric filters ``[4, 43]`` for the frequencies [0, 1/8], [1/8, 1/4], [1/4, 1/2], [1/2, 1] of the highest.

    From the half-band filter P(z) = H(z) H(1/z) / 2 of the wavelet sym2: 1 - P(z) passes the upper half, and
    P(z) (1 - P(z^2)) the upper half of the rest, and so on. They sum to 1.

    Example:
        >>> bool(np.allclose(band_filters().sum(0)[[20, 21, 22]], [0, 1, 0]))
        True
    """
    low = np.convolve(_SYM2, _SYM2[::-1]) / 2
    one = np.ones(1)
    rest, bands = one, []
    for octave in range(3):
        spread = np.zeros((len(low) - 1 << octave) + 1)
        spread[:: 1 << octave] = low
        high = -spread
        high[len(high) // 2] += 1
        bands.append(np.convolve(rest, high))
        rest = np.convolve(rest, spread)
    bands.append(rest)
    return np.stack([np.pad(band, (len(rest) - len(band)) // 2) for band in reversed(bands)])


def _noise(x: Tensor, dice: _Dice) -> Tensor:
    strength = 0.1 * dice.normal().abs() * dice.happens()
    return x + (strength[:, None, None, None] * dice.normal(*x.shape[1:])).to(x.dtype)


def _cutout(x: Tensor, dice: _Dice) -> Tensor:
    """Grey out a rectangle of half the sides, which may hang over the edges."""
    happens, centre = dice.happens(), dice.uniform(2)
    inside = torch.ones(len(x), 1, 1, dtype=torch.bool, device=x.device)
    for axis, n in enumerate(x.shape[2:]):
        places = (torch.arange(n, device=x.device) + 0.5) / n
        near = (places - centre[:, axis, None]).abs() < 0.25
        inside = inside & (near[:, :, None] if axis == 0 else near[:, None])
    return x.masked_fill((inside & (happens > 0)[:, None, None])[:, None], 0)
