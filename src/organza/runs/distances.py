"""Why the Jensen-Shannon divergence fails where the Wasserstein distance does not: two lines, and critics between them.

Real points lie on the segment x = 0, generated ones on x = theta, both with y uniform in [0, 1] (Arjovsky et al. 2017,
arXiv 1701.07875, example 1). For every theta but 0 the supports are disjoint: the Jensen-Shannon divergence is log 2,
the Wasserstein distance is that of the lines. For each theta a critic of either game is trained, and the gradient that
it gives to theta, the generator's only parameter, is measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from organza.core.files import atomic_write
from organza.nn.losses import logistic_d, logistic_g, saturating_g, wasserstein_d, wasserstein_g
from organza.nn.penalties import interpolate, wgan_gp


@dataclass(frozen=True)
class Found:
    """What the critics say of one theta.

    Attributes:
        theta: where the generated line is.
        divergence: the Jensen-Shannon divergence that the logistic critic finds; at most log 2.
        distance: the Wasserstein distance that the other one finds.
        saturating, non_saturating, wasserstein: derivatives by theta of the generator's losses.
    """

    theta: float
    divergence: float
    distance: float
    saturating: float
    non_saturating: float
    wasserstein: float


def points(theta: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """``[count, 2]`` on the line x = theta."""
    return torch.stack([theta.expand(count), torch.rand(count, generator=rng)], 1)


def measure(theta: float, steps: int = 150, batch: int = 64, seed: int = 0) -> Found:
    """Train both critics, then ask them.

    Args:
        theta: where the generated line is; 0 is where the real one is.
        steps: of each critic.
        batch: points of each line at a step.
        seed: of weights and points.

    Example:
        >>> found = measure(1.0, steps=60)
        >>> abs(found.saturating) < abs(found.wasserstein)
        True
    """
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    logistic, critic = _critic(), _critic()
    zero, place = torch.zeros(()), torch.tensor(theta)

    def d_logistic(net: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        return logistic_d(net(real), net(fake)).mean()

    def d_wasserstein(net: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        penalty = wgan_gp(net, interpolate(real, fake, rng)).mean()
        return wasserstein_d(net(real), net(fake)).mean() + 10 * penalty

    for net, loss in ((logistic, d_logistic), (critic, d_wasserstein)):
        optimizer = torch.optim.Adam(net.parameters(), 0.01, (0.5, 0.9))
        for _ in range(steps):
            optimizer.zero_grad()
            loss(net, points(zero, batch, rng), points(place, batch, rng)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    moving = place.clone().requires_grad_()
    real, fake = points(zero, 1000, rng), points(moving, 1000, rng)

    def slope(loss: Tensor) -> float:
        (found,) = torch.autograd.grad(loss, moving, retain_graph=True)
        return float(found)

    with torch.no_grad():
        # The logistic loss of the best critic is 2 log 2 - 2 JS (Goodfellow et al. 2014, theorem 1).
        divergence = math.log(2) - float(logistic_d(logistic(real), logistic(fake)).mean()) / 2
        distance = -float(wasserstein_d(critic(real), critic(fake)).mean())
    said = logistic(fake)
    return Found(
        theta,
        divergence,
        distance,
        slope(saturating_g(said).mean()),
        slope(logistic_g(said).mean()),
        slope(wasserstein_g(critic(fake)).mean()),
    )


def _critic() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))


THETAS = (-2.0, -1.5, -1.0, -0.75, -0.5, -0.25, -0.1, 0.0, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
"""Where the generated line is put."""


def sweep(
    thetas: Sequence[float] = THETAS,
    steps: int = 150,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Found]:
    """`measure` for each theta."""
    found = []
    for number, theta in enumerate(thetas):
        found.append(measure(theta, steps))
        progress(number + 1, len(thetas))
    return found


def draw(found: Sequence[Found], path: Path) -> Path:
    """Write the figure, a PNG: distances on the left, the generator's gradients on the right.

    Raises:
        UserError: it can't be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 3.6), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    thetas = [each.theta for each in found]
    exact = [0.0 if theta == 0 else math.log(2) for theta in thetas]
    left.plot(thetas, [abs(theta) for theta in thetas], color="#336699", alpha=0.35, lw=4, label="Wasserstein, exact")
    left.plot(thetas, [each.distance for each in found], "o", color="#336699", ms=4, label="WGAN-GP's critic")
    left.plot(thetas, exact, color="#cc4433", alpha=0.35, lw=4, label="Jensen-Shannon, exact")
    left.plot(thetas, [each.divergence for each in found], "s", color="#cc4433", ms=4, label="GAN's discriminator")
    left.set(xlabel="theta: where the generated line is", ylabel="distance from the real line")
    right.plot(thetas, [each.wasserstein for each in found], "o-", color="#336699", ms=4, label="WGAN-GP")
    right.plot(thetas, [each.saturating for each in found], "s-", color="#cc4433", ms=4, label="GAN, log(1 - D)")
    right.plot(thetas, [each.non_saturating for each in found], "^-", color="#ddaa44", ms=4, label="GAN, -log D")
    right.set(xlabel="theta", ylabel="derivative of G's loss by theta")
    right.set_yscale("symlog", linthresh=0.01)
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.legend(fontsize=7, frameon=False)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png")
    return path
