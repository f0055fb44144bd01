"""The terminal, for tables and progress bars: whatever they show is made printable."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.segment import Segment

from organza.core.text import printable

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderableType


class _Terminal(Console):
    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As rich does it; control codes are its own, never those of a text."""
        for segment in super().render(renderable, options):
            text = segment.text
            if segment.control or text.isprintable():
                yield segment
            else:
                yield Segment("\n".join(map(printable, text.split("\n"))), segment.style)


def terminal(*, error: bool = False, width: int | None = None) -> Console:
    """Standard output, or standard error; ``width`` columns wide where nobody watches: in files and pipes."""
    stream: Any = sys.stderr if error else sys.stdout
    return _Terminal(stderr=error, highlight=False, width=None if stream.isatty() else width)
