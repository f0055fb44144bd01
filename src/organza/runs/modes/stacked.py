"""Stacked MNIST: a digit in each colour channel, a thousand modes (Metz et al. 2017, arXiv 1611.02163, section 3.3.1).

Which mode an image belongs to, a classifier of digits says; it is trained on the spot, for one epoch. Networks are
DCGAN's pyramids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from organza.contract.data import DataSpec
from organza.core.errors import UserError
from organza.data.dataset import open_dataset
from organza.data.options import DataOptions
from organza.media.images import to_tensor
from organza.methods.ensembles.mad_gan import Generators
from organza.nn.pyramid import Encoder, layer_norm
from organza.runs.modes.worlds import Coverage

SURE = 0.8
"""A digit is good if the classifier is so sure of it."""
SPEC = DataSpec((32, 32), 3)


@dataclass(frozen=True)
class Stacked:
    """See `World`. Images are ``[N, 3, 32, 32]`` in [-1, 1].

    Attributes:
        digits: ``[N, 1, 32, 32]``.
        classifier: ``[N, 1, 32, 32]`` -> logits ``[N, 10]``.
        width: feature maps of the outermost level.
        name, modes, z_dim, together: see `World`.
    """

    digits: Tensor
    classifier: nn.Module
    width: int = 16
    name: str = "stacked"
    modes: int = 1000
    z_dim: int = 64
    together: bool = False

    def draw(self, count: int, rng: torch.Generator) -> Tensor:
        """Three digits each, chosen independently."""
        which = torch.randint(len(self.digits), [count, 3], generator=rng)
        return self.digits[which, 0]

    def generator(self, seeds: Sequence[int], heads: int) -> nn.Module:
        """DCGAN's, with two layers in common."""
        return _Generator(Generators(heads, 2, self.z_dim, SPEC, self.width))

    def critic(self, seeds: Sequence[int], outputs: int, bounded: bool) -> nn.Module:
        """DCGAN's."""
        return _Critic(Encoder(outputs, SPEC.resolution, 3, self.width, layer_norm if bounded else nn.BatchNorm2d))

    def covered(self, samples: Tensor) -> Coverage:
        """An image is good if all three digits are clear; a mode is found if one good image belongs to it."""
        with torch.no_grad():
            alone = torch.split(samples.reshape(-1, 1, *SPEC.resolution), 500)
            found = [self.classifier(part).softmax(1).max(1) for part in alone]
        sure, digit = (torch.cat(parts).reshape(-1, 3) for parts in zip(*found, strict=True))
        good = (sure > SURE).all(1)
        number = digit @ torch.tensor([100, 10, 1])
        return Coverage(len(torch.unique(number[good])), float(good.float().mean()))


class _Generator(nn.Module):
    """A stack of one: ``[1, N, z_dim]`` -> ``[1, heads * N, 3, 32, 32]``."""

    def __init__(self, net: Generators) -> None:
        super().__init__()
        self.net = net

    def forward(self, z: Tensor) -> Tensor:
        """See the class."""
        return self.net.all(z[0])[None]


class _Critic(nn.Module):
    """A stack of one: ``[1, N, 3, 32, 32]`` -> ``[1, N, outputs]``."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        logits: Tensor = self.net(images[0])
        return logits[None]


def stacked(mnist: Path) -> Stacked:
    """Read MNIST and train the classifier.

    Raises:
        UserError: there are no digits.
    """
    data = open_dataset(mnist, DataOptions(resolution="32", channels="1", labels="own"))
    if data.spec.label_dim != 10:
        raise UserError("these are not ten digits with labels", where=mnist, hint="give MNIST's folder with --mnist")
    pixels, labels = data.fetch(np.arange(len(data)))
    digits = to_tensor(pixels)
    return Stacked(digits, classifier_of(digits, torch.from_numpy(labels).argmax(1)))


def classifier_of(digits: Tensor, classes: Tensor, batch: int = 128) -> nn.Module:
    """A network in the manner of LeNet after one epoch over ``digits [N, 1, 32, 32]`` in [-1, 1].

    Example:
        >>> net = classifier_of(torch.zeros(4, 1, 32, 32), torch.zeros(4, dtype=torch.int64), batch=2)
        >>> net(torch.zeros(1, 1, 32, 32)).shape
        torch.Size([1, 10])
    """
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )
    optimizer = torch.optim.Adam(net.parameters(), 0.002)
    for part in torch.split(torch.randperm(len(digits)), batch):
        optimizer.zero_grad()
        F.cross_entropy(net(digits[part]), classes[part]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return net.eval().requires_grad_(False)
