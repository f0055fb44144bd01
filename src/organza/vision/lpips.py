"""LPIPS: how different two images look (Zhang et al. 2018, arXiv 1801.03924).

``d(a, b) = sum over layers of mean over places of sum over channels of w (a' - b')^2`` (equation 1), where ``a'`` and
``b'`` are a classifier's activations scaled to unit length at each place, and the ``w`` were learnt from what people
said. The bodies are torchvision's classifiers, the heads are version 0.1; nothing of them comes with the package.
Where they can't be had, `open_distance` gives the same formula over voile64 with equal weights, under its own name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from organza.core.device import choose_device
from organza.core.errors import UserError
from organza.core.successors import current
from organza.media.images import as_input, as_levels
from organza.tensors.state_dict import fill, read_state_dict
from organza.vision import published
from organza.vision.features import voile64
from organza.vision.features.resize import to_rgb

Net = Literal["vgg", "alex", "squeeze"]

# Colours as the classifiers want them, for images in [-1, 1].
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


class Fire(nn.Module):
    """SqueezeNet's block (arXiv 1602.07360, section 3.2)."""

    def __init__(self, channels: int, squeezed: int, out: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, out, 1)
        self.expand3x3 = nn.Conv2d(squeezed, out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, channels, H, W]`` -> ``[N, 2 * out, H, W]``."""
        x = torch.relu(self.squeeze(x))
        return torch.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], 1))


def _vgg() -> list[nn.Module]:
    """The convolutions of VGG-16 (arXiv 1409.1556, configuration D)."""
    layers: list[nn.Module] = []
    channels = 3
    for index, (out, count) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))):
        layers += [nn.MaxPool2d(2)] if index else []
        for _ in range(count):
            layers += [nn.Conv2d(channels, out, 3, padding=1), nn.ReLU()]
            channels = out
    return layers


def _alex() -> list[nn.Module]:
    """The convolutions of AlexNet in one tower (arXiv 1404.5997)."""
    pool = nn.MaxPool2d(3, 2)
    return [
        *(nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), pool),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), pool),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()),
    ]


def _squeeze() -> list[nn.Module]:
    """The body of SqueezeNet 1.1."""
    pool = nn.MaxPool2d(3, 2, ceil_mode=True)
    return [
        *(nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(), pool, Fire(64, 16, 64), Fire(128, 16, 64)),
        *(pool, Fire(128, 32, 128), Fire(256, 32, 128), pool, Fire(256, 48, 192), Fire(384, 48, 192)),
        *(Fire(384, 64, 256), Fire(512, 64, 256)),
    ]


@dataclass(frozen=True)
class Body:
    """A classifier's convolutions.

    Attributes:
        layers: makes them, in the order of torchvision's ``features``.
        taps: after which of them the activations are compared.
        widths: channels there.
    """

    layers: Callable[[], list[nn.Module]]
    taps: tuple[int, ...]
    widths: tuple[int, ...]


BODIES: dict[str, Body] = {
    "vgg": Body(_vgg, (3, 8, 15, 22, 29), (64, 128, 256, 512, 512)),
    "alex": Body(_alex, (1, 4, 7, 9, 11), (64, 192, 384, 256, 256)),
    "squeeze": Body(_squeeze, (1, 4, 7, 9, 10, 11, 12), (64, 128, 256, 384, 384, 512, 512)),
}
"""VGG-16, AlexNet and SqueezeNet 1.1, with the layers that the authors chose."""


def unit(x: Tensor) -> Tensor:
    """``[N, C, H, W]`` with vectors of length 1 at each place, or 0 where nothing is active."""
    # The clamp keeps the gradient of the root finite there.
    return x / (x.square().sum(1, keepdim=True).clamp(min=1e-20).sqrt() + 1e-10)


class LPIPS(nn.Module):
    """The distance as a module: ``[N, 1 | 3 | 4, H, W]`` twice, in [-1, 1], to ``[N]``. Gradients flow to both.

    Attributes:
        name: what it is, for people.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, net: Net = "vgg") -> None:
        super().__init__()
        self.name, self.taps = f"LPIPS ({net}, heads 0.1)", BODIES[net].taps
        self.features = nn.Sequential(*BODIES[net].layers())
        self.heads = nn.ParameterList(torch.zeros(width) for width in BODIES[net].widths)
        self.register_buffer("shift", torch.tensor(SHIFT)[:, None, None])
        self.register_buffer("scale", torch.tensor(SCALE)[:, None, None])

    @classmethod
    def open(
        cls,
        net: Net = "vgg",
        body: str | Path | None = None,
        heads: str | Path | None = None,
        *,
        device: str | torch.device | None = None,
    ) -> LPIPS:
        """The distance with published weights.

        Args:
            net: ``"vgg"``, ``"alex"`` or ``"squeeze"``.
            body: torchvision's file of weights; None takes it from the cache, and fetches it the first time.
            heads: the file of linear weights, version 0.1; None likewise.
            device: where to run; None takes the GPU where there is one.

        Raises:
            UserError: no such net, or a file can't be had, read or used.
        """
        if net not in BODIES:
            raise UserError(f"no LPIPS is called {net!r}", hint=f"choose {', '.join(BODIES)}")
        where = choose_device(None if device is None else str(device))
        found = cls(net)
        path = published.fetch(net) if body is None else Path(body)
        fill(nn.ModuleDict({"features": found.features}), read_state_dict(path), path)  # the classifier is left out
        path = published.fetch(f"{net}-heads") if heads is None else Path(heads)
        fill(found.heads, _heads(read_state_dict(path)), path)
        return found.to(where).eval().requires_grad_(False)

    def activations(self, images: Tensor) -> list[Tensor]:
        """Unit activations at each tap, ``[N, C_l, H_l, W_l]``."""
        x, found = (_rgb(images) - self.shift) / self.scale, []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.taps:
                found.append(unit(x))
        return found

    def embed(self, images: Tensor) -> Tensor:
        """Vectors ``[N, F]`` whose squared distance is this distance: for one image against many."""
        parts = zip(self.activations(images), self.heads, strict=True)
        return _joined([x * w.clamp(min=0).sqrt()[:, None, None] for x, w in parts])

    def forward(self, images: Tensor, others: Tensor) -> Tensor:
        """The distance of each image from its other.

        Raises:
            ValueError: not two batches of images of one size.
        """
        _check(images, others)
        parts = zip(self.activations(images), self.activations(others), self.heads, strict=True)
        return sum(((a - b).square().mean((2, 3)) @ w for a, b, w in parts), images.new_zeros(len(images)))


def _heads(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.split(".")[0].removeprefix("lin"): value.flatten() for name, value in tensors.items()}


def _joined(maps: list[Tensor]) -> Tensor:
    """Maps ``[N, C, H, W]`` to ``[N, F]``, each divided so that a sum over F is a mean over its places."""
    return torch.cat([(x / (x.shape[2] * x.shape[3]) ** 0.5).flatten(1) for x in maps], 1)


def _rgb(images: Tensor) -> Tensor:
    return as_input(to_rgb(as_levels(images))) if images.shape[1] == 4 else images.expand(-1, 3, -1, -1)


def _check(images: Tensor, others: Tensor) -> None:
    if images.shape != others.shape or images.ndim != 4 or images.shape[1] not in (1, 3, 4):
        raise ValueError(f"expected [N, 1 | 3 | 4, H, W] twice, got {list(images.shape)} and {list(others.shape)}")


class Perceptual64(nn.Module):
    """LPIPS's formula over voile64's four stages with equal weights: it needs no download, and it is not LPIPS.

    Example:
        >>> distance = Perceptual64(torch.device("cpu"))
        >>> a, b = torch.zeros(2, 3, 32, 32), torch.linspace(-1, 1, 32).expand(2, 3, 32, 32)
        >>> distance(a, a).tolist(), bool((distance(a, b) > 0.01).all())
        ([0.0, 0.0], True)
    """

    name = "voile64 perceptual (not LPIPS)"

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.net = voile64.load(device)

    def activations(self, images: Tensor) -> list[Tensor]:
        """Unit activations of each of the four stages."""
        return [unit(x) for x in self.net.stages(voile64.prepare(as_levels(images)))]

    def embed(self, images: Tensor) -> Tensor:
        """Vectors ``[N, F]`` whose squared distance is this distance: for one image against many."""
        return _joined([x / 2 for x in self.activations(images)])

    def forward(self, images: Tensor, others: Tensor) -> Tensor:
        """Images ``[N, 1 | 3 | 4, H, W]`` twice, in [-1, 1], to ``[N]``; gradients flow to both.

        Raises:
            ValueError: not two batches of images of one size.
        """
        _check(images, others)
        return (self.embed(images) - self.embed(others)).square().sum(1)


def open_distance(name: str | None = None, *, device: str | torch.device | None = None) -> LPIPS | Perceptual64:
    """A perceptual distance. What it is stands in its ``name``, which belongs beside every number from it.

    Args:
        name: ``"lpips"`` (VGG), ``"lpips-vgg"``, ``"lpips-alex"``, ``"lpips-squeeze"`` (fetched on first use), or
            ``"voile64"``. None takes LPIPS with VGG where its files are in the cache already, else voile64.
        device: where to run; None takes the GPU where there is one.

    Raises:
        UserError: no such distance, or its files can't be had.

    Example:
        >>> open_distance(device="cpu").name
        'voile64 perceptual (not LPIPS)'
    """
    name = current(name)
    if name is None:
        there = all(published.place(part).is_file() for part in ("vgg", "vgg-heads"))
        name = "lpips-vgg" if there else "voile64"
    if name == "voile64":
        return Perceptual64(choose_device(None if device is None else str(device)))
    kind, _, net = name.partition("-")
    if kind != "lpips" or (net or "vgg") not in BODIES:
        hint = f"choose voile64, {', '.join(f'lpips-{net}' for net in BODIES)}"
        raise UserError(f"no perceptual distance is called {name!r}", hint=hint)
    return LPIPS.open(net or "vgg", device=device)  # type: ignore[arg-type]
