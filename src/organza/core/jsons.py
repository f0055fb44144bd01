"""JSON that somebody else may have written: read within limits of depth and memory."""

from __future__ import annotations

import json
import re
from typing import Any

from organza.core.errors import UserError

MAX_DEPTH = 64
MAX_MEMORY = 1 << 30
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def read_json(raw: bytes | str, where: object, *, max_depth: int = MAX_DEPTH, max_memory: int = MAX_MEMORY) -> Any:
    """The value that ``raw`` holds.

    Args:
        raw: UTF-8, with or without a byte order mark.
        where: for messages.
        max_depth: lists and objects within one another, at most.
        max_memory: bytes that the value may take, at most, estimated before anything is built.

    Raises:
        UserError: not JSON, or beyond the limits.

    Example:
        >>> read_json(b'{"labels": [1, 2.5]}', "a.json")
        {'labels': [1, 2.5]}
        >>> read_json("[" * 100_000, "deep.json")
        Traceback (most recent call last):
        ...
        organza.core.errors.UserError: deep.json: not valid JSON (lists and objects 100000 deep)
    """
    data = raw.encode("utf-8", "surrogatepass") if isinstance(raw, str) else raw
    data = data.removeprefix(b"\xef\xbb\xbf")
    # A list or object takes at least 56 bytes and a place, a number up to 32 and a place.
    memory = 2 * len(data) + 72 * (data.count(b"[") + data.count(b"{")) + 48 * data.count(b",")
    if memory > max_memory:
        raise UserError(f"JSON that would take {memory >> 20} MB of memory", where=where, hint="split it up")
    if (depth := _depth(data)) > max_depth:
        raise UserError(f"not valid JSON (lists and objects {depth} deep)", where=where)
    try:
        return json.loads(data, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise UserError(f"not valid JSON ({str(error)[:200]})", where=where) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are unique: of two values for one name neither may win silently."""
    found = dict(pairs)
    if len(found) < len(pairs):
        for name, value in pairs:
            if repr(found[name]) != repr(value):
                raise ValueError(f"{name!r} stands twice in one object, with different values")
    return found


def _depth(data: bytes) -> int:
    if data.count(b"[") + data.count(b"{") <= 1:
        return 1
    import numpy as np  # here, so that what only may read JSON starts without it

    brackets = np.frombuffer(_STRING.sub(b"", data).translate(None, _ALL_BUT_BRACKETS), np.uint8)
    steps = np.where((brackets == ord("[")) | (brackets == ord("{")), 1, -1)
    return int(np.cumsum(steps).max(initial=0))
