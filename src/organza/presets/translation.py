"""Image-to-image translation."""

from __future__ import annotations

from dataclasses import replace

from organza.contract.method import MethodConfig
from organza.data.options import DomainOptions, LabelledOptions, VideoOptions
from organza.methods.translation.animegan import AnimeGAN
from organza.methods.translation.bicyclegan import BicycleGAN
from organza.methods.translation.cartoongan import CartoonGAN
from organza.methods.translation.cut import CUT
from organza.methods.translation.cyclegan import CycleGAN
from organza.methods.translation.discogan import DiscoGAN
from organza.methods.translation.dualgan import DualGAN
from organza.methods.translation.photo2cartoon import Photo2Cartoon
from organza.methods.translation.pix2pix import Pix2Pix
from organza.methods.translation.pix2pixhd import Pix2PixHD
from organza.methods.translation.stargan import StarGAN
from organza.methods.translation.ugatit import UGATIT
from organza.methods.translation.vid2vid import Vid2Vid
from organza.presets.run import Run
from organza.training.settings import Training

METHODS: dict[str, type[MethodConfig]] = {
    "pix2pix": Pix2Pix,
    "cyclegan": CycleGAN,
    "bicyclegan": BicycleGAN,
    "ugatit": UGATIT,
    "photo2cartoon": Photo2Cartoon,
    "stargan": StarGAN,
    "cut": CUT,
    "dualgan": DualGAN,
    "discogan": DiscoGAN,
    "pix2pixhd": Pix2PixHD,
    "vid2vid": Vid2Vid,
    "cartoongan": CartoonGAN,
    "animegan": AnimeGAN,
}

# As the PyTorch results were trained: single images, a constant rate for 100 epochs, then 100 falling to zero.
_paper = Training(epochs=200, batch=1, lr_decay=0.5, tick_kimg=0.4, snapshot_kimg=4, grid="2x4")
_jittered = DomainOptions(mirror=True)
_whole = DomainOptions(jitter=1.0)
_whole_mirrored = DomainOptions(jitter=1.0, mirror=True)
_small = DomainOptions(jitter=1.0, resolution="64")

# U-GAT-IT and Photo2Cartoon: a million single images, the second half with a rate that falls to zero.
_million = Training(kimg=1000, batch=1, lr_decay=0.5, snapshot_kimg=10, grid="2x4", metrics="none")

# StarGAN: 200,000 steps of 16 images, the second half with a rate that falls to zero.
_steps = Training(kimg=3200, batch=16, lr_decay=0.5, snapshot_kimg=80, grid="1x8", metrics="none")

# Twenty epochs in which each of Cityscapes' 2,975 videos is shown once; the rate falls to zero in the second half.
_videos = Training(kimg=60, batch=1, lr_decay=0.5, tick_kimg=0.1, snapshot_kimg=2, grid="2x4", metrics="none")

RUNS: dict[str, Run] = {
    "pix2pix": Run(Pix2Pix(), _paper, _jittered),
    "pix2pix-pixel": Run(Pix2Pix(layers_d=0), _paper, _jittered),
    "pix2pix-16": Run(Pix2Pix(layers_d=1), _paper, _jittered),
    "pix2pix-286": Run(Pix2Pix(layers_d=5), _paper, _jittered),
    "cyclegan": Run(CycleGAN(), _paper, _jittered),
    "ugatit": Run(UGATIT(), _million, _jittered),
    "ugatit-light": Run(UGATIT(light=True), _million, _jittered),
    "photo2cartoon": Run(Photo2Cartoon(), _million, _jittered),
    "photo2cartoon-full": Run(Photo2Cartoon(light=False), _million, _jittered),
    "stargan": Run(StarGAN(), _steps, LabelledOptions(labels="auto", mirror=True)),
    "bicyclegan": Run(BicycleGAN(), replace(_paper, batch=2), _jittered),
    "cut": Run(CUT(), replace(_paper, epochs=400), _jittered),
    "fastcut": Run(
        CUT(nce_weight=10.0, nce_identity=False, mirror_half=True), replace(_paper, lr_decay=0.25), _jittered
    ),
    "dualgan": Run(DualGAN(), replace(_paper, epochs=45, lr_decay=0.0), _whole),
    "discogan": Run(
        DiscoGAN(), Training(kimg=6400, batch=64, tick_kimg=6.4, snapshot_kimg=128, grid="2x8", metrics="none"), _small
    ),
    "pix2pixhd": Run(Pix2PixHD(), replace(_paper, epochs=300, lr_decay=0.0), _whole_mirrored),
    "vid2vid": Run(Vid2Vid(), _videos, VideoOptions(mirror=True)),
    "vid2vid-64": Run(
        Vid2Vid(width=16, blocks=4, halvings=2, width_d=16, layers_d=2, recompute=False),
        replace(_videos, kimg=2, tick_kimg=0.05, snapshot_kimg=0.5),
        VideoOptions(resolution="64", frames=12),
    ),
    "cartoongan": Run(CartoonGAN(), replace(_paper, epochs=110, batch=8, lr_decay=0.0), _whole),
    "animegan": Run(AnimeGAN(), replace(_paper, epochs=101, batch=12, lr_decay=0.0), _whole),
}
