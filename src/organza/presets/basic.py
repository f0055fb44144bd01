"""DCGAN and what is built on its pyramids."""

from __future__ import annotations

from dataclasses import replace

from organza.contract.method import MethodConfig
from organza.methods.basic.dcgan import DCGAN
from organza.methods.basic.vae import VAE
from organza.methods.basic.wgan_gp import WGANGP
from organza.presets.run import Run
from organza.training.settings import Training

METHODS: dict[str, type[MethodConfig]] = {"dcgan": DCGAN, "wgan-gp": WGANGP, "vae": VAE}

_dcgan = Run(DCGAN(), Training(kimg=2000, batch=128, ema_kimg=10))

RUNS: dict[str, Run] = {
    "dcgan": _dcgan,
    "wgan-gp": replace(_dcgan, method=WGANGP(), training=replace(_dcgan.training, batch=64)),
    "vae": Run(VAE(), Training(kimg=1000, batch=64, ema_kimg=10)),
}
