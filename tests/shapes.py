"""Presets as tiny methods, with what each of them is shown: images, pairs or two sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
import torch

from organza import PRESETS, Run
from organza.contract.data import Batch, DataSpec, translates


def toy(name: str) -> Run:
    """A preset with tiny networks."""
    run = PRESETS[name].run
    return replace(run, method=run.method.toy())


def kind(name: str) -> tuple[Any, ...]:
    """What tells a preset's tiny networks from others': the method, and its settings but for the size of numbers."""
    method: Any = toy(name).method
    values = [getattr(method, field.name) for field in fields(method)]
    coarse = [bool(v) if isinstance(v, (int, float)) else len(v) if isinstance(v, tuple) else v for v in values]
    return type(method), *map(str, coarse)


def _first(of: Callable[[str], Any]) -> list[Any]:
    first: dict[Any, str] = {}
    for name in PRESETS:
        first.setdefault(of(name), name)
    return [pytest.param(name, marks=[] if first[of(name)] == name else pytest.mark.slow) for name in PRESETS]


EACH = _first(kind)
"""Presets to try one by one; one that repeats another's kind is tried with the slow tests."""
METHODS = _first(lambda name: type(PRESETS[name].run.method))
"""The same where settings change nothing that matters: of each method the first preset, the others with the slow tests.
"""


def spec_of(name: str, side: int = 16) -> DataSpec:
    """Square RGB images, with sources where the method translates, and labels or words where it can't do without."""
    run = PRESETS[name].run
    if run.method.layout == "captioned":
        return DataSpec((side, side), 3, words=("blue", "eyes", "hair", "red"), text_length=3)
    labels = 0 if run.data.labels == "none" else 3
    frames = 7 if run.method.layout == "video" else 0
    return DataSpec((side, side), 3, labels, source=3 if translates(run.method.layout) else 0, frames=frames)


def batch_of(spec: DataSpec, count: int, seen: int = 0) -> Batch:
    """Noise, from PyTorch's default generator."""
    each = (count, spec.frames) if spec.frames else (count,)
    images = torch.rand(*each, spec.channels, *spec.resolution) * 2 - 1
    source = torch.rand(*each, spec.source, *spec.resolution) * 2 - 1 if spec.source else None
    flow = torch.rand(count, spec.frames - 1, 3, *spec.resolution).round() if spec.frames else None
    labels = (torch.arange(count)[:, None] % (spec.label_dim or 1) == torch.arange(spec.label_dim)).float()
    text = (torch.arange(count)[:, None] + torch.arange(spec.text_length)) % len(spec.words) + 1 if spec.words else None
    return Batch(images, labels, seen, source, text=text, flow=flow)
