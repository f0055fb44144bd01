"""A recipe: several methods on the same data, at equal images and at equal time, over seeds; then one table.

Everything is resumable: a training goes on from its checkpoint, and what has been evaluated is not evaluated again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from organza.core.errors import UserError
from organza.core.files import atomic_write, make_folder, user_path
from organza.core.messages import logger
from organza.data import open_dataset
from organza.data.dataset import Dataset
from organza.media.images import Pixels
from organza.models.generator import Generator
from organza.models.load import load_generator
from organza.presets import PRESETS, Run, preset
from organza.runs.ladder import check_overrides, overridden
from organza.runs.train import Outcome, train
from organza.training.monitor import read_log

log = logger(__name__)

RECIPES: dict[str, tuple[str, ...]] = {
    "classics": (
        *("autoencoder", "vae", "vae-mlp", "gan", "cgan", "dcgan", "dcgan-course", "lsgan", "wgan", "wgan-gp"),
        *("ebgan", "ebgan-pt", "began", "lapgan", "gman", "mad-gan", "triple-gan"),
    )
}
"""Name -> presets."""
NO_END = 1e6
"""kimg of a training that ends by the clock."""
Mark = Literal["images", "minutes"]


@dataclass(frozen=True)
class Budget:
    """What every method gets.

    Attributes:
        kimg: thousands of images, for the comparison at equal images.
        minutes: minutes of training steps, for the comparison at equal time.
        metrics: names, see `organza.metrics`.
        features: feature network for names that state none.
        settings: by name, for the methods that have them: ``{"width": 32}``; for one method, which goes before:
            ``{"dcgan.width": 64}``.

    Example:
        >>> Budget(kimg=20, minutes=10).metrics
        'fd2k'
    """

    kimg: float
    minutes: float
    metrics: str = "fd2k"
    features: str | None = None
    settings: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Entry:
    """What was found of one training at one mark.

    Attributes:
        preset: its name.
        seed: of the training.
        mark: after equal images, or after equal time.
        seen: images shown.
        seconds: of training steps.
        figures: metric to value.
        run: the run's folder.
        note: what went wrong, or "".
    """

    preset: str
    seed: int
    mark: Mark
    seen: int
    seconds: float
    figures: Mapping[str, float]
    run: str
    note: str = ""


def presets_of(words: str) -> tuple[str, ...]:
    """Presets from a recipe's name, or from names of presets with commas between them.

    Raises:
        UserError: an unknown one, or one that makes no images from latent codes.

    Example:
        >>> presets_of("gan,dcgan"), len(presets_of("classics"))
        (('gan', 'dcgan'), 17)
    """
    named = [word.strip() for word in words.split(",") if word.strip()]
    names = [name for word in named for name in RECIPES.get(word, (word,))]
    if not names:
        raise UserError("a recipe of nothing", hint=f"name a recipe ({', '.join(RECIPES)}) or presets")
    for name in names:
        if name not in PRESETS:
            preset(name)  # says which are near
        if PRESETS[name].family in ("translation", "text"):
            what = f"{name} makes images from {'text' if PRESETS[name].family == 'text' else 'images'}"
            raise UserError(f"{what}: a recipe compares what makes them from latent codes")
    return tuple(dict.fromkeys(names))


def carry_out(
    names: Sequence[str],
    data: str | Path,
    outdir: str | Path,
    budget: Budget,
    *,
    seeds: Sequence[int] = (0,),
    resolution: str | None = None,
    device: str | None = None,
    after: Callable[[Sequence[Entry]], None] = lambda entries: None,
) -> tuple[list[Entry], bool]:
    """Train and evaluate what has not been yet, all methods of the first seed, then the next.

    Args:
        names: of presets.
        data: whatever `organza.open_dataset` opens.
        outdir: a folder of runs for each preset and seed.
        budget: of each training.
        seeds: of the trainings.
        resolution: images are brought to this size first.
        device: see `organza.train`.
        after: called with all entries whenever there is a new one.

    Returns:
        The entries, and whether all are there: False when it was asked to stop.

    Raises:
        UserError: unusable data, a metric that can't be had, or a setting that no method has.
    """
    from organza.metrics.names import parse_metrics  # loads much

    parse_metrics(budget.metrics)
    _check(budget.settings or {}, names)
    outdir = user_path(outdir)
    _promise(outdir, {"data": str(data), "resolution": resolution, **asdict(budget)})
    plan = {name: _run(name, budget, resolution) for name in names}
    entries: list[Entry] = []
    for seed in seeds:
        for index, (name, run) in enumerate(plan.items()):
            log.info(f"{name}, seed {seed} ({index + 1} of {len(plan)})")
            one = _Training(name, run, seed, data, outdir / name / f"seed{seed}", budget, device)
            found, finished = one.both()
            entries += found
            after(entries)
            if not finished:
                return entries, False
    return entries, True


def _run(name: str, budget: Budget, resolution: str | None) -> Run:
    run = preset(name).run
    if resolution is not None:
        run = replace(run, data=replace(run.data, resolution=resolution))
    settings = budget.settings or {}
    own = {key.removeprefix(f"{name}."): value for key, value in settings.items() if key.startswith(f"{name}.")}
    return overridden(run, {**settings, **own})


def _check(settings: Mapping[str, Any], names: Sequence[str]) -> None:
    runs = {name: preset(name).run for name in names}
    check_overrides({key: value for key, value in settings.items() if "." not in key}, list(runs.items()), "method")
    for key, value in settings.items():
        name, dot, setting = key.partition(".")
        if dot and name not in runs:
            raise UserError(f"{key}: {name} is not one of the methods", hint=f"these are: {', '.join(names)}")
        if dot:
            check_overrides({setting: value}, [(name, runs[name])], "such method")


@dataclass(frozen=True)
class _Training:
    """One method with one seed."""

    name: str
    run: Run
    seed: int
    data: str | Path
    folder: Path
    budget: Budget
    device: str | None

    def both(self) -> tuple[list[Entry], bool]:
        """Its entries, and whether they are all: whichever budget is used up first is evaluated first."""
        kimg, minutes = self.budget.kimg, self.budget.minutes
        marks: dict[Mark, tuple[float, float]] = {"images": (kimg, NO_END), "minutes": (NO_END, minutes)}
        kept: dict[Mark, Entry | None] = {mark: _read(self.folder / f"{mark}.json") for mark in marks}
        if all(kept.values()):
            return [entry for entry in kept.values() if entry is not None], True
        found: list[Entry] = []
        order: tuple[Mark, ...] = ("images", "minutes")
        try:
            outcome = self.to(kimg, minutes)
            if not outcome.finished:
                return [], False
            if outcome.seen < kimg * 1000:
                order = ("minutes", "images")
            for mark in order:
                entry = kept[mark]
                if entry is None:
                    outcome = self.to(*marks[mark])
                    if not outcome.finished:
                        return found, False
                    entry = self.evaluated(mark, outcome)
                found.append(entry)
        except UserError as error:  # one method's trouble is a line of the table
            for mark in order[len(found) :]:
                found.append(Entry(self.name, self.seed, mark, 0, 0.0, {}, str(self.folder), note=str(error)))
                log.warning(f"{self.name}: {error}")
        return sorted(found, key=lambda entry: entry.mark), True

    def to(self, kimg: float, minutes: float) -> Outcome:
        """Train on, until so many images were shown or so many minutes are over."""
        settings: dict[str, Any] = {"outdir": self.folder, "device": self.device, "seed": self.seed}
        settings |= {"metrics": "none", "keep": 1, "epochs": None, "snapshot_kimg": NO_END}
        tick = max(self.budget.kimg / 4, 0.001)
        return train(self.run, self.data, **settings, tick_kimg=tick, kimg=kimg, minutes=minutes)

    def evaluated(self, mark: Mark, outcome: Outcome) -> Entry:
        """What was found, which is written down with samples."""
        from organza.media.images import save_picture
        from organza.metrics import evaluate

        G, dataset = load_generator(outcome.folder, device=self.device), open_dataset(self.data, self.run.data)
        asked, network = self.budget.metrics, self.budget.features
        report = evaluate(G, dataset, asked, features=network, intervals=False, mirror=dataset.mirror)
        ticks = [record["seconds"] for record in read_log(outcome.folder) if "seconds" in record]
        figures = {key: figure.value for key, figure in report.figures.items()}
        seconds = ticks[-1] if ticks else 0.0
        entry = Entry(self.name, self.seed, mark, outcome.seen, seconds, figures, str(outcome.folder))
        save_picture(np.concatenate(list(samples(G, dataset)), axis=1), self.folder / f"{mark}.png")
        with atomic_write(self.folder / f"{mark}.json") as temporary:
            temporary.write_text(json.dumps(asdict(entry), indent=2) + "\n")
        return entry


def samples(G: Generator, dataset: Dataset, count: int = 10) -> Pixels:
    """Images of seeds 0, 1, 2 ...; of a network with classes, one of each in turn: uint8 ``[count, H, W, C]``."""
    if not G.label_dim:
        return G.generate(range(count))
    labels = torch.eye(G.label_dim)[torch.arange(count) % G.label_dim].numpy()
    some = dataset.labels(np.arange(min(count, len(dataset))))
    if bool((some.sum(1) != 1).any()):  # attributes: as they occur
        labels = some[np.arange(count) % len(some)]
    return G.generate(range(count), labels)


def _promise(outdir: Path, what: Mapping[str, Any]) -> None:
    """Note what a folder's figures are of, so that no table mixes budgets.

    Raises:
        UserError: the folder holds a comparison of another kind.
    """
    file, asked = outdir / "budget.json", json.loads(json.dumps(what))
    if file.exists():
        try:
            before = json.loads(file.read_text())
        except (OSError, ValueError) as error:
            raise UserError("can't be read", where=file, hint="give another --outdir") from error
        if other := [name for name in asked if before.get(name) != asked[name]]:
            was = f"{other[0]} {before.get(other[0])!r}, not {asked[other[0]]!r}"
            raise UserError(f"holds a comparison with {was}", where=outdir, hint="give another --outdir")
        return
    make_folder(outdir)
    with atomic_write(file) as temporary:
        temporary.write_text(json.dumps(asked, indent=2) + "\n")


def _read(file: Path) -> Entry | None:
    """An entry from its file; None where there is none."""
    try:
        return Entry(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return None
