"""How fast a training goes, for telling when it will end."""

from __future__ import annotations

HALF_LIFE = 300.0
"""Seconds after which a tick counts half; five ticks where these are longer."""


class Pace:
    """Seconds an image, averaged over time with the recent past weighing more.

    The last tick alone would have the end jump about whenever something else runs on the machine.

    Example:
        >>> pace = Pace()
        >>> for seconds in (100, 10, 10):
        ...     pace.add(1000, seconds)
        >>> round(1000 * pace.seconds_per_image())
        39
    """

    def __init__(self) -> None:
        self._images, self._seconds = 0.0, 0.0

    def add(self, images: int, seconds: float) -> None:
        """Take a tick into account."""
        keep = 0.5 ** (seconds / max(HALF_LIFE, 5 * seconds))
        self._images, self._seconds = keep * self._images + images, keep * self._seconds + seconds

    def seconds_per_image(self, images: int = 0, seconds: float = 0.0) -> float:
        """The pace so far, with a tick under way of so many ``images`` and ``seconds``; 0 before anything was shown."""
        return (self._seconds + seconds) / max(self._images + images, 1)
