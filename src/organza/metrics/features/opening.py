"""A name or a file to a feature network."""

from __future__ import annotations

from pathlib import Path

import torch

from organza.core.device import choose_device
from organza.core.errors import UserError
from organza.metrics.features import organza64
from organza.metrics.features.base import Features, Output, keyed

DEFAULT = "organza64"
FEATURES = ("organza64", "inception", "lenet")
"""Networks that have a name; any TorchScript or ONNX file is one too."""


def open_features(name: str | Path = DEFAULT, *, device: str | torch.device | None = None) -> Features:
    """Open a feature network.

    Args:
        name: ``"organza64"`` (ours, comes with the package), ``"inception"`` (the standard one, fetched on first use),
            ``"inception:PATH"``, ``"lenet"`` and ``"lenet:PATH"`` (for digits), or a TorchScript or ONNX file.
        device: where to run; None takes the GPU where there is one.

    Raises:
        UserError: no such network, or its file can't be had, read or used.

    Example:
        >>> open_features("organza64", device="cpu").dim
        128
    """
    where = choose_device(None if device is None else str(device))
    kind, _, rest = str(name).partition(":")
    if kind == "organza64" and not rest:
        return _organza64(where)
    raise UserError(f"no feature network is called {str(name)!r}", hint=f"choose {', '.join(FEATURES)}, or give a file")


def metric_prefix(features: Features, metric: str = "fd") -> str:
    """How a metric in these features is called: only the standard Inception gives ``fid`` and ``kid``.

    Args:
        features: the network.
        metric: ``"fd"`` (Frechet distance) or ``"kd"`` (kernel distance), or another metric's short name.

    Example:
        >>> metric_prefix(open_features("organza64", device="cpu"), "kd")
        'kd_organza64'
    """
    if features.standard:
        return {"fd": "fid", "kd": "kid"}.get(metric, metric)
    return f"{metric}_{features.name}"


def _organza64(device: torch.device) -> Features:
    net = organza64.load(device)
    return Features(
        name="organza64",
        dim=organza64.DIM,
        digest=keyed(organza64.digest(), organza64.VERSION),
        resize=organza64.RESIZE,
        device=device,
        run=lambda images: Output(net(organza64.prepare(images)), None),
    )
