"""A server that runs until it is told to stop."""

from __future__ import annotations

import errno
import logging
import re
import signal
import socket
import threading
from collections.abc import Mapping
from types import FrameType

import uvicorn
from fastapi import FastAPI

from organza.core.errors import UserError
from organza.core.messages import logger
from organza.web.app import make_app
from organza.web.guard import LOOPBACK, Gate
from organza.web.limits import Limits
from organza.web.served import Served

log = logger(__name__)
OPEN_RATE = 600
"""Requests a minute from each address, unless another number is given, where others can connect."""


def gate_of(host: str, token: str | None, names: tuple[str, ...] = (), rate: int | None = None) -> Gate:
    """Who may ask a server that listens at ``host``.

    Raises:
        UserError: others can connect and there is no token, or a token that can be guessed or not be sent.

    Example:
        >>> gate_of("127.0.0.1", None).rate, gate_of("0.0.0.0", "a-token-of-some-length").hosts
        (0, ())
    """
    alone = host in ("localhost", "127.0.0.1", "::1")
    if token is None and not alone:
        hint = (
            "give --token, or set ORGANZA_TOKEN; python -c 'import secrets; print(secrets.token_urlsafe())' makes one"
        )
        raise UserError(f"others can connect to {host}, so a token is needed", hint=hint)
    if token is not None and not re.fullmatch(r"[\x21-\x7e]{16,256}", token):
        raise UserError("a token has 16 to 256 letters, digits or signs, without blanks")
    hosts = (*LOOPBACK, *(name.lower() for name in names)) if alone or names else ()
    if not alone and names:
        hosts = (*hosts, host.lower())
    return Gate(hosts, token, (0 if alone else OPEN_RATE) if rate is None else rate)


def listen(host: str, port: int) -> socket.socket:
    """A socket at an address; port 0 takes any that is free.

    Raises:
        UserError: the address is taken, not this machine's, or not allowed.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named in full, because asyncio sends small answers at once (TCP_NODELAY) only on sockets that say TCP themselves.
    found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
    except OSError as error:
        found.close()
        hint = "--port 0 takes one that is free" if error.errno == errno.EADDRINUSE else "give another --host or --port"
        what = f"can't listen there ({error.strerror or error})"
        raise UserError(what, where=f"{host}:{port}", hint=hint) from None
    return found


def run(networks: Mapping[str, Served], limits: Limits, gate: Gate, at: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C; what has come by then is still answered, for `Limits.timeout` at most.

    Args:
        networks: from `organza.web.served.open_networks`.
        limits: of requests, queues and time.
        gate: who may ask.
        at: from `listen`; it is closed at the end.
    """
    app = make_app(networks, limits, gate)
    run_app(app, at, limits.timeout, limits.connections, f"serving {', '.join(networks)}")
    log.info("stopped; nothing is left in the queue")


def run_app(app: FastAPI, at: socket.socket, timeout: float, connections: int, what: str) -> None:
    """Run an application until SIGTERM or Ctrl-C.

    Args:
        app: from `organza.web.app.make_app` or its like.
        at: from `listen`; it is closed at the end.
        timeout: seconds that requests have to end by then.
        connections: that may be open at a time.
        what: what is said when it runs, before its address.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        http="h11",
        ws="none",
        lifespan="on",
        limit_concurrency=connections,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=max(1, round(timeout)),
        h11_max_incomplete_event_size=1 << 15,
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    before = None
    if threading.current_thread() is threading.main_thread():
        # Uvicorn raises the signal again when all is done: a server that was told to stop has ended well.
        before = {number: signal.signal(number, _well) for number in (signal.SIGTERM, signal.SIGINT)}
    at.listen()  # before anybody is told
    log.info(f"{what} at {address(at)}; Ctrl-C stops")
    try:
        uvicorn.Server(config).run(sockets=[at])
    finally:
        at.close()
        for number, handler in (before or {}).items():
            signal.signal(number, handler)


def address(at: socket.socket) -> str:
    """Where a socket can be reached, for a browser.

    Example:
        >>> with listen("127.0.0.1", 0) as at:
        ...     address(at)
        'http://127.0.0.1:...'
    """
    host, port = at.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _well(number: int, frame: FrameType | None) -> None:
    """Nothing: the server has ended already."""
