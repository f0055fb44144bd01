"""A checkpoint as small as it can be used: the networks that make images, their weights in half the bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from organza.contract.model import Latents, Model
from organza.core.config import to_plain
from organza.core.errors import UserError
from organza.core.version import __version__
from organza.formats.folder import LICENCE_FILE
from organza.formats.weights import Weights, skeleton
from organza.models.norm_mode import FILE as NORM
from organza.tensors.records import RefusedError
from organza.training import checkpoint

Dtype = Literal["float32", "bf16"]
LEAST = 256
"""Tensors of fewer numbers stay float32: biases, gains and statistics, which weigh little and matter much."""


def write_slim(weights: Weights, dest: Path, dtype: Dtype, notes: Mapping[str, str] | None = None) -> Path:
    """Write a checkpoint folder without what only a training needs: discriminators, raw generators, optimizers.

    Args:
        weights: ours or somebody's.
        dest: a new folder; it appears whole or not at all.
        dtype: of matrices and kernels. Organza computes in float32 with either.
        notes: other text files to go with it.

    Raises:
        UserError: ``dest`` is there already or can't be written, or the weights can't be read.
    """
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise UserError("is there already", where=dest, hint="give a new name")
    try:
        models = skeleton(weights.config, weights.spec).models.values()
    except RefusedError as error:
        raise UserError(f"settings that can't be used: {error}", where=weights.path) from None
    main, others = {model.net for model in models}, {name for model in models for name in _helpers(model)}
    ema = {f"{net}.{key}": value for net in main for key, value in weights.tensors(_held(weights, net)).items()}
    nets = {
        f"{net}.{key}": value
        for net in others - main
        if net in weights.nets or f"{net}_ema" in weights.nets
        for key, value in weights.tensors(_held(weights, net)).items()
    }
    config = {
        "organza": __version__,
        "method": weights.method,
        "spec": to_plain(weights.spec),
        "config": to_plain(weights.config),
        "source": {"file": weights.path.name, "format": weights.format, "licence": weights.licence},
    }
    said = f"These weights come from {weights.path.name} ({weights.format}).\n{weights.licence}.\n"
    texts = {**({} if weights.licence is None else {LICENCE_FILE: said}), **(notes or {})}
    tensors = {"ema": narrow(ema, dtype)} | ({"nets": narrow(nets, dtype)} if nets else {})
    norm, about = checkpoint.read_added(weights.path, NORM) if weights.path.is_dir() else ({}, {})
    if about:
        tensors[NORM] = norm
    checkpoint.write(dest, config, tensors, notes=texts, metadata={NORM: about})
    return dest


def narrow(tensors: Mapping[str, Tensor], dtype: Dtype) -> dict[str, Tensor]:
    """Matrices and kernels in ``dtype``; all else as it is.

    Example:
        >>> found = narrow({"a": torch.ones(32, 32), "b": torch.ones(999)}, "bf16")
        >>> found["a"].dtype, found["b"].dtype
        (torch.bfloat16, torch.float32)
    """
    wide = dtype == "float32"
    return {
        name: value
        if wide or value.ndim < 2 or value.numel() < LEAST or value.dtype != torch.float32
        else value.bfloat16()
        for name, value in tensors.items()
    }


def _helpers(model: Model) -> list[str]:
    """Networks that a model is used with beside its generator."""
    found = [model.encoder]
    if isinstance(model, Latents):
        found += [model.classifier, None if model.text is None else model.text.encoder]
    return [name for name in found if name is not None]


def _held(weights: Weights, net: str) -> str:
    return f"{net}_ema" if f"{net}_ema" in weights.nets else net
