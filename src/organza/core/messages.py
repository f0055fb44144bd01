"""Messages for people, through Python's `logging`: nothing below ``cli/`` prints.

A module takes ``log = logger(__name__)``. ``log.info`` tells how things go, ``log.warning`` what a person must know. A
message is one whole line, since it may be shown as it is: by Python, which shows warnings on standard error and is
silent about the rest, or by the command line, which shows both.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from organza.core.text import printable, say


def logger(name: str) -> logging.Logger:
    """The logger called ``name``; what it is told is made `printable` before any handler sees it.

    Example:
        >>> logger("organza.example").isEnabledFor(logging.WARNING)
        True
    """
    found = logging.getLogger(name)
    found.addFilter(_clean)
    return found


def verbose(on: bool = True) -> None:
    """Show all messages on standard error, as the command line does; or, with False, only warnings again.

    Unless asked, Organza shows warnings and, while it trains, the progress line. A program with a logging of its own
    needs none of this: the loggers are called ``organza`` and ``organza.runs.train`` and so on.

    Example:
        >>> import organza
        >>> organza.verbose()
        >>> organza.verbose(False)
    """
    top = logging.getLogger("organza")
    top.setLevel(logging.INFO if on else logging.NOTSET)
    top.propagate = not on  # a handler of the whole program would show everything twice
    if on:
        top.addHandler(_SHOWN)
    else:
        top.removeHandler(_SHOWN)


@contextlib.contextmanager
def shown() -> Iterator[None]:
    """`verbose` for a while; afterwards things are as they were."""
    top = logging.getLogger("organza")
    level, propagate, already = top.level, top.propagate, _SHOWN in top.handlers
    verbose()
    try:
        yield
    finally:
        verbose(already)
        top.setLevel(level)
        top.propagate = propagate


def _clean(record: logging.LogRecord) -> bool:
    record.msg, record.args = printable(record.getMessage()), ()
    return True


class _Shown(logging.Handler):
    """Prints each message on standard error, whichever stream that is by then."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print; a reader who is gone must not end what we do."""
        with contextlib.suppress(OSError, ValueError):
            say(record.getMessage(), error=True)


_SHOWN = _Shown()
