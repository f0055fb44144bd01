"""After the training of a translator: find out with which statistics it is used best, and store that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from organza.core.errors import UserError
from organza.data.domains import Domains
from organza.data.material import held_out_images, videos_to_try, whole_images
from organza.data.options import DomainOptions
from organza.data.sequences import Sequences
from organza.models.load import load_translator
from organza.models.norm_mode import calibrate, measure, store
from organza.nn.norms import depends_on_mode
from organza.runs.plan import Plan


def settle_norm_mode(folder: Path, plan: Plan, say: Callable[[str], None]) -> None:
    """Compare all modes of the newest checkpoint on images that were not trained on, and store the best in it.

    Does nothing where all modes are one. A training is worth more than this figure: what goes wrong is said, no more.
    """
    place, method = str(plan.device), plan.run.method
    try:
        first = load_translator(folder, device=place)
        others = {name: load_translator(folder, model=name, device=place) for name in first.names[1:]}
        models = {first.name: first, **others}
        if first.source is None or not any(depends_on_mode(T.net) for T in models.values()):
            return
        options = _options(plan)
        training = whole_images(plan.data, options, method.layout, options.split)
        ready = calibrate(models, training, min(plan.run.training.batch or 1, 16))
        found = measure(ready, *tried_on(plan))
        if found is not None:
            store(first.source, ready, found)
            say(str(found))
    except UserError as error:
        say(f"warning: it was not measured how normalisation is used best ({error})")


def tried_on(plan: Plan) -> tuple[Domains, str]:
    """Images to try a translator on, and whose they are: held out from training, where the dataset has such a part.

    Raises:
        UserError: they can't be used.
    """
    options, layout = _options(plan), plan.run.method.layout
    held_out = held_out_images(plan.data, options, layout)
    if held_out is not None:
        return held_out, "held-out"
    return whole_images(plan.data, options, layout, options.split), "training"


def videos_tried_on(plan: Plan, say: Callable[[str], None]) -> Sequences:
    """The same of videos, whose frames are translated in the order of their time.

    Raises:
        UserError: they can't be used.
    """
    return videos_to_try(plan.data, _options(plan), say)


def _options(plan: Plan) -> DomainOptions:
    assert isinstance(plan.run.data, DomainOptions)
    height, width = plan.material.spec.resolution
    return replace(plan.run.data, resolution=f"{height}x{width}")
