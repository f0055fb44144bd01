"""Features in whose terms a translation should keep, or resemble, an image: layers of a classifier.

VGG-19 (Simonyan & Zisserman 2015, arXiv 1409.1556, configuration E) with torchvision's weights is what pix2pixHD,
CartoonGAN and AnimeGAN take. It is 548 MB, so nothing of it comes with the package. voile64 stands in for it, on
images at their own size: features of half its depth in four stages, of which it halves the image once each. Its
features are of another scale, so a weight that suits VGG-19 is only a starting point.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from organza.core.errors import UserError
from organza.core.successors import current
from organza.media.images import as_levels
from organza.tensors.state_dict import fill, read_state_dict
from organza.vision import published
from organza.vision.features import voile64

Perceptor = Literal["vgg19", "voile64", "organza64"]
"""The last is what voile64 was before; runs that name it go on with voile64."""
Colours = Literal["plain", "unit", "trained"]
"""How VGG-19 is shown images: in [-1, 1]; in [0, 1]; or as it was trained, with ImageNet's means and deviations."""

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TAPS = (1, 6, 11, 20, 29)
CONTENT = 25


class VGG19(nn.Module):
    """VGG-19 up to its layer relu5_1.

    Args:
        colours: see `Colours`.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, colours: Colours) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for index, (out, count) in enumerate(((64, 2), (128, 2), (256, 4), (512, 4), (512, 1))):
            layers += [nn.MaxPool2d(2)] if index else []
            for _ in range(count):
                layers += [nn.Conv2d(channels, out, 3, padding=1), nn.ReLU()]
                channels = out
        self.features = nn.Sequential(*layers)
        scale, shift = {
            "plain": ([1.0] * 3, [0.0] * 3),
            "unit": ([0.5] * 3, [0.5] * 3),
            "trained": ([0.5 / d for d in DEVIATION], [(0.5 - m) / d for m, d in zip(MEAN, DEVIATION, strict=True)]),
        }[colours]
        self.register_buffer("scale", torch.tensor(scale)[:, None, None])
        self.register_buffer("shift", torch.tensor(shift)[:, None, None])

    def stages(self, images: Tensor) -> list[Tensor]:
        """relu1_1, relu2_1 ... relu5_1 of images ``[N, 1 | 3 | 4, H, W]`` in [-1, 1], of at least 16 pixels."""
        x, found = self._shown(images), []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in TAPS:
                found.append(x)
        return found

    def content(self, images: Tensor) -> Tensor:
        """conv4_4 before its activation, at an eighth of the size."""
        x = self._shown(images)
        for layer in list(self.features)[: CONTENT + 1]:
            x = layer(x)
        return x

    def _shown(self, images: Tensor) -> Tensor:
        return _rgb(images) * self.scale + self.shift


class Voile64Layers(nn.Module):
    """voile64's stages at an image's own size."""

    def __init__(self) -> None:
        super().__init__()
        self.net = voile64.Voile64()

    def stages(self, images: Tensor) -> list[Tensor]:
        """At a half, a quarter ... a sixteenth of the size of images ``[N, 1 | 3 | 4, H, W]`` in [-1, 1]."""
        return self.net.stages(as_levels(_rgb(images)))

    def content(self, images: Tensor) -> Tensor:
        """The third stage, at an eighth of the size."""
        return self.stages(images)[2]


def available() -> Perceptor:
    """VGG-19 where its file is in the cache already, else voile64."""
    return "vgg19" if published.place("vgg19").is_file() else "voile64"


def open_perceptor(name: Perceptor, colours: Colours = "trained") -> VGG19 | Voile64Layers:
    """A network with its weights; on PyTorch's device of shapes, as shapes alone.

    Args:
        name: which. VGG-19's file is fetched the first time.
        colours: of VGG-19.

    Raises:
        UserError: the file can't be had or read.
    """
    if current(name) == "voile64":
        small = Voile64Layers()
        if not small.net.scale.is_meta:
            small.net = voile64.load(small.net.scale.device)
        return small
    net = VGG19(colours)
    if not net.scale.is_meta:
        try:
            path = published.fetch("vgg19")
        except UserError as error:
            hint = f"put the file at {published.place('vgg19')}, or take --perceptor voile64"
            raise UserError(error.what, where=error.where, hint=hint) from error
        fill(nn.ModuleDict({"features": net.features}), read_state_dict(path), path)
    return net


def gram(features: Tensor) -> Tensor:
    """Inner products of feature maps ``[N, C, H, W]``, over C H W: ``[N, C, C]`` (Gatys et al. 2016, equation 3).

    Example:
        >>> gram(torch.ones(1, 2, 3, 3)).flatten().tolist()
        [0.5, 0.5, 0.5, 0.5]
    """
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / (flat.shape[1] * flat.shape[2])


def content_distance(net: nn.Module, images: Tensor, others: Tensor) -> Tensor:
    """The L1 distance of both in the content layer of a perceptor; of ``others``, nothing learns."""
    with torch.no_grad():
        wanted = net.content(others)  # type: ignore[operator]
    found: Tensor = net.content(images)  # type: ignore[operator]
    return F.l1_loss(found, wanted)


def _rgb(images: Tensor) -> Tensor:
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images[:, :3]
