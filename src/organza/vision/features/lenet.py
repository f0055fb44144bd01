"""LeNet-5 (LeCun et al. 1998) with ReLU and max-pooling: features and classes of handwritten digits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from organza.tensors.state_dict import fill, read_state_dict
from organza.vision.features.base import Output
from organza.vision.features.resize import bicubic, to_grey

DIM, CLASSES = 84, 10
RESIZE = "grey; 28x28 with 2 black pixels around, other sizes by antialiased bicubic to 32x32"
VERSION = 2
"""Of the preparation of images: part of the digest."""
SHA256 = "7b3591ba5a63752a7e728d7f7e511266556a2ec66844810da9f475e07019b85e"
"""Of the file whose features go by the name ``lenet`` alone."""


class LeNet(nn.Module):
    """Three convolutions and two linear layers, under the names of the known file."""

    def __init__(self) -> None:
        super().__init__()
        convs = {"c1": nn.Conv2d(1, 6, 5), "c3": nn.Conv2d(6, 16, 5), "c5": nn.Conv2d(16, 120, 5)}
        self.convnet = nn.ModuleDict(convs)
        self.fc = nn.ModuleDict({"f6": nn.Linear(120, DIM), "f7": nn.Linear(DIM, CLASSES)})

    def forward(self, x: Tensor) -> Output:
        """Float ``[N, 1, 32, 32]``, values 0 to 1; the features are those before the last layer."""
        x = F.max_pool2d(F.relu(self.convnet["c1"](x)), 2)
        x = F.max_pool2d(F.relu(self.convnet["c3"](x)), 2)
        x = F.relu(self.convnet["c5"](x)).flatten(1)
        features = F.relu(self.fc["f6"](x))
        return Output(features, self.fc["f7"](features))


def load(path: Path, device: torch.device) -> Callable[[Tensor], Output]:
    """The network with the weights of a file, on float ``[N, 1 | 3 | 4, H, W]`` in 0..255.

    Raises:
        UserError: not such a file.
    """
    net = LeNet()
    fill(net, read_state_dict(path), path)
    net = net.to(device).eval().requires_grad_(False)

    def run(images: Tensor) -> Output:
        grey = to_grey(images)
        # MNIST's own size is padded, as in training. Others have their margin already: digits padded to 32x32, or any
        # size of them.
        found: Output = net((F.pad(grey, (2, 2, 2, 2)) if grey.shape[2:] == (28, 28) else bicubic(grey, 32, 32)) / 255)
        return found

    return run
