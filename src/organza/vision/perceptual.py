"""Distances between images that follow the eye more than pixels do, as a search wants them.

The distance is the squared length of the difference of two feature vectors, so a target's are found once. With
published weights it is LPIPS (Zhang et al. 2018, arXiv 1801.03924). Without them a stand-in serves, and says so in its
name.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from organza.core.errors import UserError
from organza.core.files import user_path
from organza.media.images import as_levels

STAND_IN = "stand-in: pixels, gradients and random features at several sizes (not LPIPS)"
FILTERS = 24
"""Random filters at each size of the stand-in."""


@dataclass(frozen=True)
class Perceptual:
    """A perceptual distance.

    Attributes:
        name: what it is, for people.
        features: images ``[N, C, H, W]`` in [-1, 1] -> ``[N, F]``.
    """

    name: str
    features: Callable[[Tensor], Tensor]

    def distance(self, images: Tensor, others: Tensor) -> Tensor:
        """Of each image ``[N, C, H, W]`` from its other: ``[N]``."""
        return (self.features(images) - self.features(others)).square().sum(1)


def open_perceptual(name: str | os.PathLike[str] | None, channels: int, device: torch.device) -> Perceptual:
    """A distance by its name.

    Args:
        name: ``"stand-in"``; a name of `organza.vision.lpips.open_distance`, such as ``"lpips"``; or NVIDIA's file
            ``vgg16.pt``. None takes LPIPS with VGG where its files are in the cache, else the stand-in.
        channels: of the images.
        device: where it runs.

    Raises:
        UserError: no such distance, or its files can't be had.

    Example:
        >>> open_perceptual("voile64", 3, torch.device("cpu")).name
        'voile64 perceptual (not LPIPS)'
    """
    if name == "stand-in":
        return stand_in(channels)
    if name is not None and Path(name).suffix == ".pt":
        return lpips(name, device)
    from organza.vision import published
    from organza.vision.lpips import open_distance

    if name is None and not all(published.place(part).is_file() for part in ("vgg", "vgg-heads")):
        return stand_in(channels)
    net = open_distance("lpips" if name is None else os.fspath(name), device=device)
    heads = getattr(net, "heads", None)

    def features(images: Tensor) -> Tensor:
        found = net.activations(_as_in_the_paper(images))
        if heads is None:
            return torch.cat([x.flatten(1) / (x[0, 0].numel() * len(found)) ** 0.5 for x in found], 1)
        # No head is negative: that is how they were trained.
        roots = [head.clamp(min=0).sqrt()[:, None, None] for head in heads]
        parts = zip(found, roots, strict=True)
        return torch.cat([(x * root).flatten(1) / x[0, 0].numel() ** 0.5 for x, root in parts], 1)

    return Perceptual(net.name, features)


def _as_in_the_paper(images: Tensor) -> Tensor:
    """RGB, and larger images reduced to 256 pixels (StyleGAN2, appendix D)."""
    images = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images[:, :3]
    factor = min(images.shape[2:]) // 256
    return F.avg_pool2d(images, factor) if factor > 1 else images


def stand_in(channels: int, seed: int = 0) -> Perceptual:
    """A distance that needs no weights: pixels, their gradients, and rectified random filters, from full size to 8.

    Features at each place are scaled to about unit length before they are compared, as in LPIPS (equation 1), so what
    counts is which pattern is where rather than how strong it is. Each size and kind has the same weight.

    Args:
        channels: of the images.
        seed: of the filters.

    Example:
        >>> found = stand_in(3)
        >>> black, white = -torch.ones(1, 3, 16, 16), torch.ones(1, 3, 16, 16)
        >>> found.distance(black, black).item(), found.distance(black, white).item() > 1
        (0.0, True)
    """
    rng = torch.Generator().manual_seed(seed)
    filters = torch.randn(FILTERS, channels, 5, 5, generator=rng)
    filters -= filters.mean((2, 3), keepdim=True)
    filters /= filters.flatten(1).norm(dim=1)[:, None, None, None]

    def features(images: Tensor) -> Tensor:
        kernel = filters.to(images.device)
        found: list[Tensor] = []
        while True:
            size = images.shape[2] * images.shape[3]
            padded = F.pad(images, (2, 2, 2, 2), mode="replicate")
            patterns = F.leaky_relu(F.conv2d(padded, kernel), 0.1)
            patterns = patterns / (patterns.square().sum(1, keepdim=True) + 0.05).sqrt()
            steps = (images.diff(dim=2), images.diff(dim=3))
            found += [part.flatten(1) / size**0.5 for part in (images, *steps, patterns)]
            if min(images.shape[2:]) < 16:
                return torch.cat(found, 1)
            images = F.avg_pool2d(images, 2)

    return Perceptual(STAND_IN, features)


def lpips(path: str | os.PathLike[str], device: torch.device) -> Perceptual:
    """LPIPS by the TorchScript file ``vgg16.pt`` that NVIDIA publishes, with its linear weights inside.

    The file takes images ``[N, 3, H, W]`` in [0, 255], ``resize_images=False`` and ``return_lpips=True``.

    Raises:
        UserError: not such a file.
    """
    path = user_path(path)
    try:
        net = torch.jit.load(str(path), map_location=device).eval()  # type: ignore[no-untyped-call]
        net(torch.zeros(1, 3, 64, 64, device=device), resize_images=False, return_lpips=True)
    except (RuntimeError, ValueError, OSError) as error:
        raise UserError(
            "is no feature network for LPIPS", where=path, hint="give NVIDIA's vgg16.pt, or none for the stand-in"
        ) from error

    def features(images: Tensor) -> Tensor:
        found: Tensor = net(as_levels(_as_in_the_paper(images)), resize_images=False, return_lpips=True)
        return found

    return Perceptual(f"LPIPS ({path.name})", features)
