"""A small JSON beside each image, which lets `organza redo` make it again.

One mechanism for all verbs: the record is the command line itself, with what it read pinned to content hashes, the
output named, and the versions that made it.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from organza.core.errors import UserError
from organza.core.files import atomic_write
from organza.core.jsons import read_json
from organza.core.version import __version__

FORMAT = 1


@dataclass(frozen=True)
class Record:
    """What made an image.

    Attributes:
        command: the words after ``organza``; paths are as they were typed, relative to ``folder``.
        folder: where the command ran.
        option: the option that names the output: ``--output`` or ``--outdir``.
        output: the file, or the folder that the command filled.
        sha256: of the file; None for a folder.
        inputs: option -> path and sha256 of what was read; a checkpoint's hash is that of its averaged weights.
        versions: of Organza and what it draws with.
    """

    command: tuple[str, ...]
    folder: str
    option: str
    output: str
    sha256: str | None = None
    inputs: dict[str, dict[str, str]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


def hash_of(path: Path) -> str:
    """The SHA-256 of a file, or of a checkpoint's averaged weights.

    Raises:
        UserError: it can't be read.
    """
    try:
        with open(path / "ema.safetensors" if path.is_dir() else path, "rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise UserError(f"can't be read ({error.strerror})", where=path) from error
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """The versions on which pixels depend."""
    import numpy
    import PIL
    import torch

    return {
        "organza": __version__,
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "pillow": PIL.__version__,
        "python": platform.python_version(),
    }


def record(
    verb: str,
    argv: Sequence[str],
    path: Path,
    *,
    option: str = "--output",
    inputs: Mapping[str, Path | None] | None = None,
    changes: Sequence[str] = (),
    folder: Path | None = None,
) -> Path:
    """Write the record of ``path`` beside it: ``grid.png.json``, or ``organza.json`` in a folder.

    Args:
        verb: what made it.
        argv: the words after the verb.
        path: the file or folder.
        option: the option that names it.
        inputs: what was read, by option. A checkpoint here keeps the record true while its run goes on; None, for a
            network that came from nowhere, is left out.
        changes: words that make this file rather than all that ``argv`` makes; they override those before them.
        folder: where the command would run; None: where this process does.

    Returns:
        The record's path.

    Raises:
        UserError: it can't be written.
    """
    pinned = {name: source for name, source in (inputs or {}).items() if source is not None}
    extra = [*changes, option, os.fspath(path)]
    for name, source in pinned.items():
        extra += [name, os.fspath(source)]
    made = Record(
        command=(verb, *_without(argv, {"--output", "--outdir", *extra[::2]}), *extra),
        folder=os.getcwd() if folder is None else os.fspath(folder),
        option=option,
        output=os.fspath(path),
        sha256=None if path.is_dir() else hash_of(path),
        inputs={name: {"path": os.fspath(source), "sha256": hash_of(source)} for name, source in pinned.items()},
        versions=versions(),
    )
    return write_record(made, path / "organza.json" if path.is_dir() else path.with_name(f"{path.name}.json"))


def write_record(made: Record, path: Path) -> Path:
    """Write ``made`` to ``path``.

    Raises:
        UserError: it can't be written.
    """
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps({"format": FORMAT, **asdict(made)}, indent=2) + "\n", encoding="utf-8")
    return path


def _without(words: Sequence[str], names: set[str]) -> list[str]:
    """``words`` less the options ``names`` and their values.

    Example:
        >>> _without(["--seeds", "0-9", "--flat", "--outdir=a"], {"--seeds", "--outdir"})
        ['--flat']
    """
    kept: list[str] = []
    skip = False
    for word in words:
        name = word.split("=")[0].replace("_", "-")
        if not skip and name not in names:
            kept.append(word)
        skip = not skip and name in names and "=" not in word
    return kept


def read_record(path: Path) -> Record:
    """The record in ``path``, which may be somebody else's: nothing in it is to be believed.

    Raises:
        UserError: there is none.
    """
    hint = "give the .json beside an image that Organza made"
    try:
        found: Any = read_json(path.read_bytes(), path)
    except FileNotFoundError as error:
        raise UserError("does not exist", where=path, hint=hint) from error
    except (OSError, UserError) as error:
        raise UserError("is no record of a command", where=path, hint=hint) from error
    if not isinstance(found, dict) or "command" not in found:
        raise UserError("is no record of a command", where=path, hint=hint)
    if found.pop("format", None) != FORMAT:
        raise UserError("is a record of another format", where=path, hint="update Organza")
    from organza.core.config import from_plain

    return from_plain(Record, found, where=path)
