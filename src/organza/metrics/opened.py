"""Networks and datasets by their paths, opened so that they can be evaluated against each other."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from organza.contract.data import Direction
from organza.core.config import from_plain
from organza.core.errors import UserError
from organza.core.messages import logger
from organza.core.progress import Progress
from organza.data import DataOptions, Dataset, open_dataset
from organza.data.domains import Domains, made_by, open_domains
from organza.data.held_out import split
from organza.data.material import other_part, sequences_of
from organza.data.opening import open_source
from organza.data.options import DomainOptions
from organza.data.sequences import Sequences
from organza.data.source import Source
from organza.data.techniques import TEACHER
from organza.data.videos import open_frames
from organza.models.teacher import taught

if TYPE_CHECKING:
    from organza.models.generator import Generator
    from organza.models.translator import Translator

log = logger(__name__)


def trained_with(G: Generator) -> DataOptions:
    """How the images were read that a network was trained on; for somebody else's network, to its size.

    Example:
        >>> from organza import load
        >>> trained_with(load(tiny_run)).mirror
        False
    """
    if G.source is not None and (G.source / "config.json").is_file():
        plain: dict[str, Any] = json.loads((G.source / "config.json").read_text()).get("data") or {}
        known = {field.name for field in fields(DataOptions)}
        if plain:
            options = from_plain(DataOptions, {k: v for k, v in plain.items() if k in known}, where=G.source)
            return replace(options, strict=False)
    return _sized(DataOptions(labels="auto" if G.label_dim else "none"), G)


def _sized(options: DataOptions, G: Generator) -> DataOptions:
    height, width = G.resolution
    channels: Any = str(G.channels)
    return replace(options, resolution=f"{height}x{width}", channels=channels)


Against = Literal["training", "held-out", "all"]


def open_real(
    path: str | Path,
    G: Generator,
    progress: Progress | None = None,
    *,
    against: Against = "training",
    **changes: Any,
) -> Dataset:
    """Real images for a network, read as those that it was trained on, but for ``changes`` (`DataOptions`).

    Args:
        path: the images.
        G: the network.
        progress: called as ``progress(done, total)`` while images are decoded for the first time.
        against: where images were held out from the training: those that were not, those that were, or both.
        **changes: fields of `DataOptions`.

    Raises:
        UserError: unusable data, or none was held out.

    Example:
        >>> from organza import load
        >>> open_real(faces, load(tiny_run)).resolution
        (16, 16)
    """
    # First word for word as in training, because then the images are in the cache already.
    options = replace(trained_with(G), **_given(changes))
    found = open_dataset(path, options, progress=progress)
    if (found.resolution, found.spec.channels) != (G.resolution, G.channels):
        found = open_dataset(path, _sized(options, G), progress=progress)
    training, held_out = split(found, options)
    if against == "held-out":
        if held_out is None:
            raise UserError("the network was trained without --held-out", where=G.source, hint="leave --against out")
        return held_out
    return training if against == "training" else found


def open_pair(
    pictures: str | Path, data: str | Path | None, progress: Progress | None = None, **changes: Any
) -> tuple[Dataset, Dataset | None]:
    """Two sets of images of the same size: that of the real ones, unless ``changes`` (`DataOptions`) say another.

    Raises:
        UserError: unusable data.

    Example:
        >>> one, other = open_pair(faces, faces)
        >>> one.resolution == other.resolution
        True
    """
    options = replace(DataOptions(), **_given(changes))
    real = None if data is None else open_dataset(data, options, progress=progress)
    if real is not None:
        height, width = real.resolution
        channels: Any = str(real.spec.channels)
        options = replace(options, resolution=f"{height}x{width}", channels=channels, labels="none")
    # A table of labels or a number of images belongs to the real set alone.
    return open_dataset(pictures, replace(options, max_images=None), progress=progress), real


OF_SOURCES = ("fit", "filter", "split", "labels", "label_map", "instances", "pairs", "held_out")
"""Options of a training by which its images are read again."""


def open_source_and_target(
    path: str | Path, T: Translator, progress: Progress | None = None, *, part: str | None = None, **changes: Any
) -> Domains:
    """Source and target for a translator, at its size and in its direction.

    Args:
        path: pairs or two sets.
        T: the translator.
        progress: called as ``progress(done, total)`` while images are decoded for the first time.
        part: train, val, test ...; None takes a part that was not trained on, where there is one.
        **changes: fields of `DomainOptions`.

    Raises:
        UserError: unusable data, or no such part.
    """
    return _opened(path, T, progress, part, changes, open_source)[0]


def open_videos(
    path: str | Path, T: Translator, progress: Progress | None = None, *, part: str | None = None, **changes: Any
) -> Sequences:
    """The same of pairs of videos, by scenes, with the exact motion that may lie beside them.

    Raises:
        UserError: as `open_source_and_target`; or they are no pairs, or no two frames follow each other.
    """
    if changes.get("max_images") is not None:
        raise UserError("--max-images would tear frames out of videos", hint="name fewer in the metric: l1_200")
    domains, source, options, split = _opened(path, T, progress, part, changes, open_frames)
    if not domains.paired:
        raise UserError("its videos are no pairs", where=path, hint="name what belongs together alike in A/ and B/")
    return sequences_of(domains, source, options, 2, split=split, progress=progress, say=log.warning)


def _opened(
    path: str | Path,
    T: Translator,
    progress: Progress | None,
    part: str | None,
    changes: dict[str, Any],
    opening: Callable[[str | Path], Source],
) -> tuple[Domains, Source, DomainOptions, str]:
    """Both sides, where they were read from, how, and which part."""
    height, width = T.resolution
    direction: Direction = "BtoA" if T.name == "BtoA" else "AtoB"
    plain: dict[str, Any] = {}
    if T.source is not None and (T.source / "config.json").is_file():
        plain = json.loads((T.source / "config.json").read_text()).get("data") or {}
    known = {name: plain[name] for name in OF_SOURCES if name in plain}
    options = from_plain(DomainOptions, known, where=str(T.source))
    options = replace(options, resolution=f"{height}x{width}", direction=direction, jitter=1.0, **_given(changes))
    if options.pairs.startswith(TEACHER):
        path = taught(path, options.pairs, device=str(T.device), progress=progress)
    source = opening(path)
    chosen = part or other_part(source, options) or options.split
    sizes = {T.model.channels} if made_by(options) is not None else {T.model.source, T.model.channels}
    channels: Any = str(sizes.pop()) if len(sizes) == 1 else "auto"
    options = replace(options, channels=channels)
    return open_domains(source, options, split=chosen, direction=direction, progress=progress), source, options, chosen


def open_labelled(path: str | Path, T: Translator, progress: Progress | None = None, **changes: Any) -> Dataset:
    """Labelled images for a translator with labels, read as those that it was trained on, but for ``changes``.

    Args:
        path: the images.
        T: the translator.
        progress: called as ``progress(done, total)`` while images are decoded for the first time.
        **changes: fields of `DataOptions`.

    Raises:
        UserError: unusable data, or other labels than the translator's.
    """
    plain: dict[str, Any] = {}
    if T.source is not None and (T.source / "config.json").is_file():
        plain = json.loads((T.source / "config.json").read_text()).get("data") or {}
    names = {field.name for field in fields(DataOptions)}
    known = from_plain(DataOptions, {k: v for k, v in plain.items() if k in names}, where=T.source)
    height, width = T.resolution
    channels: Any = str(T.model.channels)
    options = replace(known, resolution=f"{height}x{width}", channels=channels, strict=False, **_given(changes))
    found = open_dataset(
        path, options if plain else replace(options, labels=changes.get("labels") or "auto"), progress=progress
    )
    if found.spec.label_dim != T.model.label_dim:
        what = f"the network knows {T.model.label_dim} labels, the data has {found.spec.label_dim or 'none'}"
        raise UserError(what, where=path, hint="give the labels that it was trained with: --labels")
    if found.spec.label_names and T.targets and tuple(found.spec.label_names) != T.targets:
        listed = ", ".join(T.targets[:8])
        raise UserError("the data has other labels than the network", where=path, hint=f"it knows {listed}")
    return found


def _given(changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if value is not None}
