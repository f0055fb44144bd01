"""organza train PRESET --data IMAGES: train a method; the same command again continues it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from organza.cli.elsewhere import ours, preset_first
from organza.cli.parse import defaults_of, parse, typed
from organza.cli.progress import progress_bar
from organza.contract.data import translates
from organza.core.errors import UserError
from organza.core.text import say
from organza.presets import PRESETS, preset

if TYPE_CHECKING:
    from organza.presets import Run

NO_DATA = "--data is missing"
WHICH_DATA = "give a folder or an archive of images; `organza faces --dest faces.zip` makes one to try things out"


@dataclass(frozen=True)
class Job:
    """Where pictures come from and where the run goes."""

    data: Path
    """Folder, zip or MNIST files with pictures."""
    outdir: Path = Path("runs")
    """Runs are numbered in here."""
    resume: str | None = None
    """Alone: insist on continuing the newest run of this preset and data. With a run, a file of weights, an address or
    a published name: start a run with the weights that are there."""
    new: bool = False
    """Start a new run even where an unfinished one could be continued."""
    dry_run: bool = False
    """Say how many parameters, how much memory and how much time it would take, and stop."""
    settings: bool = False
    """With --dry-run: all settings as well, as the run's config.json would have them."""
    device: str | None = None
    """cpu, cuda, cuda:1 ...; the GPU where there is one."""
    profile: bool = False
    """Also write where the time goes, over one cycle of steps, into the run's folder: profile.txt, trace.json.gz."""


def main(argv: list[str]) -> int:
    """Parse ``PRESET [options]`` and train."""
    argv = preset_first(argv)
    if not argv or argv[0].startswith("-"):
        return _without_preset(argv)
    name, run, prog = argv[0], preset(argv[0]).run, f"organza train {argv[0]}"
    kind = _options(run, preset(name).summary)
    words = _resume_alone(ours(argv[1:], defaults_of(kind), prog))
    options = parse(kind, words, prog, pairs=True, missing={NO_DATA: WHICH_DATA})
    from organza.core import distributed
    from organza.core.device import keep_freed_memory
    from organza.runs.train import dry_run, train

    job: Job = options.job
    stated = typed(words)  # not what differs from the preset: who types a preset's own value insists on it
    changes: dict[str, Any] = {
        field.name: getattr(getattr(options, part.name), field.name)
        for part in fields(run)
        for field in fields(getattr(run, part.name))
        if field.name in stated
    }
    keep_freed_memory()
    if job.dry_run:
        told = dry_run(
            name, job.data, resume=job.resume or False, device=job.device, all_settings=job.settings, **changes
        )
        say(*told.splitlines())
        return 0
    with ExitStack() as stack:
        bars: list[Callable[[int, int], None]] = []

        def progress(done: int, total: int) -> None:
            """A bar that is gone before the training shows its own."""
            if not bars:
                bars.append(stack.enter_context(progress_bar("reading pictures", "pictures")))
            bars[0](done, total)
            if done >= total:
                stack.close()

        outcome = train(
            name,
            job.data,
            outdir=job.outdir,
            resume=job.resume or job.resume == "",
            new=job.new,
            device=job.device,
            profile=job.profile,
            progress=progress,
            **changes,
        )
    if outcome.finished and distributed.rank() == 0:
        from organza.data.options import PartlyLabelled

        layout, then = preset(name).run.method.layout, f"organza generate --network {outcome.folder}"
        if layout == "captioned" and run.data.captions != "none":
            then += ' --text "WORDS"'
        if translates(layout) and not isinstance(run.data, PartlyLabelled):
            then = f"organza translate --network {outcome.folder} --input IMAGES"
        say(f"{outcome.folder}: {outcome.seen / 1000:g} kimg; next: {then}", error=True)
    return 0


def _without_preset(words: list[str]) -> int:
    say("usage: organza train PRESET --data IMAGES [options]", "", "presets:")
    for name, entry in PRESETS.items():
        say(f"  {name:16} {entry.summary}")
    say("", "`organza train PRESET --help` lists the options of a preset.")
    if words[:1] in (["-h"], ["--help"]):
        return 0
    start = shlex.join(["organza", "train", "stylegan2", *(words or ["--data", "FOLDER"])])
    raise UserError("no preset is named", hint=f"a good start is `{start}`")


def _resume_alone(words: list[str]) -> list[str]:
    """``--resume`` may stand without a value.

    Example:
        >>> _resume_alone(["--resume", "--kimg", "5"]), _resume_alone(["--resume", "a.pkl"])
        (['--resume=', '--kimg', '5'], ['--resume', 'a.pkl'])
    """
    following = [*words[1:], "--"]
    pairs = zip(words, following, strict=False)
    return ["--resume=" if word == "--resume" and after.startswith("--") else word for word, after in pairs]


def _options(run: Run, summary: str) -> type[Any]:
    """All options of a preset as one dataclass whose parts have the preset's values as defaults."""
    parts: list[Any] = [("job", Job)]
    for part in fields(run):
        value = getattr(run, part.name)
        parts.append((part.name, type(value), field(default=value)))
    flat: type[Any] = tyro.conf.configure(tyro.conf.OmitArgPrefixes)(make_dataclass("Options", parts, frozen=True))
    flat.__doc__ = f"{summary}."  # otherwise every default, in one long line
    return flat
