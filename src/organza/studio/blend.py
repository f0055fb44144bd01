"""Two networks mixed layer by layer into a new one.

Layer swapping: Resolution Dependent GAN Interpolation for Controllable Image Synthesis Between Domains (Pinkney & Adler
2020, arXiv 2010.05334): weights are interpolated, by another amount at each size.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from torch import Tensor

from organza.core.errors import UserError
from organza.media.figure import table
from organza.media.images import PICTURE_SUFFIXES, check_suffix, save_picture
from organza.models.sampling import Sampling
from organza.studio.codes import codes, draw
from organza.weights.save import averaged, check_new, own_checkpoint, save_network

if TYPE_CHECKING:
    from organza.models.generator import Generator

Mapping = Literal["first", "second"]


def share(size: int, swap: float, width: float) -> float:
    """How much of the second network a layer of ``size`` pixels has: none below ``swap``, all from there up.

    With ``width`` it rises along a logistic curve over so many doublings of the size.

    Example:
        >>> [share(size, 16, 0) for size in (8, 16, 32)]
        [0.0, 1.0, 1.0]
        >>> [round(share(size, 16, 2), 2) for size in (4, 8, 16, 32)]
        [0.05, 0.27, 0.73, 0.95]
    """
    # Half way between two sizes the shares are equal.
    level = math.log2(size / swap) + 0.5
    if width == 0:
        return float(level > 0)
    return 1 / (1 + math.exp(min(-4 * level / width, 700)))  # math.exp goes no further


def layer_sizes(G: Generator) -> dict[str, int]:
    """The size in pixels (the longer side) at which each tensor of the synthesis works, by the tensor's name.

    Raises:
        UserError: a network whose layers have no sizes that are known.

    Example:
        >>> sizes = layer_sizes(G)
        >>> sizes["G.synthesis.blocks.0.const"], sizes["G.synthesis.blocks.3.conv0.weight"]
        (4, 32)
    """
    if G.latents.sizes is None:
        raise UserError(f"{G.kind} has no layers of known sizes", hint="give an amount for all layers instead")
    return {f"{G.latents.net}.{name}": size for name, size in G.latents.sizes(G.net).items()}


def _features(first: Generator, second: Generator) -> list[tuple[str, object, object]]:
    """What people know about two networks, side by side."""
    names = {"kind": "method", "resolution": "resolution", "channels": "channels", "label_dim": "labels"}
    return [(name, getattr(first, field), getattr(second, field)) for field, name in names.items()]


def blended(
    first: Generator,
    second: Generator,
    *,
    swap: int | None = 16,
    width: float = 0.0,
    amount: float = 1.0,
    mapping: Mapping = "first",
) -> dict[str, Tensor]:
    """The tensors of the mixture; see `blend`."""
    a, b = averaged(first), averaged(second)
    if {name: value.shape for name, value in a.items()} != {name: value.shape for name, value in b.items()}:
        differs = next(
            (f"{name}: {one} and {two}" for name, one, two in _features(first, second) if one != two),
            "layers of other kinds or widths",
        )
        raise UserError(
            f"the two networks are built differently ({differs})", hint="train the second from the first: --resume"
        )
    if not 0 <= amount <= 1:
        raise UserError(f"an amount of {amount:g}", hint="give a number from 0 to 1")
    if not 0 <= width < math.inf:
        raise UserError(f"a width of {width:g}", hint="give 0 for a clean cut, 1 or 2 for a soft one")
    if swap is not None and swap < 1:
        raise UserError(f"a size of {swap}", hint="give the first size of the second network, such as 16")
    sizes = {} if swap is None else layer_sizes(first)
    mixed: dict[str, Tensor] = {}
    for name, value in a.items():
        if swap is None:
            part = amount
        elif name in sizes:
            part = amount * share(sizes[name], swap, width)
        else:
            part = float(mapping == "second")
        # At the ends the tensors themselves, bit for bit.
        ends = {0.0: value, 1.0: b[name]}
        mixed[name] = ends[part] if part in ends else value.lerp(b[name], part)
    return mixed


def comparison(
    first: Generator,
    second: Generator,
    mixture: Generator,
    seeds: Sequence[int],
    output: str | os.PathLike[str],
    *,
    sampling: Sampling = Sampling(),
    scale: int = 1,
) -> Path:
    """Write the images of ``seeds`` by ``first``, by the mixture and by ``second``, a row each.

    Raises:
        UserError: see `organza.studio.codes.codes`; an unknown format; a file that can't be written.
    """
    path = check_suffix(output, PICTURE_SUFFIXES)
    rows = [draw(G, codes(G, seeds, sampling), sampling.noise) for G in (first, mixture, second)]
    return save_picture(table(np.concatenate(rows), len(seeds), scale), path)


def blend(
    first: Generator,
    second: Generator,
    output: str | os.PathLike[str],
    *,
    swap: int | None = 16,
    width: float = 0.0,
    amount: float = 1.0,
    mapping: Mapping = "first",
) -> Path:
    """Write a network with the coarse layers of ``first`` and the fine layers of ``second``.

    Networks mix well when one was trained on from the other.

    Args:
        first, second: networks from `organza.load`, built alike.
        output: a new folder, which `organza.load` opens.
        swap: the first size that comes from ``second``; None mixes all layers alike.
        width: doublings of the size over which the change is spread; 0 for a clean cut.
        amount: how much of ``second`` its layers have at most.
        mapping: whose mapping and mean w, where layers are swapped.

    Returns:
        The folder.

    Raises:
        UserError: networks built differently, or not by us; numbers out of range; ``output`` exists or can't be
            written.

    Example:
        >>> from organza import load
        >>> G = load(tiny_run)
        >>> load(blend(G, G, folder / "blend", swap=8)).kind
        'stylegan2'
    """
    check_new(output)
    names = f"{own_checkpoint(first)} and {own_checkpoint(second)}"
    tensors = blended(first, second, swap=swap, width=width, amount=amount, mapping=mapping)
    how = f"blend of {names}: swap {swap}, width {width:g}, amount {amount:g}, mapping {mapping}"
    return save_network(first, tensors, output, how)
