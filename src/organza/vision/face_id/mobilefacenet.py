"""MobileFaceNet: who a face is, as a unit vector.

Sheng Chen, Yang Liu, Xiang Gao, Zhen Han: MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification on
Mobile Devices. 2018, arXiv 1804.07573, table 1; as minivision's photo2cartoon has it, with blocks twice as deep. The
weights are not ours: `read` takes their file, and widths, depths and the length of the vector from its shapes.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from organza.core.errors import UserError
from organza.tensors.state_dict import fill, read_state_dict

SIDE = 112
"""Of the faces that it takes."""
MOST_BLOCKS = 64


class MobileFaceNet(nn.Module):
    """Faces ``[N, 3, 112, 112]`` in [-1, 1] to unit vectors ``[N, size]``.

    Args:
        width: feature maps of the first layers.
        inner: of the depthwise convolutions that halve, and of those in the blocks behind each (three times each).
        outer: of what goes from block to block, three times.
        blocks: residual blocks at each size.
        last: before the vector.
        size: length of the vector.
    """

    def __init__(
        self,
        width: int = 64,
        inner: Sequence[tuple[int, int]] = ((128, 128), (256, 256), (512, 256)),
        outer: Sequence[int] = (64, 128, 128),
        blocks: Sequence[int] = (4, 6, 2),
        last: int = 512,
        size: int = 512,
    ) -> None:
        super().__init__()
        self.conv1, self.conv2_dw = _conv(3, width, 3, 2, 1), _conv(width, width, 3, 1, 1, width)
        before = width
        for (down, residual), maps, count, (first, second) in zip(inner, outer, blocks, _STAGES, strict=True):
            self.add_module(first, _Depthwise(before, down, maps, 2))
            chain = [_Depthwise(maps, residual, maps, 1) for _ in range(count)]
            self.add_module(second, nn.ModuleDict({"model": nn.ModuleList(chain)}))
            before = maps
        self.conv_6_sep = _conv(before, last, 1)
        self.conv_6_dw = _conv(last, last, 7, groups=last, act=False)
        self.linear, self.bn = nn.Linear(last, size, bias=False), nn.BatchNorm1d(size)

    @classmethod
    def read(cls, path: Path) -> MobileFaceNet:
        """The network in a file of minivision's photo2cartoon, on the CPU, in evaluation mode.

        Raises:
            UserError: unreadable, broken, or of another network.
        """
        tensors = read_state_dict(path)
        start = next((name[: -len(_MARK)] for name in tensors if name.endswith(_MARK)), "")
        tensors = {name[len(start) :]: value for name, value in tensors.items() if name.startswith(start)}
        with torch.device("cpu"):  # wherever the training is weighed
            net = cls(*_shape(tensors, path))
        fill(net, tensors, path)
        return net.eval().requires_grad_(False)

    def forward(self, faces: Tensor) -> Tensor:
        """``[N, 3, 112, 112]`` in [-1, 1] -> ``[N, size]``."""
        x = self.conv2_dw(self.conv1(faces))
        for first, second in _STAGES:
            x = self.get_submodule(first)(x)
            for block in self.get_submodule(f"{second}.model").children():
                x = x + block(x)
        x = self.conv_6_dw(self.conv_6_sep(x)).flatten(1)
        return F.normalize(self.bn(self.linear(x)))


def crop(images: Tensor) -> Tensor:
    """The face in an aligned photograph ``[N, C, H, W]``: minivision's square, resized to ``[N, C, 112, 112]``.

    Photographs are framed as their pre-processing does: hair above, chin near the bottom. Bilinear with aligned
    corners, without antialiasing.
    """
    height, width = images.shape[2:]
    top, bottom = int(height / 2.1 * (0.8 - 0.33)), int(height - height / 2.1 * 0.3)
    left = int(width / 2 - (bottom - top) / 2)
    right = left + bottom - top
    inside = images[:, :, top : max(bottom, top + 1), max(0, left) : max(right, left + 1)]
    return F.interpolate(inside, [SIDE, SIDE], mode="bilinear", align_corners=True)


_STAGES = (("conv_23", "conv_3"), ("conv_34", "conv_4"), ("conv_45", "conv_5"))
_MARK = "conv2_dw.conv.weight"


class _Depthwise(nn.Module):
    """1x1 to more maps, 3x3 on each map by itself, 1x1 back, without an activation at the end."""

    def __init__(self, before: int, inner: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv, self.conv_dw = _conv(before, inner, 1), _conv(inner, inner, 3, stride, 1, inner)
        self.project = _conv(inner, after, 1, act=False)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.project(self.conv_dw(self.conv(x)))
        return found


def _conv(
    before: int, after: int, kernel: int, stride: int = 1, padding: int = 0, groups: int = 1, act: bool = True
) -> nn.Sequential:
    parts = OrderedDict[str, nn.Module](
        conv=nn.Conv2d(before, after, kernel, stride, padding, groups=groups, bias=False), bn=nn.BatchNorm2d(after)
    )
    return nn.Sequential(parts | {"prelu": nn.PReLU(after)} if act else parts)


Shape = tuple[int, list[tuple[int, int]], list[int], list[int], int, int]


def _shape(tensors: Mapping[str, Tensor], path: Path) -> Shape:
    """What `MobileFaceNet` takes, from the shapes in a file."""

    def maps(name: str) -> int:
        if name not in tensors or tensors[name].ndim < 2 or not len(tensors[name]):
            hint = "give model_mobilefacenet.pth of minivision's photo2cartoon"
            raise UserError(f"is no MobileFaceNet: it has no tensor {name!r}", where=path, hint=hint)
        return len(tensors[name])

    blocks, inner, outer = list[int](), list[tuple[int, int]](), list[int]()
    for first, second in _STAGES:
        numbers = [int(m[1]) for name in tensors if (m := re.match(rf"{second}\.model\.(\d{{1,3}})\.", name))]
        blocks.append(min(1 + max(numbers, default=-1), MOST_BLOCKS))
        down = maps(f"{first}.conv.conv.weight")
        inner.append((down, maps(f"{second}.model.0.conv.conv.weight") if numbers else down))
        outer.append(maps(f"{first}.project.conv.weight"))
    return maps("conv1.conv.weight"), inner, outer, blocks, maps("conv_6_sep.conv.weight"), maps("linear.weight")
