"""Text to image."""

from __future__ import annotations

from organza.contract.method import MethodConfig
from organza.data.options import CaptionedOptions
from organza.methods.text.stackgan import StackGAN
from organza.methods.text.stackgan_v2 import StackGANv2
from organza.presets.run import Run
from organza.training.settings import Training

METHODS: dict[str, type[MethodConfig]] = {"stackgan": StackGAN, "stackgan-v2": StackGANv2}

RUNS: dict[str, Run] = {
    # The encoder's 20 epochs, then 600 for each stage.
    "stackgan": Run(StackGAN(), Training(epochs=1220, batch=64), CaptionedOptions()),
    # Averages keep 0.999 of each step of 24 images.
    "stackgan-v2": Run(StackGANv2(), Training(epochs=620, batch=24, ema_kimg=16.6), CaptionedOptions()),
}
