"""What a training is shown, opened as one thing: single images, a stream of shards, or both sides of a translation."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from organza.contract.data import Batch, DataSpec, Layout, translates
from organza.core.errors import UserError
from organza.core.progress import Progress
from organza.data.cache.plan import chosen_resolution
from organza.data.dataset import Dataset, open_dataset
from organza.data.domains import (
    HELD_OUT_PART,
    Domains,
    images_of,
    made_by,
    open_domains,
    sides,
    single_images,
)
from organza.data.groups import Chosen
from organza.data.held_out import split
from organza.data.joint import JointLoader, first_images, joint_spec
from organza.data.label_maps import find_palette
from organza.data.labelled import PartLoader, with_labels
from organza.data.loader import DomainLoader, Loader
from organza.data.opening import open_source
from organza.data.options import (
    CaptionedOptions,
    DataOptions,
    DomainOptions,
    LabelledOptions,
    PartlyLabelled,
    VideoOptions,
    parse_resolution,
)
from organza.data.readers.part import PartSource
from organza.data.sequences import SequenceLoader, Sequences, find_sequences
from organza.data.source import Source
from organza.data.stream import ShardLoader, Shards, remote_shards
from organza.data.techniques import Made
from organza.data.texts import Texts, captioned, given_vectors, texts_of
from organza.data.videos import check_pairs, check_sizes, in_sequences, open_frames, own_size, size_of
from organza.media.flow import check_flow
from organza.media.images import to_tensor


@dataclass(frozen=True)
class Material:
    """Data for a training.

    Attributes:
        name, key: short, for the run's folder; and of the content with all options that change it.
        spec: what networks must know.
        target: the images that a generator learns to make; of streamed shards, the first.
        held_out: images set aside by `DataOptions.held_out`, or None.
        domains: source and target of a translation, or None.
        also: a second dataset with labels of its own, which is shown by turns with ``target``, or None.
        labelled: the images whose labels are known, where they may be some of ``target``; or None.
        shards: the stream, or None.
        texts: what is said about each of ``target``, or None.
        sequences: of videos, whose frames are ``domains``; or None.
    """

    name: str
    key: str
    spec: DataSpec
    target: Dataset
    held_out: Dataset | None = None
    domains: Domains | None = None
    also: Dataset | None = None
    labelled: Dataset | None = None
    shards: Shards | None = None
    texts: Texts | None = None
    sequences: Sequences | None = None

    @property
    def about(self) -> str:
        """How many images of which size, in words."""
        height, width = self.spec.resolution
        if self.sequences is not None:
            return f"{height}x{width}, {self.sequences.about}"
        if self.also is not None:
            return f"{len(self.target)} and {len(self.also)} labelled images {height}x{width}"
        if self.labelled is not None:
            return f"{len(self.target)} images {height}x{width}, {len(self.labelled)} of them labelled"
        if self.domains is None:
            first = "" if self.shards is None else " (in the first shard)"
            words = f" with captions of {len(self.texts.words)} words" if self.texts and self.texts.words else ""
            return f"{len(self.target)} images{first} {height}x{width}{words}"
        if self.domains.paired:
            made = self.domains.source
            how = f", sources made by {made.technique.words}" if isinstance(made, Made) else ""
            return f"{len(self.target)} pairs {height}x{width}{how}"
        return f"{len(self.domains.source)} and {len(self.target)} images {height}x{width}"

    def describe(self) -> dict[str, Any]:
        """What a run's ``config.json`` says of it beside the options."""
        found: dict[str, Any] = {"name": self.name, "key": self.key, "images": len(self.target)}
        if self.domains is not None:
            found |= {"source_images": len(self.domains.source), "paired": self.domains.paired}
        if self.also is not None:
            found |= {"also_images": len(self.also)}
        if self.sequences is not None:
            found |= {"sequences": len(self.sequences), "exact_flow": self.sequences.flow is not None}
        if self.texts is not None and self.texts.key:
            found |= {"embeddings_key": self.texts.key}
        if self.labelled is not None:
            found |= {"labelled_key": self.labelled.key, "labelled_images": len(self.labelled)}
        if self.held_out is not None:
            found |= {"held_out_key": self.held_out.key, "held_out_images": len(self.held_out)}
        return found

    def loader(self, **settings: Any) -> Loader | DomainLoader | JointLoader | PartLoader:
        """Batches of it; see `Loader` for the settings."""
        if self.sequences is not None:
            return SequenceLoader(self.sequences, crop=self.spec.resolution, **settings)
        if self.labelled is not None:
            return PartLoader(self.target, self.labelled, **settings)
        if self.also is not None:
            return JointLoader((self.target, self.also), **settings)
        if self.domains is not None:
            return DomainLoader(self.domains, crop=self.spec.resolution, **settings)
        if self.shards is not None:
            return ShardLoader(self.shards, **settings)
        return Loader(self.target, texts=self.texts, **settings)

    def examples(self, count: int) -> Batch:
        """``count`` images (again and again, if there are fewer) with their sources: the middle of each."""
        if self.sequences is not None:
            return self.sequences.examples(count, self.spec.resolution)
        if self.also is not None:
            pixels, vectors = first_images((self.target, self.also), count)
            return Batch(to_tensor(pixels), vectors)
        order = np.resize(np.random.RandomState(0).permutation(len(self.target)), count)
        images, labels = self.target.fetch(order)
        batch = Batch(to_tensor(self._middle(images)), torch.from_numpy(labels))
        if self.texts is not None:
            return replace(batch, text=torch.from_numpy(self.texts.pick(order, np.zeros(count, np.uint64))))
        if self.domains is None:
            return batch
        source = self.domains.source
        if not self.domains.paired:
            order = np.resize(np.random.RandomState(0).permutation(len(source)), count)
        return replace(batch, source=to_tensor(self._middle(source.fetch(order)[0])))

    def _middle(self, images: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, np.dtype[np.uint8]]:
        height, width = self.spec.resolution
        top, left = (images.shape[1] - height) // 2, (images.shape[2] - width) // 2
        return images[:, top : top + height, left : left + width]


def open_material(
    path: str | Path | Chosen,
    options: DataOptions,
    layout: Layout,
    *,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Material:
    """Open the data that a method of ``layout`` is trained on.

    Args:
        path: whatever `open_dataset` or `open_domains` takes; remote shards are streamed. Or some images of two sets.
        options: `DomainOptions` for translations of two sides, `VideoOptions` for videos, `LabelledOptions` or
            `PartlyLabelled` for labelled images, `CaptionedOptions` for captioned ones.
        layout: what the method needs.
        progress: called as ``progress(done, total)`` while images are decoded for the first time.
        say: told what the user should know.

    Raises:
        UserError: the data lies there in another way than the method needs, or can't be used.
    """
    if isinstance(path, Chosen):
        if layout != "unpaired" or not isinstance(options, DomainOptions):
            raise UserError("groups of images are for methods that learn from two sets", where=path.path)
        return _translation(path, options, layout, progress, say)
    addresses = remote_shards(path)
    if layout in ("labelled", "captioned") and addresses:
        raise UserError("shards can't be streamed into this method", where=path, hint="download them")
    if layout == "labelled":
        return _labelled(path, options, progress, say)
    if translates(layout):
        if addresses or not isinstance(options, DomainOptions):
            raise UserError("a translation needs two sides: a folder or an archive with A and B", where=path)
        material = _translation(path, options, layout, progress, say)
        return material if layout != "video" else _in_sequences(material, path, options, progress, say)
    if addresses:
        shards = Shards(addresses, options, progress=progress)
        return Material(shards.first.name, shards.first.key, shards.first.spec, shards.first, shards=shards)
    if isinstance(options, CaptionedOptions) and options.embeddings is not None:
        options = replace(options, captions="none")
    if warning := single_images(open_source(path), options.layout):
        say(f"warning: {warning}")
    whole = open_dataset(path, options, progress=progress)
    _tell_skipped(whole, say)
    dataset, held_out = split(whole, options)
    spec = replace(dataset.spec, count=len(dataset))
    if layout != "captioned":
        return Material(dataset.name, dataset.key, spec, dataset, held_out)
    given, texts = options.embeddings if isinstance(options, CaptionedOptions) else None, None
    if given is not None:
        texts = given_vectors(given, dataset)
    elif dataset.captions is not None:
        whole, dataset = dataset, captioned(dataset)
        if less := len(whole) - len(dataset):
            left = sorted({*whole.names} - {*dataset.names})[0]
            say(f"warning: {less} of {len(whole)} images have no caption and are left out, such as {left}")
        texts, spec = texts_of(dataset), replace(spec, count=len(dataset))
    if texts is not None:
        length = texts.rows.shape[1]
        sizes = {"text_length": length} if texts.words else {"embedding_dim": length}
        spec = replace(spec, words=texts.words, **sizes)
    return Material(dataset.name, dataset.key, spec, dataset, held_out, texts=texts)


HELD_OUT = ("val", "valid", "validation", "test")
"""Parts of a dataset that no training sees, best first."""


def whole_images(path: str | Path | Chosen, options: DomainOptions, layout: Layout, part: str) -> Domains:
    """A part of a translation's dataset with each image as it is, at the training's size.

    Raises:
        UserError: there is no such part, or it can't be used.
    """
    domains = _translation(path, replace(options, split=part, jitter=1.0, mirror=False), layout, None).domains
    assert domains is not None
    return domains


def held_out_images(path: str | Path | Chosen, options: DomainOptions, layout: Layout) -> Domains | None:
    """Images of a translation's dataset that are not trained on; None if it has no other part, or none of a group.

    Raises:
        UserError: they can't be used.
    """
    part = other_part(_opened(path.path if isinstance(path, Chosen) else path, layout), options)
    if part is None:
        return None
    found = whole_images(path, options, layout, part)
    return found if len(found.source) and len(found.target) else None


def videos_to_try(path: str | Path | Chosen, options: DomainOptions, say: Callable[[str], None]) -> Sequences:
    """Videos of a part that is not trained on, where there is one, by scenes; else those of the training.

    Raises:
        UserError: they can't be used.
    """
    whole = _opened(path.path if isinstance(path, Chosen) else path, "video")
    split = other_part(whole, options) or options.split
    domains = whole_images(path, options, "video", split)
    return sequences_of(domains, whole, options, 2, split=split, say=say)


def other_part(whole: Source, options: DomainOptions) -> str | None:
    """The part of a translation's dataset to try a network on that was trained on ``options.split``."""
    if made_by(options) is not None:
        if options.held_out is not None:
            return HELD_OUT_PART
        trained = images_of(whole, options.split)
        for part in HELD_OUT:
            with suppress(UserError):
                if images_of(whole, part).fingerprint() != trained.fingerprint():
                    return part
        return None
    trained_on = sides(whole, options.split)[0].prefix
    for part in HELD_OUT:
        with suppress(UserError):  # there is no such part
            if sides(whole, part)[0].prefix != trained_on:
                return part
    return None


def _opened(path: str | Path, layout: Layout) -> Source:
    return open_frames(path) if layout == "video" else open_source(path)


def _labelled(
    path: str | Path, options: DataOptions, progress: Progress | None, say: Callable[[str], None]
) -> Material:
    """One labelled dataset, or two."""
    if options.held_out is not None:
        raise UserError("--held-out is for generators", hint="leave it out")
    first = _with_labels(path, options, "--labels", progress, say)
    name, spec = first.name, replace(first.spec, source=first.spec.channels, count=len(first))
    if isinstance(options, PartlyLabelled):
        known = with_labels(first, options.labelled)
        return Material(name, f"{first.key}-{known.key}", spec, first, labelled=known)
    if not isinstance(options, LabelledOptions) or options.also is None:
        return Material(name, first.key, spec, first)
    height, width = first.resolution
    same: dict[str, Any] = {"resolution": f"{height}x{width}", "channels": str(spec.channels)}
    wish = replace(options, labels=options.also_labels, **same)
    second = _with_labels(options.also, wish, "--also-labels", progress, say)
    spec = replace(joint_spec((first, second)), source=spec.channels)
    return Material(f"{name}+{second.name}", f"{first.key}-{second.key}", spec, first, also=second)


def _with_labels(
    path: str | Path, options: DataOptions, option: str, progress: Progress | None, say: Callable[[str], None]
) -> Dataset:
    if options.labels == "none":
        what = "this method learns what labels mean, and there are none"
        raise UserError(what, where=path, hint=f"say {option} folders, or a table: {option} FILE:COLUMN,COLUMN")
    dataset = open_dataset(path, options, progress=progress)
    _tell_skipped(dataset, say)
    if not dataset.spec.label_dim:
        raise UserError("its images have no labels", where=path, hint=f"say {option} folders, or a table")
    for start in range(0, len(dataset), 65536):
        rows = dataset.labels(np.arange(start, min(start + 65536, len(dataset))))
        if odd := np.flatnonzero(((rows < 0) | (rows > 1)).any(0)).tolist():
            names = dataset.spec.label_names
            column = names[odd[0]] if odd[0] < len(names) else odd[0]
            what = f"the label {column} is not between 0 and 1: this method takes attributes and classes"
            raise UserError(what, where=path, hint=f"choose columns: {option} FILE:COLUMN,COLUMN")
    return dataset


def _translation(
    path: str | Path | Chosen,
    options: DomainOptions,
    layout: Layout,
    progress: Progress | None,
    say: Callable[[str], None] = lambda text: None,
) -> Material:
    chosen, path = (path, path.path) if isinstance(path, Chosen) else (None, path)
    how = made_by(options)
    if options.layout == "images" and how is None:
        needs = {"pairs": "pairs", "video": "pairs of frames"}.get(layout, "two sets")
        raise UserError(f"--layout images, but this method translates: it needs {needs}", where=path)
    if options.held_out is not None and how is None:
        raise UserError("--held-out sets single images aside", hint="give a dataset with val/ or test/ beside train/")
    whole = _opened(path, layout)
    if layout == "video":
        _check_frames(whole, options)
    if options.resolution is not None:
        size = parse_resolution(options.resolution)
    else:
        first = sides(whole, options.split)[0] if how is None else images_of(whole, options.split)
        size = own_size(first) if layout == "video" else chosen_resolution(first, options)
    height, width = options.load_size(size)
    domains = open_domains(
        whole,
        replace(options, resolution=f"{height}x{width}"),
        split=options.split,
        direction=options.direction,
        layout="unpaired" if layout == "unpaired" else "pairs",
        progress=progress,
    )
    for side in (domains.source, domains.target) if how is None else (domains.target,):
        _tell_skipped(side, say)
    if chosen is not None:
        domains = chosen.of(domains)
    source, target = domains.source, domains.target
    palette: dict[str, Any] = {}
    if options.label_map != "none":
        colours, exact = find_palette(source, options.label_map, instances=options.instances is not None)
        palette = {"palette": colours, "palette_exact": exact}
    elif options.instances is not None:
        raise UserError("--instances are of label maps", hint="say --label-map auto as well")
    spec = replace(
        target.spec,
        **palette,
        resolution=size,
        source=source.spec.channels,
        count=max(len(source), len(target)),
        direction=options.direction,
    )
    name = whole.name + ("" if options.split == "train" else f"-{options.split}")
    name += f"-{chosen.name}" if chosen is not None else ""
    return Material(name, f"{source.key}-{target.key}", spec, target, domains=domains)


def _check_frames(whole: Source, options: DomainOptions) -> None:
    """See that videos can be shown frame by frame, before they are decoded.

    Raises:
        UserError: partners of different lengths or sizes, frames of different sizes, or only some of them.
    """
    for name in ("max_images", "held_out"):
        if getattr(options, name) is not None:
            what = f"--{name.replace('_', '-')} would tear frames out of videos"
            raise UserError(what, where=whole.path, hint="give fewer videos")
    if made_by(options) is None:
        a, b, halves = sides(whole, options.split)
        if not halves:
            check_pairs(a, b, (a.prefix, b.prefix))
        parts: tuple[Source, ...] = (a,) if halves else (a, b)
    else:
        parts = (images_of(whole, options.split),)
    for part in parts:
        if whole.kind != "video":
            check_sizes(part, in_sequences([entry.name for entry in part.entries()]))


def _in_sequences(
    material: Material,
    path: str | Path,
    options: DomainOptions,
    progress: Progress | None,
    say: Callable[[str], None],
) -> Material:
    """The same with its frames in sequences, and the exact motion that may lie beside them."""
    assert material.domains is not None
    whole = _opened(path, "video")
    length = options.frames if isinstance(options, VideoOptions) else VideoOptions.frames
    found = sequences_of(material.domains, whole, options, length, progress=progress, say=say)
    if found.flow is None:
        check_flow()
    return replace(
        material,
        spec=replace(material.spec, frames=found.length, count=len(found)),
        key=material.key if found.flow is None else f"{material.key}-{found.flow.key}",
        sequences=found,
    )


def sequences_of(
    domains: Domains,
    whole: Source,
    options: DomainOptions,
    length: int,
    *,
    split: str | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Sequences:
    """Frames in the order of their time, in scenes of ``length`` frames at least; with the exact motion that may lie
    beside them.

    Args:
        domains: sources and targets that were read from ``whole``, by ``options``.
        split: the part that they are; None: that of ``options``.
        progress, say: as for `find_sequences`.

    Raises:
        UserError: no two frames follow each other.
    """
    split = split or options.split
    prefix = ""
    part: Source = images_of(whole, split) if made_by(options) is not None else whole
    if made_by(options) is None:
        a, b, _ = sides(whole, split)
        part = b if options.direction == "AtoB" else a
        prefix = part.prefix
    names = [entry.name for entry in part.entries()]
    places = {names[row]: place for rows in in_sequences(names, prefix).values() for place, row in enumerate(rows)}
    found = find_sequences(domains, length, places, prefix, progress=progress, say=say)
    return _with_motion(found, whole, prefix, options, progress)


def _with_motion(
    found: Sequences, whole: Source, prefix: str, options: DomainOptions, progress: Progress | None
) -> Sequences:
    """Motion from the folder ``flow/`` beside B/, where frames are read at the size at which it was stored."""
    folder = f"{prefix[:-2]}flow/" if prefix.endswith(("A/", "B/")) else None
    inside = [e for e in whole.entries() if folder is not None and e.name.startswith(folder)]
    height, width = found.domains.target.resolution
    if not inside or folder is None:
        return found
    part = PartSource(whole, whole.path, folder)
    if size_of(part, inside[0]) != (height, width):
        return found
    exact = replace(DataOptions(), resolution=f"{height}x{width}", channels="3", filter="nearest")
    flow = open_dataset(part, exact, progress=progress)
    known = {name.removeprefix(folder).rpartition(".")[0]: row for row, name in enumerate(flow.names)}
    rows = np.array(
        [known.get(name.removeprefix(prefix).rpartition(".")[0], -1) for name in found.domains.target.names], np.int64
    )
    behind = np.concatenate([run[1:] for run in found.runs])
    return found if (rows[behind] < 0).any() else replace(found, flow=flow, flow_rows=rows)


def _tell_skipped(dataset: Dataset, say: Callable[[str], None]) -> None:
    for image, reason in dataset.skipped[:20]:
        say(f"skipped {image}: {reason}")
    if len(dataset.skipped) > 20:
        say(f"skipped {len(dataset.skipped) - 20} more; `organza dataset info` lists them")
