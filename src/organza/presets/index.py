"""The names of all presets with a line each: all that lists and help need, known without importing PyTorch.

The settings of a family are Python values in the file of its name (`stylegan.py`, `translation.py` ...), under the same
names.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from organza.core.errors import UserError
from organza.presets.facts import FACTS, Facts

if TYPE_CHECKING:
    from organza.presets.run import Run

SUMMARIES: dict[str, dict[str, str]] = {
    "stylegan": {
        "stylegan2": "StyleGAN2 with settings chosen from the images' size",
        "stylegan2-256": "StyleGAN2 at 256x256 as in the paper, half the feature maps of config F",
        "stylegan2-512": "StyleGAN2 config F at 512x512",
        "stylegan2-1024": "StyleGAN2 config F at 1024x1024, as in the paper",
        "stylegan2-cifar": "StyleGAN2 for 32x32 images of many kinds, as StyleGAN2-ADA trains CIFAR-10",
        "stylegan2-tiny": "a small StyleGAN2 for laptops: faces at 64x64 within an hour on two cores",
        "stylegan2-demo": "what `make demo` trains: 32x32 in a few minutes on two cores",
        "stylegan2-a": "StyleGAN2's table 1, A: the StyleGAN it began with",
        "stylegan2-b": "B: A with weight demodulation",
        "stylegan2-c": "C: B with lazy regularisation",
        "stylegan2-d": "D: C with path lengths regularised",
        "stylegan2-e": "E: D without growing, with skip connections in G and residual ones in D",
        "stylegan2-f": "F: E with larger networks",
        "stylegan3-t": "StyleGAN3 config T: detail moves with what it belongs to",
        "stylegan3-r": "StyleGAN3 config R: the same for turning",
        "progan": "ProGAN with the paper's settings, for one GPU",
        "msg-progan": "MSG-GAN on ProGAN: all sizes at once, WGAN-GP",
        "msg-stylegan": "MSG-GAN on StyleGAN: all sizes at once, non-saturating loss and R1",
        "stylegan-a": "StyleGAN's table 1, A: the ProGAN it began with",
        "stylegan-b": "B: A with smoothing, from 8x8, non-saturating loss and R1, for longer",
        "stylegan-c": "C: B with a mapping network and styles",
        "stylegan-d": "D: C beginning with a learned constant",
        "stylegan-e": "E: D with noise",
        "stylegan-f": "F: E with style mixing: StyleGAN as in its paper",
        "lucidrains": "StyleGAN2 as lucidrains' package builds it, to train on from its files",
    },
    "translation": {
        "pix2pix": "pix2pix: learns from pairs, such as label maps and facades",
        "pix2pix-pixel": "pix2pix whose discriminator sees single pixels: colours alone",
        "pix2pix-16": "pix2pix whose discriminator sees 16x16 patches",
        "pix2pix-286": "pix2pix whose discriminator sees 286x286 patches: all of an image",
        "cyclegan": "CycleGAN: learns from two sets without pairs",
        "ugatit": "U-GAT-IT: two sets without pairs that differ in shape, such as selfies and anime",
        "ugatit-light": "U-GAT-IT with a 26th of the weights, for images of any size",
        "photo2cartoon": "Photo2Cartoon: cartoons from portraits that stay who they are",
        "photo2cartoon-full": "Photo2Cartoon whose style comes from every feature, for images of one size",
        "stargan": "StarGAN: one network for many domains, such as hair colours or expressions, from labels",
        "bicyclegan": "BicycleGAN: learns from pairs, and makes many results of one image",
        "cut": "CUT: learns from two sets one way, by contrasting patches",
        "fastcut": "FastCUT: CUT in half the time, nearer to the source",
        "dualgan": "DualGAN: CycleGAN's loop with Wasserstein critics and U-Nets",
        "discogan": "DiscoGAN: two sets at 64x64 that share what a relation keeps",
        "pix2pixhd": "pix2pixHD: learns from pairs at high resolution, coarse first; label maps, edits by region",
        "vid2vid": "vid2vid: videos from videos, such as label maps or drawings; remembers its last frames",
        "vid2vid-64": "a small vid2vid for laptops: videos at 64x64",
        "cartoongan": "CartoonGAN: photographs become cartoons with clear edges, one way, from two sets",
        "animegan": "AnimeGANv2: an anime style for photographs by a small network, one way, from two sets",
    },
    "text": {
        "stackgan": "StackGAN: images from text in two stages, such as faces from hair and eye colours",
        "stackgan-v2": "StackGAN++: images from text at all sizes at once; without captions, from noise alone",
    },
    "basic": {
        "autoencoder": "autoencoder: images to short codes and back",
        "vae": "variational autoencoder on DCGAN's pyramids",
        "vae-mlp": "variational autoencoder of the paper: one hidden layer each, for digits",
        "gan": "the first GAN: two perceptrons, for digits",
        "cgan": "conditional GAN: digits, or other small images, of the class that is asked for",
        "dcgan": "DCGAN with the paper's settings",
        "dcgan-course": "DCGAN for digits at 32x32, with normal codes",
        "lsgan": "LSGAN: least squares on DCGAN's networks",
        "wgan": "WGAN: a critic with clipped weights on DCGAN's networks",
        "wgan-gp": "WGAN-GP on DCGAN's networks, five critic steps",
        "ebgan": "EBGAN: the discriminator is an autoencoder, its error an energy",
        "ebgan-pt": "EBGAN whose images of a batch are kept apart (pull-away term)",
        "began": "BEGAN: autoencoder losses in equilibrium, with a figure of convergence",
    },
    "ensembles": {
        "lapgan": "LAPGAN: a pyramid of GANs that refine an image from coarse to fine",
        "gman": "GMAN: one generator against five discriminators",
        "mad-gan": "MAD-GAN: four generators, and a discriminator that names them",
        "triple-gan": "Triple-GAN: a generator and a classifier from a few labels and many images without",
    },
}
"""Family -> preset -> what it is for."""


@dataclass(frozen=True)
class Preset:
    """A named `Run` and a line that says what it is for.

    Example:
        >>> PRESETS["stylegan2"].run.data.mirror
        False
    """

    name: str
    family: str
    summary: str

    @property
    def facts(self) -> Facts:
        """Data, paper, size and cost."""
        return FACTS[self.name]

    @property
    def run(self) -> Run:
        """All settings; the first look at a family's imports its methods, and PyTorch."""
        runs: dict[str, Run] = import_module(f"organza.presets.{self.family}").RUNS
        return runs[self.name]


PRESETS: Mapping[str, Preset] = {
    name: Preset(name, family, summary) for family, names in SUMMARIES.items() for name, summary in names.items()
}


def preset(name: str) -> Preset:
    """The preset called ``name``.

    Raises:
        UserError: there is none; the message names the nearest.

    Example:
        >>> preset("dcgan").summary
        "DCGAN with the paper's settings"
    """
    if name not in PRESETS:
        raise UserError(f"no preset is called {name!r}", hint=_nearest(name))
    return PRESETS[name]


_KNOWN_AS = {
    "pggan": "progan",
    "stylegan1": "stylegan-f",
    "stylegan2-ada": "stylegan2 (with --augment ada)",
}


def _nearest(name: str) -> str:
    """What somebody may have meant: the same in other letters, a family of presets, or names that look alike.

    Example:
        >>> _nearest("stylegan")
        'did you mean one of stylegan-a to stylegan-f, or stylegan2?'
        >>> _nearest("StyleGAN3"), _nearest("dcgam")
        ('did you mean stylegan3-t or stylegan3-r?', 'did you mean dcgan?')
    """
    plain = name.strip().lower().replace("_", "-").replace(" ", "-")
    if plain in PRESETS or plain in _KNOWN_AS:
        return f"did you mean {_KNOWN_AS.get(plain, plain)}?"
    family = [preset for preset in PRESETS if preset.startswith(f"{plain}-")]
    near = difflib.get_close_matches(plain, [preset for preset in PRESETS if preset not in family], n=1)
    if len(family) > 2:
        return f"did you mean {', or '.join([f'one of {family[0]} to {family[-1]}', *near])}?"
    if found := family or near:
        return f"did you mean {' or '.join(found)}?"
    return "`organza presets` lists them"
