"""What a studio takes upon itself, and no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from organza.core.ranges import Range

OPENED = 4
"""Networks that are kept open."""
WAITING = 16
"""Images of a network that may wait to be computed."""
JOBS = 200
"""Jobs that may wait."""
LINES = 200
"""Last lines of a job's log that are shown."""
PIXELS = 1 << 26
"""Of an image that is sent, once decoded: 8192x8192."""
GRACE = 120.0
"""Seconds that a job has to end by itself once it was told to; a training writes a snapshot in that time."""
LOOK = 300.0
"""Seconds that looking at an upload may take."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """How much a studio holds, and where it says no."""

    jobs: Annotated[int, Range(least=1, most=64)] = 1
    """Jobs that run at a time; others wait."""
    upload_mb: Annotated[int, Range(least=1, most=10**6)] = 2048
    """Megabytes that an upload may have."""
    uploads_gb: Annotated[float, Range(above=0, most=10**6)] = 20.0
    """Gigabytes that all uploads together may have."""
    images: Annotated[int, Range(least=1, most=256)] = 64
    """Images of a grid."""
    side: Annotated[int, Range(least=16, most=4096)] = 1024
    """Translations in the page may have as many pixels as a square with this side; jobs may have more."""
    timeout: Annotated[float, Range(above=0, most=3600)] = 120.0
    """Seconds that an answer may take; an upload may take ten times as long to come."""
    rate: Annotated[int | None, Range(least=0, most=10**6)] = None
    """Requests a minute from each address; 0: any number. Unless said: any number from this machine, 1200 where others
    can connect."""
