"""Training in stages: on all images, then on each group of them, each from the network of the stage before.

A recipe of ordinary runs, in one folder. Each run continues exactly where it was, and which one is next follows from
what is there; so the same command goes on at any moment, also between stages.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from organza.contract.data import Layout
from organza.core import distributed
from organza.core.errors import UserError
from organza.core.files import user_path
from organza.core.messages import logger
from organza.core.progress import Progress
from organza.data.dataset import Dataset
from organza.data.domains import Domains
from organza.data.groups import (
    ALL,
    Chosen,
    Group,
    Known,
    Stages,
    by_folders,
    by_table,
    make_groups,
    parse_ages,
    parse_stages,
    side_prefix,
)
from organza.data.material import held_out_images
from organza.data.opening import open_source
from organza.data.options import DomainOptions
from organza.models.people import FACTORS, faceres_of, find_faceres, known_of
from organza.models.staged import Part, Staged, is_staged, read_staged
from organza.presets import Run
from organza.runs.folder import take
from organza.runs.plan import Plan, make_plan
from organza.runs.train import Outcome, changed, train
from organza.training.loop import Evaluate
from organza.training.monitor import read_log

log = logger(__name__)

AUTO = "auto"
FOLDERS = "folders"
WHOLE = "whole"
LATER = 0.1
"""Length of the later stages, as a share of the first, unless said. Nobody has published one."""


@dataclass(frozen=True)
class Staging:
    """How a training is parted into stages.

    Attributes:
        stages: by what images are parted in each, see `organza.data.groups.parse_stages`.
        groups: how source images are grouped: ``"auto"`` (age and sex by faceres; ``"auto:FILE"`` says where its file
            or its folder is), ``"folders"``, or a table as ``FILE:COLUMN,COLUMN``.
        target_groups: the same for target images, but for auto; ``"whole"`` shows all of them to each group.
        kimg: lengths of the stages in thousands of images; () takes the training's own for the first and a tenth of it
            for each later one.
        ages: see `organza.data.groups.parse_ages`.
        least: images that a group needs, on each side that is grouped.

    Example:
        >>> Staging("all,hair", "table.csv:hair", kimg=(100, 20)).target_groups
        'whole'
    """

    stages: str = "all,age,age-sex"
    groups: str = AUTO
    target_groups: str = WHOLE
    kimg: tuple[float, ...] = ()
    ages: str = "15,40"
    least: int = 20


def train_stages(
    what: str | Run,
    data: str | Path,
    staging: Staging = Staging(),
    *,
    outdir: str | Path = "runs",
    resume: bool | str | Path = False,
    new: bool = False,
    device: str | None = None,
    evaluate: Evaluate | None = None,
    progress: Progress | None = None,
    **changes: Any,
) -> Outcome:
    """Train in stages, or go on where a call before was stopped; leaves a folder ``outdir/00000-NAME-DATA-stages``.

    ``stages.json`` in it says which run is of which group, and `organza.load` opens it with ``group=``.

    Args:
        what: a preset's name, or a `Run`, of a method that learns from two sets.
        data: two sets, whatever `organza.train` takes.
        staging: how images are parted, and how long each stage is.
        outdir, resume, new, device, evaluate, progress, changes: as for `organza.train`; a path in ``resume`` is what
            the first stage starts from.

    Raises:
        UserError: as `organza.train`; stages or groups that can't be.
    """
    if distributed.world() > 1:
        raise UserError("stages are trained by one process", hint="leave torchrun out, or train the groups one by one")
    stages, ages = parse_stages(staging.stages), parse_ages(staging.ages)
    if staging.kimg and (len(staging.kimg) != len(stages) or not all(0.001 <= kimg <= 1e9 for kimg in staging.kimg)):
        numbers = ",".join(f"{kimg:g}" for kimg in staging.kimg)
        what_ = f"--stage-kimg {numbers} are not lengths for {len(stages)} stages"
        raise UserError(what_, hint="give a number for each, such as 100,20,10")
    first = _with_length(changes, staging.kimg[0]) if staging.kimg else dict(changes)
    own = evaluate is not None
    plan = make_plan(what, data, first, resume=resume, device=device, own_metrics=own, progress=progress, say=_say)
    layout: Layout = plan.run.method.layout
    if layout != "unpaired" or plan.material.domains is None:
        hint = "take photo2cartoon, ugatit-light, cyclegan or cut"
        raise UserError(f"{plan.name} is not for two sets, and stages part two sets", hint=hint)
    plan.check_memory()
    faceres = _faceres(plan, staging, stages)
    look = _Look(data, staging, stages, ages, faceres, progress)
    known = look.sides(plan.material.domains)
    groups = make_groups(stages, *known, staging.least)
    _check_known(groups, stages, known[0], staging)
    chosen = _chosen(plan, groups, known, look)
    lengths = staging.kimg or (plan.run.training.kimg, *[plan.run.training.kimg * LATER] * (len(stages) - 1))
    config = plan.config() | {"stages": _marks(staging, groups, plan.material.domains)}
    label = f"{plan.label}-stages"
    with take(
        user_path(outdir), label, config, lambda old: changed(old, config), resume=resume is True, new=new
    ) as folder:
        targets = len(plan.material.domains.target)
        before = read_staged(folder).parts if is_staged(folder) else {}
        parts = {group.name: _part(group, targets, before.get(group.name)) for group in groups}
        where = None if faceres is None else str(faceres.resolve())
        staged = Staged(folder, staging.stages, staging.groups, staging.target_groups, where, ages, parts)
        staged.write()
        _tell(staged, lengths, stages)
        for number, group in enumerate(groups):
            if group.merged is not None:
                continue
            kimg = max(0.001, lengths[stages.index(_factors(group))])
            said = f"{group.name} ({number + 1} of {len(groups)})"
            about = f"{parts[group.name].sources} and {parts[group.name].targets} images, {kimg:g} kimg"
            log.info(f"{said}: {about}" + (f", from {group.parent}" if group.parent else ""))
            above = None if group.parent is None else parts[group.parent]
            origin = resume if above is None else folder / str(above.run)
            outcome = train(
                what,
                data if group.name == ALL else chosen[group.name],
                outdir=folder / "groups" / group.name,
                resume=False if isinstance(origin, bool) else origin,
                device=device,
                evaluate=evaluate,
                progress=progress,
                **(first if above is None else _with_length(changes, kimg)),
            )
            if not outcome.finished:
                return Outcome(folder, outcome.seen, False)
            parts[group.name] = replace(
                parts[group.name],
                kimg=outcome.seen / 1000,
                total_kimg=outcome.seen / 1000 + (0 if above is None else above.total_kimg),
                run=outcome.folder.relative_to(folder).as_posix(),
                figures=_figures(outcome.folder),
            )
            staged.write()
        for line in summary(staged):
            log.info(line)
        return Outcome(folder, round(sum(part.kimg for part in parts.values()) * 1000), True)


def summary(staged: Staged) -> list[str]:
    """A line for each group: images, lengths, and the figures of its last evaluated snapshot."""
    lines = []
    for name, part in staged.parts.items():
        if part.merged is not None:
            lines.append(
                f"{name}: {part.sources} and {part.targets} images are too few; {part.merged}'s model is taken"
            )
            continue
        figures = ", ".join(f"{key} {value:.4g}" for key, value in part.figures.items())
        about = f"{part.sources} and {part.targets} images, {part.kimg:g} kimg of {part.total_kimg:g}"
        lines.append(f"{name}: {about}{', ' if figures else ''}{figures}")
    return lines


@dataclass(frozen=True)
class _Look:
    """Finds out what is known of images, in the words of a `Staging`."""

    data: str | Path
    staging: Staging
    stages: Stages
    ages: tuple[float, float]
    faceres: Path | None
    progress: Progress | None

    def sides(self, domains: Domains, insist: bool = True) -> tuple[list[Known], list[Known] | None]:
        """What is known of sources, and of targets where these are grouped; ``insist``: it must be something."""
        sources = self._known(domains.source, self.staging.groups, insist)
        if self.staging.target_groups == WHOLE:
            return sources, None
        return sources, self._known(domains.target, self.staging.target_groups, insist)

    def _known(self, dataset: Dataset, how: str, insist: bool) -> list[Known]:
        if len(self.stages) == 1:
            return [{} for _ in dataset.names]
        factors = self.stages[-1]
        if is_auto(how):
            assert self.faceres is not None
            return known_of(dataset, self.faceres, self.ages, self.progress)
        whole = open_source(self.data)
        if how == FOLDERS:
            return by_folders(dataset.names, side_prefix(whole, dataset.names), factors)
        return by_table(whole, how, dataset.names, factors, self.ages, insist=insist)


def is_auto(how: str) -> bool:
    """Whether groups are found by faceres."""
    return how == AUTO or how.startswith(f"{AUTO}:")


def look_again(
    staged: Staged,
    data: str | Path,
    domains: Domains,
    progress: Progress | None = None,
    *,
    weights_dir: str | Path | None = None,
) -> list[Group]:
    """The groups of other images, found as those of a training in stages were; none is too small.

    Args:
        staged: the training.
        data: where the images are.
        domains: the images.
        progress: called as ``progress(done, total)`` while faces are looked at.
        weights_dir: folder of weights with the network that knows ages; None looks where the training had it, then in
            the cache.

    Raises:
        UserError: they can't be grouped so, or the network that knows ages is gone.
    """
    stages = parse_stages(staged.stages)
    staging = Staging(staged.stages, staged.groups, staged.target_groups)
    faceres = None if staged.faceres is None else faceres_of(staged, weights_dir)
    look = _Look(data, staging, stages, staged.ages, faceres, progress)
    return make_groups(stages, *look.sides(domains, insist=False), 0)


def _faceres(plan: Plan, staging: Staging, stages: Stages) -> Path | None:
    """The file that knows ages, where it is needed."""
    if is_auto(staging.target_groups):
        what = "--target-groups auto: ages are found in photographs, not in what a translator makes of them"
        raise UserError(what, hint="give a table, folders, or whole")
    if not is_auto(staging.groups) or len(stages) == 1:
        return None
    if other := [factor for factor in stages[-1] if factor not in FACTORS]:
        what = f"--groups auto knows {' and '.join(FACTORS)}, not {other[0]}"
        raise UserError(what, hint="give a table: --groups FILE:COLUMN,COLUMN")
    where = staging.groups.partition(":")[2] or getattr(plan.run.method, "weights_dir", None)
    face_id = getattr(plan.run.method, "face_id", None)
    if not where and face_id is not None and face_id.lower().endswith(".onnx"):
        where = face_id
    return find_faceres(where or None)


def _chosen(
    plan: Plan, groups: Sequence[Group], known: tuple[list[Known], list[Known] | None], look: _Look
) -> dict[str, Chosen]:
    """The images of each group by their names, with those of the part that is not trained on."""
    domains = plan.material.domains
    assert domains is not None and isinstance(plan.run.data, DomainOptions)
    height, width = plan.material.spec.resolution
    options = replace(plan.run.data, resolution=f"{height}x{width}")
    sets = [(domains, known)]
    held_out = None if len(groups) == 1 else held_out_images(look.data, options, plan.run.method.layout)
    if held_out is not None:
        sets.append((held_out, look.sides(held_out, insist=False)))
    found = {}
    for group in groups:
        words = tuple(group.name.split("-")) if group.name != ALL else ()
        factors = _factors(group)
        sources = frozenset(
            name
            for images, (mine, _) in sets
            for name, said in zip(images.source.names, mine, strict=True)
            if _is(said, factors, words)
        )
        targets = frozenset(
            name
            for images, (_, theirs) in sets
            for name, said in zip(images.target.names, theirs or (), strict=theirs is not None)
            if _is(said, factors, words)
        )
        found[group.name] = Chosen(look.data, group.name, sources, None if known[1] is None else targets)
    return found


def _check_known(groups: Sequence[Group], stages: Stages, known: Sequence[Known], staging: Staging) -> None:
    """See that each stage has groups, and say how many images are in none of a stage.

    Raises:
        UserError: nothing is known of any image by which a stage parts.
    """
    for stage in ("-".join(factors) for factors in stages[1:]):
        ours = [group for group in groups if group.stage == stage]
        if not ours:
            hint = "name another column, or put images into folders: trainA/old/male/1.png"
            raise UserError(
                f"of no image it says what the stage {stage} needs", where=f"--groups {staging.groups}", hint=hint
            )
        if rest := len(known) - sum(len(group.sources) for group in ours):
            log.warning(
                f"{rest} of {len(known)} images are in no group of the stage {stage}: not enough is known of them"
            )


def _factors(group: Group) -> tuple[str, ...]:
    return () if group.stage == ALL else tuple(group.stage.split("-"))


def _is(known: Known, factors: tuple[str, ...], words: tuple[str, ...]) -> bool:
    return tuple(known.get(factor) for factor in factors) == words


def _part(group: Group, targets: int, before: Part | None) -> Part:
    """A group with what it had come to when the training was stopped."""
    count = targets if group.targets is None else len(group.targets)
    fresh = Part(group.stage, group.parent, len(group.sources), count, merged=group.merged)
    if before is None or group.merged is not None:
        return fresh
    return replace(before, sources=fresh.sources, targets=fresh.targets, merged=None)


def _with_length(changes: Mapping[str, Any], kimg: float) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if name != "epochs"} | {"kimg": kimg}


def _marks(staging: Staging, groups: Sequence[Group], domains: Domains) -> dict[str, Any]:
    """What tells this training in stages from another: which images are where, but not how long each stage is."""
    named = [
        [
            group.name,
            group.merged,
            [domains.source.names[n] for n in group.sources],
            None if group.targets is None else [domains.target.names[n] for n in group.targets],
        ]
        for group in groups
    ]
    digest = hashlib.sha256(json.dumps(named).encode("utf-8", "surrogatepass")).hexdigest()[:20]
    return {"stages": staging.stages, "groups": {group.name: len(group.sources) for group in groups}, "key": digest}


def _figures(run: Path) -> dict[str, float]:
    """The metrics of the last snapshot that was evaluated."""
    for record in reversed(read_log(run)):
        found = {
            key.removeprefix("metrics/"): float(value)
            for key, value in record.items()
            if key.startswith("metrics/") and not key.endswith(("/low", "/high", "/seconds"))
        }
        if found and all(map(math.isfinite, found.values())):
            return found
    return {}


def _tell(staged: Staged, lengths: Sequence[float], stages: Stages) -> None:
    """What is going to be done."""
    names = ["-".join(factors) or ALL for factors in stages]
    log.info(
        f"{staged.folder}: " + ", then ".join(f"{n} ({kimg:g} kimg)" for n, kimg in zip(names, lengths, strict=True))
    )
    for name, part in staged.parts.items():
        if part.merged is not None:
            what = f"{name} has {part.sources} and {part.targets} images, which are too few: "
            log.warning(f"{what}{part.merged}'s model stands for it (--group-least)")


def _say(text: str) -> None:
    (log.warning if text.startswith("warning") else log.info)(text.removeprefix("warning: "))
