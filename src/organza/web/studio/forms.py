"""What the command line tells the studio of its verbs, as values: `web` may not import `cli`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from organza.web.studio.workspace import Workspace


@dataclass(frozen=True)
class Command:
    """A command line that was checked.

    Attributes:
        verb: its first word; ``"dataset build"`` are two.
        words: all after ``organza``, with paths within the workspace.
        again: what goes on where ``words`` was stopped.
        title: what it is, in a few words.
    """

    verb: str
    words: tuple[str, ...]
    again: tuple[str, ...]
    title: str


class Write(Protocol):
    """How a record for ``organza redo`` is written beside a file; see `organza.cli.record.record`."""

    def __call__(
        self,
        verb: str,
        argv: Sequence[str],
        path: Path,
        *,
        inputs: Mapping[str, Path | None] | None = None,
        changes: Sequence[str] = (),
        folder: Path | None = None,
    ) -> Path:
        """Write it."""


@dataclass(frozen=True)
class Forms:
    """The command line, for the studio.

    Attributes:
        verbs: of jobs, each with its fields; see ``GET /api/verbs``.
        presets: name, family, help, paper, what it takes.
        preset: the fields of ``train NAME``.
        command: (workspace, verb, preset, options by name, the job's own folder for results as an id) to a command.
        record: writes what `organza redo` reads.
    """

    verbs: Callable[[], list[dict[str, Any]]]
    presets: Callable[[], list[dict[str, Any]]]
    preset: Callable[[str], dict[str, Any]]
    command: Callable[[Workspace, str, str | None, Mapping[str, Any], str], Command]
    record: Write


@dataclass(frozen=True)
class Field:
    """A field of a form; see ``GET /api/verbs``.

    Attributes:
        name: of the option, as in Python.
        label: for people.
        help: its docstring.
        type: int, float, bool, choice, text, seeds, or what kind of thing is named by its id.
        default: what is taken where nothing is given.
        choices: of a choice.
        least, most: of a number.
        required: whether it must be given.
        many: whether it is a list.
        advanced: whether most people leave it alone.
    """

    name: str
    label: str
    help: str
    type: str
    default: Any = None
    choices: tuple[Any, ...] | None = None
    least: float | None = None
    most: float | None = None
    required: bool = False
    many: bool = False
    advanced: bool = False
    group: str = field(default="")
