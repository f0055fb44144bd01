"""The networks in a file, whatever they were wrapped in.

People save networks bare or in dictionaries of dictionaries, as state dicts or whole modules, from inside DataParallel,
FSDP, ``torch.compile``, EMA wrappers and trainers. All of it only changes what stands in front of a tensor's name. So
a value is flattened into dotted names, and a network is wherever all the names that mark its layout follow the same
prefix. The prefix then says which network it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from organza.tensors.records import Array, Module, RefusedError, Stub, TensorRef

Tensors = dict[str, TensorRef | Array]
T = TypeVar("T")

TRANSPARENT = frozenset(
    (
        *("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"),
        *("_parameters", "_buffers", "_modules"),
    )
)
"""Parts of a name that wrappers add, at any place, and that say nothing."""

AVERAGED = frozenset(("ema", "gema", "avg", "average", "averaged", "shadow", "smoothed", "swa", "gs"))
"""Words in a prefix that mean the averaged generator."""

MAX_ITEMS = 500_000
MAX_NAME = 300
MAX_DEPTH = 40
MAX_NETWORKS = 20


@dataclass(frozen=True)
class Network:
    """One network of a file.

    Attributes:
        path: what stood before its tensors' names; "" for a network by itself.
        tensors: by their names in the network.
    """

    path: str
    tensors: Tensors

    @property
    def averaged(self) -> bool:
        """Whether its path says that it is a running mean."""
        words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", self.path)
        return any(word.lower() in AVERAGED for word in words)


def flatten(value: Any) -> Tensors:
    """Every tensor in a value of dictionaries, lists, modules and their notes, by dotted name.

    Raises:
        RefusedError: more of it, or nested deeper, than any file of weights.

    Example:
        >>> import torch
        >>> from organza.tensors.records import Storage, tensor_ref
        >>> tensor = tensor_ref(Storage(torch.float32, 1), 0, (1,), (1,))
        >>> list(flatten({"g_ema": {"module.conv.weight": tensor, "steps": 3}}))
        ['g_ema.conv.weight']
    """
    found: Tensors = {}

    def enter(path: str, item: Any) -> bool:
        tensor = leaf(item)
        if tensor is None:
            return True
        name = ".".join(part for part in path.split(".") if part not in TRANSPARENT)
        found.setdefault(path if name in found else name, tensor)
        return False

    _walk(value, enter)
    return found


def objects(value: Any, kind: type[T]) -> dict[str, T]:
    """The topmost objects of a class in a value, by path ("" or ending in a dot); see `flatten`."""
    found: dict[str, T] = {}

    def enter(path: str, item: Any) -> bool:
        if isinstance(item, kind):
            found[f"{path}." if path else ""] = item
        return not isinstance(item, kind)

    _walk(value, enter)
    return found


def _walk(value: Any, enter: Callable[[str, Any], bool]) -> None:
    """Call ``enter(path, item)`` for all that may hold or be a tensor; where it says so, go on inside."""
    waiting: list[tuple[str, Any, int]] = [("", value, 0)]
    items = 0
    while waiting:
        path, item, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise RefusedError(f"it is nested more than {MAX_DEPTH} deep")
        if len(path) > MAX_NAME or not enter(path, item):
            continue
        inner = []
        for key, part in _inside(item):
            items += 1
            if items > MAX_ITEMS:
                raise RefusedError("more in it than a file of weights has")
            if isinstance(part, (dict, list, tuple, Stub, Module, TensorRef, Array)):
                inner.append((f"{path}.{key}" if path else key, part, depth + 1))
        waiting += reversed(inner)


def _inside(holder: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(holder, (Module, Stub)):
        if isinstance(holder, Stub):
            yield from ((str(key), item) for key, item in holder.pairs if _names(key))
        holder = holder.state
    if isinstance(holder, dict):
        yield from ((str(key), item) for key, item in holder.items() if _names(key))
    elif isinstance(holder, (list, tuple)):
        for index, item in enumerate(holder):
            named = isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)
            yield item if named else (str(index), item)


def _names(key: Any) -> bool:
    return isinstance(key, str) or (isinstance(key, int) and key.bit_length() <= 64)


def leaf(value: Any) -> TensorRef | Array | None:
    """The tensor that a value is, also as Paddle pickles one: by a call of ``tuple`` or ``eval``, which are only looked
    at; None if it is none."""
    if isinstance(value, Stub) and value.named("builtins.tuple", "__builtin__.tuple") and len(value.args) == 1:
        value = value.args[0]
    if isinstance(value, Stub) and value.named("builtins.eval", "__builtin__.eval") and len(value.args) == 2:
        value = value.args[1].get("data") if isinstance(value.args[1], dict) else None
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):  # with its name
        value = value[1]
    return value if isinstance(value, (TensorRef, Array)) else None


def find(tensors: Mapping[str, TensorRef | Array], *marks: str) -> dict[str, Network]:
    """The networks of one layout, by path.

    Args:
        tensors: what `flatten` gave.
        marks: names that every such network has, and that no other layout has all of.

    Example:
        >>> list(find(dict.fromkeys(["g.a.weight", "g.b.weight", "a.weight"]), "a.weight", "b.weight"))
        ['g.']
    """
    ends = [name[: -len(marks[0])] for name in tensors if name.endswith(marks[0])]
    paths = [path for path in ends if all(f"{path}{mark}" in tensors for mark in marks)]
    if len(paths) > MAX_NETWORKS:
        raise RefusedError(f"more than {MAX_NETWORKS} networks of one kind")
    found = {}
    for path in paths:
        within = tuple(other for other in paths if len(other) > len(path) and other.startswith(path))
        own = {k[len(path) :]: v for k, v in tensors.items() if k.startswith(path) and not k.startswith(within)}
        found[path] = Network(path, {name: tensor for name, tensor in own.items() if not _counter(name, tensor)})
    return found


def _counter(name: str, tensor: TensorRef | Array) -> bool:
    """Whether a tensor beside a network's only counts, as averages count their updates."""
    return "." not in name and tensor.shape in ((), (1,))


def cast(generators: Mapping[str, Network], critics: Mapping[str, Network]) -> dict[str, Network]:
    """Which network is which: ``"G_ema"``, ``"G"`` and ``"D"``; the only generator stands for the averaged one.

    Args:
        generators, critics: networks by path, as `find` gives them.
    """
    averaged = [net for net in generators.values() if net.averaged]
    plain = [net for net in generators.values() if not net.averaged]
    found = {"G_ema": averaged[0]} if averaged else {}
    if plain:
        found["G" if averaged else "G_ema"] = plain[0]
    trained = [net for net in critics.values() if not net.averaged] or list(critics.values())
    if trained and found:
        found["D"] = trained[0]
    return found


def beside(tensors: Mapping[str, TensorRef | Array], *names: str) -> TensorRef | Array | None:
    """The first tensor whose last name is one of ``names``."""
    return next((tensor for name, tensor in tensors.items() if name.rpartition(".")[2] in names), None)


def near(value: Any, path: str, key: str) -> Any:
    """What stands under ``key`` in the dictionary closest to a network's path; None where there is nothing."""
    found = None
    for part in ["", *path.rstrip(".").split(".")]:
        if part not in ("", *TRANSPARENT):
            value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, dict) and value.get(key) is not None:
            found = value[key]
    return found
