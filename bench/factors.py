"""Whether a translator between painted and drawn faces keeps what is in the image: factors, read by a classifier.

    python bench/factors.py RUN [--model AtoB] [--to line] [--count 300]

Organza draws the faces itself, so every factor of every image is known, and so is the drawing that a translation should
be. A small convolutional network learns the factors from images of the target style (seed 11); then it reads the
translations of faces that nobody was trained on (seed 3), and, as the ceiling, their true drawings. Below the table:
the distance of translations to the true drawings and to their sources, in levels of 255.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import organza
from organza.data.drawn_faces.drawing import draw
from organza.data.drawn_faces.face import CHOICES, class_index, random_faces

FACTORS = ("hair", "glasses", "beard", "mouth", "eyes", "fringe", "clothes")
"""What both styles show: ink has no colours."""


def faces(style: str, seed: int, count: int, size: int) -> tuple[Tensor, Tensor]:
    """Images float32 ``[N, 3, H, W]`` in [-1, 1], and the index of each factor ``[N, F]``."""
    found = list(random_faces(count, seed))
    images = np.stack([draw(face, size, style) for face in found])  # type: ignore[arg-type]
    labels = [[class_index(face, factor) for factor in FACTORS] for face in found]
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1, torch.tensor(labels)


class Reader(nn.Module):
    """Four strided convolutions and a head for each factor."""

    def __init__(self) -> None:
        super().__init__()
        maps = (3, 32, 64, 96, 128)
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(maps):
            layers += [nn.Conv2d(inputs, outputs, 4, 2, 1), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Dropout(0.2))
        self.heads = nn.ModuleList(nn.Linear(128 * 16, len(CHOICES[factor])) for factor in FACTORS)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Logits of each factor."""
        features = self.body(images)
        return [head(features) for head in self.heads]


def taught(style: str, size: int, count: int, epochs: int) -> Reader:
    """A reader of images of a style."""
    torch.manual_seed(0)
    images, labels = faces(style, 11, count, size)
    reader = Reader()
    steps = epochs * (count // 64)
    optimizer = torch.optim.AdamW(reader.parameters(), lr=2e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for _ in range(epochs):
        for part in torch.randperm(count)[: count // 64 * 64].split(64):
            shift = torch.randint(-2, 3, (2,)).tolist()
            logits = reader(images[part].roll(shift, (2, 3)))
            loss = sum((F.cross_entropy(one, labels[part, k]) for k, one in enumerate(logits)), torch.zeros(()))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return reader.eval()


@torch.no_grad()
def read(reader: Reader, images: Tensor, labels: Tensor) -> list[float]:
    """How often each factor is read rightly."""
    return [float((logits.argmax(1) == labels[:, k]).double().mean()) for k, logits in enumerate(reader(images))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--to", choices=("line", "paint"), default="line")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--teach", type=int, default=6000)
    parser.add_argument("--epochs", type=int, default=12)
    given = parser.parse_args()
    T = organza.load(given.run, model=given.model)
    size = T.resolution[0]
    source, labels = faces("paint" if given.to == "line" else "line", 3, given.count, size)
    truth, _ = faces(given.to, 3, given.count, size)
    made = torch.cat([T.apply(image[None]) for image in source]).clamp(-1, 1)
    reader = taught(given.to, size, given.teach, given.epochs)
    rows = {"true drawings": truth, "translations": made, "sources, untranslated": source}
    print("| read from | " + " | ".join(FACTORS) + " | mean |\n|" + "---|" * (len(FACTORS) + 2))
    for name, images in rows.items():
        found = read(reader, images, labels)
        print(f"| {name} | " + " | ".join(f"{100 * x:.0f}%" for x in (*found, sum(found) / len(found))) + " |")
    for name, other in (("true drawing", truth), ("source", source)):
        print(f"L1 to the {name}: {float((made - other).abs().mean()) * 127.5:.1f} levels of 255")
    print(f"L1 between sources and true drawings: {float((source - truth).abs().mean()) * 127.5:.1f}")


if __name__ == "__main__":
    main()
