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
    "demo": Verb("runs", "the whole way in a few minutes: a dataset, training, samples, a video"),
    "train": Verb("runs", "train a GAN on your images; the same command again continues"),
    "ladder": Verb("runs", "train all configs of a paper's table (stylegan, stylegan2) on a small budget"),
    "evaluate": Verb("metrics", "metrics of a network or of images: FID, KID, precision and recall, path length ..."),
    "compare": Verb("runs", "compare runs: metrics against images and time, speed, settings"),
    "bench": Verb("runs", "try out papers' claims: which GANs find all modes, why Wasserstein"),
    "generate": Verb("studio", "generate images from seeds, one by one or in a grid"),
    "translate": Verb("translate", "translate images with a trained network: photos to paintings, sketches to photos"),
    "cartoon": Verb("translate", "photographs to cartoon portraits: every face found, translated, pasted back"),
    "interpolate": Verb("studio", "make an interpolation video through seeds, as a seamless loop (.mp4, .gif, .webp)"),
    "walk": Verb("studio", "make a video of a random walk in latent space that ends where it began"),
    "truncation": Verb("studio", "a figure of seeds from truncated to full variety, with the average in the middle"),
    "mix": Verb("studio", "a style-mixing table of seeds that take styles from other seeds"),
    "noise": Verb("studio", "a figure of what the noise inputs do to an image"),
    "project": Verb("studio", "project images into latent space: the codes that generate them"),
    "reconstruct": Verb("studio", "show images beside what an autoencoder makes of their codes, or what lies between"),
    "encoder": Verb("studio", "train a network that predicts codes of images, for project to start from"),
    "directions": Verb("studio", "find directions in latent space: SeFa, GANSpace, labels, a classifier"),
    "edit": Verb("studio", "move images along directions: strips and videos"),
    "blend": Verb("studio", "blend two networks layer by layer into a new one"),
    "toonify": Verb("runs", "two networks to a translator: blend them, generate pairs, train a student on them"),
    "redo": Verb("", "make an image again from the JSON beside it"),
    "studio": Verb("web", "a page in the browser for all of this: sliders, directions, training, a queue of jobs"),
    "serve": Verb("web", "serve networks over HTTP: generate and translate for other programs"),
    "inspect": Verb("weights", "show what a file of weights is, without running anything of it"),
    "convert": Verb("weights", "convert NVIDIA's or others' weights to Organza's layout, or ours to theirs"),
    "export": Verb("weights", "write a network for other programs: ONNX, TorchScript, or a page for a browser"),
    "zoo": Verb("weights", "list the networks that come with Organza, or show the card of one"),
    "push": Verb("weights", "send a network to the Hugging Face hub"),
    "presets": Verb("", "list the presets, or show all settings of one"),
    "dataset": Verb("data", "inspect, build, export, align and download datasets"),
    "faces": Verb("data", "render a dataset of cartoon faces, to try things out without a download"),
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
