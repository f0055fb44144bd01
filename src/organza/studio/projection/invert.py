"""Images to latent codes by optimisation, and a network tuned around what it found.

Projection: StyleGAN2 (arXiv 1912.04958), section 5 and appendix D. Tuning: Pivotal Tuning (Roich et al. 2021,
arXiv 2106.05744).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from organza.core.device import computing
from organza.vision.perceptual import Perceptual

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from organza.models.generator import Generator

Space = Literal["w", "w+"]


@dataclass(frozen=True)
class Projecting:
    """The settings of appendix D."""

    steps: int = 1000
    """Steps of Adam."""
    space: Space = "w"
    """w: one w for all layers, as in the paper; w+: one for each layer, closer but harder to edit."""
    rate: float = 0.1
    """Highest learning rate."""
    samples: int = 10000
    """w's for their mean and deviation."""
    jitter: float = 0.05
    """Noise on w at first, in deviations of w."""
    noise_weight: float = 1e5
    """Weight alpha of the noise regularisation."""


@dataclass(frozen=True)
class Step:
    """Where a projection stands before step ``number``.

    Attributes:
        ws: ``[N, num_ws, w_dim]``.
        noise: the noise maps, ``[N, 1, H, W]`` each, by the order of the network's noise inputs.
        images: ``[N, C, H, W]``.
        distance: perceptual, ``[N]``.
    """

    number: int
    ws: Tensor
    noise: list[Tensor]
    images: Tensor
    distance: Tensor


def statistics(G: Generator, samples: int, labels: ArrayLike | None = None, seed: int = 0) -> tuple[Tensor, float]:
    """The mean of w ``[w_dim]`` and its deviation ``sqrt(E |w - mean|^2)`` over ``samples`` codes."""
    rng = torch.Generator().manual_seed(seed)
    z = torch.randn(samples, G.z_dim, generator=rng)
    ws = torch.cat([G.mapping(part, labels)[:, 0] for part in torch.chunk(z, -(-samples // 1000))]).double()
    mean = ws.mean(0)
    deviation = (ws - mean).square().sum(1).mean().sqrt()
    return mean.float(), float(deviation)


def ramp(progress: float) -> float:
    """Factor on the learning rate: up over the first twentieth, down along a cosine over the last quarter.

    Example:
        >>> [round(ramp(t), 2) for t in (0, 0.025, 0.05, 0.5, 0.875, 1)]
        [0.0, 0.5, 1.0, 1.0, 0.5, 0.0]
    """
    down = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - progress) / 0.25))
    return down * min(1.0, progress / 0.05)


def jitter(progress: float) -> float:
    """Factor on the noise on w: ``t^2``, where t falls from 1 to 0 over the first three quarters.

    Example:
        >>> jitter(0), jitter(0.375), jitter(0.75), jitter(1)
        (1.0, 0.25, 0.0, 0.0)
    """
    return max(0.0, 1 - progress / 0.75) ** 2


def noise_regularisation(noise: Tensor) -> Tensor:
    """How far a noise map ``[N, 1, H, W]`` is from white: ``[N]``.

    At each size down to 8 pixels, the squares of its mean products with itself moved by a pixel along each axis; sizes
    halve by the mean of 2x2 pixels, times two so that white noise keeps its deviation.

    Example:
        >>> noise_regularisation(torch.ones(1, 1, 8, 8))
        tensor([2.])
    """
    total = torch.zeros(len(noise), device=noise.device)
    while True:
        for axis in (2, 3):
            total = total + (noise * noise.roll(1, axis)).mean((1, 2, 3)).square()
        if min(noise.shape[2:]) <= 8 or any(side % 2 for side in noise.shape[2:]):
            return total
        noise = F.avg_pool2d(noise, 2) * 2


def optimise(
    G: Generator,
    targets: Tensor,
    perceptual: Perceptual,
    settings: Projecting,
    *,
    start: Tensor | None = None,
    labels: ArrayLike | None = None,
    seed: int = 0,
) -> Iterator[Step]:
    """Look for the codes of ``targets``; gives each step, and the result after the last.

    All images meet the same random numbers, so what is found for one does not depend on the others.

    Args:
        G: a network from `organza.load`.
        targets: ``[N, C, H, W]`` in [-1, 1].
        perceptual: the distance.
        settings: how.
        start: a guess ``[N, w_dim]``, such as an encoder's; None starts from the mean.
        labels: for conditional networks: their class.
        seed: of everything random.

    Example:
        >>> from organza.vision.perceptual import stand_in
        >>> target = G.synthesis(G.mapping(G.z([1])))
        >>> [step.number for step in optimise(G, target, stand_in(3), Projecting(steps=2, samples=100))]
        [0, 1, 2]
    """
    count, device = len(targets), G.device
    rng = torch.Generator().manual_seed(seed)
    mean, deviation = statistics(G, settings.samples, labels, seed)
    layers = G.num_ws if settings.space == "w+" else 1
    first = mean.expand(count, -1) if start is None else start
    w = first[:, None].repeat(1, layers, 1).requires_grad_()
    net = copy.deepcopy(G.net)
    noises: list[Tensor] = []
    for one in [] if G.latents.styles is None else G.latents.styles.noise(net):
        plane = torch.randn(1, 1, *one.plane.shape, generator=rng)
        noises.append(plane.repeat(count, 1, 1, 1).to(device).requires_grad_())
        one.store(noises[-1])
    adam = torch.optim.Adam([w, *noises], lr=settings.rate)
    wanted = perceptual.features(targets)

    def draw(codes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ws = codes.expand(-1, G.num_ws, -1)
        with computing(G.dtype):
            images = G.latents.synthesis(net, ws, "const", None).float()
        return ws, images, (perceptual.features(images) - wanted).square().sum(1)

    for number in range(settings.steps):
        progress = number / settings.steps
        spread = settings.jitter * deviation * jitter(progress)
        ws, images, distance = draw(w + spread * torch.randn(1, *w.shape[1:], generator=rng).to(device))
        yield Step(number, ws.detach(), [n.detach() for n in noises], images.detach(), distance.detach())
        loss = distance.sum()
        if noises:
            loss = loss + settings.noise_weight * torch.stack([noise_regularisation(n).sum() for n in noises]).sum()
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.param_groups[0]["lr"] = settings.rate * ramp(progress)
        adam.step()
        with torch.no_grad():
            for noise in noises:
                noise -= noise.mean((1, 2, 3), keepdim=True)
                noise *= noise.square().mean((1, 2, 3), keepdim=True).clamp_min(1e-8).rsqrt()
    with torch.no_grad():
        ws, images, distance = draw(w)
    yield Step(settings.steps, ws.detach().contiguous(), [n.detach() for n in noises], images, distance)


@dataclass(frozen=True)
class Tuning:
    """The settings of pivotal tuning, as its authors chose them."""

    steps: int = 350
    """Steps of Adam."""
    rate: float = 3e-4
    """Learning rate."""
    pixels: float = 1.0
    """Weight lambda of the mean square of pixels (equation 2)."""
    locality: float = 0.1
    """Weight of the loss that keeps other images as they were (equations 4 and 5)."""
    distance: float = 30.0
    """How far from the pivot these others are, at most."""


def tune(
    G: Generator,
    pivots: Tensor,
    targets: Tensor,
    perceptual: Perceptual,
    settings: Tuning,
    *,
    labels: ArrayLike | None = None,
    seed: int = 0,
) -> Iterator[Generator]:
    """Tune the weights until ``pivots [N, num_ws, w_dim]`` generate ``targets [N, C, H, W]``: the network after each
    step.

    Its mapping stays as it is. The network given is the same one all along, and complete after the last step. The
    stored noise is used, so the tuned network generates the targets from the pivots alone.
    """
    rng = torch.Generator().manual_seed(seed)
    net = copy.deepcopy(G.net)
    fixed = set() if G.latents.styles is None else {*G.latents.styles.mapping(net).parameters()}
    weights = [value.requires_grad_() for value in net.parameters() if value not in fixed]
    adam = torch.optim.Adam(weights, lr=settings.rate)
    wanted = perceptual.features(targets)

    def draw(ws: Tensor) -> Tensor:
        with computing(G.dtype):
            return G.latents.synthesis(net, ws, "const", None).float()

    for _ in range(settings.steps):
        images = draw(pivots)
        loss = (perceptual.features(images) - wanted).square().sum() + settings.pixels * _square(images, targets)
        if settings.locality:
            away = G.mapping(torch.randn(len(pivots), G.z_dim, generator=rng), labels) - pivots
            length = away.flatten(1).norm(dim=1)[:, None, None] / G.num_ws**0.5
            others = pivots + away * (settings.distance / length).clamp(max=1)
            before, after = G.synthesis(others), draw(others)
            kept = perceptual.distance(after, before).sum() + settings.pixels * _square(after, before)
            loss = loss + settings.locality * kept
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        yield replace(G, net=net)
    net.requires_grad_(False)


def _square(images: Tensor, others: Tensor) -> Tensor:
    return (images - others).square().mean((1, 2, 3)).sum()
