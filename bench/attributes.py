"""Do directions change their attribute and leave the others? Measured on drawn faces, whose attributes are known.

    python bench/attributes.py --network runs/00000-stylegan2-demo-faces [--samples 4000] [--pictures 200]

A small classifier learns the attributes from drawn, labelled faces; it never sees a generated one in training. It then
answers for images of the network, logistic regressions on w give the directions (`organza.studio.directions`), and
each of fresh images is moved along each: those without the attribute towards it, the others away from it. Counted
is how many change to the other answer, and how many of the other attributes' answers stay. Strength and layers are
chosen on other images than they are measured on: the pair that keeps most among those that change nineteen of
twenty. In the last column each image goes only as far as it needs.

The network that the documentation's table is about:

    organza faces --dest faces.zip --count 8000 --resolution 32
    organza train stylegan2-demo --data faces.zip --outdir runs --kimg 30
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn

from organza import load
from organza.data.drawn_faces.drawing import draw as drawn
from organza.data.drawn_faces.face import random_faces
from organza.media.images import to_tensor
from organza.models.sampling import Sampling
from organza.studio.codes import codes, raw
from organza.studio.directions import independent, regress, save_directions, some_codes, without
from organza.studio.edit import Edit, moved

ATTRIBUTES = {
    "dark-skin": lambda face: face.skin in ("tan", "brown", "deep"),
    "dark-hair": lambda face: face.hair_colour in ("black", "brown", "chestnut") and face.hair != "bald",
    "long-hair": lambda face: face.hair in ("bob", "long", "wavy"),
    "glasses": lambda face: face.glasses != "none",
    "dark-background": lambda face: face.background in ("teal", "slate"),
}
"""Yes-or-no attributes that can be seen at 32 pixels."""
STRENGTHS = (1, 1.5, 2, 3, 4, 5)


def labelled(count, side, seed):
    """Drawn faces: images ``[N, 3, H, W]`` in [-1, 1] and answers ``[N, attributes]``."""
    faces = list(random_faces(count, seed))
    images = np.stack([drawn(face, side) for face in faces])
    answers = [[rule(face) for rule in ATTRIBUTES.values()] for face in faces]
    return to_tensor(images), torch.tensor(answers).float()


def classifier(side, count, epochs, seed=0):
    """A small convolutional network, and how often it is right about drawn faces that it has not seen."""
    torch.manual_seed(seed)
    images, answers = labelled(count, side, 1000 + seed)
    widths = (3, 32, 64, 128)
    layers = []
    for before, width in pairwise(widths):
        layers += [nn.Conv2d(before, width, 3, 2, 1), nn.BatchNorm2d(width), nn.LeakyReLU(0.2)]
    net = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), nn.LazyLinear(len(ATTRIBUTES)))
    net(images[:2])
    adam = torch.optim.Adam(net.parameters(), lr=2e-3)
    steps = epochs * count // 64
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, 4e-3, total_steps=steps)
    for step in range(steps):
        if step % (count // 64) == 0:
            order = torch.randperm(count)
        index = order[step % (count // 64) * 64 :][:64]
        batch = images[index]
        # Generated images are softer and noisier than drawn ones, and half of them are mirrored.
        batch = torch.where(torch.rand(len(batch), 1, 1, 1) < 0.5, batch.flip(3), batch)
        batch = batch + 0.15 * torch.rand(len(batch), 1, 1, 1) * torch.randn_like(batch)
        soft = nn.functional.avg_pool2d(nn.functional.pad(batch, (1, 1, 1, 1), mode="replicate"), 3, 1)
        batch = batch.lerp(soft, torch.rand(len(batch), 1, 1, 1))
        loss = nn.functional.binary_cross_entropy_with_logits(net(batch), answers[index])
        adam.zero_grad()
        loss.backward()
        adam.step()
        schedule.step()
    net.eval().requires_grad_(False)
    images, answers = labelled(1000, side, 2000 + seed)
    right = ((net(images) > 0) == (answers > 0.5)).float().mean(0)
    return net, right.tolist()


def answers_of(net, G, ws):
    """Logits ``[N, attributes]`` of the images of ``ws``."""
    images = torch.cat(list(raw(G, ws))).clamp(-1, 1)
    return torch.cat([net(part) for part in images.split(256)])


def measure(net, direction, index, ws, before, G, strength):
    """Shares of ``ws`` whose attribute changes at ``strength``, and of each other attribute's answers that stay."""
    yes = before[:, index] > 0
    there = torch.empty_like(ws)
    for way, chosen in ((1.0, ~yes), (-1.0, yes)):
        if chosen.any():
            there[chosen] = moved(ws[chosen], [Edit(direction, way * strength)])
    return shares(before, answers_of(net, G, there), index)


def as_needed(net, direction, index, ws, before, G):
    """The same shares where each image goes only as far as it needs, of `STRENGTHS`, or all the way."""
    yes = before[:, index] > 0
    after, left = before.clone(), torch.ones(len(ws), dtype=torch.bool)
    for strength in STRENGTHS:
        for way, these in ((1.0, left & ~yes), (-1.0, left & yes)):
            if these.any():
                after[these] = answers_of(net, G, moved(ws[these], [Edit(direction, way * strength)]))
        left = (after[:, index] > 0) == yes
    return shares(before, after, index)


def shares(before, after, index):
    """How many answers to ``index`` changed, and how many of the others stayed: all and the least."""
    changed = ((after[:, index] > 0) != (before[:, index] > 0)).float().mean().item()
    others = [n for n in range(before.shape[1]) if n != index]
    kept = ((after[:, others] > 0) == (before[:, others] > 0)).float().mean(0)
    return changed, kept.mean().item(), kept.min().item()


def chosen(net, direction, index, ws, before, G, ranges):
    """The direction in the layers, and the strength, that keep most among those that change 19 of 20, if any does."""
    found = [
        (*measure(net, replace(direction, layers=layers), index, ws, before, G, strength), layers, strength)
        for layers in ranges
        for strength in STRENGTHS
    ]
    enough = [one for one in found if one[0] >= 0.95]
    best = max(enough, key=lambda one: one[1]) if enough else max(found, key=lambda one: one[0])
    return replace(direction, layers=best[3]), best[4]


def ranges_of(G):
    """All layers, and each run of half of them or more that starts at an even one."""
    count, half = G.num_ws, G.num_ws // 2
    runs = [(first, last) for first in range(0, count, 2) for last in range(first + half, count + 1, 2)]
    return [None, *(tuple(range(first, last)) for first, last in runs if last - first < count)]


def run(G, *, samples, pictures, faces, epochs, psi):
    """A row for each attribute: see the file."""
    net, right = classifier(G.resolution, faces, epochs)
    said = answers_of(net, G, codes(G, range(samples)))
    names = list(ATTRIBUTES)
    plain = [regress(G, name, said[:, n].sigmoid(), range(samples)) for n, name in enumerate(names)]
    lone = independent(plain, some_codes(G))
    kinds = {
        "plain": (plain, [None]),
        "without": ([without(one, [other for other in plain if other is not one]) for one in plain], [None]),
        "independent": (lone, [None]),
        "in layers": (lone, ranges_of(G)),
    }
    tried, fresh = (codes(G, range(first, first + pictures), Sampling(psi=psi)) for first in (10**6, 2 * 10**6))
    before = [answers_of(net, G, ws) for ws in (tried, fresh)]
    for n, name in enumerate(names):
        row = {
            "classifier": net,
            "attribute": name,
            "drawn": right[n],
            "yes": (before[1][:, n] > 0).float().mean().item(),
        }
        for kind, (directions, ranges) in kinds.items():
            direction, strength = chosen(net, directions[n], n, tried, before[0], G, ranges)
            values = measure(net, direction, n, fresh, before[1], G, strength)
            row[kind] = dict(zip(("changed", "kept", "least kept"), values, strict=True))
            row[kind] |= {"strength": f"{strength:g}", "layers": direction.layers, "direction": direction}
        values = as_needed(net, direction, n, fresh, before[1], G)
        row["as needed"] = row["in layers"] | dict(zip(("changed", "kept", "least kept"), values, strict=True))
        row["as needed"]["strength"] = f"1-{STRENGTHS[-1]}"
        yield row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", required=True)
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--faces", type=int, default=6000)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--psi", type=float, default=0.7)
    parser.add_argument("--directions", type=Path, help="write them here, those in layers")
    parser.add_argument("--classifier", type=Path, help="write it here as TorchScript, for organza directions")
    options = parser.parse_args()
    G = load(options.network)
    keys = ("samples", "pictures", "faces", "epochs", "psi")
    found = []
    for row in run(G, **{key: getattr(options, key) for key in keys}):
        if not found:
            kinds = [key for key, value in row.items() if isinstance(value, dict)]
            print("changed / others kept (least) at strength")
            print(f"{'attribute':16} drawn   yes  " + "  ".join(f"{kind:>26}" for kind in kinds))
        parts = []
        for kind in kinds:
            one = row[kind]
            layers = "" if one["layers"] is None else f"@{one['layers'][0]}-{one['layers'][-1]}"
            shares = f"{100 * one['changed']:.0f} / {100 * one['kept']:.0f}% ({100 * one['least kept']:.0f}%)"
            parts.append(f"{shares} {one['strength']}{layers}")
        line = "  ".join(f"{part:>26}" for part in parts)
        print(f"{row['attribute']:16} {100 * row['drawn']:4.0f}%  {100 * row['yes']:3.0f}%  {line}", flush=True)
        found.append(row)
    if options.directions is not None:
        save_directions(options.directions, [row["in layers"]["direction"] for row in found])
    if options.classifier is not None:
        torch.jit.trace(found[0]["classifier"], torch.zeros(1, G.channels, *G.resolution)).save(str(options.classifier))


if __name__ == "__main__":
    main()
