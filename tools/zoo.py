"""Make the networks of the zoo: `python tools/zoo.py NAME --data PATH [--run RUN]` trains one as its recipe says, and
writes src/organza/zoo/NAME: weights in bf16, a card and samples (of a translator: what the training showed at its
end). With --run it takes a training that is done already.

A recipe is what the card repeats, so that anybody with the same data gets the same network: bit for bit on the same
machine. `--list` says what there is to make.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from organza import Generator, Translator, load
from organza.contract.targets import label_names
from organza.core.doctor import available_cores, processor
from organza.core.zoo import CARD, FOLDER, Card
from organza.formats.folder import read_folder
from organza.media.images import make_grid, save_picture
from organza.models.load import newest
from organza.weights.slim import write_slim

SEEDS = range(40)
MOST = 4_000_000
"""Bytes of one network's weights."""


@dataclass(frozen=True)
class Recipe:
    """How a network of the zoo is made.

    Attributes:
        summary, data, licence, limits: see `organza.core.zoo.Card`.
        words: what follows ``organza train``, without ``--data``.
        then: with what else it is continued after its end; "" where it is not.
        shown: how the command calls its data.
    """

    summary: str
    data: str
    licence: str
    words: str
    shown: str
    limits: str
    then: str = ""


RECIPES = {
    "digits-vae": Recipe(
        "handwritten digits by a variational autoencoder, whose encoder is there too",
        "MNIST, 60,000 training images (Yann LeCun, Corinna Cortes, Christopher Burges; CC BY-SA 3.0)",
        "CC BY-SA 3.0, as the data",
        "vae --resolution 32 --width 32 --z-dim 16 --sigma 0.5 --kimg 90 --batch 64 --lr 0.001 --lr-decay 0.5 "
        "--ema-kimg 2 --metrics none --snapshot-kimg 90 --seed 0",
        "mnist/",
        "a few minutes of training: soft edges, and some images are no digit",
    ),
    "digits": Recipe(
        "handwritten digits of the class that is asked for, by a conditional GAN of two perceptrons",
        "MNIST, 60,000 training images (Yann LeCun, Corinna Cortes, Christopher Burges; CC BY-SA 3.0)",
        "CC BY-SA 3.0, as the data",
        "cgan --width 900 --dropout 0 --gp-weight 10 --label-d projection --kimg 700 --lr-decay 0.5 --lr 0.0004 "
        "--metrics none --snapshot-kimg 100 --seed 0",
        "mnist/",
        "28x28; single grey pixels beside the strokes, as perceptrons make them",
    ),
    "letters": Recipe(
        "letters and digits of the font that is asked for, by DCGAN with two labels",
        "10,230 glyphs of 165 fonts (SIL Open Font License 1.1, some Apache 2.0; drawn from the fonts' files)",
        "SIL OFL 1.1 and Apache 2.0, as the fonts",
        "dcgan --labels attributes.jsonl:char,font --label-d projection --resolution 32 --width 32 --penalty r1 "
        "--gp-weight 5 --kimg 400 --lr-decay 0.3 --metrics none --snapshot-kimg 100 --tick-kimg 5 --seed 0",
        "glyphs.zip",
        "32x32; ornate and slanted fonts are scribbles; trained by the clock in two parts, which changes no step",
    ),
    "faces64": Recipe(
        "cartoon faces with the hair that is asked for, by StyleGAN2",
        "20,000 faces drawn by Organza: organza faces --count 20000 --dest drawn.zip",
        "Apache 2.0, as Organza itself",
        "stylegan2-demo --labels auto --resolution 64 --channel-base 1024 --channel-max 128 --z-dim 128 --w-dim 128 "
        "--r1-gamma 1 --lr 0.004 --kimg 80 --lr-decay 0.5 --metrics none --snapshot-kimg 20 --tick-kimg 1 --seed 0",
        "drawn.zip",
        "an hour on one core: eyes are often smeared, and a seed keeps its look whatever the hair",
        then="--kimg 140",
    ),
}


def main() -> int:
    """Train, or take a run, and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", choices=RECIPES)
    parser.add_argument("--data", type=Path, help="the images that the recipe names")
    parser.add_argument("--run", type=Path, help="a run of the recipe that is done already")
    parser.add_argument("--list", action="store_true", help="say what there is to make")
    options = parser.parse_args()
    if options.list or options.name is None:
        for name, recipe in RECIPES.items():
            print(f"{name}: {command(recipe)}")
        return 0
    recipe = RECIPES[options.name]
    with tempfile.TemporaryDirectory() as outdir:
        run = options.run
        if run is None:
            words = [*recipe.words.split(), "--data", str(options.data), "--outdir", outdir]
            for more in ([], recipe.then.split()) if recipe.then else ([],):
                subprocess.run([sys.executable, "-m", "organza", "train", *words, *more], check=True)
            (run,) = Path(outdir).iterdir()
        print(write(options.name, recipe, run))
    return 0


def command(recipe: Recipe) -> str:
    """What the card says that was typed."""
    first = f"organza train {recipe.words} --data {recipe.shown}"
    return f"{first}; then again with {recipe.then}" if recipe.then else first


def write(name: str, recipe: Recipe, run: Path) -> Path:
    """The folder of the zoo, from a run."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    network = load(run, device="cpu")
    last = next(line for line in reversed(lines) if "seconds" in line)
    card = Card(
        summary=recipe.summary,
        data=recipe.data,
        licence=recipe.licence,
        command=command(recipe),
        kimg=round(last["kimg"], 3),
        minutes=round(last["seconds"] / 60, 1),
        machine=f"{available_cores()} cores, {processor()}, {platform.system()}",
        figures=off(run),
        limits=recipe.limits,
        seeds="" if isinstance(network, Translator) else f"{SEEDS[0]}-{SEEDS[-1]}",
    )
    note = f"{recipe.licence}. Trained on {recipe.data}.\n"
    notes = {CARD: json.dumps(vars(card), indent=2) + "\n", "LICENCE-NOTE.txt": note}
    weights = replace(newest(run, read_folder), licence=recipe.licence)
    dest = write_slim(weights, FOLDER / name, "bf16", notes)
    size = sum(path.stat().st_size for path in dest.glob("*.safetensors"))
    if size > MOST:
        raise SystemExit(f"{dest}: {size / 1e6:.1f} MB is more than the {MOST / 1e6:g} that a network may have")
    if isinstance(slim := load(dest, device="cpu"), Generator):
        save_picture(make_grid(slim.generate(SEEDS, _labels(slim)), 10), dest / "samples.png")
    else:
        shutil.copy(max((run / "samples").glob("*.png")), dest / "samples.png")
    return dest


def off(run: Path) -> dict[str, float]:
    """How far generated images in bf16 weights are from the run's own, in levels of 255 in the mean."""
    with tempfile.TemporaryDirectory() as temporary:
        slim = newest(run, lambda folder: write_slim(read_folder(folder), Path(temporary) / "slim", "bf16"))
        one, other = load(run, device="cpu"), load(slim, device="cpu")
        if not isinstance(one, Generator) or not isinstance(other, Generator):
            return {}
        pair = [network.generate(SEEDS, _labels(network)).astype(np.float64) for network in (one, other)]
    return {"bf16/levels": round(float(np.abs(pair[0] - pair[1]).mean()), 3)}


def _labels(network: Generator) -> list[int] | NDArray[np.float32] | None:
    """A class in turn; of several factors, such as a letter and a font, one of each."""
    if not network.label_dim:
        return None
    factors: dict[str, list[int]] = {}
    for place, name in enumerate(label_names(network.spec) or ()):
        factor, equals, _ = name.partition("=")
        factors.setdefault(factor if equals else "", []).append(place)
    if len(factors) < 2:
        return [seed % network.label_dim for seed in SEEDS]
    labels = np.zeros([len(SEEDS), network.label_dim], np.float32)
    for step, places in zip((1, 37, 101), factors.values(), strict=False):
        for seed in SEEDS:
            labels[seed, places[seed * step % len(places)]] = 1
    return labels


if __name__ == "__main__":
    sys.exit(main())
