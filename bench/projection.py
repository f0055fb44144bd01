"""How near projections come, and how many steps an encoder's guess saves.

    organza encoder --network runs/anime --output encoder.safetensors
    python bench/projection.py --network runs/anime --encoder encoder.safetensors [--pictures folder] [--steps 200]

Targets are the network's own images of seeds that the encoder has not seen, or real ones. The search without an
encoder has all steps; the one with it shorter and shorter lengths, each with its own ramps. Own images are also
looked up: is the projection nearest to its own seed's image among those of a hundred seeds?
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from organza import load
from organza.media.images import to_tensor
from organza.models.sampling import Sampling
from organza.studio.codes import codes
from organza.studio.projection.encoder import load_encoder
from organza.studio.projection.invert import Projecting, optimise
from organza.studio.projection.project import read_targets
from organza.vision.perceptual import stand_in


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", required=True)
    parser.add_argument("--encoder", type=Path)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--psi", type=float, default=0.8)
    parser.add_argument("--space", default="w")
    options = parser.parse_args()
    G = load(options.network)
    distance = stand_in(G.channels)
    print(distance.name)
    own = options.pictures is None
    if own:
        first = 5000
        everything = G.synthesis(codes(G, range(first, first + 100), Sampling(psi=options.psi)))
        targets = everything[: options.count]
    else:
        _, pixels = read_targets(sorted(options.pictures.iterdir())[: options.count], G.resolution, G.channels)
        targets = to_tensor(pixels)
    searches = [(None, options.steps)]
    if options.encoder is not None:
        guess = load_encoder(options.encoder, G)(targets)
        searches += [(guess, options.steps // part) for part in (1, 2, 4, 8)]
    for start, steps in searches:
        began = time.perf_counter()
        first, *_, last = optimise(G, targets, distance, Projecting(steps=steps, space=options.space), start=start)
        error = (last.images - targets).square().mean((1, 2, 3)).sqrt().mean() * 127.5
        found = ""
        if own:
            nearest = (last.images[:, None] - everything).square().mean((2, 3, 4)).argmin(1)
            found = f", own seed nearest of 100: {int((nearest == torch.arange(len(targets))).sum())}/{len(targets)}"
        print(
            f"{'mean w' if start is None else 'encoder':8} {steps:4} steps: distance {first.distance.mean():.3f} -> "
            f"{last.distance.mean():.4f}, pixels off by {error:.1f} of 255{found}, {time.perf_counter() - began:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
