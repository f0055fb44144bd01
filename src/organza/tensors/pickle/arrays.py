"""The calls that describe NumPy's arrays and numbers, as functions that only describe."""

from __future__ import annotations

from typing import Any

from organza.tensors.pickle.machine import Known, Limits
from organza.tensors.pickle.records import Array, DType, Global, RefusedError, Stub


def _encode(limits: Limits, text: Any = "", encoding: Any = "", *_: Any) -> Any:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise RefusedError("a text in an odd encoding")
    limits.copy(max(0, len(text) - 1024))
    return text.encode("latin-1")


def _bytes(limits: Limits, *args: Any) -> Any:
    return b"" if not args else Stub(Global("builtins", "bytes"), args)


def _dtype(limits: Limits, code: Any = "", *_: Any) -> Any:
    return DType(code) if isinstance(code, str) else Stub(Global("numpy", "dtype"), ())


def _scalar(limits: Limits, dtype: Any = None, raw: Any = b"", *_: Any) -> Any:
    if not isinstance(dtype, DType):
        return Stub(Global("numpy", "scalar"), ())
    array = Array((), dtype, False, raw).numpy()
    return array.item()


def _from_buffer(limits: Limits, raw: Any = b"", dtype: Any = None, shape: Any = (), order: Any = "C", *_: Any) -> Any:
    array = Array()
    array.build((1, shape, dtype, order == "F", raw))
    return array


ARRAYS: dict[tuple[str, str], Known] = {
    ("builtins", "bytes"): _bytes,
    ("__builtin__", "bytes"): _bytes,
    ("_codecs", "encode"): _encode,
    ("numpy", "dtype"): _dtype,
    ("numpy", "ndarray"): lambda limits, *_: Array(),
}
"""What `organza.tensors.pickle.machine.unpickle` must know to give arrays."""

for _core in ("numpy.core", "numpy._core"):
    ARRAYS |= {
        (f"{_core}.multiarray", "_reconstruct"): lambda limits, *_: Array(),
        (f"{_core}.multiarray", "scalar"): _scalar,
        (f"{_core}.numeric", "_frombuffer"): _from_buffer,
    }
