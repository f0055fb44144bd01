"""What Frechet distances in voile64's features say about images that are known to be better or worse.

    python bench/check_voile64.py --data ../shared/data [--cache prepared.npz] [--run runs/00000-...] [--weights FILE]

Held-out images of a set, clean and spoilt, against images of the same set that the network was trained on; halves
of the same images; modes left out; another set mixed in; and the checkpoints of a training run against its data.
"""

from __future__ import annotations

import argparse
import sys
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from train_voile64 import DISTORTIONS, distort, gather, split, square

from organza import load, open_dataset
from organza.data import DataOptions
from organza.metrics.frechet import frechet_distance
from organza.vision.features import open_features, voile64

STRENGTHS = (0.1, 0.3, 0.5, 0.75, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--weights", type=Path, help="instead of those of the package")
    parser.add_argument("--run", type=Path, action="append", default=[], help="its checkpoints are measured")
    parser.add_argument("--of", type=Path, help="the run's data; by default the anime faces")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--sets", default="anime,celeba,lorelei,portraits,photos,faces")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.weights:
        voile64.WEIGHTS = arguments.weights
    features = open_features("voile64", device="cpu")

    def of(images: torch.Tensor) -> torch.Tensor:
        return torch.cat([features(part).features for part in images.split(250)])

    if arguments.sets:
        if arguments.cache and arguments.cache.exists():
            sets: dict = {}
            with np.load(arguments.cache) as file:
                for key in file.files:
                    sets.setdefault(key.split("/")[0], {})[key.split("/")[1]] = file[key]
        else:
            sets = gather(arguments.data, 4000, 6000) | strangers(arguments.data)
        train, test = split(sets)
        for name in arguments.sets.split(","):
            about(name, train, test, of, arguments.count)
    for run in arguments.run:
        source = arguments.of or arguments.data / "anime_faces.zip"
        checkpoints(run, source, of, arguments.count)


def strangers(root: Path) -> dict:
    """Sets that voile64 was not trained on: anime faces and photographs of faces."""
    found = {}
    for name, file, ending in (("anime", "anime_faces", ".png"), ("celeba", "celeba_small", ".jpg")):
        with zipfile.ZipFile(root / f"{file}.zip") as archive:
            names = sorted(entry for entry in archive.namelist() if entry.endswith((ending, ".jpg")))
            found[name] = {"images": np.stack([square(Image.open(archive.open(entry))) for entry in names])}
    return found


def about(name: str, train: dict, test: dict, of, count: int) -> None:
    rng = torch.Generator().manual_seed(0)
    held = test[name]["images"][:count]
    shown = train[name]["images"][torch.randperm(len(train[name]["images"]), generator=rng)[: 2 * count]]
    real, clean = of(shown), of(held)
    n = len(held)
    print(f"\n{name}: {len(real)} images of the training part against {n} held-out ones, as they are or spoilt")
    print(f"  as they are {frechet_distance(real, clean):.2f}, two halves of the training part {halves(real, n):.2f}")
    x = held.permute(0, 3, 1, 2).float()
    for kind in DISTORTIONS[1:]:
        found = []
        for strength in STRENGTHS:
            rng.manual_seed(1)
            spoilt = distort(kind, x.clone(), torch.full((n,), strength), rng).round().byte().permute(0, 2, 3, 1)
            found.append(frechet_distance(real, of(spoilt)))
        print(f"  {kind:18s}" + "".join(f"{value:9.2f}" for value in found))
    order = of(held).mean(1).argsort()
    print("  modes dropped     " + "".join(f"{frechet_distance(real, repeated(clean[order[: int(n * s)]], n)):9.2f}"
                                           for s in (0.9, 0.75, 0.5, 0.25, 0.1)))  # fmt: skip
    print("  few images      " + "".join(f"{frechet_distance(real, repeated(clean[: int(n * s)], n)):9.2f}"
                                           for s in (0.9, 0.5, 0.25, 0.1, 0.05)))  # fmt: skip
    for other in ("celeba", "anime", "faces", "emoji", "lorelei", "photos"):
        if other != name:
            more = of(test[other]["images"][:1000])
            mixed = [
                torch.cat([clean[: n - int(n * s)], repeated(more, int(n * s))]) for s in (0.05, 0.1, 0.25, 0.5, 1)
            ]
            print(f"  mixed with {other:7s}" + "".join(f"{frechet_distance(real, part):9.2f}" for part in mixed))


def halves(features: torch.Tensor, n: int) -> float:
    n = min(n, len(features) // 2)
    return frechet_distance(features[:n], features[n : 2 * n])


def repeated(features: torch.Tensor, n: int) -> torch.Tensor:
    return features.repeat(-(-n // len(features)), 1)[:n]


def checkpoints(run: Path, source: Path, of, count: int) -> None:
    print(f"\n{run.name}: Frechet distance of {count} images of each checkpoint from {2 * count} real ones")
    real = None
    for folder in sorted((run / "checkpoints").glob("0*")):
        generator = load(folder, device="cpu")
        if real is None:
            data = open_dataset(source, DataOptions(resolution="{}x{}".format(*generator.resolution)))
            indices = np.random.RandomState(0).permutation(len(data))
            pictures = torch.from_numpy(data.fetch(indices[: 2 * count])[0])
            real = of(pictures)
            print(f"  {'real halves':>12s} {halves(real, count):8.2f}")
        images = []
        for start in range(0, count, 50):
            seeds = range(start, min(start + 50, count))
            labels = [seed % generator.label_dim for seed in seeds] if generator.label_dim else None
            images.append(torch.from_numpy(generator.generate(seeds, labels, batch=50)))
        print(f"  {folder.name:>12s} {frechet_distance(real, of(torch.cat(images))):8.2f}", flush=True)


if __name__ == "__main__":
    main()
