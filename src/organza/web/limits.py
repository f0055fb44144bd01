"""What a server takes upon itself, and no more: the settings of `organza serve`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from organza.core.ranges import Count, Range

REQUEST_BYTES = 1 << 18
"""Of a JSON request: seeds, labels and texts for `Limits.images` images need less."""
UPLOAD_PIXELS = 1 << 24
"""Of an upload, once decoded: 4096x4096."""
UPLOADS = 4
"""Uploads of a network that are read, decoded or waiting at a time; each holds its bytes, and then its pixels."""
ANSWER_PIXELS = 1 << 24
"""Of all images of one answer."""
CLIENTS = 4096
"""Addresses whose rate is remembered."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How a server computes, and where it says no."""

    batch: Annotated[int, Range(least=1, most=256)] = 1
    """Compute always exactly so many images at once, filled up where fewer wait. 1 is best on most processors; several
    are faster for small images, and on a GPU."""
    wait_ms: Annotated[float, Range(least=0, most=10000)] = 10.0
    """With --batch: an image waits so long for others, at most."""
    lanes: Annotated[int | None, Range(least=1, most=256)] = None
    """Batches that are computed at the same time. Unless said: the number of cores by --threads, and one on a GPU."""
    threads: Annotated[int, Range(least=1, most=256)] = 1
    """Threads for each lane. More answer a single request sooner, and fewer requests in all."""
    queue: Annotated[int, Range(least=1, most=10**4)] = 256
    """Images of a network that may wait. Whoever comes later is told when to come again."""
    images: Annotated[int, Range(least=1, most=1024)] = 64
    """Images that a request may ask for."""
    side: Annotated[int, Range(least=1, most=4096)] = 1024
    """Translations may have as many pixels as a square with this side."""
    upload_mb: Annotated[int, Range(least=1, most=1024)] = 16
    """Megabytes that an upload may have."""
    timeout: Annotated[float, Range(above=0, most=3600)] = 60.0
    """Seconds that an answer may take; and that the body of a request may take to come."""
    rate: Annotated[int | None, Range(least=0, most=10**6)] = None
    """Requests a minute from each address; 0: any number. Unless said: any number from this machine, 600 where others
    can connect."""
    connections: Count = 256
    """Connections that may be open at a time."""
