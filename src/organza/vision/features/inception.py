"""The Inception-v3 that FID is defined by: Szegedy et al. 2015 (arXiv 1512.00567), with TensorFlow's weights of 2015.

Three things differ from the network that torchvision has, and FID needs all of them (Heusel et al. 2017,
arXiv 1706.08500, took the graph as it was published): average pooling does not count the padding, the last block pools
by the maximum, and there are 1008 classes. Images come to 299x299 by TensorFlow 1's bilinear interpolation.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from organza.core.errors import UserError
from organza.tensors.state_dict import fill, read_state_dict
from organza.vision.features.base import Output
from organza.vision.features.resize import bilinear_tf1, to_rgb

SIZE, DIM, CLASSES = 299, 2048, 1008
RESIZE = "TF1-style bilinear to 299x299 (no antialiasing, corners aligned on the left)"
VERSION = 1
"""Of the preparation of images: part of the digest."""


class Conv(NamedTuple):
    """A convolution of a branch; its name follows ``branch``."""

    name: str
    out: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1


Chain = tuple[Conv | tuple[Conv, Conv], ...]
"""Convolutions one after the other; a pair looks at the same and stands side by side."""


class Unit(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, channels: int, out: int, kernel: tuple[int, int], stride: int = 1, pad: bool = True) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2) if pad and stride == 1 else (0, 0)
        self.conv = nn.Conv2d(channels, out, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, H, W]`` -> ``[N, out, H', W']``."""
        return F.relu(self.bn(self.conv(x)))


def mean_pool(x: Tensor) -> Tensor:
    """3x3 means of what is inside the image."""
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def max_pool(x: Tensor) -> Tensor:
    """3x3 maxima."""
    return F.max_pool2d(x, 3, 1, 1)


def halve(x: Tensor) -> Tensor:
    """3x3 maxima at every second place."""
    return F.max_pool2d(x, 3, 2)


class Mixed(nn.Module):
    """Branches side by side: chains of convolutions, and last a pooling, with a convolution or without."""

    def __init__(self, channels: int, pool: Callable[[Tensor], Tensor], pooled: int, *chains: Chain) -> None:
        super().__init__()
        self.pool, self.chains = pool, chains
        self.out = pooled or channels
        for chain in chains:
            width = channels
            for step in chain:
                for conv in _side(step):
                    self.add_module(f"branch{conv.name}", Unit(width, conv.out, conv.kernel, conv.stride))
                width = sum(conv.out for conv in _side(step))
            self.out += width
        self.branch_pool = Unit(channels, pooled, (1, 1)) if pooled else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, H, W]`` -> ``[N, out, H', W']``."""
        found = []
        for chain in self.chains:
            y = x
            for step in chain:
                y = torch.cat([self.get_submodule(f"branch{conv.name}")(y) for conv in _side(step)], 1)
            found.append(y)
        return torch.cat([*found, self.branch_pool(self.pool(x))], 1)


def _side(step: Conv | tuple[Conv, Conv]) -> tuple[Conv, ...]:
    return (step,) if isinstance(step, Conv) else step


def block_a(channels: int, pooled: int) -> Mixed:
    """35x35: figure 5 of the paper with 5x5 convolutions."""
    double = (Conv("3x3dbl_1", 64), Conv("3x3dbl_2", 96, (3, 3)), Conv("3x3dbl_3", 96, (3, 3)))
    large = (Conv("5x5_1", 48), Conv("5x5_2", 64, (5, 5)))
    return Mixed(channels, mean_pool, pooled, (Conv("1x1", 64),), large, double)


def block_b(channels: int) -> Mixed:
    """35x35 to 17x17: figure 10."""
    double = (Conv("3x3dbl_1", 64), Conv("3x3dbl_2", 96, (3, 3)), Conv("3x3dbl_3", 96, (3, 3), 2))
    return Mixed(channels, halve, 0, (Conv("3x3", 384, (3, 3), 2),), double)


def block_c(channels: int, width: int) -> Mixed:
    """17x17: figure 6, with n = 7."""
    row, column = (1, 7), (7, 1)
    single = (Conv("7x7_1", width), Conv("7x7_2", width, row), Conv("7x7_3", 192, column))
    double = (
        Conv("7x7dbl_1", width),
        Conv("7x7dbl_2", width, column),
        Conv("7x7dbl_3", width, row),
        Conv("7x7dbl_4", width, column),
        Conv("7x7dbl_5", 192, row),
    )
    return Mixed(channels, mean_pool, 192, (Conv("1x1", 192),), single, double)


def block_d(channels: int) -> Mixed:
    """17x17 to 8x8."""
    long = (
        Conv("7x7x3_1", 192),
        Conv("7x7x3_2", 192, (1, 7)),
        Conv("7x7x3_3", 192, (7, 1)),
        Conv("7x7x3_4", 192, (3, 3), 2),
    )
    return Mixed(channels, halve, 0, (Conv("3x3_1", 192), Conv("3x3_2", 320, (3, 3), 2)), long)


def block_e(channels: int, pool: Callable[[Tensor], Tensor]) -> Mixed:
    """8x8: figure 7."""
    single = (Conv("3x3_1", 384), (Conv("3x3_2a", 384, (1, 3)), Conv("3x3_2b", 384, (3, 1))))
    double = (
        Conv("3x3dbl_1", 448),
        Conv("3x3dbl_2", 384, (3, 3)),
        (Conv("3x3dbl_3a", 384, (1, 3)), Conv("3x3dbl_3b", 384, (3, 1))),
    )
    return Mixed(channels, pool, 192, (Conv("1x1", 320),), single, double)


class Inception(nn.Module):
    """The network; its names are those of torchvision and pytorch-fid, so their files fit."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Unit(3, 32, (3, 3), 2)
        self.Conv2d_2a_3x3 = Unit(32, 32, (3, 3), pad=False)
        self.Conv2d_2b_3x3 = Unit(32, 64, (3, 3))
        self.Conv2d_3b_1x1 = Unit(64, 80, (1, 1))
        self.Conv2d_4a_3x3 = Unit(80, 192, (3, 3), pad=False)
        self.Mixed_5b = block_a(192, 32)
        self.Mixed_5c = block_a(256, 64)
        self.Mixed_5d = block_a(288, 64)
        self.Mixed_6a = block_b(288)
        self.Mixed_6b = block_c(768, 128)
        self.Mixed_6c = block_c(768, 160)
        self.Mixed_6d = block_c(768, 160)
        self.Mixed_6e = block_c(768, 192)
        self.Mixed_7a = block_d(768)
        self.Mixed_7b = block_e(1280, mean_pool)
        self.Mixed_7c = block_e(2048, max_pool)
        self.fc = nn.Linear(DIM, CLASSES)

    def forward(self, x: Tensor) -> Output:
        """Float ``[N, 3, 299, 299]``, values 0 to 255.

        The logits are without the last layer's bias, as the Inception Score takes them (Salimans et al. 2016).
        """
        x = (x - 128) / 128
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(halve(x)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(halve(x))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        features = x.mean((2, 3))
        return Output(features, features @ self.fc.weight.T)


def load(path: Path, device: torch.device) -> Callable[[Tensor], Output]:
    """The network with the weights of a pytorch-fid file, on float ``[N, 1 | 3 | 4, H, W]`` in 0..255.

    Raises:
        UserError: not such a file.
    """
    with torch.device("meta"):
        net = Inception()
    net = net.to_empty(device="cpu")
    fill(net, read_state_dict(path), path)
    net = net.to(device).eval().requires_grad_(False)

    def run(images: Tensor) -> Output:
        found: Output = net(bilinear_tf1(to_rgb(images), SIZE, SIZE))
        return found

    return run


def load_script(path: Path, device: torch.device) -> Callable[[Tensor], Output]:
    """The same from NVIDIA's TorchScript file, which resizes images itself, in the same way.

    Raises:
        UserError: not such a file.
    """
    from organza.vision.features.files import load_torchscript

    net = load_torchscript(path, device)

    def run(images: Tensor) -> Output:
        rgb = to_rgb(images)
        return Output(net(rgb, return_features=True), net(rgb, no_output_bias=True).clamp(min=1e-30).log())

    try:
        with torch.no_grad():
            found = run(torch.zeros(1, 3, 32, 32, device=device)).features
    except RuntimeError as error:
        raise UserError(
            "is no Inception such as NVIDIA publishes", where=path, hint="give it without inception:"
        ) from error
    if found.shape != (1, DIM):
        raise UserError(f"gives features {list(found.shape)}, not [1, {DIM}]", where=path)
    return run
