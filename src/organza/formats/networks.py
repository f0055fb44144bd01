"""The networks in a file, whatever they were wrapped in.

People save networks bare or in dictionaries of dictionaries, as state dicts or whole modules, from inside DataParallel,
FSDP, ``torch.compile``, EMA wrappers and trainers. All of it only changes what stands in front of a tensor's name. So
a value is flattened into dotted names, and a network is wherever all the names that mark its layout follow the same
prefix. The prefix then says which network it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from organza.formats.records import Array, Module, RefusedError, Stub, TensorRef

Tensors = dict[str, TensorRef | Array]
T = TypeVar("T")

TRANSPARENT = frozenset(
    (
        *("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"),
        *("_parameters", "_buffers", "_modules"),
    )
)
"""Parts of a name that wrappers add, at any place, and that say nothing."""

AVERAGED = frozenset(("ema", "avg", "average", "averaged", "shadow", "smoothed", "swa", "gs"))
"""Words in a prefix that mean the averaged generator."""

MAX_ITEMS = 1_000_000
MAX_TENSORS = 50_000
MAX_DEPTH = 40


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
        >>> from organza.formats.records import Storage, tensor_ref
        >>> tensor = tensor_ref(Storage(torch.float32, 1), 0, (1,), (1,))
        >>> list(flatten({"g_ema": {"module.conv.weight": tensor, "steps": 3}}))
        ['g_ema.conv.weight']
    """
    found: Tensors = {}
    waiting: list[tuple[str, Any, int]] = [("", value, 0)]
    items = 0
    while waiting:
        prefix, holder, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise RefusedError(f"it is nested more than {MAX_DEPTH} deep")
        inner: list[tuple[str, Any, int]] = []
        for key, item in _inside(holder):
            items += 1
            if items > MAX_ITEMS or len(found) > MAX_TENSORS:
                raise RefusedError("more in it than a file of weights has")
            name = f"{prefix}{key}"
            tensor = leaf(item)
            if tensor is not None:
                found.setdefault(_plain(name) if _plain(name) not in found else name, tensor)
            elif _holds(item) and len(name) < 1000:
                inner.append((f"{name}.", item, depth + 1))
        waiting += reversed(inner)
    return found


def objects(value: Any, kind: type[T]) -> dict[str, T]:
    """The topmost objects of a class in a value, by path; see `flatten`."""
    found: dict[str, T] = {}
    waiting: list[tuple[str, Any, int]] = [("", value, 0)]
    items = 0
    while waiting:
        path, item, depth = waiting.pop(0)
        items += 1
        if items > MAX_TENSORS or depth > MAX_DEPTH:
            raise RefusedError("more in it than a file of weights has")
        if isinstance(item, kind):
            found[path] = item
        elif isinstance(item, (dict, list, tuple, Stub)):
            waiting += [(f"{path}{key}.", part, depth + 1) for key, part in _inside(item) if _holds(part)]
    return found


def _holds(value: Any) -> bool:
    return isinstance(value, (dict, list, tuple, Stub, Module))


def _inside(holder: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(holder, (Module, Stub)):
        if isinstance(holder, Stub):
            yield from ((str(key), item) for key, item in holder.pairs if _names(key))
        holder = holder.state
    if isinstance(holder, dict):
        yield from ((str(key), item) for key, item in holder.items() if _names(key))
    elif isinstance(holder, (list, tuple)):
        yield from ((str(index), item) for index, item in enumerate(holder))


def _names(key: Any) -> bool:
    return isinstance(key, str) or (isinstance(key, int) and key.bit_length() <= 64)


def _plain(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in TRANSPARENT)


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
    found = {}
    for path in paths:
        within = [other for other in paths if len(other) > len(path) and other.startswith(path)]
        own = {k[len(path) :]: v for k, v in tensors.items() if k.startswith(path) and not k.startswith(tuple(within))}
        found[path] = Network(path, own)
    return found


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
