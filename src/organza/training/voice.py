"""What a training tells the person at the terminal: lines of text, and a progress line that stays at the bottom."""

from __future__ import annotations

import contextlib

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from organza.core import distributed
from organza.core.text import printable

UNSEEN = contextlib.suppress(OSError, ValueError)
"""A terminal or a reader of our words may go away; the training goes on, and the log has it all."""


class Terminal(Console):
    """A `Console` that falls silent when its reader is gone."""

    def on_broken_pipe(self) -> None:
        """Rich would end the program."""
        self.quiet = True


class Voice:
    """Speaks for rank 0; on other ranks it is silent.

    Args:
        kimg: the training's length.
        seen: images shown before it starts.

    Attributes:
        live: whether there is a progress line, which needs a terminal.
    """

    def __init__(self, kimg: float, seen: int = 0) -> None:
        self._main = distributed.rank() == 0
        self._console = Terminal(stderr=True, soft_wrap=True)
        self._progress, self._task = None, TaskID(0)
        self.live = self._main and self._console.is_terminal
        if self.live:
            columns = (BarColumn(bar_width=24), TextColumn("{task.description}"))
            self._progress = Progress(*columns, console=self._console, refresh_per_second=4)
            self._task = self._progress.add_task("starting", total=kimg * 1000, completed=seen)
            self._progress.start()

    def say(self, text: str) -> None:
        """A line of text, above the progress line."""
        if self._main:
            with UNSEEN:
                self._console.print(printable(text), markup=False, highlight=False)

    def show(self, seen: int, text: str) -> None:
        """Move the progress line to ``seen`` images."""
        if self._progress is not None:
            with UNSEEN:
                self._progress.update(self._task, completed=seen, description=text)

    def close(self) -> None:
        """Take the progress line down."""
        if self._progress is not None:
            with UNSEEN:
                self._progress.stop()
