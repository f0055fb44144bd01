"""How well the discriminator has memorised its training images: its scores for images that it never learns from.

Karras et al. 2020, arXiv 2006.06676, eq. 1: r_v = (E[D_train] - E[D_validation]) / (E[D_train] - E[D_generated]); 0 if
held-out images seem as real to D as those of the training, 1 if they seem as false as generated ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from organza.contract.method import Method
from organza.media.images import to_tensor
from organza.training.settings import Training

SHARE = 1 / 30  # of a tick's images are shown to D once more: less than 1% of the time
WINDOW = 10  # ticks over which r_v is averaged
BY_HEART = 0.5  # r_v from which on a person should know


class Pictures(Protocol):
    """A dataset."""

    def __len__(self) -> int: ...

    def fetch(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """uint8 ``[N, H, W, C]`` and float32 ``[N, label_dim]``."""
        ...


class Gauge:
    """Shows the critic some training images and as many held-out ones, augmented as it is used to.

    The networks stay as they are, and no randomness of the training is touched.

    Args:
        method: what is trained; it must have a critic.
        train, held_out: images.
        settings: resolved settings.
        say: tells the person at the terminal something.
        advice: what to do against overfitting.
    """

    def __init__(
        self,
        method: Method,
        train: Pictures,
        held_out: Pictures,
        settings: Training,
        say: Callable[[str], None],
        advice: str,
    ) -> None:
        assert method.model.critic is not None and settings.batch is not None
        self.method, self.sets, self.say, self.advice = method, (train, held_out), say, advice
        self.critic = method.nets[method.model.critic]
        most = min(max(settings.batch, round(settings.tick_kimg * 1000 * SHARE)), 512, len(train), len(held_out))
        self.chunk = min(settings.micro_batch or settings.batch, most)
        self.count = most // self.chunk * self.chunk

    def __call__(self, seen: int, means: Mapping[str, float], records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """Statistics for the log: scores of both sets at this moment, and r_v over the last ticks.

        Args:
            seen: training images so far.
            means: the statistics of this tick; r_v needs ``scores/real`` and ``scores/fake``.
            records: earlier entries of the log.
        """
        rng = np.random.default_rng(seen)
        train, held_out = (
            self._scores(images, rng.choice(len(images), self.count, replace=False), seen) for images in self.sets
        )
        found = {
            "scores/training": train.mean().item(),
            "scores/held_out": held_out.mean().item(),
            "signs/held_out": held_out.sign().mean().item(),
        }
        names = ("scores/training", "scores/held_out", "scores/real", "scores/fake")
        past = [r for r in records if all(name in r for name in names)]
        now = {**means, **found}
        if all(name in now for name in names):
            window = [*past[-(WINDOW - 1) :], now]
            # D's scores wander together, all up or all down. So differences are taken between scores of the same time.
            training, other, real, fake = (float(np.mean([r[name] for r in window])) for name in names)
            found["overfit/r_v"] = (training - other) / (real - fake) if real > fake else 0.0
            self._warn(seen, found["overfit/r_v"], past)
        return found

    @torch.no_grad()
    def _scores(self, images: Pictures, indices: NDArray[np.int64], seen: int) -> Tensor:
        device = next(self.critic.parameters()).device
        rng = torch.Generator(device).manual_seed(seen)  # the same augmentations for both sets
        training, scores = self.critic.training, []
        self.critic.eval()
        for start in range(0, self.count, self.chunk):
            pixels, labels = images.fetch(np.sort(indices[start : start + self.chunk]))
            x = to_tensor(pixels, device)
            x = x if self.method.augment is None else self.method.augment(x, rng)
            scores.append(self.critic(x, torch.from_numpy(labels).to(device)).float())
        self.critic.train(training)
        return torch.cat(scores)

    def _warn(self, seen: int, r_v: float, past: Sequence[Mapping[str, Any]]) -> None:
        """Once in a run, and not before the mean is steady."""
        told = any(r.get("overfit/r_v", 0) > BY_HEART for r in past[WINDOW - 1 :])
        if r_v > BY_HEART and not told and len(past) >= WINDOW - 1:
            self.say(f"D has memorised its training images (r_v {r_v:.1f} at {seen / 1000:g} kimg): {self.advice}")
