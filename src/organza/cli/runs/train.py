"""organza train PRESET --data IMAGES: train a method; the same command again continues it."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from organza.cli.elsewhere import ours, preset_first
from organza.cli.parse import defaults_of, parse, typed
from organza.cli.progress import passing_bar
from organza.contract.data import translates
from organza.core.errors import UserError
from organza.core.ranges import Count
from organza.core.text import say
from organza.presets import PRESETS, preset

if TYPE_CHECKING:
    from organza.presets import Run

NO_DATA = "--data is missing"
WHICH_DATA = "give a folder or an archive of images; `organza faces --dest faces.zip` makes one to try things out"


@dataclass(frozen=True)
class Job:
    """Where images come from and where the run goes."""

    data: Path
    """Folder, zip or MNIST files with images."""
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


@dataclass(frozen=True)
class Groups:
    """Stages, for methods that learn from two sets: first all images, then groups of them."""

    stages: str | None = None
    """Train in stages: all,age,age-sex trains on all images, then on each age, then on each age and sex, each from the
    network of the stage before."""
    groups: str = "auto"
    """With --stages: how source images are grouped. auto: age and sex by faceres.onnx (auto:FILE says where it is);
    folders: by their folders in the side's own; or a table as FILE:COLUMN,COLUMN, a column for each word of the last
    stage."""
    target_groups: str = "whole"
    """With --stages: the same for target images: folders or a table; whole shows all of them to each group."""
    stage_kimg: str | None = None
    """With --stages: their lengths, such as 100,20,10. Unless said: that of the training, and a tenth of it for each
    later stage."""
    ages: str = "15,40"
    """With --stages: a child is younger than the first, old from the second on."""
    group_least: Count = 20
    """With --stages: a group with fewer images is not trained; the model that it would have started from is taken."""


def main(argv: list[str]) -> int:
    """Parse ``PRESET [options]`` and train."""
    argv = preset_first(argv)
    if not argv or argv[0].startswith("-"):
        return _without_preset(argv)
    name, run, prog = argv[0], preset(argv[0]).run, f"organza train {argv[0]}"
    kind = options_of(run, preset(name).summary)
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
    grouped: Groups | None = getattr(options, "groups", None)
    if grouped is not None and grouped.stages is None and (odd := stated & ({f.name for f in fields(Groups)})):
        raise UserError(f"--{min(odd).replace('_', '-')} is for stages", hint="say --stages all,age,age-sex as well")
    if grouped is not None and grouped.stages is not None:
        return _in_stages(name, job, grouped, changes)
    if job.dry_run:
        told = dry_run(
            name, job.data, resume=job.resume or False, device=job.device, all_settings=job.settings, **changes
        )
        say(*told.splitlines())
        return 0
    with passing_bar("reading images", "images") as progress:
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


def _in_stages(name: str, job: Job, grouped: Groups, changes: dict[str, Any]) -> int:
    """Train on all images, then on groups of them."""
    from organza.runs.stages import Staging, train_stages

    if job.dry_run or job.profile:
        option = "--dry-run" if job.dry_run else "--profile"
        raise UserError(f"{option} is for one training", hint="leave --stages out")
    assert grouped.stages is not None
    kimg = () if grouped.stage_kimg is None else _lengths(grouped.stage_kimg)
    how = Staging(grouped.stages, grouped.groups, grouped.target_groups, kimg, grouped.ages, grouped.group_least)
    with passing_bar("looking at images", "images") as progress:
        outcome = train_stages(
            name,
            job.data,
            how,
            outdir=job.outdir,
            resume=job.resume or job.resume == "",
            new=job.new,
            device=job.device,
            progress=progress,
            **changes,
        )
    if outcome.finished:
        then = f"organza translate --network {outcome.folder} --input IMAGES"
        say(f"{outcome.folder}: {outcome.seen / 1000:g} kimg; next: {then}", error=True)
    return 0


def _lengths(text: str) -> tuple[float, ...]:
    """Lengths as one types them.

    Example:
        >>> _lengths("100,20,2.5")
        (100.0, 20.0, 2.5)
    """
    words = [word.strip() for word in text.split(",")]
    if not all(re.fullmatch(r"\d{1,9}(\.\d{1,9})?", word, re.ASCII) for word in words):
        raise UserError(f"--stage-kimg {text!r} are no lengths", hint="write a number for each stage: 100,20,10")
    return tuple(float(word) for word in words)


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


def options_of(run: Run, summary: str) -> type[Any]:
    """All options of a preset as one dataclass whose parts have the preset's values as defaults."""
    parts: list[Any] = [("job", Job)]
    for part in fields(run):
        value = getattr(run, part.name)
        parts.append((part.name, type(value), field(default=value)))
    if run.method.layout == "unpaired":
        parts.append(("groups", Groups, field(default_factory=Groups)))
    flat: type[Any] = tyro.conf.configure(tyro.conf.OmitArgPrefixes)(make_dataclass("Options", parts, frozen=True))
    flat.__doc__ = f"{summary}."  # otherwise every default, in one long line
    return flat
