"""Somebody's network, understood: our settings for it, and where each of our tensors comes from."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from organza.contract.data import DataSpec
from organza.contract.method import Method, MethodConfig
from organza.contract.model import Latents, Model
from organza.core.errors import UserError
from organza.core.messages import logger
from organza.core.version import __version__
from organza.ops import setup_filter
from organza.tensors.entry import Entry, constant
from organza.tensors.networks import near
from organza.tensors.records import RefusedError, brief

log = logger(__name__)
MAX_RESOLUTION = 4096

NVIDIA_LICENCE = (
    "NVIDIA's weights, and what is trained from them, are for non-commercial use: see the licence of the repository "
    "that they come from (NVIDIA Source Code License, or CC BY-NC)"
)


def made(licence: str | None) -> dict[str, str | None]:
    """What a file in somebody's layout says of its weights: it is not the layout that makes a licence."""
    return {"version": __version__, "licence": licence}


def licence_of(value: object, usual: str) -> str | None:
    """The licence note of a file: what `made` wrote into it, or the layout's usual one."""
    said = near(value, "", "organza")
    if not isinstance(said, dict) or "licence" not in said:
        return usual
    return said["licence"][:1000] if isinstance(said["licence"], str) else None


@dataclass(frozen=True)
class Weights:
    """What a file holds, in our words.

    Attributes:
        path: the file.
        format: whose format it is.
        method: our name of the method, a key of `organza.presets.METHODS`.
        spec, config: our settings for the networks.
        nets: ``"G_ema"``, ``"G"`` and ``"D"``, as far as the file has them: our tensor names to where they come from.
        problems: why a network that the file has can't be used.
        facts: what else `organza inspect` tells.
        licence: a note that must stay with the weights.
        foreign: names in the file that mean nothing to us; nothing of them was run.
    """

    path: Path
    format: str
    method: str
    spec: DataSpec
    config: MethodConfig
    nets: Mapping[str, Mapping[str, Entry]]
    problems: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    licence: str | None = None
    foreign: tuple[str, ...] = ()

    def tensors(self, net: str) -> dict[str, Tensor]:
        """The tensors of a network under our names, float32 (whole numbers stay so).

        Raises:
            UserError: the file has no such network, or it can't be used or read.
        """
        if net not in self.nets:
            reason = self.problems.get(net, "the file doesn't have it")
            raise UserError(f"no {net} can be had: {reason}", where=self.path)
        found = {}
        try:
            for name, item in self.nets[net].items():
                value = item.read()
                found[name] = value.float() if value.is_floating_point() else value
                if tuple(found[name].shape) != item.shape:
                    raise RefusedError(f"the tensor {name!r} has another shape than it declares")
        except RefusedError as error:
            raise UserError(f"{net} can't be read: {error}", where=self.path) from None
        return found

    def trained(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Tensors as a training has them, and averages, both under names like ``G.mapping.fc0.weight``.

        An average whose network is not in the file stands for it.

        Raises:
            UserError: a network can't be read.
        """
        averages = {name.removesuffix("_ema"): self.tensors(name) for name in self.nets if name.endswith("_ema")}
        nets = averages | {name: self.tensors(name) for name in self.nets if not name.endswith("_ema")}
        return _joined(nets), _joined(averages)

    def build(self, model: str | None = None, *, critic: bool) -> tuple[Method, Model]:
        """The method and one of its models, whose generator is averaged if that can be had.

        Args:
            model: the name of one of `Method.models`; None takes the first.
            critic: whether its discriminator is wanted as well; the model's `critic` is None where there is none.

        Networks are filled as they are made: nothing is initialised at random, and no memory is taken before names and
        shapes agree. What is not filled stays shapes.

        Raises:
            UserError: no such networks can be built, the file has others, or the method has no such model.
        """
        try:
            method = skeleton(self.config, self.spec)
        except RefusedError as error:
            raise UserError(f"settings that can't be used: {error}", where=self.path) from None
        chosen = method.model if model is None else method.models.get(model)
        if chosen is None:
            raise UserError(f"it has no model {model!r}", where=self.path, hint=f"choose {' or '.join(method.models)}")
        main = chosen.net
        theirs = main if main in self.nets and f"{main}_ema" not in self.nets else f"{main}_ema"
        self._fill(main, method.nets[main], theirs)
        if isinstance(chosen, Latents) and chosen.text is not None and (words := chosen.text.encoder) is not None:
            self._fill(words, method.nets[words], words)
        if isinstance(chosen, Latents) and (teller := chosen.classifier) is not None:
            if held := [name for name in (f"{teller}_ema", teller) if name in self.nets]:
                self._fill(teller, method.nets[teller], held[0])
            else:
                chosen = replace(chosen, classifier=None)
        if chosen.encoder is not None:
            if chosen.encoder in self.nets:
                self._fill(chosen.encoder, method.nets[chosen.encoder], chosen.encoder)
            else:
                chosen = replace(chosen, encoder=None)
        if not critic or chosen.critic is None or chosen.critic not in {*self.nets, *self.problems}:
            return method, replace(chosen, critic=None)
        self._fill(chosen.critic, method.nets[chosen.critic], chosen.critic)
        return method, chosen

    def _fill(self, name: str, net: nn.Module, theirs: str) -> None:
        wanted, where = net.state_dict(), self.path
        if where.is_dir():
            where = where / f"{'ema' if theirs.endswith('_ema') else 'nets'}.safetensors"
        held = {key: item.shape for key, item in self.nets.get(theirs, {}).items()}
        odd = sorted(set(wanted) ^ set(held)) if held else []
        if odd:
            what = f"tensor {f'{name}.{odd[0]}'[:80]!r} is {'missing' if odd[0] in wanted else 'unknown'}"
            raise UserError(what, where=where)
        for key, shape in held.items():
            if shape != tuple(wanted[key].shape):
                what = f"tensor {f'{name}.{key}'!r} is {list(shape)}, not {list(wanted[key].shape)}"
                raise UserError(what, where=where)
        net.load_state_dict({key: _as(value, wanted[key]) for key, value in self.tensors(theirs).items()}, assign=True)

    def announce(self) -> None:
        """Warn, once for each file, of what its user must know: the licence, and names of foreign code."""
        if self.path in _ANNOUNCED:
            return
        _ANNOUNCED.add(self.path)
        if self.licence is not None:
            log.warning(f"{self.path.name}: {self.licence}")
        if self.foreign:
            names = ", ".join(self.foreign[:5])
            log.warning(f"{self.path.name}: names foreign code, which was not run: {names}")


def _joined(nets: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {f"{net}.{name}": value for net, held in nets.items() for name, value in held.items()}


_ANNOUNCED: set[Path] = set()


def _as(value: Tensor, like: Tensor) -> Tensor:
    """A copy of its own, in the number format and the order in memory of ``like``."""
    return torch.empty_strided(like.shape, like.stride(), dtype=like.dtype).copy_(value)


_FILLING = frozenset(("normal_", "uniform_", "zero_", "fill_", "copy_"))
_PLAIN = frozenset(("add", "sub", "mul", "div", "square", "sqrt", "exp", "pow"))


class _Shapes(TorchFunctionMode):
    """Makes tensors that are shapes alone, and ends what goes on for ever.

    What fills tensors is left out, and what has no quick twin on PyTorch's device of shapes is answered here: its first
    call there imports PyTorch's compiler, for over a second.
    """

    left = 20_000

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = dict(kwargs or {}), getattr(func, "__name__", "")
        self.left -= 1
        if self.left < 0:
            raise RefusedError("more layers than a network has")
        if getattr(func, "__module__", None) == "torch.nn.init" or name in _FILLING:
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        if name in ("randn", "rand"):
            kwargs.pop("generator", None)
            return torch.empty(*args, **kwargs)
        if name == "eye":
            return torch.empty(args[0], args[0], **kwargs)
        if name == "norm" and kwargs.get("keepdim"):
            return args[0].narrow(kwargs["dim"], 0, 1)
        tensors = [part for part in args if isinstance(part, Tensor)]
        if name in _PLAIN and tensors and all(tensor.is_meta for tensor in tensors) and not kwargs:
            return torch.empty(np.broadcast_shapes(*(tensor.shape for tensor in tensors)), dtype=tensors[0].dtype)
        return func(*args, **kwargs)


MAX_NUMBER = 1 << 24


def skeleton(config: MethodConfig, spec: DataSpec) -> Method:
    """The networks as shapes alone: takes no memory, whatever the sizes.

    Raises:
        RefusedError: nothing can be built of these sizes.
    """
    for name, value in [*vars(config).items(), *vars(spec).items()]:
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int) and not -MAX_NUMBER <= number <= MAX_NUMBER:
                raise RefusedError(f"{name} is {brief(number)}")
            if isinstance(number, float) and not math.isfinite(number):
                raise RefusedError(f"{name} is {number}")
    try:
        with torch.device("meta"), _Shapes():
            return config.build(spec)
    except UserError as error:
        raise RefusedError(str(error)) from None
    except RefusedError:
        raise
    except Exception as error:  # sizes from somebody's file break in a hundred ways
        raise RefusedError(f"no network can be built of them ({type(error).__name__}: {str(error)[:100]})") from error


def usable(
    names: Iterable[str], main: str, problems: dict[str, str], read: Callable[[str], dict[str, Entry]]
) -> dict[str, dict[str, Entry]]:
    """The tensors of each network that can be used.

    Args:
        names: the networks of a file.
        main: the one without which the file is worth nothing.
        problems: networks that are known to be unusable, with the reason; takes those that turn out to be.
        read: gives a network's tensors.

    Raises:
        RefusedError: ``main`` can't be used.
    """
    found = {}
    for name in names:
        if name in problems:
            continue
        try:
            found[name] = read(name)
        except RefusedError as error:
            if name == main:
                raise
            problems[name] = str(error)
    return found


def collect(
    config: MethodConfig, spec: DataSpec, player: str, source: Callable[[str, tuple[int, ...]], Entry]
) -> dict[str, Entry]:
    """An entry for each tensor of our network ``player``, checked.

    Args:
        config, spec: what the network is built from.
        player: ``"G"`` or ``"D"``.
        source: gives the entry for our name and shape.

    Raises:
        RefusedError: a shape differs, or ``source`` has none.
    """
    found = {}
    for name, value in skeleton(config, spec).nets[player].state_dict().items():
        wanted = tuple(value.shape)
        taps = getattr(config, "resample_taps", None)
        if player == "D":
            taps = getattr(config, "resample_taps_d", None) or taps
        if name.endswith("taps") and taps is not None:
            item = constant(setup_filter(taps))
        else:
            item = source(name, wanted)
        if item.shape != wanted:
            raise RefusedError(f"the tensor for {name!r} is {list(item.shape)}, not {list(wanted)}")
        found[name] = item
    return found


Source = Callable[[str, tuple[int, ...]], Entry]
"""Gives the entry for our name and shape, or raises `RefusedError`."""


def stored(held: Mapping[str, Entry]) -> Source:
    """What gives a network's tensors from those that a file holds, under our names.

    Batches that nobody counted (PyTorch before 0.4.1, Paddle) are 0.
    """

    def source(name: str, shape: tuple[int, ...]) -> Entry:
        if name in held:
            return held[name]
        if name.endswith("num_batches_tracked"):
            return constant(torch.zeros((), dtype=torch.int64))
        raise RefusedError(f"the tensor for {name!r} is missing")

    return source


def collect_all(
    config: MethodConfig, spec: DataSpec, player: str, held: Mapping[str, Entry], source: Source | None = None
) -> dict[str, Entry]:
    """`collect` from what a file holds, of which nothing may be left over.

    Args:
        config, spec, player: as for `collect`.
        held: the file's tensors under our names.
        source: how they are given, where it is otherwise than by `stored`.

    Raises:
        RefusedError: as `collect`, or a tensor that the network has not.
    """
    tensors = collect(config, spec, player, source or stored(held))
    if odd := sorted(held.keys() - tensors.keys()):
        raise RefusedError(f"the tensor {odd[0]!r} is too much")
    return tensors


def in_block(name: str) -> tuple[int, str, str]:
    """The level, the layer (or nothing), and the rest of our name of a tensor in a generator's block.

    Example:
        >>> in_block("synthesis.blocks.2.conv0.affine.weight"), in_block("blocks.0.const")
        ((2, 'conv0', 'affine.weight'), (0, '', 'const'))
    """
    match = re.fullmatch(r"(?:synthesis\.)?blocks\.(\d+)\.(?:(\w+)\.)?(.+)", name)
    assert match is not None
    return int(match[1]), match[2] or "", match[3]


def pyramid_settings(widths: tuple[int, ...]) -> tuple[int, int] | None:
    """The ``channel_base`` and ``channel_max`` that give these widths, the smallest image first; None if none do.

    Example:
        >>> pyramid_settings((512, 512, 512, 256))
        (8192, 512)
        >>> pyramid_settings((16, 16, 14, 10)) is None
        True
    """
    most, base = max(widths), widths[-1] * (4 << (len(widths) - 1))
    fits = all(max(1, min(base // (4 << level), most)) == width for level, width in enumerate(widths))
    return (base, most) if fits else None


def sized(widths_g: tuple[int, ...], widths_d: tuple[int, ...] | None) -> dict[str, Any]:
    """Settings of `StyleGAN2` that give these widths, as short as possible.

    Example:
        >>> sized((64, 64, 32), (64, 64, 16))
        {'channel_base': 512, 'channel_max': 64, 'widths_d': (64, 64, 16)}
    """
    simple = pyramid_settings(widths_g)
    found: dict[str, Any] = {"channel_base": 1, "channel_max": max(widths_g), "widths_g": widths_g}
    if simple is not None:
        found = {"channel_base": simple[0], "channel_max": simple[1]}
    if widths_d is not None and (simple is None or widths_d != widths_g):
        found["widths_d"] = widths_d
    return found


def even(name: str, values: set[Any], default: Any) -> Any:
    """The one value that all layers have.

    Raises:
        RefusedError: they differ.
    """
    if len(values) > 1:
        raise RefusedError(f"layers with different {name}")
    return next(iter(values), default)


def whole_taps(line: Any) -> tuple[int, ...]:
    """One axis of a filter as small whole numbers.

    Raises:
        RefusedError: it has none.

    Example:
        >>> whole_taps((0.125, 0.375, 0.375, 0.125))
        (1, 3, 3, 1)
    """
    smallest = min((abs(tap) for tap in line if tap), default=1.0)
    for factor in range(1, 33):
        scaled = [tap / smallest * factor for tap in line]
        if all(abs(tap - round(tap)) < 1e-3 for tap in scaled):
            return tuple(round(tap) for tap in scaled)
    raise RefusedError("a resampling filter that is not of whole numbers")


def check_resolution(resolution: object) -> int:
    """A size that StyleGAN2 may have: a power of two from 4 to 4096.

    Raises:
        RefusedError: it is not.
    """
    if type(resolution) is not int or not 4 <= resolution <= MAX_RESOLUTION or resolution & (resolution - 1):
        raise RefusedError(f"images of {brief(resolution)} pixels")
    return resolution
