"""Whether translations of faces are still the same people, by a frozen network that knows faces.

A cosine alone says little, because any two faces have something in common: it is shown beside that of other people.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from organza.core.errors import UserError
from organza.core.files import user_path
from organza.media.images import as_input
from organza.metrics.intervals import bootstrap_mean
from organza.metrics.job import Job
from organza.metrics.names import Metric
from organza.metrics.pictures import Indices, Translated
from organza.metrics.report import Figure
from organza.vision.face_id import find_face_id, open_face_id
from organza.vision.helpers import find_helper


def by_faces(job: Job, metric: Metric) -> dict[str, Figure]:
    """Three figures: cosine of inputs and their outputs, of outputs and other people's inputs, and the share of outputs
    that are more like their own input than like any other."""
    translated, name = job.pictures, metric.title("face_id")
    assert isinstance(translated, Translated) and job.face_id is not None  # evaluate has seen to it
    net, count = open_face_id(job.face_id).to(translated.T.device), min(metric.count, translated.limit)

    def work(indices: Indices) -> tuple[Tensor, Tensor]:
        sources, made, _ = translated.triples(indices)
        vectors = [net(as_input(x.permute(0, 3, 1, 2).float().to(translated.T.device))).cpu() for x in (sources, made)]
        return vectors[0], vectors[1]

    with torch.no_grad():
        parts = job.team.spread(count, job.batch, work, job.on("faces compared"))
    inputs, outputs = (torch.cat(side).double() for side in zip(*parts, strict=True))
    found = {}
    network = job.face_id.name
    for ending, values in zip(metric.figures, kept(inputs, outputs), strict=True):
        interval = bootstrap_mean(values, job.seed) if job.intervals else None
        better = "lower" if ending == "_others" else "higher"
        figure = Figure(float(values.mean()), interval, count, 0, network, better, "bootstrap over images")
        found[f"{name}{ending}"] = figure
    return found


def kept(inputs: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each of ``N`` outputs: the cosine with its input, the mean cosine with other inputs, and whether its own is
    the nearest.

    Args:
        inputs, outputs: unit vectors ``[N, F]``, at least two.

    Example:
        >>> one, two, three = kept(torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
        >>> [x.tolist() for x in (one, two, three)]
        [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
    """
    cosines = outputs @ inputs.T
    own = cosines.diagonal()
    others = (cosines.sum(1) - own) / (len(own) - 1)
    return own, others, (cosines.argmax(1) == torch.arange(len(own))).to(own)


def face_file(given: str | os.PathLike[str] | None, judged: Any) -> Path:
    """The file of the network that compares faces.

    Args:
        given: a file, a folder of weights, or None.
        judged: what is evaluated; a run of photo2cartoon says by which network it was trained.

    Raises:
        UserError: there is none.
    """
    if given is not None:
        path = user_path(given)
        return find_face_id(path) if path.is_dir() else path
    source = getattr(judged, "source", None)
    config = None if source is None else Path(source) / "config.json"
    if config is not None and config.is_file():
        trained = json.loads(config.read_text()).get("config", {}).get("face_id")
        if isinstance(trained, str) and os.path.isfile(trained):
            return Path(trained)
    try:
        return find_helper("face-id")
    except UserError as error:
        hint = "say --weights-dir FOLDER, or --face-id FILE: model_mobilefacenet.pth or faceres.onnx"
        raise UserError("face_id compares faces by a network that does not come with Organza", hint=hint) from error
