"""How many threads to compute with beside other programs. The command switches it on (`share`); the library never does.

PyTorch cuts every operation into one part for each core, and goes on when all parts are done. Where another program has
one of the cores, everybody waits for the part that stands in the queue there, thousands of times in a training step.
So threads sleep after a millisecond of waiting at most, instead of holding the core that their partner needs; and
while others are busy, `wish` asks for half of the threads. Half, because one core too few costs as much: the part that
has no core of its own comes after another.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass

SPINS = "50000"
EVERY = 1.0
"""Seconds between two looks at the machine."""


@dataclass(frozen=True)
class Look:
    """Seconds by the clock, and seconds of work of our cores and of this process, all since some time in the past."""

    clock: float
    busy: float
    own: float


_mark: Look | None = None
_most = 0


def share() -> None:
    """Share the cores with other programs from now on. To be called before PyTorch is imported.

    What the user has set stays: with ``OMP_NUM_THREADS`` the number of threads, with ``OMP_WAIT_POLICY`` or
    ``GOMP_SPINCOUNT`` how they wait.
    """
    global _mark
    if "OMP_WAIT_POLICY" not in os.environ and "torch" not in sys.modules:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    if "OMP_NUM_THREADS" not in os.environ and int(os.environ.get("WORLD_SIZE", "1")) == 1:
        _mark = look()


def keep() -> None:
    """Leave the number of threads alone from now on: for programs whose own threads each have some."""
    global _mark
    _mark = None


def wish(threads: int) -> int:
    """How many threads to go on with, of now ``threads``. It is cheap: the machine is looked at once in a second."""
    global _mark, _most
    if _mark is None or time.monotonic() - _mark.clock < EVERY or (now := look()) is None:
        return threads
    others = (now.busy - _mark.busy - now.own + _mark.own) / (now.clock - _mark.clock)
    _mark, _most = now, max(_most, threads)
    return fitting(threads, _most, others)


def fitting(threads: int, most: int, others: float) -> int:
    """How many of at most ``most`` threads, one a core, fit beside ``others`` cores' worth of other work.

    Between a quarter and half of a core too many or too few it stays as it is, so that it does not go to and fro.

    Example:
        >>> fitting(2, 2, 0.3), fitting(2, 2, 0.6), fitting(1, 2, 0.3), fitting(1, 2, 0.1)
        (2, 1, 1, 2)
        >>> fitting(8, 8, 1.0), fitting(8, 8, 5.0), fitting(4, 8, 0.0)
        (4, 2, 8)
    """
    free = most - others
    while threads > 1 and threads > free + 0.5:
        threads = (threads + 1) // 2
    while threads < most and min(2 * threads, most) <= free + 0.25:
        threads = min(2 * threads, most)
    return threads


def look() -> Look | None:
    """The machine now, where Linux says what its cores did; else None."""
    try:
        mine = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        with open("/proc/stat") as file:
            rows = [line.split() for line in file if line.startswith("cpu")]
        # user, nice, system, idle, iowait, irq, softirq: waiting for a disk is no work
        ticks = sum(sum(map(int, row[1:8])) - sum(map(int, row[4:6])) for row in rows if row[0] in mine)
        return Look(time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), sum(os.times()[:4]))
    except (AttributeError, OSError, ValueError):
        return None
