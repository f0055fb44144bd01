"""What augmentation does for a small dataset: quality and overfitting of runs at each of their checkpoints.

    organza train stylegan2-tiny --data anime_faces.zip --max-images 2000 --keep 0 --outdir plain ...
    organza train stylegan2-tiny --data anime_faces.zip --max-images 2000 --keep 0 --outdir ada --augment ada ...
    python bench/limited.py --data anime_faces.zip plain/00000-* ada/00000-*

Evaluated are all checkpoints that were kept, against the images of the dataset that the run was not trained on: the
Frechet distance of the averaged generator in voile64's features, and r_v of the discriminator (arXiv 2006.06676, eq.
1) on images as they are, without augmentation. The log gives r_t and p. A table and a plot are left in --outdir.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from organza import load, open_dataset
from organza.core.config import from_plain
from organza.core.files import atomic_write
from organza.data import DataOptions, Dataset
from organza.media.images import to_tensor
from organza.metrics import evaluate
from organza.models.generator import Generator
from organza.runs.compare import kept, read_run, seen_of

Points = list[dict[str, float]]


def sets(data: Path, config: dict[str, Any]) -> tuple[Dataset, Dataset]:
    """The images that a run was trained on, and the others of the same dataset."""
    plain = {key: value for key, value in config["data"].items() if key in DataOptions.__dataclass_fields__}
    options = from_plain(DataOptions, plain)
    trained = open_dataset(data, options)
    everything = open_dataset(data, replace(options, max_images=None))
    mine = set(trained.names)
    return trained, everything.select([i for i, name in enumerate(everything.names) if name not in mine])


def scores(G: Generator, images: torch.Tensor) -> torch.Tensor:
    """The discriminator's logits, in batches as large as in training."""
    return torch.cat([G.discriminator(images[i : i + 16]) for i in range(0, len(images) // 16 * 16, 16)])


def pictures(dataset: Dataset, count: int) -> torch.Tensor:
    """``count`` images spread over a dataset, float32 in [-1, 1]."""
    rows = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).astype(int)
    return to_tensor(dataset.fetch(rows)[0])


def judge(run: Path, data: Path, metric: str, count: int) -> Points:
    """One point for each checkpoint of a run, and r_t and p of the log around it."""
    config = json.loads((run / "config.json").read_text())
    trained, others = sets(data, config)
    seen_pictures, new_pictures = pictures(trained, count), pictures(others, count)
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    points: Points = []
    for checkpoint in kept(read_run(run)):
        G, kimg = load(checkpoint, "all"), seen_of(checkpoint) / 1000
        fakes = torch.cat([G.synthesis(G.mapping(G.z(range(i, i + 16))), "random") for i in range(0, count, 16)])
        train, held_out, fake = (scores(G, x).mean().item() for x in (seen_pictures, new_pictures, fakes))
        near = [entry for entry in log if "signs/real" in entry and kimg - 5 < entry["kimg"] <= kimg]
        report = evaluate(G, others, metric, intervals=False, batch=64)
        point = {"kimg": kimg, "distance": next(iter(report.figures.values())).value}
        point |= {"r_v": (train - held_out) / (train - fake), "gap": train - held_out}
        for key, name in (("signs/real", "r_t"), ("augment/p", "p")):
            values = [entry[key] for entry in near if key in entry]
            point[name] = sum(values) / len(values) if values else 0.0
        points.append(point)
        print(run.parent.name, "  ".join(f"{name} {value:.3f}" for name, value in point.items()), flush=True)
    return points


def plot(curves: dict[str, Points], path: Path) -> None:
    """Distance, gap, r_v, r_t and p against images shown."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 6), dpi=85, layout="constrained")
    FigureCanvasAgg(figure)
    titles = {
        "distance": "Frechet distance to held-out images",
        "gap": "gap: D's scores, training - held-out images",
        "r_v": "r_v: the gap as a share of training - generated",
        "r_t": "r_t: mean sign of D's scores, training images",
        "p": "p: probability of each augmentation",
    }
    for index, (name, title) in enumerate(titles.items()):
        axes = figure.add_subplot(2, 3, index + 1)
        for label, points in curves.items():
            axes.plot([p["kimg"] for p in points], [p[name] for p in points], marker="o", markersize=3, label=label)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("thousand images")
        axes.grid(alpha=0.25)
    figure.axes[0].set_yscale("log")
    figure.axes[0].legend()
    with atomic_write(path) as temporary:
        figure.savefig(temporary)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--metric", default="fd_voile64_2k_full")
    parser.add_argument("--count", type=int, default=1000, help="images of each kind shown to D")
    parser.add_argument("--outdir", type=Path, default=Path("out/limited"))
    given = parser.parse_args()
    given.outdir.mkdir(parents=True, exist_ok=True)
    curves = {run.parent.name: judge(run, given.data, given.metric, given.count) for run in given.runs}
    with atomic_write(given.outdir / "limited.json") as temporary:
        temporary.write_text(json.dumps(curves, indent=2) + "\n")
    plot(curves, given.outdir / "limited.png")
    print(given.outdir / "limited.png")


if __name__ == "__main__":
    main()
