"""organza directions: directions in latent space."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from organza.cli.parse import parse
from organza.cli.record import record
from organza.cli.shared import Trained
from organza.core.errors import UserError
from organza.core.ranges import Count, CountOrZero, Seed
from organza.core.text import say

if TYPE_CHECKING:
    from organza.models.generator import Generator
    from organza.studio.directions import Direction


@dataclass(frozen=True, kw_only=True)
class Options(Trained):
    """Find directions in latent space, keep them in a small file, and generate a strip of each."""

    method: Literal["sefa", "pca", "labels", "classifier"] = "sefa"
    """sefa: in closed form from the weights. pca: principal components of w (GANSpace). labels, classifier: where an
    attribute of images grows."""
    count: Count = 10
    """How many, for sefa and pca."""
    layers: Annotated[str | None, tyro.conf.arg(metavar="0-6")] = None
    """Layers that count for sefa and that the directions move: coarse, middle, fine, or numbers such as 0-6."""
    labels: Annotated[Path | None, tyro.conf.arg(metavar="FILE.csv")] = None
    """For labels: a table whose first column is the seed; each other column is an attribute, 0 or 1."""
    classifier: Annotated[Path | None, tyro.conf.arg(metavar="FILE.pt")] = None
    """For a classifier: a TorchScript network from images [N, C, H, W] in [-1, 1] to logits [N, attributes]."""
    names: str = ""
    """For a classifier: names of its attributes, joined by commas."""
    samples: Annotated[Count | None, tyro.conf.arg(metavar="N")] = None
    """Images for a classifier, or w's for pca: without it 2000, or 10000."""
    independent: bool = False
    """Of each attribute's direction, take what leaves the others as they are."""
    class_: Annotated[CountOrZero | None, tyro.conf.arg(name="class", metavar="N")] = None
    """The class, for networks with classes."""
    seed: Seed = 0
    """The image in the strips."""
    trunc: float = 1.0
    """Its truncation psi."""
    strength: float = 2.0
    """Ends of the strips, in deviations of w."""
    scale: Count = 1
    """Make each pixel of the strips a square of so many pixels."""
    strips: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The image of the strips; beside the output, with .png added, if not said."""
    output: Path = Path("out/directions.safetensors")
    """The file."""


def main(argv: list[str]) -> int:
    """Parse, load, look, and say what was found and where it is."""
    options = parse(Options, argv, "organza directions")
    from organza.media.images import PICTURE_SUFFIXES, check_suffix
    from organza.models.load import load_generator
    from organza.models.sampling import Sampling
    from organza.studio.codes import codes
    from organza.studio.directions import save_directions
    from organza.studio.edit import overview

    check_suffix(options.output, (".safetensors",))
    picture = options.strips or options.output.with_name(f"{options.output.name}.png")
    check_suffix(picture, PICTURE_SUFFIXES)
    G = load_generator(options.network, device=options.device)
    found = _find(options, G)
    path = save_directions(options.output, found)
    ws = codes(G, [options.seed], Sampling(options.class_, options.trunc))
    strips = overview(G, ws, found, picture, strength=options.strength, scale=options.scale)
    inputs = {"--network": G.source, "--labels": options.labels, "--classifier": options.classifier}
    record("directions", argv, path, inputs=inputs)
    for direction in found:
        say(f"{direction.name}: {direction.about}")
    say(strips)
    say(path)
    return 0


def _find(options: Options, G: Generator) -> list[Direction]:
    from dataclasses import replace

    from organza.models.sampling import Sampling
    from organza.studio.attributes import by_classifier, read_labels
    from organza.studio.directions import independent, pca, regress, sefa, some_codes
    from organza.studio.mix import parse_layers

    sampling = Sampling(options.class_)
    layers = None if options.layers is None else tuple(parse_layers(options.layers, G.num_ws))
    if options.method == "sefa":
        return sefa(G, options.count, layers)
    if options.method == "pca":
        samples = 10000 if options.samples is None else options.samples
        found = pca(G, options.count, samples=samples, labels=options.class_)
    elif options.method == "labels":
        if options.labels is None:
            raise UserError("--labels is missing", hint="give a table of seeds and attributes")
        seeds, columns = read_labels(options.labels)
        found = [regress(G, name, answers, seeds, sampling) for name, answers in columns.items()]
    else:
        if options.classifier is None:
            raise UserError("--classifier is missing", hint="give a TorchScript file")
        seeds = list(range(2000 if options.samples is None else options.samples))
        names = [name.strip() for name in options.names.split(",") if name.strip()]
        answered = by_classifier(G, options.classifier, names, seeds, sampling)
        found = [regress(G, name, answers, seeds, sampling) for name, answers in answered.items()]
    if options.independent:
        found = independent(found, some_codes(G, labels=options.class_))
    return [replace(direction, layers=layers) for direction in found]
