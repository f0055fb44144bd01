"""A name or a file to a feature network."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from organza.core.device import choose_device
from organza.core.download import digest
from organza.core.errors import UserError
from organza.core.sniff import refuse_stand_in
from organza.core.successors import current
from organza.vision import published
from organza.vision.features import files, inception, lenet, voile64
from organza.vision.features.base import Features, Output, keyed

DEFAULT = "voile64"
FEATURES = ("voile64", "inception", "lenet")
"""Networks that have a name; any TorchScript or ONNX file is one too."""


def open_features(name: str | Path = DEFAULT, *, device: str | torch.device | None = None) -> Features:
    """Open a feature network.

    Args:
        name: ``"voile64"`` (ours, comes with the package), ``"inception"`` (the standard one, fetched on first use),
            ``"inception:PATH"`` (a pytorch-fid file, or NVIDIA's TorchScript), ``"lenet:PATH"`` (for digits), or a
            TorchScript or ONNX file, with options as in ``net.onnx?size=224&range=-1,1`` (see
            `organza.vision.features.files.Convention`).
        device: where to run; None takes the GPU where there is one.

    Raises:
        UserError: no such network, or its file can't be had, read or used.

    Example:
        >>> open_features("voile64", device="cpu").dim
        128
        >>> open_features("resnet")
        Traceback (most recent call last):
        ...
        organza.core.errors.UserError: no feature network is called 'resnet'; choose voile64, inception, lenet, or ...
    """
    text = current(str(name))
    kind, _, rest = text.partition(":")
    if text == "voile64":
        return _voile64(choose_device(_text(device)))
    if kind == "inception":
        path = _existing(rest) if rest else published.fetch("inception")
        return _inception(path, choose_device(_text(device)))
    if kind == "lenet":
        if not rest:
            raise UserError("LeNet's weights don't come with the package", hint="say which file: --features lenet:PATH")
        return _lenet(_existing(rest), choose_device(_text(device)))
    if (found := _file_and_options(text)) is None:
        hint = f"choose {', '.join(FEATURES)}, or give a TorchScript or ONNX file"
        raise UserError(f"no feature network is called {text!r}", hint=hint)
    return _any(*found, choose_device(_text(device)))


def metric_prefix(features: Features, metric: str = "fd") -> str:
    """How a metric in these features is called: only the standard Inception gives ``fid`` and ``kid``.

    Args:
        features: the network.
        metric: ``"fd"`` (Frechet distance) or ``"kd"`` (kernel distance), or another metric's short name.

    Example:
        >>> metric_prefix(open_features("voile64", device="cpu"), "kd")
        'kd_voile64'
    """
    if features.standard:
        return {"fd": "fid", "kd": "kid"}.get(metric, metric)
    return f"{metric}_{features.name}"


def _text(device: str | torch.device | None) -> str | None:
    return None if device is None else str(device)


def _existing(text: str) -> Path:
    path = Path(text).expanduser()
    if not path.is_file():
        raise UserError("does not exist" if not path.exists() else "is not a file", where=path)
    refuse_stand_in(path)
    return path


def _file_and_options(text: str) -> tuple[Path, str] | None:
    """The file of ``path?options``; a question mark may be part of the path."""
    if Path(text).expanduser().is_file():
        return Path(text).expanduser(), ""
    head, mark, options = text.rpartition("?")
    path = Path(head if mark else text).expanduser()
    if path.is_file():
        return path, options
    if path.suffix or len(path.parts) > 1:  # meant as a path
        raise UserError("does not exist" if not path.exists() else "is not a file", where=path)
    return None


def _voile64(device: torch.device) -> Features:
    net = voile64.load(device)
    return Features(
        name="voile64",
        dim=voile64.DIM,
        digest=keyed(voile64.digest(), voile64.VERSION),
        resize=voile64.RESIZE,
        device=device,
        run=lambda images: Output(net(voile64.prepare(images)), None),
    )


def _inception(path: Path, device: torch.device) -> Features:
    sha256, script = digest(path), files.is_torchscript(path)
    known = {published.PUBLISHED[key].sha256 for key in ("inception", "inception-torchscript")}
    return Features(
        name="inception" if sha256 in known else f"inception-{sha256[:8]}",
        dim=inception.DIM,
        digest=keyed(sha256, inception.VERSION),
        resize=inception.RESIZE,
        device=device,
        run=(inception.load_script if script else inception.load)(path, device),
        standard=sha256 in known,
    )


def _lenet(path: Path, device: torch.device) -> Features:
    sha256 = digest(path)
    return Features(
        name="lenet" if sha256 == lenet.SHA256 else f"lenet-{sha256[:8]}",
        dim=lenet.DIM,
        digest=keyed(sha256, lenet.VERSION),
        resize=lenet.RESIZE,
        device=device,
        run=lenet.load(path, device),
    )


def _any(path: Path, options: str, device: torch.device) -> Features:
    convention = files.parse(options, path)
    run, dim, convention = files.open_any(path, convention, device)
    sha256 = digest(path)
    return Features(
        name=f"{re.sub(r'[^A-Za-z0-9.-]+', '_', path.stem)}-{sha256[:8]}",
        dim=dim,
        digest=keyed(sha256, files.VERSION, convention),
        resize=convention.words,
        device=device,
        run=run,
    )
