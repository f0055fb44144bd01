"""PaddleGAN's StyleGAN2: a pickle of NumPy arrays by name, in rosinality's layout.

Linear weights are ``[in, out]``. Paddle pickles a tensor as a call of ``tuple`` or, where it has no name, of ``eval``
on a fixed text; both are only looked at.
"""

from __future__ import annotations

import re
from typing import Any

from organza.formats import rosinality
from organza.formats.opening import Opened
from organza.formats.records import Array, Stub
from organza.formats.weights import Entry, Weights, entry

NAMES = {"gen_ema": "G_ema", "gen": "G", "disc": "D"}
_LINEAR = re.compile(r"(style\.\d+|.*\.modulation|final_linear\.\d+)\.weight")


def recognise(opened: Opened) -> bool:
    """Whether it is a file of this kind."""
    return any("input.input" in part and "conv1.conv.weight" in part for part in _parts(opened).values())


def read(opened: Opened) -> Weights:
    """Our settings and tensors.

    Raises:
        UserError: a tensor is missing, unknown or misshaped.
    """
    parts = {name: {key: _entry(key, value) for key, value in part.items()} for name, part in _parts(opened).items()}
    mean = _array(opened.value.get("latent_avg"))
    mean_w = None if mean is None else entry(mean)
    return rosinality.assemble(opened, parts, mean_w, "PaddleGAN StyleGAN2 (Paddle)", "a file of PaddleGAN")


def _parts(opened: Opened) -> dict[str, dict[str, Array]]:
    value = opened.value
    if not isinstance(value, dict):
        return {}
    if "input.input" in value:  # one network by itself
        value = {"gen_ema": value}
    found: dict[str, dict[str, Array]] = {}
    for theirs, ours in NAMES.items():
        part = value.get(theirs)
        if isinstance(part, dict):
            arrays = {key: _array(item) for key, item in part.items() if isinstance(key, str)}
            found[ours] = {key: array for key, array in arrays.items() if array is not None}
    return found


def _array(value: Any) -> Array | None:
    """The array of a tensor, in whatever way Paddle pickled it; None if it is none."""
    if isinstance(value, Stub) and value.named("builtins.tuple", "__builtin__.tuple") and len(value.args) == 1:
        value = value.args[0]
    if isinstance(value, Stub) and value.named("builtins.eval", "__builtin__.eval") and len(value.args) == 2:
        value = value.args[1].get("data") if isinstance(value.args[1], dict) else None
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):  # with its name
        value = value[1]
    return value if isinstance(value, Array) else None


def _entry(name: str, value: Array) -> Entry:
    item = entry(value)
    if _LINEAR.fullmatch(name) and len(item.shape) == 2:
        return item.change((item.shape[1], item.shape[0]), lambda x: x.t().contiguous())
    return item
