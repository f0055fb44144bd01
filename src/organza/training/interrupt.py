"""Ctrl-C and termination as a wish that the loop looks at between its steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """An event that the first SIGINT or SIGTERM sets; a second one acts at once."""
    asked = threading.Event()
    signals = [signal.SIGINT, signal.SIGTERM]
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    former = {number: signal.getsignal(number) for number in signals}

    def ask(number: int, frame: object) -> None:
        asked.set()
        signal.signal(number, former[signal.Signals(number)])

    for number in signals:
        signal.signal(number, ask)
    try:
        yield asked
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
