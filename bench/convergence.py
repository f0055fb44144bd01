"""Does training in a faster number format end at the same quality? Several seeds in each, at equal images.

    python bench/convergence.py --data ../shared/data/anime_faces.zip --kimg 60 --seeds 0 1 2
    python bench/convergence.py --data ../shared/data/mnist --resolution 32 --kimg 40 --base 1024

Run it on an idle machine; stopped, the same command continues. Each training is evaluated at equal counts of images by
the Frechet distance in the features of voile64, which come with the package, always in float32. A table, a plot
against images and against time, and the verdict are left in --outdir.

Modes: float32 and bf16, without the convolution of `organza.ops.winograd`, and bf16-winograd, which takes it in every
layer that has the shape for it, however few its channels: a harder test than real networks, where only wide layers do.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
from dataclasses import replace
from pathlib import Path

import torch

from organza import load, open_dataset, preset, train
from organza.core.device import keep_freed_memory
from organza.core.files import atomic_write
from organza.data import DataOptions
from organza.metrics import evaluate
from organza.ops import winograd

MODES = ("float32", "bf16", "bf16-winograd")


def one(mode: str, seed: int, given: argparse.Namespace) -> list[dict[str, float]] | None:
    """Train, or continue, or find it done; the points of its curve, or None when asked to stop."""
    winograd.FEWEST = {torch.bfloat16: 1} if mode == "bf16-winograd" else {}
    options = DataOptions(resolution=str(given.resolution))
    reals = open_dataset(given.data, options)
    name = f"fd_voile64_{given.images}_full"

    def judge(folder: Path) -> dict[str, float]:
        report = evaluate(load(folder, device="cpu"), reals, name, intervals=False)
        (figure,) = report.figures.values()
        return {"distance": figure.value}

    run = preset(given.preset).run
    run = replace(run, method=replace(run.method, channel_base=given.base, channel_max=given.max))
    outcome = train(
        run,
        given.data,
        outdir=given.outdir / f"{mode}-{seed}",
        device="cpu",
        evaluate=judge,
        seed=seed,
        precision=mode.split("-")[0],
        kimg=given.kimg,
        batch=given.batch,
        resolution=str(given.resolution),
        snapshot_kimg=given.kimg / given.points,
        tick_kimg=given.kimg / given.points,
        keep=1,
    )
    if not outcome.finished:
        return None
    seconds, points = {0: 0.0}, []
    for line in (outcome.folder / "log.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if "seconds" in entry:
            seconds[entry["seen"]] = entry["seconds"]
        if "distance" in entry:
            points.append({"kimg": entry["kimg"], "hours": seconds[entry["seen"]] / 3600, "value": entry["distance"]})
    return points


def table(found: dict[str, dict[int, list[dict[str, float]]]]) -> str:
    """The ends of all curves, and what they say."""
    lines = [f"{'mode':15}{'seeds':>6}{'distance':>10}{'deviation':>11}{'best':>8}{'worst':>8}{'hours':>8}"]
    ends = {mode: [points[-1] for points in seeds.values() if points] for mode, seeds in found.items()}
    ends = {mode: points for mode, points in ends.items() if points}
    for mode, points in ends.items():
        values = [p["value"] for p in points]
        spread = statistics.stdev(values) if len(values) > 1 else float("nan")
        hours = statistics.mean(p["hours"] for p in points)
        lines.append(
            f"{mode:15}{len(values):6d}{statistics.mean(values):10.4f}{spread:11.4f}{min(values):8.4f}{max(values):8.4f}"
            f"{hours:8.2f}"
        )
    for mode in [m for m in ends if m != "float32" and "float32" in ends]:
        ours, theirs = ([p["value"] for p in ends[m]] for m in (mode, "float32"))
        if min(len(ours), len(theirs)) < 2:
            lines.append(f"{mode}: no verdict from a single seed")
            continue
        difference = statistics.mean(ours) - statistics.mean(theirs)
        spread = ((statistics.variance(ours) + statistics.variance(theirs)) / 2) ** 0.5
        error = (statistics.variance(ours) / len(ours) + statistics.variance(theirs) / len(theirs)) ** 0.5
        verdict = "within" if abs(difference) <= spread else "beyond"
        lines.append(
            f"{mode} against float32: {difference:+.4f} (standard error {error:.4f}), "
            f"{verdict} the deviation from seed to seed, {spread:.4f}"
        )
    return "\n".join(lines)


def plot(found: dict[str, dict[int, list[dict[str, float]]]], path: Path) -> None:
    """Quality against images and against time: a thin line for each seed, a thick one for their mean."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for index, along in enumerate(("kimg", "hours")):
        axes = figure.add_subplot(1, 2, index + 1)
        for number, (mode, seeds) in enumerate(found.items()):
            curves = [points for points in seeds.values() if points]
            for points in curves:
                axes.plot(
                    [p[along] for p in points], [p["value"] for p in points], f"C{number}", linewidth=0.6, alpha=0.6
                )
            together = list(zip(*curves, strict=False))
            axes.plot(
                [statistics.mean(p[along] for p in points) for points in together],
                [statistics.mean(p["value"] for p in points) for points in together],
                f"C{number}",
                linewidth=2,
                label=mode,
            )
        axes.set(xlabel={"kimg": "thousand images", "hours": "hours of training"}[along], yscale="log")
        axes.grid(alpha=0.25, which="both")
        axes.legend()
    figure.axes[0].set_ylabel("Frechet distance, voile64")
    with atomic_write(path) as temporary:
        figure.savefig(temporary)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--preset", default="stylegan2")
    parser.add_argument("--base", type=int, default=2048, help="feature maps: base / size")
    parser.add_argument("--max", type=int, default=128, help="most feature maps")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--kimg", type=float, default=60.0)
    parser.add_argument("--points", type=int, default=6, help="of each curve")
    parser.add_argument("--images", type=int, default=2000, help="generated images that a distance is of")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--modes", nargs="+", choices=MODES, default=["float32", "bf16"])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--outdir", type=Path, default=Path("out/convergence"))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    keep_freed_memory()
    found: dict[str, dict[int, list[dict[str, float]]]] = {mode: {} for mode in given.modes}
    for seed, mode in itertools.product(given.seeds, given.modes):  # by turns, so that a stop leaves pairs
        points = one(mode, seed, given)
        if points is None:
            sys.exit("stopped; the same command continues")
        found[mode][seed] = points
        text = table(found)
        with atomic_write(given.outdir / "results.json") as temporary:
            temporary.write_text(json.dumps(found, indent=1) + "\n")
        with atomic_write(given.outdir / "table.txt") as temporary:
            temporary.write_text(text + "\n")
        plot(found, given.outdir / "curves.png")
    print(table(found))


if __name__ == "__main__":
    main()
