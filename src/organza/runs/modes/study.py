"""Which games find all modes: every game in every world with several seeds. A second call goes on from its files."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

import torch

from organza.core.errors import UserError
from organza.core.files import atomic_write
from organza.runs.modes.games import GAMES, Played, play
from organza.runs.modes.worlds import WORLDS, World

KEPT = 1000
"""Samples that are kept for the figure."""


@dataclass(frozen=True)
class Outcome:
    """One game.

    Attributes:
        world, game, seed: which.
        of: modes that there are.
        modes, good: as in `Coverage`, means over the last quarter of the looks, since games swing.
        seconds: how long it took, a share of what all seeds together did.
        samples: some in the end, where the data is.
        history: steps, modes and good at each look.
    """

    world: str
    game: str
    seed: int
    of: int
    modes: float
    good: float
    seconds: float
    samples: list[list[float]]
    history: list[tuple[int, int, float]]


@dataclass(frozen=True)
class Plan:
    """What is compared.

    Attributes:
        worlds: by name.
        games: names in `GAMES`.
        seeds: of each.
        steps: of the generator.
        batch: samples at a step.
        folder: where outcomes lie.
    """

    worlds: dict[str, World]
    games: Sequence[str]
    seeds: Sequence[int]
    steps: int
    batch: int
    folder: Path

    @property
    def rounds(self) -> list[tuple[str, str, tuple[int, ...]]]:
        """World, game and the seeds that are trained side by side."""
        return [
            (name, game, seeds)
            for name, world in self.worlds.items()
            for game in self.games
            for seeds in ([tuple(self.seeds)] if world.together else [(seed,) for seed in self.seeds])
        ]

    def file(self, world: str, game: str, seed: int) -> Path:
        """Where an outcome lies."""
        return self.folder / f"{world}-{game}-{self.steps}x{self.batch}-{seed}.json"


def worlds(names: Sequence[str], mnist: Path | None) -> dict[str, World]:
    """Worlds by name.

    Raises:
        UserError: an unknown one, or stacked digits without MNIST.
    """
    found: dict[str, World] = {}
    for name in names:
        if name in WORLDS:
            found[name] = WORLDS[name]()
        elif name == "stacked":
            if mnist is None:
                raise UserError("stacked digits are made of MNIST", hint="say with --mnist where it lies")
            from organza.runs.modes.stacked import stacked

            found[name] = stacked(mnist)
        else:
            raise UserError(f"there is no world {name!r}", hint=f"choose of {', '.join([*WORLDS, 'stacked'])}")
    return found


def check_games(names: Sequence[str]) -> None:
    """Refuse unknown games.

    Raises:
        UserError: there is one.
    """
    for name in names:
        if name not in GAMES:
            raise UserError(f"there is no game {name!r}", hint=f"choose of {', '.join(GAMES)}")


def carry_out(
    plan: Plan,
    progress: Callable[[int, int], None] = lambda done, total: None,
    say: Callable[[str], None] = lambda text: None,
) -> list[Outcome]:
    """Play what has not been played yet.

    Args:
        plan: what.
        progress: called with steps done and steps in all.
        say: told of each new outcome.
    """
    done, total = 0, len(plan.rounds) * plan.steps
    for world, game, seeds in plan.rounds:
        if missing := [seed for seed in seeds if read(plan.file(world, game, seed)) is None]:
            start, started = done, time.perf_counter()
            played = play(
                GAMES[game],
                plan.worlds[world],
                missing,
                steps=plan.steps,
                batch=plan.batch,
                progress=lambda step, start=start: progress(start + step, total),  # type: ignore[misc]
            )
            seconds = (time.perf_counter() - started) / len(missing)
            for seed, own in zip(missing, played, strict=True):
                outcome = _outcome(plan.worlds[world], game, seed, own, seconds)
                with atomic_write(plan.file(world, game, seed)) as temporary:
                    temporary.write_text(json.dumps(outcome.__dict__))
                say(f"{world}, {game}, seed {seed}: {outcome.modes:g} of {outcome.of} modes, {outcome.good:.0%} good")
        done += plan.steps
        progress(done, total)
    files = [plan.file(world, game, seed) for world, game, seeds in plan.rounds for seed in seeds]
    return [outcome for outcome in map(read, files) if outcome is not None]


def _outcome(world: World, game: str, seed: int, played: Played, seconds: float) -> Outcome:
    last = played.history[-max(1, len(played.history) // 4) :]
    return Outcome(
        *(world.name, game, seed, world.modes),
        modes=mean(coverage.modes for _, coverage in last),
        good=mean(coverage.good for _, coverage in last),
        seconds=round(seconds, 1),
        samples=_kept(world, played.samples),
        history=[(step, coverage.modes, round(coverage.good, 4)) for step, coverage in played.history],
    )


def _kept(world: World, samples: torch.Tensor) -> list[list[float]]:
    """Points where the data is; of images nothing."""
    places = getattr(world, "places", None)
    if places is None:
        return []
    some = samples[:: max(1, len(samples) // KEPT)][:KEPT]
    return [[round(number, 3) for number in row] for row in places(some).tolist()]


def read(file: Path) -> Outcome | None:
    """An outcome from its file; None where there is no whole one."""
    try:
        return Outcome(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def of(outcomes: Sequence[Outcome], world: str, game: str) -> list[Outcome]:
    """Those of one game in one world."""
    return [outcome for outcome in outcomes if (outcome.world, outcome.game) == (world, game)]


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation over seeds (0 of a single one).

    Example:
        >>> spread([1.0, 3.0]), spread([2.0])
        ((2.0, 1.4142135623730951), (2.0, 0.0))
    """
    return mean(values), stdev(values) if len(values) > 1 else 0.0


def table(outcomes: Sequence[Outcome]) -> list[list[str]]:
    """Rows for people, the heads first: modes found and share of good samples, each with its deviation over seeds.

    Example:
        >>> table([Outcome("ring", "gan", seed, 8, 5 + seed, 0.5, 1.0, [], []) for seed in (0, 1)])
        [['game', 'ring: modes of 8', 'good %'], ['gan', '5.5 ± 0.7', '50 ± 0']]
    """
    names = [*dict.fromkeys(outcome.world for outcome in outcomes)]
    heads, rows = ["game"], []
    for world in names:
        heads += [f"{world}: modes of {next(o.of for o in outcomes if o.world == world)}", "good %"]
    for game in dict.fromkeys(outcome.game for outcome in outcomes):
        row = [game]
        for world in names:
            mine = of(outcomes, world, game)
            modes, good = spread([o.modes for o in mine]), spread([100 * o.good for o in mine])
            row += [f"{modes[0]:.1f} ± {modes[1]:.1f}", f"{good[0]:.0f} ± {good[1]:.0f}"] if mine else ["-", "-"]
        rows.append(row)
    return [heads, *rows]
