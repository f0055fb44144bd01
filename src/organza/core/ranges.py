"""What a number may be, said once, in its annotation.

`organza.core.config` checks it wherever a setting comes from (the command line, Python, a ``config.json``), and help
shows it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

_LARGEST = {int: 2**31 - 1, float: 1e12}  # nothing that is counted or weighed here is larger, and sums stay finite


@dataclass(frozen=True)
class Range:
    """Bounds of a number, for `typing.Annotated`. Numbers that are not finite are in no range.

    Attributes:
        least, most: the smallest and the largest number that is allowed.
        above, below: the same, but they are not allowed themselves.

    Example:
        >>> str(Range(least=0, most=1)), str(Range(above=0)), str(Range(least=0, below=1))
        ('from 0 to 1', 'above 0', 'at least 0 and below 1')
    """

    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None

    def unmet(self, number: float) -> str:
        """What ``number`` should be and is not; empty where it lies within.

        Example:
            >>> Range(above=0).unmet(1), Range(above=0).unmet(0), Range(above=0).unmet(10**12)
            ('', 'above 0', 'at most 2147483647')
        """
        largest = _LARGEST[int if isinstance(number, int) else float] if self.most is None else self.most
        if abs(number) > largest and self.most is None:
            return f"at most {_exact(largest)}"
        within = (
            (self.least is None or number >= self.least)
            and number <= largest
            and (self.above is None or number > self.above)
            and (self.below is None or number < self.below)
        )
        return "" if within else str(self)

    def __str__(self) -> str:
        if self.least is not None and self.most is not None:
            return f"from {self.least:g} to {_exact(self.most)}"
        bounds = {"at least": self.least, "above": self.above, "at most": self.most, "below": self.below}
        return " and ".join(f"{word} {_exact(bound)}" for word, bound in bounds.items() if bound is not None)


def _exact(bound: float) -> str:
    return f"{bound:g}" if math.isclose(float(f"{bound:g}"), bound, rel_tol=0) else str(bound)


Count = Annotated[int, Range(least=1)]
"""How many of something that must be there: feature maps, steps, images in a step."""
CountOrZero = Annotated[int, Range(least=0)]
"""How many of something that may be missing."""
Depth = Annotated[int, Range(least=1, most=1000)]
"""How many layers; each is an object, which takes memory before its weights do."""
Seed = Annotated[int, Range(least=0, most=2**32 - 1)]
"""Where random numbers begin."""
Positive = Annotated[float, Range(above=0)]
"""A number above 0."""
PositiveOrZero = Annotated[float, Range(least=0)]
"""A rate, or what something weighs in a sum; 0 leaves it out."""
Share = Annotated[float, Range(least=0, most=1)]
"""A part of a whole, or a probability."""
Kimg = Annotated[float, Range(least=0.001, most=1e9)]
"""Thousands of images, one image at least."""
KimgOrZero = Annotated[float, Range(least=0, most=1e9)]
"""Thousands of images, or none."""
