"""Figures of each group of a training in stages, beside those of one network for all that has seen as many images."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from organza.core.device import Precision
from organza.core.errors import UserError
from organza.core.files import atomic_write
from organza.data.domains import Domains
from organza.data.groups import Group
from organza.metrics import evaluate
from organza.metrics.names import parse_metrics
from organza.metrics.opened import open_source_and_target
from organza.metrics.report import Figure
from organza.models.load import load_translator
from organza.models.staged import read_staged
from organza.models.translator import Translator
from organza.runs.compare import kept, read_run, seen_of
from organza.runs.stages import look_again


@dataclass(frozen=True)
class Row:
    """What was found of one group.

    Attributes:
        group: its name.
        model: the group whose model was evaluated: its own, or the one that stands for it.
        sources, targets: images that it was evaluated on.
        kimg: thousands of images that the model has seen, with those of the stages before.
        figures: by the metric's name.
        mixed_kimg: the same of the network for all, at the checkpoint nearest to as many images; None without one.
        mixed: its figures on the same images.
        note: why there are no figures, or "".
    """

    group: str
    model: str
    sources: int
    targets: int
    kimg: float
    figures: dict[str, Figure] = field(default_factory=dict)
    mixed_kimg: float | None = None
    mixed: dict[str, Figure] = field(default_factory=dict)
    note: str = ""


def evaluate_groups(
    folder: Path,
    data: str | Path,
    metrics: str | None = None,
    *,
    mixed: Path | None = None,
    part: str | None = None,
    model: str | None = None,
    device: str | None = None,
    precision: Precision = "float32",
    weights_dir: Path | None = None,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
    **options: Any,
) -> list[Row]:
    """Evaluate each group's model on the images of its group.

    Args:
        folder: of the training in stages.
        data: images, in two sets; they are grouped as those of the training were.
        metrics: names, see `organza.metrics.names`; None: kd against all targets of a group, and content.
        mixed: a run on all images alone, to compare with: the checkpoint whose number of images is nearest to that of
            a group's model and of those that it came from.
        part: of the data; None takes one that was not trained on, where there is one.
        model: which way, where networks translate both ways.
        device, precision: of the networks.
        weights_dir: folder of weights with the network that knows ages, see `organza.runs.stages.look_again`.
        progress: called as ``progress(what, done, total)``.
        options: for `organza.metrics.evaluate`.

    Raises:
        UserError: unusable data, networks that don't belong together, or an unknown metric.
    """
    staged = read_staged(folder)
    opening: dict[str, Any] = {"model": model, "device": device, "precision": precision}
    first = load_translator(staged.run(), **opening)
    domains = open_source_and_target(data, first, lambda done, total: progress("images", done, total), part=part)

    def looking(done: int, total: int) -> None:
        progress("faces", done, total)

    groups = look_again(staged, data, domains, looking, weights_dir=weights_dir)
    rows = []
    for group in groups:
        if group.name not in staged.parts:
            continue
        name = staged.trained(group.name)
        images = _of(domains, group)
        row = Row(group.name, name, len(images.source), len(images.target), staged.parts[name].total_kimg)
        asked = metrics or f"kd{max(2, min(2000, row.sources))}_full,content"
        found: list[dict[str, Figure]] = []
        wanted = parse_metrics(asked)
        note, at = "", None
        try:
            networks = [load_translator(staged.run(group.name), **opening)]
            if mixed is not None:
                place = _nearest(mixed, row.kimg)
                at = seen_of(place) / 1000
                networks.append(load_translator(place, **opening))
                _same(first, networks[-1], mixed)
            for network in networks:
                back = (
                    _back(network, device, precision) if any(metric.compared == "cycle" for metric in wanted) else None
                )
                found.append(evaluate(network, images, asked, back=back, progress=progress, **options).figures)
        except UserError as error:
            if group.name == "all":
                raise
            note = error.what
        pair = [*found, {}, {}] if not note else [{}, {}]
        rows.append(
            Row(row.group, name, row.sources, row.targets, row.kimg, pair[0], at, pair[1] if mixed else {}, note)
        )
    return rows


def table(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows for people."""
    names = list(dict.fromkeys(_plain(name) for row in rows for name in row.figures))
    mixed = any(row.mixed_kimg is not None for row in rows)
    heads = [
        "group",
        "images",
        "kimg",
        *names,
        *(["mixed kimg", *(f"mixed {name}" for name in names)] if mixed else []),
    ]
    lines = []
    for row in rows:
        called = row.group if row.model == row.group else f"{row.group} (model of {row.model})"
        line = [called, f"{row.sources}+{row.targets}", f"{row.kimg:g}"]
        line += [_cell(row.figures, name) for name in names]
        if mixed:
            line += ["" if row.mixed_kimg is None else f"{row.mixed_kimg:g}", *(_cell(row.mixed, n) for n in names)]
        lines.append(line)
    return heads, lines


def write(rows: Sequence[Row], path: Path) -> Path:
    """Write all that was found as JSON."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps({"groups": [asdict(row) for row in rows]}, indent=2) + "\n")
    return path


def _of(domains: Domains, group: Group) -> Domains:
    targets = domains.target if group.targets is None else domains.target.select(list(group.targets))
    return Domains(domains.source.select(list(group.sources)), targets, False)


def _nearest(run: Path, kimg: float) -> Path:
    """The checkpoint with about so many images; of two that are as near, the one with fewer."""
    found = kept(read_run(run))
    if not found:
        raise UserError("holds no checkpoint", where=run, hint="give the folder of a run that has saved one")
    return min(found, key=lambda checkpoint: abs(seen_of(checkpoint) - kimg * 1000))


def _back(T: Translator, device: str | None, precision: Precision) -> Translator | None:
    """The same run's translator of the other direction; None where it has none."""
    other = next((name for name in T.names if name != T.name), None)
    if other is None or T.source is None:
        return None
    return load_translator(T.source, model=other, device=device, precision=precision)


def _same(one: Translator, other: Translator, where: Path) -> None:
    if one.resolution != other.resolution or one.name != other.name:
        raise UserError("translates other images than the training in stages", where=where, hint="train both alike")


def _plain(name: str) -> str:
    """A metric's name without the number of images, which is another for each group.

    Example:
        >>> _plain("kd_voile64_120_full"), _plain("content")
        ('kd_voile64', 'content')
    """
    parts = [part for part in name.split("_") if not part.isdigit() and part != "full"]
    return "_".join(parts)


def _cell(figures: dict[str, Figure], name: str) -> str:
    return next((f"{figure.value:.4g}" for key, figure in figures.items() if _plain(key) == name), "")
