"""AnimeGAN2 in PyTorch (bryandlee): ``paprika.pt`` and the like, each a generator alone.

Widths follow from the tensors' shapes. Whether corners lie on corners when features are enlarged is not in a file: they
do by default in that code, and here; its demonstration took the other way for some weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from organza.contract.data import DataSpec
from organza.formats.ports.junyanz import network
from organza.formats.ports.junyanz_names import Names
from organza.formats.ports.translators import assemble, shape
from organza.formats.weights import Weights
from organza.methods.translation.animegan import AnimeGAN
from organza.tensors.entry import entry
from organza.tensors.opening import Opened
from organza.tensors.records import RefusedError

MARKS = ("block_a.0.1.weight", "block_c.1.layers.0.1.weight", "out_layer.0.weight")


def understood(opened: Opened) -> Weights | None:
    """Our settings and tensors, if it is a generator of this kind."""
    with suppress(RefusedError):
        if (net := network(opened, MARKS)) is not None:
            held = {ours: entry(net.tensors[theirs]) for theirs, ours in our_names(net.tensors).items()}
            full, source = shape(held, "a.0.conv.weight")[:2]
            half, quarter = shape(held, "a.1.conv.weight")[0], shape(held, "b.0.conv.weight")[0]
            channels, inner = shape(held, "head.weight")[0], shape(held, "c.1.narrow.weight")[0]
            config = AnimeGAN(widths=(full, half, quarter, inner), perceptor="voile64")
            spec = DataSpec((512, 512), channels, source=source)
            facts = {"align_corners": "taken to be on, as in bryandlee's code by default; the file doesn't say"}
            format = "AnimeGAN2 (bryandlee, PyTorch)"
            return replace(assemble(opened, format, "animegan", spec, config, {"G": held}, "G", {}), facts=facts)
    return None


def our_names(theirs: Iterable[str]) -> Names:
    """Our names of a generator's tensors.

    Raises:
        RefusedError: a name that it has not.

    Example:
        >>> our_names(["block_b.1.2.bias", "block_c.3.layers.1.1.bias", "block_c.3.layers.3.weight"]).values()
        dict_values(['b.1.norm.bias', 'c.3.apart.conv.bias', 'c.3.norm.weight'])
    """
    found: Names = {}
    for name in theirs:
        if match := re.fullmatch(r"block_([a-e])\.(\d)\.([12])\.(weight|bias)", name):
            found[name] = f"{match[1]}.{match[2]}.{'conv' if match[3] == '1' else 'norm'}.{match[4]}"
        elif match := re.fullmatch(r"block_c\.(\d)\.layers\.([01])\.([12])\.(weight|bias)", name):
            part, layer = ("wide", "apart")[int(match[2])], "conv" if match[3] == "1" else "norm"
            found[name] = f"c.{match[1]}.{part}.{layer}.{match[4]}"
        elif match := re.fullmatch(r"block_c\.(\d)\.layers\.([23])\.(weight|bias)", name):
            found[name] = f"c.{match[1]}.{'narrow' if match[2] == '2' else 'norm'}.{match[3]}"
        elif name == "out_layer.0.weight":
            found[name] = "head.weight"
        else:
            raise RefusedError(f"the tensor {name[:80]!r} is unknown")
    return found
