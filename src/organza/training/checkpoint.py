"""Checkpoints: a folder that appears whole or not at all.

```
checkpoints/000012800/        named after the images seen
    config.json               the run's settings and what the networks were built for
    ema.safetensors           averaged networks: what generators use
    nets.safetensors          all networks as they train
    resume.pt                 optimizers, method state and position: tensors and plain values only
checkpoints/latest            name of the newest
```
Nothing in it can run code. Everything random in a training follows from the seed and the images seen, so there is no
generator state to keep.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from organza.core.errors import UserError
from organza.core.files import atomic_write, fsync_dir
from organza.core.jsons import read_json

FORMAT = 1


@dataclass(frozen=True)
class Position:
    """Where a training stands."""

    seen: int = 0
    step: int = 0
    seconds: float = 0.0
    stage: int = 0


def flatten(nets: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """The tensors of several networks under names like ``G.mapping.fc0.weight``."""
    return {f"{n}.{k}": v.detach().cpu().contiguous() for n, net in nets.items() for k, v in net.state_dict().items()}


def unflatten(nets: Mapping[str, nn.Module], tensors: Mapping[str, Tensor], where: object) -> None:
    """Copy tensors into networks; names and shapes must agree.

    Raises:
        UserError: a missing, unknown or misshaped tensor.
    """
    wanted = {f"{n}.{k}": v for n, net in nets.items() for k, v in net.state_dict().items()}
    if odd := sorted(set(wanted) ^ set(tensors)):
        raise UserError(f"tensor {odd[0]!r} is {'missing' if odd[0] in wanted else 'unknown'}", where=where)
    for name, value in wanted.items():
        if tensors[name].shape != value.shape:
            raise UserError(f"tensor {name!r} is {list(tensors[name].shape)}, not {list(value.shape)}", where=where)
        value.copy_(tensors[name])


def save(
    folder: Path,
    config: Mapping[str, Any],
    ema: Mapping[str, nn.Module],
    nets: Mapping[str, nn.Module],
    resume: Mapping[str, Any],
    *,
    seen: int,
    keep: int = 0,
) -> Path:
    """Write a checkpoint into ``folder``, whole or not at all, and drop the oldest beyond ``keep``.

    Raises:
        UserError: the disk is full or the folder can't be written; older checkpoints stay as they were.
    """
    final = folder / f"{seen:09d}"
    work = folder / f".{final.name}.part"
    try:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        (work / "config.json").write_text(json.dumps({"format": FORMAT, **config}, indent=2) + "\n")
        save_file(flatten(ema), work / "ema.safetensors")
        save_file(flatten(nets), work / "nets.safetensors")
        torch.save(dict(resume), work / "resume.pt")
        for file in work.iterdir():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
        fsync_dir(work)
        if final.exists():  # found broken on resume, and reached again from an older one
            shutil.rmtree(final.rename(folder / f".{final.name}.old"))
        work.rename(final)
        fsync_dir(folder)
        with atomic_write(folder / "latest") as temporary:
            temporary.write_text(final.name + "\n")
    except (OSError, SafetensorError, RuntimeError) as error:
        shutil.rmtree(work, ignore_errors=True)
        older = [str(path) for path in newest_first(folder)]
        raise UserError(
            f"could not save a checkpoint ({error})",
            where=folder,
            hint=f"make room or rights; {older[0]} is intact" if older else "make room or rights",
        ) from error
    if keep:
        for old in list(newest_first(folder))[keep:]:
            shutil.rmtree(old, ignore_errors=True)
    return final


def newest_first(folder: Path) -> Iterator[Path]:
    """The complete checkpoints of a run, newest first."""
    if folder.is_dir():
        yield from sorted((p for p in folder.iterdir() if p.is_dir() and p.name.isdigit()), reverse=True)


def read_config(checkpoint: Path) -> dict[str, Any]:
    """A checkpoint's ``config.json``.

    Raises:
        UserError: it is missing, broken or of a newer format.
    """
    path = checkpoint / "config.json"
    try:
        config: dict[str, Any] = read_json(path.read_bytes(), path)
        found = config.pop("format")
    except (OSError, KeyError, AttributeError, TypeError) as error:
        raise UserError(f"not a readable checkpoint ({error})", where=path) from error
    if found != FORMAT:
        raise UserError(f"checkpoint format {found} is not {FORMAT}", where=path, hint="update Organza")
    return config


def read_nets(checkpoint: Path, which: str) -> dict[str, Tensor]:
    """The tensors of ``ema.safetensors`` or ``nets.safetensors``.

    Raises:
        UserError: the file is missing or truncated.
    """
    path = checkpoint / f"{which}.safetensors"
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"broken checkpoint ({error})", where=path, hint="use an older checkpoint") from error


def read_resume(checkpoint: Path) -> dict[str, Any]:
    """What a training needs beside the networks. Only tensors and plain values are accepted.

    Raises:
        UserError: the file is missing, truncated or holds anything else.
    """
    path = checkpoint / "resume.pt"
    try:
        loaded: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return loaded
    except Exception as error:  # torch raises many kinds for a broken file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"broken checkpoint ({reason})", where=path, hint="use an older checkpoint") from error
