"""How much memory a process has taken: its own, as Linux counts it, and not what its parent once took."""

from __future__ import annotations

from pathlib import Path

import pytest

PRINT_PEAK = "print(next(l.split()[1] for l in open('/proc/self/status') if l.startswith('VmHWM')))"
"""A line for a script: prints the peak of its process in kilobytes."""


def start() -> None:
    """Forget earlier peaks of this process; skips the test where the system can't."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pytest.skip("needs Linux's account of peak memory")


def kilobytes() -> int:
    """The peak since `start`."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1])
