"""Which model of a training in stages translates a face: that of its own age and sex."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from organza.core.device import Precision
from organza.core.errors import UserError
from organza.core.messages import logger
from organza.data.photo import Photo
from organza.formats import locate
from organza.models.load import load_translator
from organza.models.people import FACTORS, faceres_of, known
from organza.models.staged import Staged, is_staged, read_staged
from organza.models.translator import Translator
from organza.vision.face_id.faceres import FaceRes

log = logger(__name__)


@dataclass
class ByFace:
    """Called with an image of an aligned face, gives the translator for it.

    Attributes:
        staged: the training.
        net: what knows ages and sexes.
        open: opens the model of a group.
        count: how many images each group has had so far.
    """

    staged: Staged
    net: FaceRes
    open: Callable[[str], Translator]
    count: Counter[str] = field(default_factory=Counter)
    _opened: dict[str, Translator] = field(default_factory=dict)

    def group_of(self, image: Photo) -> str:
        """The group that an image belongs to, whether it has a model of its own or not."""
        (found,) = known(image.tensor(), self.net, self.staged.ages)
        return self.staged.group_of(found)

    def told(self) -> str:
        """How many images each group has had, for people."""
        found = []
        for group, count in sorted(self.count.items()):
            model = self.staged.trained(group)
            found.append(f"{count} {group}" + ("" if model == group else f" (the model of {model})"))
        return ", ".join(found)

    def __call__(self, image: Photo) -> Translator:
        """The translator for an image."""
        group = self.group_of(image)
        self.count[group] += 1
        name = self.staged.trained(group)
        if name not in self._opened:
            self._opened[name] = self.open(name)
        return self._opened[name]


def chooser(
    path: str | Path,
    weights_dir: str | os.PathLike[str] | None = None,
    model: str | None = None,
    *,
    insist: bool = False,
    device: str | None = None,
    precision: Precision = "float32",
) -> ByFace | None:
    """What chooses a model by the face; None where ``path`` is no training in stages, or nothing to choose by is there.

    Args:
        path: of the network.
        weights_dir: folder of weights with ``faces/faceres.onnx``; None looks where the training had it, then in the
            cache.
        model, device, precision: as for `organza.load`.
        insist: refuse what gives None, where a person has asked for it.

    Raises:
        UserError: ``stages.json`` can't be read; with ``insist``, there is nothing to choose, or nothing to choose by.
    """
    here = locate(path)
    if not is_staged(here):
        if insist:
            what = "was not trained in stages, so no face chooses a model"
            raise UserError(what, where=path, hint="leave --weights-dir out")
        return None
    staged = read_staged(here)
    if not staged.factors or not {*staged.factors} <= {*FACTORS}:
        return None
    try:
        file = faceres_of(staged, weights_dir)
    except UserError as error:
        if insist:
            raise
        log.warning(f"no face chooses its model: {error}; --group or --weights-dir chooses one")
        return None

    def open_(group: str) -> Translator:
        return load_translator(staged.run(group), model=model, device=device, precision=precision)

    return ByFace(staged, FaceRes.read(file), open_)
