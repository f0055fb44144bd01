"""The first generative networks: autoencoders, the first GANs, and what changed their loss."""

from __future__ import annotations

from dataclasses import replace

from organza.contract.method import MethodConfig
from organza.data import DataOptions
from organza.methods.basic.autoencoder import Autoencoder
from organza.methods.basic.began import BEGAN
from organza.methods.basic.cgan import CGAN
from organza.methods.basic.dcgan import DCGAN
from organza.methods.basic.ebgan import EBGAN
from organza.methods.basic.gan import GAN
from organza.methods.basic.lsgan import LSGAN
from organza.methods.basic.vae import VAE
from organza.methods.basic.wgan import WGAN
from organza.methods.basic.wgan_gp import WGANGP
from organza.presets.run import Run
from organza.training.settings import Training

METHODS: dict[str, type[MethodConfig]] = {
    "autoencoder": Autoencoder,
    "vae": VAE,
    "gan": GAN,
    "cgan": CGAN,
    "dcgan": DCGAN,
    "lsgan": LSGAN,
    "wgan": WGAN,
    "wgan-gp": WGANGP,
    "ebgan": EBGAN,
    "began": BEGAN,
}

# Fully connected networks are for small images: the digits of MNIST as they are.
_digits = DataOptions(resolution="28")
_vae = Run(VAE(), Training(kimg=1000, batch=64, ema_kimg=10))
_gan = Run(GAN(), Training(kimg=6000, batch=100, ema_kimg=10), _digits)
_dcgan = Run(DCGAN(), Training(kimg=2000, batch=128, ema_kimg=10))
_ebgan = replace(_dcgan, method=EBGAN(), training=replace(_dcgan.training, batch=64))

RUNS: dict[str, Run] = {
    "autoencoder": replace(_vae, method=Autoencoder()),
    "vae": _vae,
    "vae-mlp": Run(
        VAE(networks="mlp", z_dim=20, likelihood="bernoulli", lr=0.001),
        Training(kimg=6000, batch=100, ema_kimg=10),
        _digits,
    ),
    "gan": _gan,
    "cgan": replace(_gan, method=CGAN(), data=replace(_digits, labels="auto")),
    "dcgan": _dcgan,
    "dcgan-course": replace(_dcgan, method=DCGAN(latent="normal"), data=DataOptions(resolution="32")),
    "lsgan": replace(_dcgan, method=LSGAN(), training=replace(_dcgan.training, batch=64)),
    "wgan": replace(_dcgan, method=WGAN(), training=replace(_dcgan.training, batch=64)),
    "wgan-gp": replace(_dcgan, method=WGANGP(), training=replace(_dcgan.training, batch=64)),
    "ebgan": _ebgan,
    "ebgan-pt": replace(_ebgan, method=EBGAN(pt_weight=0.1)),
    "began": Run(
        BEGAN(), Training(kimg=8000, batch=16, ema_kimg=10, metrics="convergence"), DataOptions(resolution="64")
    ),
}
