"""What an image costs in training, against resolution, batch, feature maps and processes: StyleGAN2, whole steps.

    python bench/costs.py                    # one axis at a time, some minutes on two cores
    python bench/costs.py --full             # longer axes, automatic feature maps, float32 and the plain reference too

Each point is a process of its own (bench/step.py). A table goes to OUT/costs.txt, figures to OUT/costs.json, and a
plot with logarithmic axes, with the floor in it, to OUT/costs.png. The floor is the operations of convolutions and
matrix products at the machine's measured peak in the same format; processor and peak are in the table's head.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from generate import FORMATS, peak

from organza.core.files import atomic_write

STEP = str(Path(__file__).with_name("step.py"))


def points(full: bool) -> list[dict[str, Any]]:
    """What to measure: one axis at a time around 64x64, batch 16."""
    base, most = (16384, 512) if full else (4096, 256)
    middle = {"axis": "", "mode": "fast-bf16", "resolution": 64, "batch": 16, "base": base, "max": most, "processes": 1}
    modes = ["fast-bf16", "fast-float32", "reference-float32"] if full else ["fast-bf16"]
    axes = {
        "resolution": [32, 64, 128, 256, 512, 1024],
        "batch": [1, 2, 4, 8, 16, 32, 64] if full else [1, 4, 16, 64],
        "base": [1024, 2048, 4096, 8192, 16384, 32768] if full else [1024, 2048, 4096, 8192],
        "processes": [1, 2],
    }
    found = []
    for mode in modes:
        for axis, values in axes.items():
            for value in values:
                point = {**middle, "axis": axis, "mode": mode, axis: value}
                if axis == "resolution":
                    point["batch"] = 4
                found.append(point)
    return found


def measure(point: dict[str, Any], turns: int, threads: int) -> dict[str, float] | None:
    """One point, or None where memory or time do not allow it."""
    share = max(1, threads // point["processes"])
    start = [sys.executable]
    if point["processes"] > 1:
        start += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={point['processes']}"]
    options = {"resolution": "resolution", "batch": "batch", "base": "base", "most": "max"}
    shape = [f"--{option}={point[name]}" for option, name in options.items()]
    command = [*start, STEP, point["mode"], *shape, f"--turns={turns}", "--json", f"--threads={share}"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(share)}
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=1200, env=environment)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None
    found: dict[str, float] = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    return found


def head(peaks: dict[str, float], threads: int) -> str:
    """The machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = "unknown processor"
    rates = ", ".join(f"{rate:.0f} GFLOP/s in {name}" for name, rate in peaks.items())
    return f"{name}, {threads} threads: {rates}; torch {torch.__version__}"


def line(point: dict[str, Any], figures: dict[str, float] | None, floor: float) -> str:
    """A row of the table."""
    row = f"{point['mode']:18}{point['resolution']:6d}{point['batch']:6d}{point['base']:7d}{point['processes']:6d}"
    if figures is None:
        return row + "   not possible here"
    share = f"{floor / figures['min']:7.0%}"
    return row + f"{figures['min']:10.1f}{figures['median']:10.1f}{floor:9.1f}{share}{figures['memory']:8.2f}"


def plot(results: list[dict[str, Any]], path: Path) -> None:
    """Cost against each axis, with the floor dashed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    axes_names = list(dict.fromkeys(r["axis"] for r in results))
    figure = Figure(figsize=(4 * len(axes_names), 4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for index, axis in enumerate(axes_names):
        axes = figure.add_subplot(1, len(axes_names), index + 1)
        mine = [r for r in results if r["axis"] == axis]
        for number, mode in enumerate(dict.fromkeys(r["mode"] for r in mine)):
            row = [r for r in mine if r["mode"] == mode]
            axes.plot([r[axis] for r in row], [r["min"] for r in row], f"C{number}o-", label=mode)
            axes.plot([r[axis] for r in row], [r["floor"] for r in row], f"C{number}--", linewidth=1, label="its floor")
        axes.set(xscale="log", yscale="log", xlabel=axis)
        ticks = sorted({r[axis] for r in mine})
        axes.set_xticks(ticks, [str(t) for t in ticks], minor=False)
        axes.set_xticks([], minor=True)
        axes.grid(alpha=0.25, which="both")
    figure.axes[0].set_ylabel("ms an image")
    figure.axes[0].legend()
    with atomic_write(path) as temporary:
        figure.savefig(temporary)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--axes", nargs="+", help="only these: resolution, batch, base, processes")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--outdir", type=Path, default=Path("out/bench"))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with torch.no_grad():
        peaks = {name: peak(dtype) for name, dtype in FORMATS.items()}
    names = f"{'mode':18}{'size':>6}{'batch':>6}{'base':>7}{'procs':>6}"
    text = [head(peaks, given.threads), f"{names}{'min ms':>10}{'median':>10}{'floor':>9}{'share':>7}{'GiB':>8}"]
    print("\n".join(text), flush=True)
    results = []
    for point in points(given.full):
        if given.axes and point["axis"] not in given.axes:
            continue
        figures = measure(point, given.turns, given.threads)
        floor = 0.0 if figures is None else figures["gflop"] / peaks[point["mode"].split("-")[1]] * 1000
        text.append(line(point, figures, floor))
        print(text[-1], flush=True)
        if figures is not None:
            results.append({**point, **figures, "floor": floor})
    with atomic_write(given.outdir / "costs.txt") as temporary:
        temporary.write_text("\n".join(text) + "\n")
    with atomic_write(given.outdir / "costs.json") as temporary:
        temporary.write_text(json.dumps({"peaks": peaks, "results": results}, indent=1) + "\n")
    if results:
        plot(results, given.outdir / "costs.png")
        print(given.outdir / "costs.png")


if __name__ == "__main__":
    main()
