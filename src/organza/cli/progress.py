"""A progress bar with speed and remaining time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from organza.core.channel import EVERY, channel
from organza.core.errors import UserError

if TYPE_CHECKING:
    from organza.media.images import Pixels

PATIENCE = 0.5
"""Seconds without a bar."""


@contextmanager
def progress_bar(title: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Give a callback for the number done and the number wanted: it shows a bar on standard error, if a terminal.

    Only for work that takes a while: the bar comes after `PATIENCE`, and so does what it needs. A program that listens
    (`organza.core.channel`) is told as well.

    Example:
        >>> with progress_bar("drawing", "images") as progress:
        ...     progress(5, 10)
    """
    started, bars, listener = time.monotonic(), list[Callable[[int, int], None]](), channel()
    with ExitStack() as stack:

        def show(done: int, total: int) -> None:
            if not bars and sys.stderr.isatty() and time.monotonic() - started > PATIENCE:
                bars.append(stack.enter_context(_bar(title, unit)))
            for bar in bars:
                bar(done, total)
            if listener is not None:
                listener.progress(title, unit, done, total)

        yield show


@contextmanager
def passing_bar(title: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """The same for work that comes in parts among other output: the bar is gone when a part is done.

    Example:
        >>> with passing_bar("reading images", "images") as progress:
        ...     progress(10, 10)
        ...     progress(5, 10)
    """
    with ExitStack() as stack:
        bars: list[Callable[[int, int], None]] = []

        def show(done: int, total: int) -> None:
            if not bars:
                bars.append(stack.enter_context(progress_bar(title, unit)))
            bars[0](done, total)
            if done >= total:
                stack.close()
                bars.clear()

        yield show


def previews() -> Callable[[Pixels], None] | None:
    """What shows the newest image of long work, uint8 ``[H, W, C]``, to a program that listens; None: nobody does."""
    listener = channel()
    if listener is None:
        return None
    place, last = listener.preview, [-EVERY]

    def show(image: Pixels) -> None:
        if time.monotonic() - last[0] < EVERY:
            return
        from organza.media.images import save_picture

        last[0] = time.monotonic()
        with suppress(OSError, UserError):  # a full disk must not end the work
            save_picture(image, place)

    return show


@contextmanager
def _bar(title: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    from organza.cli.console import terminal

    class Speed(ProgressColumn):
        def render(self, task: object) -> Text:
            speed = getattr(task, "speed", None)
            return Text("" if speed is None else f"{speed:.1f} {unit}/s", style="progress.data.speed")

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Speed(), TimeRemainingColumn())
    with Progress(*columns, console=terminal(error=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
