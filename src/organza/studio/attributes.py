"""Answers about images of seeds, for `organza.studio.directions.regress`: from a table or from a classifier."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from organza.core.errors import UserError
from organza.core.files import user_path
from organza.models.sampling import Sampling
from organza.studio.codes import codes, raw

if TYPE_CHECKING:
    from organza.models.generator import Generator


def read_labels(path: str | os.PathLike[str]) -> tuple[list[int], dict[str, list[float]]]:
    """A table with a head: the seeds in its first column, and each other column as answers from 0 to 1.

    Raises:
        UserError: no such file, or not such a table.

    Example:
        >>> _ = (folder / "a.csv").write_text("seed,smile\\n3,1\\n5,0\\n")
        >>> read_labels(folder / "a.csv")
        ([3, 5], {'smile': [1.0, 0.0]})
    """
    hint = "the head is seed,NAME,NAME ...; each row is a seed and an answer from 0 to 1 for each name"
    try:
        rows = [row for row in csv.reader(user_path(path).read_text(encoding="utf-8-sig").splitlines()) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError("can't be read", where=path, hint=hint) from error
    if len(rows) < 2 or len(rows[0]) < 2:
        raise UserError("is no table of attributes", where=path, hint=hint)
    head, body = [name.strip() for name in rows[0]], rows[1:]
    columns: dict[str, list[float]] = {name: [] for name in head[1:]}
    seeds: list[int] = []
    for number, row in enumerate(body, 2):
        try:
            seeds.append(int(row[0]))
            for name, text in zip(head[1:], row[1:], strict=True):
                columns[name].append(float(text))
        except ValueError as error:
            raise UserError(f"row {number} is not a seed and {len(columns)} answers", where=path, hint=hint) from error
    return seeds, columns


def by_classifier(
    G: Generator,
    path: str | os.PathLike[str],
    names: Sequence[str],
    seeds: Sequence[int],
    sampling: Sampling = Sampling(),
) -> dict[str, Tensor]:
    """What a TorchScript classifier says of the images of ``seeds``: probabilities ``[N]`` by attribute.

    Args:
        G: a network from `organza.load`.
        path: a network from images ``[N, C, H, W]`` in [-1, 1] to logits ``[N]`` or ``[N, attributes]``.
        names: of the attributes; empty for ``attribute0``, ``attribute1`` ...
        seeds: which images.
        sampling: labels, truncation and noise.

    Raises:
        UserError: not such a network, or another number of names.
    """
    ws = codes(G, seeds, sampling)
    try:
        net = torch.jit.load(str(user_path(path)), map_location=G.device).eval()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            logits = torch.cat([net(image.clamp(-1, 1)).reshape(1, -1) for image in raw(G, ws, sampling.noise, seeds)])
    except (RuntimeError, ValueError, OSError) as error:
        hint = f"give a TorchScript file for images [N, {G.channels}, {G.resolution[0]}, {G.resolution[1]}]"
        raise UserError("is no classifier for these images", where=path, hint=hint) from error
    names = names or [f"attribute{index}" for index in range(logits.shape[1])]
    if len(names) != logits.shape[1]:
        raise UserError(f"{len(names)} names for {logits.shape[1]} attributes", where=path, hint="name each, or none")
    return {name: logits[:, index].sigmoid() for index, name in enumerate(names)}
