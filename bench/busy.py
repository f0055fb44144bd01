"""How training and generating fare beside other programs: `organza train stylegan2-demo` and `organza generate`.

    python bench/busy.py                       # about three minutes, on a machine with nothing else to do
    python bench/busy.py --seconds 30

A busy program is a Python loop that does nothing else. Each measurement is the real command in a process of its own;
training is measured between its ticks, generating (1,500 images of 32x32 into one grid) from start to end.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from organza.data.drawn_faces.files import write_faces

ORGANZA = [sys.executable, "-m", "organza"]
IMAGES = (50, 30)


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many busy programs."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def train(folder: Path, seconds: float, environment: dict[str, str], trainings: int = 1) -> list[float]:
    """Images a second of each of so many trainings that run at once, from the first tick of the last one on."""
    places = [Path(tempfile.mkdtemp(dir=folder)) for _ in range(trainings)]
    options = ["--data", str(folder / "faces.zip"), "--metrics", "none", "--tick-kimg", "0.128", "--kimg", "10000"]
    running = [
        subprocess.Popen(
            [*ORGANZA, "train", "stylegan2-demo", *options, "--outdir", str(place)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for place in places
    ]
    try:
        patience = time.monotonic() + 2 * seconds + 20
        while not all(map(seen, places)) and time.monotonic() < patience:
            time.sleep(0.2)
        time.sleep(2)  # until it has noticed what else runs
        first = [(seen(place), time.monotonic()) for place in places]
        time.sleep(seconds)
        return [(seen(p) - n) / (time.monotonic() - t) for p, (n, t) in zip(places, first, strict=True)]
    finally:
        for process in running:
            process.kill()
            process.wait()


def seen(place: Path) -> int:
    """Images shown up to the last tick of the run in ``place``."""
    lines = [line for log in place.glob("*/log.jsonl") for line in log.read_text().splitlines()]
    return max((r["seen"] for r in map(json.loads, lines) if "images_per_second" in r), default=0)


def generate(folder: Path, network: Path, environment: dict[str, str]) -> float:
    """Images a second, from the command to the file."""
    started = time.monotonic()
    columns, rows = IMAGES
    seeds = ["--seeds", f"0-{columns * rows - 1}", "--grid", f"{columns}x{rows}"]
    command = [*ORGANZA, "generate", "--network", str(network), *seeds, "--output", str(folder / "grid.png")]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return columns * rows / (time.monotonic() - started)


def row(name: str, rates: list[float]) -> None:
    """A line of the table: rates, and their shares of the first."""
    shares = "".join(f"{rate:12.0f} ({rate / rates[0]:4.0%})" for rate in rates)
    print(f"{name:36}{shares}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement of a training")
    parser.add_argument("--only", choices=("train", "generate", "two"), nargs="+", default=["train", "generate", "two"])
    parser.add_argument("--beside", type=int, nargs="+", default=[0, 1, 2], help="numbers of busy programs")
    given = parser.parse_args()
    environment = {**os.environ}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment["ORGANZA_CACHE"] = str(folder / "cache")
        write_faces(folder / "faces.zip", 1000, 32)
        print(f"{'images a second':36}" + "".join(f"{n:12d} busy      " for n in given.beside))
        if "train" in given.only:
            rates = []
            for count in given.beside:
                with busy(count):
                    rates += train(folder, given.seconds, environment)
            row("train stylegan2-demo", rates)
        if "two" in given.only:
            row("two trainings at once, each", train(folder, given.seconds, environment, trainings=2))
        if "generate" in given.only:
            command = [*ORGANZA, "train", "stylegan2-demo", "--data", str(folder / "faces.zip"), "--metrics", "none"]
            short = ["--kimg", "0.1", "--outdir", str(folder / "short")]
            subprocess.run([*command, *short], check=True, env=environment, capture_output=True)
            rates = []
            for count in given.beside:
                with busy(count):
                    rates.append(generate(folder, next((folder / "short").iterdir()), environment))
            row("generate", rates)


if __name__ == "__main__":
    main()
