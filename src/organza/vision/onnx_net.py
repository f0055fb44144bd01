"""A small ONNX network as a PyTorch module: the graph, node by node, so that gradients flow and it runs anywhere.

It knows the operations of the helper networks here (`organza.vision.face_id.faceres`, `organza.vision.segment`), and
says so where a file has others.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from organza.core.errors import UserError
from organza.tensors.onnx import Graph, Node, read_graph

Args = Sequence[Tensor | None]


class OnnxNet(nn.Module):
    """The network of an ONNX file with one input.

    Args:
        graph: see `read_graph`.

    Attributes:
        outputs: names of what comes out.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.nodes, self.outputs, (self.source,) = graph.nodes, graph.outputs, graph.inputs
        # Whole numbers are shapes and axes: they stay where they are, and have values on the device of shapes as well.
        self.shapes = {
            name: torch.from_numpy(array.copy()) for name, array in graph.constants.items() if array.dtype.kind == "i"
        }
        self.buffer_of = {name: f"constant{index}" for index, name in enumerate(graph.constants)}
        for name, array in graph.constants.items():
            if name not in self.shapes:
                self.register_buffer(self.buffer_of[name], torch.from_numpy(array.copy()))
        last = {name: index for index, node in enumerate(self.nodes) for name in node.inputs}
        self.spent = [[name for name in node.inputs if last[name] == index] for index, node in enumerate(self.nodes)]

    @classmethod
    def read(cls, path: Path) -> OnnxNet:
        """The network in a file, on the CPU, in evaluation mode.

        Raises:
            UserError: unreadable, broken, or with operations that are unknown here.
        """
        graph = read_graph(path)
        if unknown := sorted({node.op for node in graph.nodes} - OPERATIONS.keys()):
            raise UserError(f"has operations that Organza can't run: {', '.join(unknown[:3])}", where=path)
        if len(graph.inputs) != 1:
            raise UserError(f"has {len(graph.inputs)} inputs, not one", where=path)
        known = {"", *graph.inputs, *graph.constants}
        for node in graph.nodes:
            if not node.outputs or not known.issuperset(node.inputs):
                raise UserError("is a broken ONNX file: a node reads what nothing has written", where=path)
            known.update(node.outputs)
        if not graph.outputs or not known.issuperset(graph.outputs):
            raise UserError("is a broken ONNX file: an output that nothing writes", where=path)
        return cls(graph).eval().requires_grad_(False)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """The input -> outputs by name."""
        known: dict[str, Tensor] = {self.source: x}
        for node, spent in zip(self.nodes, self.spent, strict=True):
            values = [None if not name else self._value(known, name) for name in node.inputs]
            known[node.outputs[0]] = OPERATIONS[node.op](node, values)
            for name in spent:
                if name not in self.outputs:
                    known.pop(name, None)
        return {name: known[name] for name in self.outputs}

    def _value(self, known: Mapping[str, Tensor], name: str) -> Tensor:
        if name in known:
            return known[name]
        return self.shapes[name] if name in self.shapes else self.get_buffer(self.buffer_of[name])


def _first(values: Args, count: int = 1) -> list[Tensor]:
    found = [value for value in values[:count] if value is not None]
    if len(found) < count:
        raise ValueError("an operation without its inputs")
    return found


def _conv(node: Node, values: Args) -> Tensor:
    x, weight = _first(values, 2)
    options: Any = node.settings
    top, left, bottom, right = options.get("pads", [0, 0, 0, 0])
    x = F.pad(x, [left, right, top, bottom]) if top or left or bottom or right else x
    bias = values[2] if len(values) > 2 else None
    return F.conv2d(x, weight, bias, options.get("strides", 1), 0, options.get("dilations", 1), options.get("group", 1))


def _conv_transpose(node: Node, values: Args) -> Tensor:
    x, weight = _first(values, 2)
    options: Any = node.settings
    pads = options.get("pads", [0, 0, 0, 0])
    if pads[:2] != pads[2:]:
        raise UserError("a transposed convolution whose paddings differ can't be run here")
    bias, more = values[2] if len(values) > 2 else None, options.get("output_padding", 0)
    return F.conv_transpose2d(
        x, weight, bias, options.get("strides", 1), pads[:2], more, options.get("group", 1), options.get("dilations", 1)
    )


def _average(node: Node, values: Args) -> Tensor:
    options: Any = node.settings
    if any(options.get("pads", [])) or options.get("ceil_mode", 0):
        raise UserError("an average with a border can't be run here")
    return F.avg_pool2d(_first(values)[0], options["kernel_shape"], options.get("strides", 1))


def _resize(node: Node, values: Args) -> Tensor:
    options, x, sizes = node.settings, _first(values)[0], values[3] if len(values) > 3 else None
    where = options.get("coordinate_transformation_mode", "half_pixel")
    if options.get("mode") != "linear" or sizes is None or where not in _PLACES:
        raise UserError(f"a resize of the kind {options.get('mode')}, {where} can't be run here")
    return F.interpolate(x, [int(size) for size in sizes[2:]], mode="bilinear", align_corners=where == "align_corners")


_PLACES = ("half_pixel", "pytorch_half_pixel", "align_corners")


def _mean(node: Node, values: Args) -> Tensor:
    x = _first(values)[0]
    axes: Any = values[1].tolist() if len(values) > 1 and values[1] is not None else node.settings.get("axes")
    return x.mean(axes, keepdim=bool(node.settings.get("keepdims", 1)))


def _clip(node: Node, values: Args) -> Tensor:
    x, least, most = itertools.islice(itertools.chain(values, (None, None)), 3)
    assert x is not None
    return torch.clamp(x, least, most)


def _reshape(node: Node, values: Args) -> Tensor:
    x, shape = _first(values, 2)
    return x.reshape([x.shape[k] if side == 0 else int(side) for k, side in enumerate(shape.tolist())])


def _simple(function: Callable[..., Tensor], count: int = 1) -> Callable[[Node, Args], Tensor]:
    return lambda node, values: function(*_first(values, count))


OPERATIONS: dict[str, Callable[[Node, Args], Tensor]] = {
    "Add": _simple(torch.add, 2),
    "AveragePool": _average,
    "Clip": _clip,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "MatMul": _simple(torch.matmul, 2),
    "Mul": _simple(torch.mul, 2),
    "ReduceMean": _mean,
    "Relu": _simple(torch.relu),
    "Reshape": _reshape,
    "Resize": _resize,
    "Sigmoid": _simple(torch.sigmoid),
    "Softmax": lambda node, values: _first(values)[0].softmax(int(str(node.settings.get("axis", -1)))),
    "Transpose": lambda node, values: _first(values)[0].permute(node.settings["perm"]),  # type: ignore[arg-type]
}
"""What is known, by ONNX's names."""
