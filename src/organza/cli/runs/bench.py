"""organza bench modes, organza bench distances: what papers claim of GANs, tried out on data that is known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from organza.cli.parse import parse, parse_seeds
from organza.cli.progress import progress_bar
from organza.cli.record import record
from organza.core.errors import UserError
from organza.core.ranges import Count
from organza.core.text import say


@dataclass(frozen=True, kw_only=True)
class Options:
    """Try out what papers claim, on data that is known.

    modes: how many modes of a mixture each kind of GAN finds, as a table and a figure with several seeds; the same
    command again goes on where it was stopped. distances: why the Jensen-Shannon divergence teaches a generator nothing
    where the Wasserstein distance does; it takes ten seconds.
    """

    what: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="WHAT")]
    """modes or distances."""
    outdir: Path = Path("out/bench")
    """Folder for the figure, the table and what was found so far."""
    worlds: str = "ring,grid,line"
    """modes: the data. ring: 8 Gaussians; grid: 25; line: five in one dimension; stacked: digits in three colours, a
    thousand modes."""
    games: str = "gan,lsgan,wgan,wgan-gp,gman,mad-gan"
    """modes: the methods; also wgan-lp, WGAN-GP with a one-sided penalty."""
    seeds: str = "0-2"
    """modes: seeds of each."""
    steps: Count = 6000
    """modes: steps of the generator."""
    batch: Count = 128
    """modes: real samples at a step."""
    mnist: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    """modes: where MNIST lies, for stacked."""


def main(argv: list[str]) -> int:
    """Parse, try out, and print."""
    options = parse(Options, argv, "organza bench")
    if options.what == "distances":
        return _distances(options, argv)
    if options.what != "modes":
        raise UserError(f"there is no bench called {options.what!r}", hint="choose modes or distances")
    seeds = parse_seeds(options.seeds)
    # After parsing: PyTorch takes seconds to import.
    from rich.table import Table

    from organza.cli.console import terminal
    from organza.runs.modes.figure import draw
    from organza.runs.modes.study import Plan, carry_out, check_games, table, worlds

    games = [word.strip() for word in options.games.split(",") if word.strip()]
    check_games(games)
    names = [word.strip() for word in options.worlds.split(",") if word.strip()]
    plan = Plan(worlds(names, options.mnist), games, seeds, options.steps, options.batch, options.outdir / "modes")
    with progress_bar("playing", "steps") as progress:
        outcomes = carry_out(plan, progress, lambda text: say(text, error=True))
    heads, *rows = table(outcomes)
    shown = Table(*heads, box=None)
    for row in rows:
        shown.add_row(*row)
    terminal(width=200).print(shown)
    path = draw(outcomes, options.outdir / "modes.png")
    record("bench", argv, path)
    say(path)
    return 0


def _distances(options: Options, argv: list[str]) -> int:
    from organza.runs.distances import draw, sweep

    with progress_bar("measuring", "places") as progress:
        found = sweep(progress=progress)
    say("theta    JS    W   gradients: log(1-D)   -log D    WGAN-GP")
    for each in found:
        gradients = f"{each.saturating:19.4f} {each.non_saturating:8.3f} {each.wasserstein:10.3f}"
        say(f"{each.theta:5.2f} {each.divergence:5.2f} {each.distance:5.2f}  {gradients}")
    path = draw(found, options.outdir / "distances.png")
    record("bench", argv, path)
    say(path)
    return 0
