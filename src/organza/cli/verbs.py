"""What the command can do: each verb with the room it lives in and a line of help."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import NamedTuple


class Verb(NamedTuple):
    """A verb: its module's package within `organza.cli` ("" for none), and a line of help."""

    room: str
    help: str


VERBS: dict[str, Verb] = {
    "demo": Verb("runs", "the whole way in a few minutes: draw pictures, train on them, make a film"),
    "train": Verb("runs", "train a GAN on your pictures; the same command again goes on"),
    "ladder": Verb("runs", "train a paper's table of changes at a small budget and draw it: stylegan, stylegan2"),
    "evaluate": Verb("metrics", "judge a network or pictures: FID, KID, precision and recall, path length ..."),
    "compare": Verb("runs", "put runs side by side: quality against images and time, speed, settings"),
    "generate": Verb("studio", "make pictures from seeds, one by one or in a grid"),
    "translate": Verb("translate", "translate images with a trained network: photos to paintings, sketches to photos"),
    "interpolate": Verb("studio", "make a seamless film from one seed to the next (.mp4, .gif, .webp)"),
    "walk": Verb("studio", "make a film of a random walk that ends where it began"),
    "truncation": Verb("studio", "draw seeds from truncated to full variety, with the average in the middle"),
    "mix": Verb("studio", "draw a table of seeds that take styles from other seeds"),
    "noise": Verb("studio", "draw what noise does to a picture"),
    "project": Verb("studio", "find the codes of pictures: what would a network draw them from?"),
    "encoder": Verb("studio", "train a network that guesses codes from pictures, for project to start from"),
    "directions": Verb("studio", "find directions in latent space: SeFa, GANSpace, labels, a classifier"),
    "edit": Verb("studio", "move pictures along directions: strips and films"),
    "blend": Verb("studio", "mix two networks layer by layer into a new one"),
    "redo": Verb("", "make a picture again from the JSON beside it"),
    "inspect": Verb("weights", "say what a file of weights is, without running anything of it"),
    "convert": Verb("weights", "write NVIDIA's or others' weights in Organza's layout, or ours in theirs"),
    "presets": Verb("", "list the presets, or show all settings of one"),
    "dataset": Verb("data", "look at data sets, build, export, align and fetch them"),
    "faces": Verb("data", "draw a data set of cartoon faces, to try things out without a download"),
    "doctor": Verb("", "check this machine: processor, memory, GPU, optional packages, speed"),
}
"""A verb's module has `Options`, its settings, and ``main(argv) -> exit code``."""


def module(verb: str) -> ModuleType:
    """The module of one of `VERBS`.

    Example:
        >>> module("presets").__name__
        'organza.cli.presets'
    """
    return importlib.import_module(".".join(filter(None, ("organza.cli", VERBS[verb].room, verb))))
