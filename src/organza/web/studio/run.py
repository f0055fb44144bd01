"""A studio that runs until it is told to stop, alone in its workspace."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Iterator

from organza.core.errors import UserError
from organza.core.lock import locked
from organza.core.messages import logger
from organza.web.guard import Gate
from organza.web.run import address, gate_of, run_app
from organza.web.studio.app import make_studio
from organza.web.studio.forms import Forms
from organza.web.studio.settings import Room
from organza.web.studio.workspace import Workspace

log = logger(__name__)
OPEN_RATE = 1200
"""Requests a minute from each address, unless another number is given, where others can connect."""


def studio_gate(host: str, token: str | None, names: tuple[str, ...], rate: int | None) -> Gate:
    """Who may ask a studio that listens at ``host``; see `organza.web.run.gate_of`."""
    alone = host in ("localhost", "127.0.0.1", "::1")
    return gate_of(host, token, names, (0 if alone else OPEN_RATE) if rate is None else rate)


@contextlib.contextmanager
def alone(workspace: Workspace) -> Iterator[None]:
    """Hold a workspace.

    Raises:
        UserError: another studio has it.
    """
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locked(workspace.studio / ".lock", wait=False))
        except BlockingIOError as holder:
            hint = "use that one's page, or choose another --workspace"
            raise UserError(f"another studio has this workspace: {holder}", where=workspace.root, hint=hint) from None
        yield


def has_screen() -> bool:
    """Whether there is a screen that a browser could open on; otherwise one for terminals might take ours."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _show(place: str) -> None:
    with contextlib.suppress(Exception):  # whatever browsers do, the address is told
        webbrowser.open(place)


def run_studio(
    workspace: Workspace,
    forms: Forms,
    room: Room,
    gate: Gate,
    at: socket.socket,
    *,
    device: str | None = None,
    browser: bool = True,
) -> None:
    """Serve a workspace until SIGTERM or Ctrl-C; jobs go on without the server.

    Args:
        workspace, forms, room, gate, device: see `organza.web.studio.app.make_studio`.
        at: from `organza.web.run.listen`; it is closed at the end.
        browser: open the page in the user's browser.

    Raises:
        UserError: another studio has the workspace.
    """
    with alone(workspace):
        app = make_studio(workspace, forms, room, gate, device)
        if browser and has_screen():
            at.listen()  # who comes before the server is ready waits
            # The token stays out of its address: other users see the command lines of programs.
            threading.Thread(target=_show, args=[f"{address(at)}/"], daemon=True).start()
        run_app(app, at, min(room.timeout, 10.0), 256, f"the studio of {workspace.root}")
        log.info("stopped; jobs that run go on, and the next studio here finds them")
