"""Presets as tiny methods, with what each of them is shown: images, pairs or two sets."""

from __future__ import annotations

from dataclasses import replace

import torch

from organza import PRESETS, Run
from organza.contract.data import Batch, DataSpec


def toy(name: str) -> Run:
    """A preset with tiny networks."""
    run = PRESETS[name].run
    return replace(run, method=run.method.toy())


def spec_of(name: str, side: int = 16) -> DataSpec:
    """Square RGB images, and sources where the method translates."""
    translates = PRESETS[name].run.method.layout != "images"
    return DataSpec((side, side), 3, 0, source=3 if translates else 0)


def batch_of(spec: DataSpec, count: int, seen: int = 0) -> Batch:
    """Noise, from PyTorch's default generator."""
    images = torch.rand(count, spec.channels, *spec.resolution) * 2 - 1
    source = torch.rand(count, spec.source, *spec.resolution) * 2 - 1 if spec.source else None
    return Batch(images, torch.zeros(count, spec.label_dim), seen, source)
