"""Games of more than two players, and of several sizes at once."""

from __future__ import annotations

from organza.contract.method import MethodConfig
from organza.methods.ensembles.gman import GMAN
from organza.methods.ensembles.lapgan import LAPGAN
from organza.methods.ensembles.mad_gan import MADGAN
from organza.presets.run import Run
from organza.training.settings import Training

METHODS: dict[str, type[MethodConfig]] = {"lapgan": LAPGAN, "gman": GMAN, "mad-gan": MADGAN}

RUNS: dict[str, Run] = {
    "lapgan": Run(LAPGAN(), Training(kimg=10000, batch=100, ema_kimg=10, grid="4x6")),
    # 25 epochs of 600 steps, each of 100 images for every discriminator.
    "gman": Run(GMAN(), Training(kimg=7500, batch=500, ema_kimg=10)),
    "mad-gan": Run(MADGAN(), Training(kimg=2000, batch=128, ema_kimg=10)),
}
