"""The calls that a file of weights needs, as functions that only describe: tensors, arrays, dictionaries, networks.

Each takes the `Limits` and the arguments that stood in the pickle, and returns a record or a plain value.
"""

from __future__ import annotations

import struct
from typing import Any

import torch

from organza.tensors.pickle.arrays import ARRAYS
from organza.tensors.pickle.machine import Known, Limits, Stream, key_of, unpickle
from organza.tensors.records import Fields, Global, Module, RefusedError, Storage, Stub, TensorRef, brief, tensor_ref

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
"""What every torch file of the time before zip begins with, each a pickle of its own."""

STORAGES: dict[str, torch.dtype] = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


def storage(kind: Any, count: Any) -> Storage:
    """A storage as persistent ids name it: its class and how many numbers it has.

    Raises:
        RefusedError: another class, or a size that is none.
    """
    if not isinstance(kind, Global) or kind.module not in ("torch", "torch.cuda") or kind.name not in STORAGES:
        raise RefusedError(f"a storage of the kind {brief(kind)}")
    if type(count) is not int or not 0 <= count < 2**48:
        raise RefusedError("a storage whose size makes no sense")
    return Storage(STORAGES[kind.name], count)


def legacy_torch(stream: Stream, known: dict[tuple[str, str], Known], limits: Limits, names: set[str]) -> Any:
    """A torch stream of the old kind: magic, protocol, system, the object, keys, and the storages' bytes.

    Raises:
        RefusedError: anything else.
    """
    for expected in (MAGIC, PROTOCOL):
        if unpickle(stream, known, limits, names=names) != expected:
            raise RefusedError("not a torch file")
    unpickle(stream, known, limits, names=names)  # the system that wrote it
    found: dict[str, Storage] = {}

    def persistent(pid: Any) -> Any:
        if isinstance(pid, tuple) and len(pid) > 1 and pid[0] == "module":
            return pid[1]
        if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage" or not isinstance(pid[2], str):
            raise RefusedError("a reference to something that is not a storage")
        if len(pid) == 6 and pid[5] is not None:
            raise RefusedError("a storage that is a view of another")
        return found.setdefault(pid[2], storage(pid[1], pid[4]))

    result = unpickle(stream, known, limits, persistent, names)
    keys = unpickle(stream, known, limits, names=names)
    if not isinstance(keys, list) or not all(isinstance(key, str) and key in found for key in keys):
        raise RefusedError("its storages are not listed")
    for key in keys:
        held = found[key]
        head = stream.read(8)
        size = held.count * held.dtype.itemsize
        start = stream.tell()
        if len(head) != 8 or struct.unpack("<q", head)[0] != held.count or start + size > len(stream.data):
            raise RefusedError(f"a storage declares {size} bytes, the file holds {max(0, len(stream.data) - start)}")
        data = stream.data
        held.read = lambda data=data, start=start, size=size: data[start : start + size]
        stream.position = start + size
    return result


def _load_from_bytes(limits: Limits, data: Any = b"", *_: Any) -> Any:
    if not isinstance(data, bytes):
        raise RefusedError("a torch file inside that is not one")
    if limits.depth == 0:
        raise RefusedError("files inside files without end")
    limits.depth -= 1
    try:
        return legacy_torch(Stream(data), KNOWN, limits, set())
    finally:
        limits.depth += 1


def _ordered_dict(limits: Limits, pairs: Any = (), *_: Any) -> Any:
    if not isinstance(pairs, (list, tuple)) or not all(isinstance(p, (list, tuple)) and len(p) == 2 for p in pairs):
        raise RefusedError("a dictionary of odd entries")
    limits.copy(64 * len(pairs))
    return {key_of(key): value for key, value in pairs}


def _set(limits: Limits, items: Any = (), *_: Any) -> Any:
    if not isinstance(items, (list, tuple)):
        raise RefusedError("a set of odd things")
    limits.copy(64 * len(items))
    return {key_of(item) for item in items}


def _parameter(limits: Limits, data: Any = None, *_: Any) -> Any:
    return data


def _rebuild_tensor(
    limits: Limits, held: Any = None, offset: Any = 0, shape: Any = (), strides: Any = (), *_: Any
) -> Any:
    return tensor_ref(held, offset, shape, strides)


def _rebuild_from_type(limits: Limits, function: Any = None, kind: Any = None, args: Any = (), *_: Any) -> Any:
    known = KNOWN.get((function.module, function.name)) if isinstance(function, Global) else None
    if known not in (_rebuild_tensor, _parameter) or not isinstance(args, tuple):
        return Stub(kind, ())
    return known(limits, *args)


def _size(limits: Limits, items: Any = (), *_: Any) -> Any:
    return tuple(items) if isinstance(items, (list, tuple)) and len(items) < 100 else ()


def _network(limits: Limits, meta: Any = None, *_: Any) -> Any:
    if not isinstance(meta, dict) or not isinstance(meta.get("state"), dict) or meta.get("type") != "class":
        raise RefusedError("a network without its state")
    return Module(brief(meta.get("class_name")).strip("'"), meta.get("version"), meta["state"])


KNOWN: dict[tuple[str, str], Known] = {
    **ARRAYS,
    ("collections", "OrderedDict"): _ordered_dict,
    ("builtins", "set"): _set,
    ("__builtin__", "set"): _set,
    ("torch", "Size"): _size,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    ("torch._tensor", "_rebuild_from_type_v2"): _rebuild_from_type,
    ("torch.storage", "_load_from_bytes"): _load_from_bytes,
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _network,
    ("dnnlib.util", "EasyDict"): lambda limits, *_: Fields(),
    ("dnnlib", "EasyDict"): lambda limits, *_: Fields(),
}
"""The only calls that become something else than a note."""

HARMLESS = {
    *(f"torch.{name}" for name in STORAGES),
    "argparse.Namespace",
    "dnnlib.tflib.network.Network",
    "tfutils.Network",
    "network.Network",
    "models.utils.config.BaseConfig",
}
"""Names that stay notes and that nobody needs to be told of."""

__all__ = ["HARMLESS", "KNOWN", "TensorRef", "legacy_torch", "storage"]
