"""Text to image."""

from __future__ import annotations

from organza.contract.method import MethodConfig
from organza.data.options import CaptionedOptions
from organza.methods.text.stackgan import StackGAN
from organza.presets.run import Run
from organza.training.settings import Training

METHODS: dict[str, type[MethodConfig]] = {"stackgan": StackGAN}

RUNS: dict[str, Run] = {
    # The encoder's 20 epochs, then 600 for each stage.
    "stackgan": Run(StackGAN(), Training(epochs=1220, batch=64), CaptionedOptions()),
}
