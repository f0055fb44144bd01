"""Official StyleGAN2 weights into our networks: a test helper."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from organza.contract.data import DataSpec
from organza.contract.method import Method
from organza.formats import read_weights
from organza.methods.stylegan.stylegan2 import StyleGAN2


def load(path: Path, networks: str = "G_ema", **changes: object) -> tuple[StyleGAN2, DataSpec, Method]:
    """The configuration, data and method of a snapshot, with its ``G_ema`` or ``G`` and its ``D``."""
    weights = read_weights(path)
    assert isinstance(weights.config, StyleGAN2)
    config = replace(weights.config, **changes)  # type: ignore[arg-type]
    method = config.build(weights.spec)
    method.nets["G"].load_state_dict(weights.tensors(networks))
    method.nets["D"].load_state_dict(weights.tensors("D"))
    return config, weights.spec, method
