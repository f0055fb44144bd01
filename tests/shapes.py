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
    """Square RGB images, with sources where the method translates, and labels where it can't do without."""
    run = PRESETS[name].run
    labels = 0 if run.data.labels == "none" else 3
    return DataSpec((side, side), 3, labels, source=0 if run.method.layout == "images" else 3)


def batch_of(spec: DataSpec, count: int, seen: int = 0) -> Batch:
    """Noise, from PyTorch's default generator."""
    images = torch.rand(count, spec.channels, *spec.resolution) * 2 - 1
    source = torch.rand(count, spec.source, *spec.resolution) * 2 - 1 if spec.source else None
    labels = (torch.arange(count)[:, None] % (spec.label_dim or 1) == torch.arange(spec.label_dim)).float()
    return Batch(images, labels, seen, source)
