"""A run's folder: numbered among its neighbours, and held by one training at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from organza.core import distributed
from organza.core.errors import UserError
from organza.core.files import atomic_folder, make_folder, sweep, write_error
from organza.core.lock import locked

LOCK = ".lock"
_NAME = re.compile(r"(\d{5,})-(.*)")

Changed = Callable[[Path], Mapping[str, tuple[Any, Any]]]


@contextmanager
def take(
    outdir: Path, label: str, config: Mapping[str, Any], changed: Changed, *, resume: bool, new: bool
) -> Iterator[Path]:
    """The folder of the run to continue, or a new one under the next free number: ours alone while the block lasts.

    A new folder appears with its ``config.json``, so whoever finds one knows at once whose it is. Rank 0 takes it, the
    other processes are told.

    Args:
        outdir: where runs are numbered.
        label: what a run's name says after its number.
        config: of this training.
        changed: the settings in which the run of a folder differs from this one.
        resume: insist on continuing a run.
        new: insist on a new one.

    Raises:
        UserError: nothing to resume, or it is being trained, or it can't be written.
    """
    with ExitStack() as held:
        yield distributed.from_first(lambda: _take(held, outdir, label, config, changed, resume, new))


def _take(
    held: ExitStack, outdir: Path, label: str, config: Mapping[str, Any], changed: Changed, resume: bool, new: bool
) -> Path:
    if resume:
        _to_continue(outdir, label, changed, resume)  # what is wrong with that is said before a folder is made
    make_folder(outdir)
    with locked(outdir):  # one at a time looks for a run, and gives out a number
        folder = None if new else _to_continue(outdir, label, changed, resume)
        folder = folder or _make(outdir, label, config)
        try:
            held.enter_context(locked(folder / LOCK, wait=False))
        except BlockingIOError as holder:
            hint = "wait for it, or start another run with --new"
            raise UserError(f"is being trained by {holder}", where=folder, hint=hint) from None
        except OSError as error:
            raise write_error(folder, error) from error
    for place in (folder, folder / "checkpoints", folder / "samples"):
        sweep(place)
    return folder


def _runs(outdir: Path) -> dict[Path, re.Match[str]]:
    """Folders with a run's name, in the order of their numbers."""
    paths = outdir.iterdir() if outdir.is_dir() else ()
    found = [(path, match) for path in paths if (match := _NAME.fullmatch(path.name))]
    return dict(sorted(found, key=lambda pair: int(pair[1][1])))


def _to_continue(outdir: Path, label: str, changed: Changed, resume: bool) -> Path | None:
    """The newest run with the same settings."""
    mine = [path for path, match in reversed(_runs(outdir).items()) if match[2] == label]
    found = next((path for path in mine if not changed(path)), None)
    if resume and not mine:
        raise UserError(f"no run of {label} to resume", where=outdir, hint="leave --resume out to start one")
    if resume and found is None:
        listed = ", ".join(f"{key} was {old}, now {now}" for key, (old, now) in changed(mine[0]).items())
        raise UserError(f"can't resume with other settings: {listed}", where=mine[0], hint="or start with --new")
    return found


def _make(outdir: Path, label: str, config: Mapping[str, Any]) -> Path:
    sweep(outdir)
    number = max((int(match[1]) for match in _runs(outdir).values()), default=-1) + 1
    folder = outdir / f"{number:05d}-{label}"
    with atomic_folder(folder) as work:
        (work / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    return folder
