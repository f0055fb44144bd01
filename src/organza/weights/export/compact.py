"""ONNX files as other tools like them: weights with names; and, if wished, in fewer bytes.

Stored as half-precision or 8-bit numbers, weights are turned back when the file is opened. What is computed stays
float32, so nothing depends on which operators a runtime has in half precision: only the rounding of the weights is
lost. Runtimes fold the conversion when they load the file.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from organza.core.errors import UserError
from organza.weights.export.parts import Weights

LEAST = 256
"""Tensors of fewer numbers stay as they are: biases and gains, which weigh little and matter much."""


def compact(file: bytes, weights: Weights) -> bytes:
    """An ONNX file whose weights have names, in as many bytes each as ``weights`` says.

    Args:
        file: as `organza.weights.export.graph.as_onnx` gives it.
        weights: ``"fp32"`` leaves them as they are; ``"fp16"``, or ``"int8"`` with a factor for each filter (the first
            side of a tensor).

    Raises:
        UserError: the package onnx is not there.
    """
    onnx = library()
    model = onnx.load_model_from_string(file)
    named_constants(model)
    kept, nodes = [], []
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if weights == "fp32" or array.dtype != np.float32 or array.size < LEAST or not np.isfinite(array).all():
            kept.append(tensor)
            continue
        stored = f"{tensor.name}.stored"
        if weights == "fp16" and np.abs(array).max() < 65504:
            kept.append(onnx.numpy_helper.from_array(array.astype(np.float16), stored))
            nodes.append(onnx.helper.make_node("Cast", [stored], [tensor.name], to=onnx.TensorProto.FLOAT))
        elif weights == "int8" and array.ndim > 1:
            levels, factor = rounded(array)
            kept.append(onnx.numpy_helper.from_array(levels, stored))
            kept.append(onnx.numpy_helper.from_array(factor, f"{tensor.name}.factor"))
            nodes.append(onnx.helper.make_node("Cast", [stored], [f"{stored}.float"], to=onnx.TensorProto.FLOAT))
            product = [f"{stored}.float", f"{tensor.name}.factor"]
            nodes.append(onnx.helper.make_node("Mul", product, [tensor.name]))
        else:
            kept.append(tensor)
    rest = list(model.graph.node)
    for field, items in ((model.graph.initializer, kept), (model.graph.node, [*nodes, *rest])):
        del field[:]
        field.extend(items)
    onnx.checker.check_model(model)
    found: bytes = model.SerializeToString()
    return found


def named_constants(model: Any) -> None:
    """Let a graph's constants be what other tools know as weights: tensors with a name, not operations."""
    nodes = []
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensor = model.graph.initializer.add()
            tensor.CopyFrom(node.attribute[0].t)
            tensor.name = node.output[0]
        else:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def rounded(array: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Levels from -127 to 127, and the factor of each row that turns them back.

    Example:
        >>> levels, factor = rounded(np.array([[1.0, -2.0], [0.0, 0.0]], np.float32))
        >>> levels.tolist(), factor.tolist()
        ([[64, -127], [0, 0]], [[0.01574...], [1.0]])
    """
    largest = np.abs(array).reshape(len(array), -1).max(1)
    factor = np.where(largest > 0, largest / 127, 1).astype(np.float32).reshape(-1, *[1] * (array.ndim - 1))
    return np.rint(array / factor).astype(np.int8), factor


def library() -> Any:
    """The package onnx.

    Raises:
        UserError: it is not installed.
    """
    try:
        import onnx
    except ImportError:
        hint = 'install it with pip install "organza[export]", or take --format torchscript'
        raise UserError("ONNX files are written with the package onnx, which is not here", hint=hint) from None
    return onnx
