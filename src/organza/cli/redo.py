"""organza redo: make an image or a video again from the JSON beside it.

A record may be somebody else's, and it is a command line. So nothing of it is run as it stands: its words are read into
the verb's options, only verbs that make images are taken, what is read must be here and unchanged, and everything is
written into a new folder first, from which the one result moves to where the record lies or the user says.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from organza.cli.parse import parse, words_of
from organza.cli.record import Record, hash_of, read_record, versions, write_record
from organza.cli.verbs import module
from organza.core.errors import UserError
from organza.core.files import make_folder, write_error
from organza.core.successors import SUCCESSORS
from organza.core.text import say


@dataclass(frozen=True)
class Options:
    """Make an image or a video again from the JSON beside it, and say whether it came out the same, byte for byte."""

    record: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RECORD")]
    """The JSON: out/grid.png.json."""
    output: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Put it here instead of beside the record (for verbs that fill a folder: a new folder)."""
    network: Annotated[Path | None, tyro.conf.arg(metavar="RUN")] = None
    """Where the network is now, if it was moved: the run, the checkpoint or the file."""
    fetch: bool = False
    """Allow downloads, such as the weights of a distance; without it nothing is fetched."""


FILES = ("generate", "reconstruct", "interpolate", "walk", "truncation", "mix", "noise", "edit", "directions")
"""Verbs that make one file, at --output."""
FOLDERS = ("project", "blend")
"""Verbs that fill a folder, at --outdir."""
_READ = frozenset(
    {"network", "second", "w", "directions", "pictures", "images", "encoder", "embeddings", "audio", "labels"}
)
"""Options whose paths are read."""
_WRITTEN = frozenset({"output", "outdir", "save_w", "strips"})
"""Options whose paths are written: see `_into`."""
_TEXT = frozenset(
    {
        "device",
        "class_",
        "label",
        "text",
        "seeds",
        "grid",
        "translate",
        "rows",
        "columns",
        "styles",
        "apply",
        "layers",
        "names",
    }
)
"""Options that are text, from which numbers and names are read."""
_DISTANCES = frozenset({"lpips", "lpips-alex", "lpips-squeeze", "voile64", *SUCCESSORS, "stand-in"})


def main(argv: list[str]) -> int:
    """Check what the command reads, run it in a new folder, compare, and put the result where it belongs."""
    options = parse(Options, argv, "organza redo")
    found = read_record(options.record)
    verb, wanted = _command(found, options.record)
    target = _target(options, verb, wanted)
    if options.network is not None:
        wanted = replace(wanted, network=_moved(found, options.network.absolute()))
    wanted = _from_here(wanted, found)
    make_folder(target.parent)
    try:
        folder = tempfile.TemporaryDirectory(prefix=".redo-", dir=target.parent)
    except OSError as error:
        raise write_error(target.parent, error) from error
    with folder as name, _offline(not options.fetch):
        made = Path(name).resolve() / target.name
        code = _run(verb, _into(wanted, made))
        if code == 0:
            _settle(found, verb, wanted, made, target, named=options.output is not None)
    return code


def _command(found: Record, where: Path) -> tuple[str, Any]:
    """The verb of a record and its options.

    Raises:
        UserError: a verb that makes no image, or an option that could do more than that.
    """
    verb, *words = found.command or ("",)
    if verb not in (*FILES, *FOLDERS):
        raise UserError(f"redo makes images and videos again; it does not {verb!r}", where=where, hint=_by_hand(found))
    kind = module(verb).Options
    words = [word for word in words if word not in ("--offline", "--debug")]
    if not {"-h", "--help"}.isdisjoint(words):
        raise UserError("is no record of a command", where=where)
    wanted = parse(kind, words, f"organza {verb}")
    for field in fields(wanted):
        value = getattr(wanted, field.name)
        harmless = value is None or field.name in _READ | _WRITTEN | _TEXT or not _could_be_a_path(value, field.type)
        if not harmless and value != field.default and not (field.name == "distance" and value in _DISTANCES):
            option = field.name.replace("_", "-")
            raise UserError(f"redo does not take --{option} {value}", where=where, hint=_by_hand(found))
    return verb, wanted


def _into(wanted: Any, made: Path) -> Any:
    """``wanted`` with ``made`` as its result, and nothing written elsewhere."""
    places = {
        "output": made,
        "outdir": made.parent if hasattr(wanted, "output") else made,
        "save_w": None,
        "strips": None,
    }
    return replace(wanted, **{field.name: places[field.name] for field in fields(wanted) if field.name in _WRITTEN})


def _could_be_a_path(value: Any, kind: Any) -> bool:
    return not isinstance(value, (bool, int, float)) and not str(kind).startswith("Literal[")


def _by_hand(found: Record) -> str:
    import shlex

    return f"if you trust it, run it yourself: {shlex.join(['organza', *found.command])[:300]}"


def _target(options: Options, verb: str, wanted: Any) -> Path:
    """Where the result goes: beside the record, under its name, or where the user says.

    A browser that has the name already makes ``a.png (1).json`` of it, and people rename: such a name gets the ending
    of what the record makes.

    Raises:
        UserError: no name can be told from the record's, or a folder that holds something.
    """
    path = options.output
    if verb in FOLDERS:
        if path is None:
            raise UserError(f"{verb} fills a folder", where=options.record, hint="say which new one: --output FOLDER")
        if path.is_symlink() or (path.exists() and (not path.is_dir() or any(path.iterdir()))):
            raise UserError("exists already", where=path, hint="choose another name")
    elif path is None:
        if options.record.suffix != ".json" or not options.record.stem:
            raise UserError("its name does not say what it made", where=options.record, hint="give --output FILE")
        path = options.record.with_name(options.record.stem)
        ending = wanted.output.suffix if wanted.output is not None else ""
        if path.suffix.lower() != ending.lower():
            path = path.with_name(f"{path.name}{ending}")
    return path.absolute()


def _from_here(wanted: Any, found: Record) -> Any:
    """``wanted`` with what it reads as absolute paths: it is here, and unchanged where the record says how it was."""
    changes: dict[str, Any] = {}
    for field in fields(wanted):
        value = getattr(wanted, field.name)
        if field.name not in _READ or value is None:
            continue
        paths = [_here(found, path, f"--{field.name}") for path in (value if isinstance(value, tuple) else (value,))]
        changes[field.name] = tuple(paths) if isinstance(value, tuple) else paths[0]
    return replace(wanted, **changes)


def _here(found: Record, path: Path, option: str) -> Path:
    about = found.inputs.get(option)
    hint = f"bring back what {option} was, or run another command"
    if os.fspath(path).startswith(("//", "\\\\")):  # on Windows, another machine
        raise UserError("is not on this machine", where=path, hint=hint)
    folder = Path(found.folder)
    whole = (folder if folder.is_dir() and not found.folder.startswith(("//", "\\\\")) else Path.cwd()) / path
    if not (whole.is_file() or whole.is_dir()):  # nor is it a device or a pipe, which would never end
        moved = "; if it was moved, say --network RUN" if option == "--network" else ""
        raise UserError("is gone", where=path, hint=hint + moved)
    if about is not None and hash_of(whole) != about.get("sha256"):
        raise UserError("has changed since", where=path, hint=hint)
    return whole


def _moved(found: Record, now: Path) -> Path:
    """The checkpoint at ``now`` that has the contents of the record's."""
    about = found.inputs.get("--network")
    places = sorted(now.glob("checkpoints/[!l]*")) or [now]
    places = [place for place in places if place.is_file() or (place / "ema.safetensors").is_file()]
    same = next((p for p in places if about is not None and hash_of(p) == about.get("sha256")), None)
    if same is None:
        raise UserError("holds no checkpoint with the contents of the record's", where=now)
    return same


@contextlib.contextmanager
def _offline(whether: bool) -> Iterator[None]:
    before = os.environ.get("ORGANZA_OFFLINE")
    if whether:
        os.environ["ORGANZA_OFFLINE"] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("ORGANZA_OFFLINE", None)
        else:
            os.environ["ORGANZA_OFFLINE"] = before


def _run(verb: str, wanted: Any) -> int:
    """Run the verb with these options. What it prints names the new folder, which is gone soon: it is left out."""
    from organza.cli.main import run_verb

    with contextlib.redirect_stdout(io.StringIO()):
        return run_verb(verb, words_of(wanted))


def _settle(found: Record, verb: str, wanted: Any, made: Path, target: Path, *, named: bool) -> None:
    """Put the result in its place, and say whether it is the same as the first one."""
    if verb in FOLDERS:
        with contextlib.suppress(OSError):
            target.rmdir()  # an empty one
        _move(made, target)
        write_record(_for(found, verb, wanted, target), target / "organza.json")
        say(target)
        return
    fresh = hash_of(made)
    there = os.path.lexists(target)
    if not named and there and not (target.is_file() and hash_of(target) == fresh):
        raise UserError("is another file than the record makes", where=target, hint="give --output FILE to have it")
    if not there or named:
        _move(made, target)
    if named:
        write_record(_for(found, verb, wanted, target), target.with_name(f"{target.name}.json"))
    say(target)
    if found.sha256 == fresh:
        say("the same bytes as before")
    else:
        now = versions()
        changed = [f"{name} was {old}" for name, old in found.versions.items() if now.get(name) != old]
        say(f"organza: differs from the first one ({', '.join(changed) or 'another machine?'})", error=True)


def _move(made: Path, target: Path) -> None:
    try:
        os.replace(made, target)
    except OSError as error:
        raise write_error(target, error) from error


def _for(found: Record, verb: str, wanted: Any, target: Path) -> Record:
    """The record of the same result at ``target``."""
    command = (verb, *words_of(_into(wanted, target)))
    inputs = {name: dict(about) for name, about in found.inputs.items()}
    for name, about in inputs.items():
        if name.removeprefix("--") in {field.name for field in fields(wanted)}:
            about["path"] = os.fspath(getattr(wanted, name.removeprefix("--")))
    return replace(found, command=command, folder=os.getcwd(), output=os.fspath(target), inputs=inputs)
