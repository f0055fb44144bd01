"""Age and sex of faces, by faceres: which group somebody is in. Weights are never part of the package.

Ages are estimates; the network's own error is some years. Nothing here says who somebody is.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from organza.core.cache import cache_root
from organza.core.download import digest
from organza.core.errors import UserError
from organza.core.files import atomic_write, user_path
from organza.core.jsons import read_json
from organza.core.progress import Progress
from organza.data.dataset import Dataset
from organza.data.groups import Known, age_word
from organza.media.images import to_tensor
from organza.models.staged import Staged
from organza.vision.face_id.faceres import FaceRes
from organza.vision.helpers import own_folder

FILE = "faceres.onnx"
FACTORS = ("age", "sex")
"""What is known of each face."""
_BATCH = 16


def find_faceres(where: str | os.PathLike[str] | None = None) -> Path:
    """The file of the network that knows ages.

    Args:
        where: the file; or a folder of weights, with the file in it or in its folder ``faces``; None takes the folder
            ``weights`` of Organza's cache.

    Raises:
        UserError: it is not there.
    """
    root = own_folder() if where is None else user_path(where)
    if root.suffix.lower() == ".onnx" and root.is_file():
        return root
    for place in (root / "faces" / FILE, root / FILE):
        if place.is_file():
            return place
    hint = f"put {FILE} of the human package into its folder faces, or give groups by a table or folders"
    raise UserError("holds no network that knows ages", where=root, hint=hint)


def faceres_of(staged: Staged, weights_dir: str | os.PathLike[str] | None = None) -> Path:
    """The same for a training in stages.

    Args:
        staged: the training.
        weights_dir: see `find_faceres`; None looks where the training had it, then in the cache.

    Raises:
        UserError: it is not there.
    """
    if weights_dir is None and staged.faceres is not None and Path(staged.faceres).is_file():
        return Path(staged.faceres)
    return find_faceres(weights_dir)


def known(images: Tensor, net: FaceRes, ages: tuple[float, float]) -> list[Known]:
    """What is known of faces ``[N, 1 | 3 | 4, H, W]`` in [-1, 1]: ``{"age": "old", "sex": "male"}``.

    Args:
        images: aligned faces with some margin.
        net: the network.
        ages: see `organza.data.groups.parse_ages`.
    """
    return [_words(age, male, ages) for age, male in _look(images, net)]


def known_of(dataset: Dataset, file: Path, ages: tuple[float, float], progress: Progress | None = None) -> list[Known]:
    """The same of all images of a dataset. What was found is kept in the cache, by the content of images and network.

    Args:
        dataset: aligned faces.
        file: of the network.
        ages: see `organza.data.groups.parse_ages`.
        progress: called as ``progress(done, total)``.

    Raises:
        UserError: another network's file, or the cache can't be written.
    """
    asked = hashlib.sha256(f"{dataset.key} {digest(file)}".encode()).hexdigest()[:24]
    kept = cache_root() / "people" / f"{asked}.json"
    found = _read(kept, len(dataset))
    if found is None:
        net, found = FaceRes.read(file), []
        for start in range(0, len(dataset), _BATCH):
            pixels, _ = dataset.fetch(np.arange(start, min(start + _BATCH, len(dataset))))
            found += _look(to_tensor(pixels), net)
            if progress is not None:
                progress(len(found), len(dataset))
        with atomic_write(kept) as temporary:
            temporary.write_text(json.dumps(found) + "\n")
    return [_words(age, male, ages) for age, male in found]


@torch.no_grad()
def _look(images: Tensor, net: FaceRes) -> list[tuple[float, float]]:
    """Years and probability of a man, for each."""
    person = net.person(images)
    return list(zip(person.age.tolist(), person.male.tolist(), strict=True))


def _words(age: float, male: float, ages: tuple[float, float]) -> Known:
    return {"age": age_word(age, ages), "sex": "male" if male >= 0.5 else "female"}


def _read(file: Path, count: int) -> list[tuple[float, float]] | None:
    """What was kept; None where nothing is, or nothing that can be used."""
    try:
        found = [(float(age), float(male)) for age, male in read_json(file.read_bytes(), file)]
    except (OSError, UserError, TypeError, ValueError):
        return None
    return found if len(found) == count else None
