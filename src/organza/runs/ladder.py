"""Ablation ladders: presets that differ by one change each, trained at an equal small budget, side by side.

A paper's table of configs takes weeks of GPU time; here each config is scaled down in proportion (`scaled`), so that
what is compared stays the change. What comes out is a sketch of the paper's table, not a repetition of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from organza.contract.data import DataSpec, translates
from organza.core.config import check, differences, to_plain
from organza.core.errors import UserError
from organza.core.files import atomic_write, make_folder, user_path
from organza.core.messages import logger
from organza.core.ranges import Count, Kimg, Positive, Range, Seed
from organza.data import Dataset, open_dataset
from organza.data.options import DomainOptions
from organza.media.images import Pixels, save_picture
from organza.models.generator import Generator
from organza.models.load import load_generator, load_translator
from organza.models.translator import Translator
from organza.presets import Run, preset
from organza.runs.ladder_pairs import Pairs
from organza.runs.ladder_table import Rung, picture, text_table
from organza.runs.plan import method_name, override
from organza.runs.train import Outcome, train
from organza.training.monitor import read_log

log = logger(__name__)
LADDERS: dict[str, tuple[str, ...]] = {
    "stylegan": tuple(f"stylegan-{rung}" for rung in "abcdef"),
    "stylegan2": tuple(f"stylegan2-{rung}" for rung in "abcdef"),
    "patch-size": ("pix2pix-pixel", "pix2pix-16", "pix2pix", "pix2pix-286"),
}
"""Ladders by name: table 1 of StyleGAN (arXiv 1812.04948) and of StyleGAN2 (arXiv 1912.04958), and figure 6 of pix2pix
(arXiv 1611.07004): D sees patches of 1, 16, 70 and 286 pixels."""


@dataclass(frozen=True)
class Budget:
    """What each config may use.

    Attributes:
        kimg: length of the training in thousands of images.
        batch: images in a step, at every size. None: 16, or 1 where images are translated.
        width: factor on all feature maps, beside the one that follows from the images' size.
        growth: share of the training during which networks grow that do.
        paper_size: the side of the images for which the presets are meant.
        seed: of everything random.
    """

    kimg: Kimg = 10.0
    batch: Count | None = None
    width: Positive = 1.0
    growth: Annotated[float, Range(above=0, most=1)] = 0.5
    paper_size: Count = 1024
    seed: Seed = 0


@dataclass(frozen=True)
class Ladder:
    """Configs that were climbed, and the files that show them.

    Attributes:
        rungs: in order.
        text, json, picture: the table in three forms.
        finished: False when it was asked to stop; the same call goes on.
    """

    rungs: tuple[Rung, ...]
    text: Path
    json: Path
    picture: Path
    finished: bool = True


def rungs(names: Iterable[str]) -> tuple[str, ...]:
    """Presets from names of ladders and presets.

    Raises:
        UserError: no ladder and no preset has that name.

    Example:
        >>> rungs(["dcgan", "stylegan"])[:3]
        ('dcgan', 'stylegan-a', 'stylegan-b')
    """
    found = [rung for name in names for rung in LADDERS.get(name, (name,))]
    for name in found:
        preset(name)
    if not found:
        raise UserError("a ladder of nothing", hint=f"name ladders ({', '.join(LADDERS)}) or presets")
    return tuple(dict.fromkeys(found))


def scaled(run: Run, spec: DataSpec, budget: Budget) -> Run:
    """``run`` for smaller images and a smaller budget, in proportion.

    Of the settings that a method has, these change: ``channel_base`` by the share of the size, so that the outermost
    levels keep the paper's feature maps and the inner ones shrink; it and ``channel_max`` by ``budget.width``, and so
    ``width`` and ``width_d`` of translators;
    ``r1_gamma`` by the share of the pixels; the sizes in ``rates`` by the share of the size; ``batches`` away; growing
    so that it ends after ``budget.growth`` of the training.

    Example:
        >>> small = scaled(preset("stylegan-f").run, DataSpec((32, 32)), Budget(kimg=8)).method
        >>> small.channel_base, small.r1_gamma, small.fade_kimg, small.batches
        (512, 0.009765625, 1.0, ())
    """
    share = max(spec.resolution) / budget.paper_size
    method: Any = run.method
    own = {f.name: getattr(method, f.name) for f in fields(method)}
    changes: dict[str, Any] = {}
    if own.get("channel_base"):
        changes["channel_base"] = max(1, round(own["channel_base"] * share * budget.width))
    if own.get("channel_max"):
        changes["channel_max"] = max(1, round(own["channel_max"] * budget.width))
    images_in = translates(method.layout)
    for name in ("width", "width_d") if images_in else ():
        if own.get(name):
            changes[name] = max(1, round(own[name] * budget.width))
    if own.get("r1_gamma"):
        changes["r1_gamma"] = own["r1_gamma"] * share**2
    if "batches" in own:
        changes["batches"] = ()
    if "rates" in own:
        changes["rates"] = tuple((max(1, int(size * share)), rate) for size, rate in own["rates"])
    if own.get("fade_kimg"):
        levels = max(1, round(math.log2(max(spec.resolution) / own["start_size"])))
        changes["fade_kimg"] = changes["stable_kimg"] = budget.kimg * budget.growth / levels / 2
    training = replace(
        run.training,
        kimg=budget.kimg,
        epochs=None,
        batch=budget.batch or (1 if images_in else 16),
        seed=budget.seed,
        ema_rampup=0.05,
        tick_kimg=max(0.001, budget.kimg / 10),
        snapshot_kimg=max(0.001, budget.kimg / 2),
        keep=1,
        grid=run.training.grid if images_in else "8x4",
    )
    return replace(run, method=replace(method, **changes), training=training)


def changes_between(before: Run | None, after: Run) -> dict[str, Any]:
    """Settings of the method and its training in which two presets differ, by name: old and new value.

    Settings that only the later one has are named with None as the old value.

    Example:
        >>> changes_between(preset("stylegan-e").run, preset("stylegan-f").run)
        {'style_mixing': [0.0, 0.9]}
    """
    if before is None:
        return {}
    old, new = ({**to_plain(run.method), **to_plain(run.training)} for run in (before, after))
    kinds = method_name(before), method_name(after)
    named = {} if kinds[0] == kinds[1] else {"method": list(kinds)}
    return named | {name: list(pair) for name, pair in differences(old, new).items() if name in new}


def climb(
    names: Sequence[str],
    data: str | Path,
    outdir: str | Path,
    budget: Budget | None = None,
    *,
    resolution: str | None = None,
    metric: str | None = "fd2k",
    seeds: Sequence[int] = range(8),
    overrides: Mapping[str, Any] | None = None,
    device: str | None = None,
) -> Ladder:
    """Train every config, or go on where a call before was stopped, and write the table.

    A config that is finished is neither trained nor evaluated again. The table is written after each config. Configs
    that translate are compared with the targets of pairs, see `organza.runs.ladder_pairs`.

    Args:
        names: of ladders and presets, see `rungs`.
        data: whatever `organza.open_dataset` opens; of translations, pairs.
        outdir: folder for everything: a folder of runs for each config, ``ladder.txt``, ``.json`` and ``.png``.
        budget: the same for all.
        resolution: images are brought to this size first.
        metric: a name of `organza.metrics`, drawn against ``data``; None leaves it out. Translations have none.
        seeds: of the images that are generated; of translations, the numbers of the pairs.
        overrides: settings by name, for all configs that have them.
        device: see `organza.train`.

    Raises:
        UserError: unusable data or settings, or a training that diverged.
    """
    outdir, budget = user_path(outdir), check(budget or Budget())
    plan = [(name, preset(name).run) for name in rungs(names)]
    check_overrides(overrides or {}, plan)
    if resolution is not None:
        plan = [(name, replace(run, data=replace(run.data, resolution=resolution))) for name, run in plan]
    pairs = _pairs([(name, overridden(run, overrides)) for name, run in plan], data, seeds)
    if pairs is not None:
        metric = None
    elif metric is not None:
        from organza.metrics.names import parse_metrics  # loads much

        parse_metrics(metric)
    climbed: list[Rung] = []
    rows: list[Pixels] = []
    files = outdir / "ladder.txt", outdir / "ladder.json", outdir / "ladder.png"
    finished = True
    for index, (name, full) in enumerate(plan):
        dataset = open_dataset(data, full.data) if pairs is None else pairs
        small = scaled(full, dataset.spec, budget)
        small = overridden(small, overrides)
        log.info(f"{name} ({index + 1} of {len(plan)}): {preset(name).summary}")
        outcome = train(small, data, outdir=outdir / name, device=device)
        finished = finished and outcome.finished
        if not outcome.finished:
            break
        changed = changes_between(plan[index - 1][1] if index else None, full)
        if isinstance(dataset, Pairs):
            T = load_translator(outcome.folder, "all", device=device)
            climbed.append(dataset.judge(_rung(name, changed, outcome, T), T, outdir / name))
            rows.append(dataset.outputs(T))
        else:
            G = load_generator(outcome.folder, "all", device=device)
            climbed.append(_judge(_rung(name, changed, outcome, G), G, dataset, metric, outdir / name))
            rows.append(_row(G, dataset, seeds))
        make_folder(outdir)
        _write(climbed, rows, small, budget, metric, files, dataset)
    return Ladder(tuple(climbed), *files, finished=finished)


def overridden(run: Run, overrides: Mapping[str, Any] | None) -> Run:
    """The run with those settings that it has."""
    return override(run, {name: value for name, value in (overrides or {}).items() if _has(run, name)})


def _has(run: Run, name: str) -> bool:
    return any(name in {f.name for f in fields(getattr(run, part.name))} for part in fields(run))


def check_overrides(overrides: Mapping[str, Any], plan: Sequence[tuple[str, Run]], what: str = "config") -> None:
    """See that each setting is one of some run.

    Raises:
        UserError: no run has it.
    """
    for name in overrides:
        if not any(_has(run, name) for _, run in plan):
            raise UserError(
                f"no {what} has a setting {name!r}", hint="`organza presets NAME` lists a preset's settings"
            )


def _pairs(plan: Sequence[tuple[str, Run]], data: str | Path, numbers: Sequence[int]) -> Pairs | None:
    """What the configs translate; None where they generate."""
    translate = [name for name, run in plan if isinstance(run.data, DomainOptions)]
    if not translate:
        return None
    if len(translate) < len(plan):
        other = next(name for name, _ in plan if name not in translate)
        raise UserError(f"{translate[0]} translates images and {other} generates them: no ladder has both")
    options = plan[0][1].data
    assert isinstance(options, DomainOptions)
    pairs = Pairs(data, options, numbers)
    for name, run in plan:
        pairs.check(name, run)
    return pairs


def _rung(name: str, changed: dict[str, Any], outcome: Outcome, model: Generator | Translator) -> Rung:
    """What is known of a finished config without looking at its images."""
    ticks = [record for record in read_log(outcome.folder) if "seconds" in record]
    last = ticks[-1] if ticks else {}
    nets = {"G": model.net, "D": model.critic}
    return Rung(
        name=name,
        summary=preset(name).summary,
        changed=changed,
        parameters={n: sum(p.numel() for p in net.parameters()) for n, net in nets.items() if net is not None},
        seconds_per_kimg=round(last.get("seconds", 0.0) / (outcome.seen / 1000), 2),
        losses={key.removeprefix("loss/"): value for key, value in last.items() if key.startswith("loss/")},
        distance=None,
        seen=outcome.seen,
        run=str(outcome.folder),
    )


def _judge(rung: Rung, G: Generator, dataset: Dataset, metric: str | None, folder: Path) -> Rung:
    """The config with its distance: found now, or read from the time before."""
    if metric is None:
        return rung
    kept = folder / f"{metric}.json"
    key = {"run": Path(rung.run).name, "seen": rung.seen}
    try:
        found = json.loads(kept.read_text())
        if {name: found[name] for name in key} == key:
            return replace(rung, distance=found["distance"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    from organza.metrics import evaluate

    try:
        report = evaluate(G, dataset, metric, intervals=False, mirror=dataset.mirror)
    except UserError as error:
        return replace(rung, note=str(error))
    distance = next(iter(report.figures.values())).value
    with atomic_write(kept) as temporary:
        temporary.write_text(json.dumps({**key, "distance": distance}) + "\n")
    return replace(rung, distance=distance)


def _row(G: Generator, dataset: Dataset, seeds: Sequence[int]) -> Pixels:
    labels = dataset.fetch(np.arange(len(seeds)) % len(dataset))[1] if G.label_dim else None
    return G.generate(list(seeds), labels)


def _write(
    climbed: Sequence[Rung],
    rows: Sequence[Pixels],
    last: Run,
    budget: Budget,
    metric: str | None,
    files: tuple[Path, Path, Path],
    dataset: Dataset | Pairs,
) -> None:
    notes = [f"{rung.name}: no {metric}: {rung.note}" for rung in climbed if rung.note]
    height, width = dataset.spec.resolution
    about = (
        f"{budget.kimg:g} kimg each in batches of {last.training.batch}, {width}x{height}, {dataset.name}, "
        f"seed {budget.seed}; "
    )
    if isinstance(dataset, Pairs):
        about += f"compared with the targets of {len(dataset.domains.source)} pairs of {dataset.split}"
    else:
        about += f"scaled down from {budget.paper_size}x{budget.paper_size}"
    with atomic_write(files[0]) as temporary:
        temporary.write_text("\n".join([text_table(climbed, metric), "", about, *notes]) + "\n")
    plain = {"budget": asdict(budget), "data": dataset.name, "resolution": [height, width], "metric": metric}
    with atomic_write(files[1]) as temporary:
        temporary.write_text(json.dumps({**plain, "rungs": [asdict(rung) for rung in climbed]}, indent=2) + "\n")
    figure = dataset.picture(climbed, rows) if isinstance(dataset, Pairs) else picture(climbed, rows, metric)
    save_picture(figure, files[2])
