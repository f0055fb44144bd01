"""organza serve: networks behind an HTTP API."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass, fields
from typing import Annotated, Literal

import tyro

from organza.cli.parse import parse
from organza.core.errors import UserError
from organza.core.ranges import Range
from organza.web.limits import Limits


@dataclass(frozen=True, kw_only=True)
class Place:
    """What is served, and where."""

    network: Annotated[tuple[str, ...], tyro.conf.arg(metavar="[NAME=]PATH ...")]
    """Folders of runs or files of weights; NAME is what it is called in addresses: faces=runs/00000-stylegan2-a."""
    port: Annotated[int, Range(least=0, most=65535)] = 8000
    """Where to listen; 0 takes a port that is free."""
    host: str = "127.0.0.1"
    """The address to listen at. At any other than this machine's own, a token is needed."""
    token: Annotated[str | None, tyro.conf.arg(metavar="TOKEN")] = None
    """What each request must carry: Authorization: Bearer TOKEN. Other users don't see it in ORGANZA_TOKEN."""
    names: Annotated[tuple[str, ...], tyro.conf.arg(metavar="HOST ...")] = ()
    """Host names under which a proxy passes requests on, such as gan.example.org."""
    device: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """cpu, cuda, cuda:1 ...; the GPU where there is one."""
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """float32 is exact, bf16 faster; auto: bf16 where it is native and off by under one level of 255 in the mean."""


@dataclass(frozen=True, kw_only=True)
class Options(Limits, Place):
    """Serve networks over HTTP: images from seeds, classes or text, and translations of images that are sent. The same
    request gives the same image, alone or among others."""


def main(argv: list[str]) -> int:
    """Parse, load, and serve until told to stop."""
    options = parse(Options, gathered(argv), "organza serve")
    if missing := [name for name in ("fastapi", "uvicorn", "prometheus_client") if not importlib.util.find_spec(name)]:
        raise UserError(f"{missing[0]} is not installed", hint="pip install 'organza[web]'")
    # After parsing: PyTorch takes seconds to import.
    from organza.web.run import gate_of, listen, run
    from organza.web.served import open_networks

    token = options.token or os.environ.get("ORGANZA_TOKEN") or None
    gate = gate_of(options.host, token, options.names, options.rate)
    limits = Limits(**{field.name: getattr(options, field.name) for field in fields(Limits)})
    with listen(options.host, options.port) as at:  # before anything large is read
        networks = open_networks(options.network, limits, device=options.device, precision=options.precision)
        run(networks, limits, gate, at)
    return 0


def gathered(argv: list[str]) -> list[str]:
    """``--network A --network B`` as ``--network A B``.

    Example:
        >>> gathered(["--network", "a", "--port", "0", "--network=b=runs/1", "c"])
        ['--port', '0', '--network', 'a', 'b=runs/1', 'c']
    """
    others: list[str] = []
    found: list[str] = []
    into = others
    for word in argv:
        if word == "--network" or word.startswith("--network="):
            into = found
            found += [word.partition("=")[2]] if "=" in word else []
        elif word.startswith("-"):
            into = others
            others.append(word)
        else:
            into.append(word)
    return [*others, "--network", *found] if found else argv
