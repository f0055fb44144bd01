"""What the monitor tells: the time that is left is calm while the machine is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from organza.contract.data import Batch
from organza.training.checkpoint import Position
from organza.training.monitor import Monitor
from organza.training.pace import Pace
from organza.training.settings import Training
from organza.training.voice import Voice


def told(line: str) -> float:
    """The minutes that a progress line gives the training."""
    units = {"d": 1440, "h": 60, "m": 1, "s": 1 / 60}
    return sum(int(n) * units[unit] for n, unit in re.findall(r"(\d+)([dhms])", line.split("ETA")[1].split("  ")[0]))


def test_the_end_is_told_calmly_on_a_busy_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    voice = Voice(kimg=100)
    monitor = Monitor(
        tmp_path, Training(kimg=100), Batch(torch.zeros(1, 3, 4, 4), torch.zeros(1, 0)), Position(), voice
    )
    monkeypatch.setattr(voice, "say", lines.append)
    clock = 0.0
    # By the last tick alone: 1h 43m, 9m, 38m, 2m.
    for tick, seconds in enumerate([62.4, 5.5, 23.5, 1.25], start=1):
        clock += seconds
        monitor.tick(Position(seen=1000 * tick, step=tick, seconds=clock), {}, 0.0)
    first, *rest = [told(line) for line in lines]
    assert first == pytest.approx(103, abs=1)
    for before, after in zip([first, *rest], rest, strict=False):
        assert 0.5 < after / before < 1.1
    assert 30 < rest[-1] < 60  # what the whole time so far comes to: 37 minutes


@pytest.mark.parametrize("tick", [1.0, 60.0, 3600.0])
def test_the_pace_follows_a_lasting_change(tick: float) -> None:
    pace = Pace()
    for _ in range(50):
        pace.add(1000, tick)
    assert pace.seconds_per_image() == pytest.approx(tick / 1000)
    for _ in range(int(max(25, 1500 / (2 * tick)))):  # five half-lives
        pace.add(1000, 2 * tick)
    assert pace.seconds_per_image() == pytest.approx(2 * tick / 1000, rel=0.05)


def test_the_tick_under_way_counts() -> None:
    assert Pace().seconds_per_image() == 0
    assert Pace().seconds_per_image(10, 5.0) == 0.5
