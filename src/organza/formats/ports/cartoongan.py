"""CartoonGAN in PyTorch (znxlwm): ``generator_param.pkl``, with ``discriminator_param.pkl`` if it lies beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from organza.contract.data import DataSpec
from organza.core.errors import UserError
from organza.formats.ports.junyanz import network
from organza.formats.ports.junyanz_names import Names, used
from organza.formats.ports.translators import MOST_BLOCKS, Held, assemble, shape
from organza.formats.weights import Weights
from organza.methods.translation.cartoongan import CartoonGAN
from organza.tensors.entry import entry
from organza.tensors.opening import Opened, open_file
from organza.tensors.records import RefusedError

GENERATOR = ("down_convs.0.weight", "resnet_blocks.0.conv1.weight", "up_convs.8.weight")
CRITIC = ("convs.0.weight", "convs.15.weight")
LAYERS = {
    **{"down_convs.0": "stem.0", "down_convs.3": "downs.0.0", "down_convs.4": "downs.0.1", "down_convs.7": "downs.1.0"},
    **{"down_convs.8": "downs.1.1", "up_convs.0": "ups.0.0", "up_convs.1": "ups.0.1", "up_convs.4": "ups.1.0"},
    **{"up_convs.5": "ups.1.1", "up_convs.8": "head"},
    **{f"convs.{place}": f"layers.{layer}.0" for layer, place in enumerate((0, 2, 4, 7, 9, 12))},
    "convs.15": "head",
}
"""Their layers that have tensors, by ours."""


def understood(opened: Opened) -> Weights | None:
    """Our settings and tensors, if it is a generator of this kind."""
    with suppress(RefusedError):
        if (net := network(opened, GENERATOR)) is not None:
            held = {ours: entry(net.tensors[theirs]) for theirs, ours in our_names(net.tensors).items()}
            return _weights(opened, held)
    return None


def _weights(opened: Opened, held: Held) -> Weights:
    blocks = 1 + max(int(name.split(".")[1]) for name in held if name.startswith("blocks."))
    if blocks > MOST_BLOCKS:
        raise RefusedError(f"{blocks} residual blocks")
    width, source = shape(held, "stem.0.weight")[:2]
    channels = shape(held, "head.weight")[0]
    config = CartoonGAN(width=width, blocks=blocks, perceptor="voile64")
    parts, problems = {"G": held}, dict[str, str]()
    beside = opened.path.with_name(opened.path.name.replace("generator", "discriminator"))
    if beside != opened.path and beside.is_file():
        try:
            critic = network(open_file(beside), CRITIC)
            if critic is None:
                raise RefusedError(f"{beside.name} is no discriminator of CartoonGAN")
            parts["D"] = {ours: entry(critic.tensors[name]) for name, ours in our_names(critic.tensors).items()}
            config = replace(config, width_d=shape(parts["D"], "layers.0.0.weight")[0])
        except (UserError, RefusedError) as error:
            problems["D"] = error.what if isinstance(error, UserError) else str(error)
    spec = DataSpec((256, 256), channels, source=source)
    return assemble(opened, "CartoonGAN (znxlwm, PyTorch)", "cartoongan", spec, config, parts, "G", problems)


def our_names(theirs: Iterable[str]) -> Names:
    """Our names of a generator's tensors, or of a discriminator's.

    Raises:
        RefusedError: a name that neither has.

    Example:
        >>> our_names(["resnet_blocks.3.conv2.bias", "convs.7.weight"]).values()
        dict_values(['layers.3.0.weight', 'blocks.3.conv2.bias'])
    """
    found: Names = {}
    for name in used(theirs):
        layer, _, part = name.rpartition(".")
        if match := re.fullmatch(r"resnet_blocks\.(\d{1,3})\.(conv[12])", layer):
            found[name] = f"blocks.{match[1]}.{match[2]}.{part}"
        elif layer in LAYERS:
            found[name] = f"{LAYERS[layer]}.{part}"
        else:
            raise RefusedError(f"the tensor {name[:80]!r} is unknown")
    return found
