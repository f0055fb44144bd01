"""Any source -> a prepared dataset on disk, by all cores."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from organza.core.errors import UserError
from organza.core.files import user_path
from organza.core.progress import Progress
from organza.data.cache import parallel
from organza.data.cache.plan import Coloured, Plan, make_plan
from organza.data.cache.prepare import listed
from organza.data.export.encode import Encode, Encoding, Made, Records
from organza.data.export.sinks import FolderSink, Label, RecordSink, ShardSink, Sink, ZipSink, under_construction
from organza.data.opening import open_source
from organza.data.options import parse_resolution
from organza.data.source import Source, dataset_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from organza.data.options import DataOptions
    from organza.data.tables.values import Labels

Form = Literal["zip", "folder", "webdataset", "tfrecords"]


@dataclass(frozen=True)
class Report:
    """What was built.

    Attributes:
        count: images written.
        skipped: (name, reason) of each bad file.
        sizes: (height, width) -> how many images; one entry if all are equal.
        labelled, captioned: whether labels and captions were written.
        about: what each column of labels was taken for.
    """

    count: int
    skipped: list[tuple[str, str]]
    sizes: dict[tuple[int, int], int]
    labelled: bool
    captioned: bool
    about: tuple[str, ...] = ()


def build(
    source: str | Path | Source,
    dest: str | Path,
    options: DataOptions,
    *,
    form: Form | None = None,
    encoding: Encoding = "png",
    quality: int = 95,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Write the images of ``source`` to ``dest``: same input, same bytes, whatever the number of workers.

    Args:
        source: whatever `organza.data.open_dataset` takes.
        dest: appears only when complete.
        options: size, channels, labels ...; without a resolution each image keeps its size.
        form: "zip" and "folder" in NVIDIA's layout, "webdataset" shards, or "tfrecords"; by default a zip if ``dest``
            ends in ``.zip``, else a folder.
        encoding: of the files in it (TFRecords hold plain pixels).
        quality: of JPEG and WebP, 1 to 100.
        workers: processes; all cores by default.
        overwrite: replace what is there.
        progress: called as ``progress(done, total)``.

    Raises:
        UserError: nothing usable, wrong labels, bad files under ``strict``, ``dest`` exists or can't be written.
    """
    dest = user_path(dest)
    size = None if options.resolution is None else parse_resolution(options.resolution)
    opened = source if isinstance(source, Source) else open_source(source, crop=size)
    form = form or ("zip" if dest.suffix.lower() == ".zip" else "folder")
    plan = make_plan(opened, options, keep_size=True)
    with under_construction(dest, folder=form != "zip", overwrite=overwrite) as part:
        try:
            return _write(plan, part, dest, form, encoding, quality, workers, options.strict, progress)
        except Coloured:
            plan = replace(plan, target=plan.target._replace(channels=3), guessed=False)
            return _write(plan, part, dest, form, encoding, quality, workers, options.strict, progress)


def _write(
    plan: Plan,
    part: Path,
    dest: Path,
    form: Form,
    encoding: Encoding,
    quality: int,
    workers: int | None,
    strict: bool,
    progress: Progress | None,
) -> Report:
    job: Callable[[Sequence[tuple[int, object]]], list[Made]]
    if form == "tfrecords":
        job = Records(plan.source, plan.target)  # type: ignore[assignment]
    else:
        job = Encode(plan.source, plan.target, encoding, quality)  # type: ignore[assignment]
    entries = plan.entries
    skipped: list[tuple[str, str]] = []
    sizes: dict[tuple[int, int], int] = {}
    count = 0
    with ExitStack() as stack:
        sink = _sink(form, part, dest)
        sink.label_names = () if plan.labels is None else plan.labels.names
        stack.callback(sink.close)
        for results in parallel.run(job, list(enumerate(entries)), workers=workers):
            for made in results:
                if made.reason is not None:
                    skipped += [(entries[made.slot].name, made.reason)] if made.reason else []
                    continue
                if plan.guessed and not made.grey:
                    raise Coloured
                sink.add(count, made, label_value(plan.labels_of([made.slot])), _caption(plan, made.slot))
                sizes[made.size] = sizes.get(made.size, 0) + 1
                count += 1
            if progress is not None:
                progress(results[-1].slot + 1, len(entries))
    if strict and skipped:
        what = f"{len(skipped)} bad files{listed(skipped)}"
        raise UserError(what, where=plan.source.path, hint="remove them, or leave out --strict to skip them")
    if not count:
        raise UserError("no usable images" + listed(skipped), where=plan.source.path)
    about = () if plan.labels is None else plan.labels.about
    return Report(count, skipped, sizes, plan.labels is not None, plan.captions is not None, about)


def _sink(form: Form, part: Path, dest: Path) -> Sink:
    if form == "zip":
        return ZipSink(part)
    if form == "webdataset":
        return ShardSink(part)
    return RecordSink(part, dataset_name(dest)) if form == "tfrecords" else FolderSink(part)


def label_value(labels: Labels | None) -> Label:
    """The label of the only row, as `dataset.json` has it: a class or a list of numbers."""
    if labels is None:
        return None
    value = labels.values[0]
    return int(value) if labels.values.ndim == 1 else [float(x) for x in value]


def _caption(plan: Plan, slot: int) -> str | None:
    found = plan.captions_of([slot])
    return None if found is None else found[0]
