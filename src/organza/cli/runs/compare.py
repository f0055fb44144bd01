"""organza compare: which run is better, and what was different?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from organza.cli.parse import parse
from organza.cli.record import record
from organza.core.errors import UserError
from organza.core.text import say


@dataclass(frozen=True, kw_only=True)
class Options:
    """Show runs in one table, and plot their quality against images shown and against time.

    A training in stages and a run on all images are compared group by group, after equal images; this needs --data.
    With --recipe it trains first: organza compare --recipe classics --help.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN ...")]
    """Folders of runs."""
    metric: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Compare by this one; otherwise by the one that most of them have."""
    metrics: Annotated[str | None, tyro.conf.arg(metavar="NAMES")] = None
    """Compute these for every checkpoint that is kept, such as fd_voile64_2k. It needs --data."""
    data: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    """The real images, for --metrics; of translators: pairs, or two sets."""
    features: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Feature network for names that state none."""
    output: Path = Path("compare.png")
    """The plot."""
    device: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """cpu, cuda, cuda:1 ...; the GPU where there is one."""


def main(argv: list[str]) -> int:
    """Parse, read, compute what is missing, print a table and draw a plot."""
    if any(word.partition("=")[0] == "--recipe" for word in argv):
        from organza.cli.runs.recipe import main as recipe

        return recipe(argv)
    options = parse(Options, argv, "organza compare")
    if not options.runs:
        raise UserError("no run is named", hint="organza compare runs/00000-a runs/00001-b")
    if options.metrics is not None and options.data is None:
        raise UserError("--metrics needs the real images", hint="give them with --data")
    # After parsing: PyTorch takes seconds to import.
    from rich.markup import escape
    from rich.table import Table

    from organza.cli.console import terminal
    from organza.cli.metrics.evaluate import bars
    from organza.media.images import check_suffix
    from organza.models.staged import is_staged
    from organza.runs.compare import common_metric, complete, plot, read_runs, table

    check_suffix(options.output, (".png",))
    if any(is_staged(run) for run in options.runs):
        return _groups(options)
    if options.metrics is None and (options.data is not None or options.features is not None):
        given = "--data is" if options.data is not None else "--features is"
        raise UserError(f"{given} for figures that are computed", hint="name them too: --metrics fd_voile64_2k")
    runs = read_runs(options.runs)
    if options.metrics is not None and options.data is not None:
        before = {name for run in runs for name in run.figures}
        with bars() as progress:
            runs = complete(
                runs,
                options.metrics,
                options.data,
                features=options.features,
                device=options.device,
                progress=progress,
            )
        new = [name for name in runs[0].figures if name not in before]
        metric = common_metric(runs, options.metric or (new[0] if new else None))
    else:
        metric = common_metric(runs, options.metric)
    heads, rows = table(runs, metric)
    shown = Table(*heads, box=None)
    for row in rows:
        shown.add_row(*(escape(cell) for cell in row))
    terminal(width=200).print(shown)
    if metric is None:
        example = "content" if any("data.direction" in run.settings for run in runs) else "fd_voile64_2k"
        say(f"no run has a metric: --metrics {example} --data IMAGES computes one for every checkpoint")
        return 0
    path = plot(runs, metric, options.output)
    record("compare", argv, path)
    say(path)
    return 0


def _groups(options: Options) -> int:
    """A training in stages against one network for all."""
    from organza.cli.metrics.evaluate import bars, show_groups
    from organza.core.files import user_path
    from organza.models.staged import is_staged
    from organza.runs.stages_figures import evaluate_groups, write

    runs = [user_path(run) for run in options.runs]
    staged, plain = ([run for run in runs if is_staged(run) == wish] for wish in (True, False))
    if len(staged) != 1 or len(plain) != 1:
        what = "a training in stages is compared with one run on all images"
        raise UserError(what, hint="organza compare runs/STAGES runs/MIXED --data IMAGES")
    if options.data is None:
        raise UserError("groups are compared on images", hint="give the two sets with --data")
    with bars() as progress:
        rows = evaluate_groups(
            staged[0],
            options.data,
            options.metrics,
            mixed=plain[0],
            features=options.features,
            device=options.device,
            progress=progress,
        )
    show_groups(rows)
    say(write(rows, options.output.with_suffix(".json")))
    return 0
