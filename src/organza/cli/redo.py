"""organza redo: make a picture again from the JSON beside it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from organza.cli.parse import parse
from organza.cli.record import Record, hash_of, read_record, versions
from organza.core.errors import UserError


@dataclass(frozen=True)
class Options:
    """Make a picture or film again from the JSON beside it, and say whether it came out the same, byte for byte."""

    record: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RECORD")]
    """The JSON: out/grid.png.json."""
    output: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Put it here instead of where it was (for verbs that fill a folder: the folder)."""
    network: Annotated[Path | None, tyro.conf.arg(metavar="RUN")] = None
    """Where the network is now, if it was moved: the run, the checkpoint or the file."""


def main(argv: list[str]) -> int:
    """Check what the command reads, run it, and compare."""
    options = parse(Options, argv, "organza redo")
    found = read_record(options.record)
    output = None if options.output is None else options.output.absolute()
    moved = [] if options.network is None else ["--network", _moved(found, options.network.absolute())]
    with _inside(Path(found.folder)):
        _check_inputs(found)
        target = Path(found.output) if output is None else output
        from organza.cli.main import run_verb

        code = run_verb(found.command[0], [*found.command[1:], *moved, found.option, os.fspath(target)])
        if found.sha256 is None:
            return code
        if hash_of(target) == found.sha256:
            print("the same bytes as before")
        else:
            now = versions()
            changed = [f"{name} was {old}" for name, old in found.versions.items() if now.get(name) != old]
            print(f"organza: differs from the first one ({', '.join(changed) or 'another machine?'})", file=sys.stderr)
    return code


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Run in ``folder``, where relative paths of the command lead; where it is gone, stay."""
    before = Path.cwd()
    if folder.is_dir():
        os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _moved(found: Record, now: Path) -> str:
    """The checkpoint at ``now`` that has the contents of the record's; the record is changed to it."""
    about = found.inputs.get("--network")
    places = sorted(now.glob("checkpoints/[!l]*")) or [now]
    places = [place for place in places if place.is_file() or (place / "ema.safetensors").is_file()]
    same = next((p for p in places if about is not None and hash_of(p) == about["sha256"]), None)
    if about is None or same is None:
        raise UserError("holds no checkpoint with the contents of the record's", where=now)
    about["path"] = str(same)
    return str(same)


def _check_inputs(found: Record) -> None:
    for name, about in found.inputs.items():
        path = Path(about["path"])
        hint = f"bring back what {name} was, or run another command"
        if not path.exists():
            moved = "; if it was moved, say --network RUN" if name == "--network" else ""
            raise UserError("is gone", where=path, hint=hint + moved)
        if hash_of(path) != about["sha256"]:
            raise UserError("has changed since", where=path, hint=hint)
