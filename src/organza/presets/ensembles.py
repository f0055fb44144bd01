"""Games of more than two players, and of several sizes at once."""

from __future__ import annotations

from organza.contract.method import MethodConfig
from organza.data.options import PartlyLabelled
from organza.methods.ensembles.gman import GMAN
from organza.methods.ensembles.lapgan import LAPGAN
from organza.methods.ensembles.mad_gan import MADGAN
from organza.methods.ensembles.triple_gan import TripleGAN
from organza.presets.run import Run
from organza.training.settings import Training

METHODS: dict[str, type[MethodConfig]] = {"lapgan": LAPGAN, "gman": GMAN, "mad-gan": MADGAN, "triple-gan": TripleGAN}

RUNS: dict[str, Run] = {
    "lapgan": Run(LAPGAN(), Training(kimg=10000, batch=100, ema_kimg=10, grid="4x6")),
    # 25 epochs of 600 steps, each of 100 images for every discriminator.
    "gman": Run(GMAN(), Training(kimg=7500, batch=500, ema_kimg=10)),
    "mad-gan": Run(MADGAN(), Training(kimg=2000, batch=128, ema_kimg=10)),
    # The average of C is the authors', 1% of the new weights at each step; 30 epochs of C alone, then 1,000.
    "triple-gan": Run(
        TripleGAN(),
        Training(epochs=1030, batch=100, ema_kimg=6.9, ema_rampup=None, snapshot_kimg=600, tick_kimg=10, grid="10x6"),
        PartlyLabelled(labels="auto"),
    ),
}
