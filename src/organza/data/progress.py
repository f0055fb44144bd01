"""A progress bar for `organza.data.open_dataset` and the data tools."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from organza.data.prepare import Progress


@contextmanager
def shown(title: str) -> Iterator[Progress]:
    """A callback that draws count, share, speed and remaining time on standard error; silent when it isn't a terminal.

    Example:
        >>> with shown("Decoding") as progress:
        ...     progress(5, 10)
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
