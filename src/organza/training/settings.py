"""How long, how large, how often: everything about a training that is not the method or the data."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from organza.contract.data import DataSpec
from organza.core.device import Precision
from organza.core.errors import UserError
from organza.core.ranges import Count, CountOrZero, Kimg, Positive, PositiveOrZero, Seed, Share


@dataclass(frozen=True)
class Training:
    """Settings of a training run. Lengths are counted in thousands of real images shown (kimg)."""

    kimg: Kimg = 25000.0
    """Length of the training in thousands of images."""
    epochs: Positive | None = None
    """The same in passes over the data, which then decide; of two sets, over the larger."""
    minutes: Positive | None = None
    """Stop earlier, after so many minutes of training steps, whatever the machine's pace; all calls that continue a run
    count together. Schedules still go by kimg."""
    batch: Count | None = None
    """Images per step over all processes. None: by resolution, as in StyleGAN2-ADA's auto settings."""
    micro_batch: Count | None = None
    """Images per forward pass and process, at most; smaller saves memory. None: all of a process's share at once."""
    ema_kimg: PositiveOrZero | None = None
    """Half-life of the averaged weights in kimg. None: batch * 10 / 32."""
    ema_rampup: PositiveOrZero | None = 0.05
    """The half-life is at most this share of the images seen so far. None: no ramp-up."""
    lr_decay: Share = 0.0
    """Share of the training, at its end, over which learning rates fall linearly to zero; 0 keeps them. A run that is
    resumed with another --kimg takes the rates of the new length: a longer one raises them again."""
    seed: Seed = 0
    """Seed of everything random."""
    precision: Precision = "auto"
    """Activations: float32, bf16, or auto: bf16 where the processor multiplies it natively and the method allows it."""
    tick_kimg: Kimg = 1.0
    """Statistics are logged this often."""
    snapshot_kimg: Kimg = 10.0
    """A sample grid and a checkpoint are written this often."""
    keep: CountOrZero = 3
    """Checkpoints to keep; 0 keeps all."""
    grid: str = "8x6"
    """Columns x rows of the sample grid."""
    metrics: str = "auto"
    """Metrics of each snapshot, with commas between them (`organza evaluate --list`); by the first the best checkpoint
    is found and kept. auto: fd_voile64_2k. convergence: the figure of the log by which a method says how far it is
    (began, wgan, wgan-gp). none: none."""
    metrics_share: Share = 0.05
    """Metrics take at most this share of the training's time; snapshots beyond it go without. 1: no limit."""


def auto_batch(spec: DataSpec, world: int) -> int:
    """StyleGAN2-ADA's batch by resolution: 32 for each process up to 64 in all, fewer above 128 pixels.

    Example:
        >>> [auto_batch(DataSpec((r, r)), 1) for r in (32, 256, 1024)]
        [32, 16, 4]
    """
    return max(min(world * min(4096 // max(spec.resolution), 32), 64), world)


def lr_factor(settings: Training, seen: int) -> float:
    """Factor on every learning rate of the step that follows the first ``seen`` images.

    A function of ``seen`` and the settings alone, so that a resumed training takes the same steps.

    Example:
        >>> [lr_factor(Training(kimg=100, lr_decay=0.5), 1000 * kimg) for kimg in (0, 50, 75, 99)]
        [1.0, 1.0, 0.5, 0.02]
    """
    end = settings.kimg * 1000
    falling = settings.lr_decay * end
    return 1.0 if seen <= end - falling else (end - seen) / falling


def ended(settings: Training, seen: int, seconds: float) -> bool:
    """Whether a training has the length that was asked for, in images or in time.

    Example:
        >>> [ended(Training(kimg=1, minutes=1), seen, seconds) for seen, seconds in ((999, 59), (1000, 1), (0, 60))]
        [False, True, True]
    """
    return seen >= round(settings.kimg * 1000) or (settings.minutes is not None and seconds >= settings.minutes * 60)


def micro_batch(settings: Training, size: int) -> int:
    """Images of a micro-batch of ``size`` images: as many as asked for, or fewer so that they come out even."""
    most = min(settings.micro_batch or size, size)
    return next(m for m in range(most, 0, -1) if size % m == 0)


def resolve(settings: Training, spec: DataSpec, world: int) -> Training:
    """Fill in what depends on the data and the number of processes.

    Raises:
        UserError: epochs of an unknown length, a batch that can't be shared equally, or no grid.
    """
    batch = settings.batch or auto_batch(spec, world)
    if batch % world:
        raise UserError(f"--batch {batch} can't be shared by {world} processes", hint=f"take a multiple of {world}")
    share = batch // world
    micro = min(settings.micro_batch or share, share)
    if share % micro:
        raise UserError(f"--micro-batch {micro} does not divide the {share} images of each process")
    grid_size(settings.grid)
    kimg = settings.kimg
    if settings.epochs is not None:
        if not spec.count:
            raise UserError("nobody knows how long an epoch of this data is", hint="give --kimg instead of --epochs")
        kimg = max(settings.epochs * spec.count / 1000, 0.001)
    ema = batch * 10 / 32 if settings.ema_kimg is None else settings.ema_kimg
    return replace(settings, kimg=kimg, batch=batch, micro_batch=settings.micro_batch and micro, ema_kimg=ema)


def grid_size(grid: str) -> tuple[int, int]:
    """Columns and rows of `Training.grid`.

    Raises:
        UserError: something else, or more than 10,000 images.

    Example:
        >>> grid_size("8x6")
        (8, 6)
    """
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", grid)
    if match is None or int(match[1]) * int(match[2]) > 10_000:
        raise UserError(f"--grid {grid!r} is not columns x rows, at most 10,000 in all", hint="write 8x6")
    return int(match[1]), int(match[2])
