"""organza studio: a page in the browser for all that the command line can do."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import tyro

from organza.cli.parse import parse
from organza.core.errors import UserError
from organza.core.ranges import Range
from organza.web.studio.settings import Room


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the studio works, and where it listens."""

    workspace: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path(".")
    """Where networks, runs and datasets are looked for, and where everything is written, into runs/ and studio/."""
    port: Annotated[int, Range(least=0, most=65535)] = 7860
    """Where to listen; 0 takes a port that is free."""
    host: str = "127.0.0.1"
    """The address to listen at. At any other than this machine's own, a token is needed."""
    token: Annotated[str | None, tyro.conf.arg(metavar="TOKEN")] = None
    """What each request must carry; the page asks for it. Other users don't see it in ORGANZA_TOKEN."""
    names: Annotated[tuple[str, ...], tyro.conf.arg(metavar="HOST ...")] = ()
    """Host names under which a proxy passes requests on, such as gan.example.org."""
    no_browser: bool = False
    """Open no browser; the address is told in any case."""
    device: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """cpu, cuda, cuda:1 ...; the GPU where there is one."""


@dataclass(frozen=True, kw_only=True)
class Options(Room, Place):
    """Open a page in the browser: networks, images with sliders, directions, projection, translation, training. Long
    work is a queue of jobs in the workspace, which go on when the page or this server is closed."""


def main(argv: list[str]) -> int:
    """Parse, and serve until told to stop."""
    options = parse(Options, argv, "organza studio")
    if missing := [name for name in ("fastapi", "uvicorn", "prometheus_client") if not importlib.util.find_spec(name)]:
        raise UserError(f"{missing[0]} is not installed", hint="pip install 'organza[web]'")
    if not options.workspace.is_dir():
        raise UserError("is no folder", where=options.workspace, hint="make it first, or choose another --workspace")
    # After parsing: PyTorch takes seconds to import.
    from organza.cli.web.forms import forms
    from organza.web.run import listen
    from organza.web.studio.run import run_studio, studio_gate
    from organza.web.studio.workspace import Workspace

    token = options.token or os.environ.get("ORGANZA_TOKEN") or None
    gate = studio_gate(options.host, token, options.names, options.rate)
    room = Room(**{field.name: getattr(options, field.name) for field in fields(Room)})
    with listen(options.host, options.port) as at:
        workspace = Workspace.at(options.workspace)
        run_studio(workspace, forms(), room, gate, at, device=options.device, browser=not options.no_browser)
    return 0
