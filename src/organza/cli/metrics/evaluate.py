"""organza evaluate: how good are the images?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from organza.cli.parse import parse
from organza.core.errors import UserError
from organza.core.ranges import Count, Range
from organza.core.text import say

if TYPE_CHECKING:
    from organza.data.dataset import Dataset
    from organza.data.domains import Domains
    from organza.data.sequences import Sequences
    from organza.metrics.report import Figure, Report
    from organza.models.translator import Translator
    from organza.runs.stages_figures import Row


@dataclass(frozen=True, kw_only=True)
class Options:
    """Evaluate a network, or a set of images, against real images; under torchrun all processes share the work."""

    network: Annotated[Path | None, tyro.conf.arg(metavar="RUN")] = None
    """Folder of a run, a checkpoint, or a file of somebody else's."""
    pictures: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    """Evaluate these images instead of a network's: anything that --data takes."""
    data: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    """The real images: a folder, a zip ... They are read as for the network's training. For a translator: pairs or two
    sets."""
    split: Annotated[str | None, tyro.conf.arg(metavar="PART")] = None
    """Part of the data that a translator is tried on: train, val, test. Unless said: one it was not trained on."""
    model: Annotated[str | None, tyro.conf.arg(metavar="AtoB|BtoA")] = None
    """Which way, where the network translates both ways."""
    group: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Of a training in stages: one group's model, on all images. Unless said: each group's, on the images of its
    group."""
    reference: Annotated[Path | None, tyro.conf.arg(metavar="FILE.npz")] = None
    """FID statistics instead of real images: mu and sigma, as pytorch-fid, clean-fid and TTUR write them."""
    metrics: str | None = None
    """Names with commas between them, such as fid50k_full,pr50k3_full. Unless said: fd2k_full; of fewer than 2000
    --pictures, all."""
    list: bool = False
    """Explain the names of metrics and stop."""
    features: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Feature network for names that state none: voile64, inception, lenet, or a TorchScript or ONNX file."""
    distance: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Perceptual distance for ppl and lpips."""
    face_id: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Network that compares faces, for face_id: model_mobilefacenet.pth or faceres.onnx. Unless said: that of the
    training."""
    weights_dir: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Instead of --face-id: folder of helper networks, where it lies in faces/."""
    seed: Annotated[int, Range(least=0, most=4293)] = 0
    """Which images: those of seeds 1000000 * seed and on."""
    trunc: float = 1.0
    """Truncation psi of the network."""
    noise: Literal["const", "random", "none"] = "random"
    """Fine detail of the network's images: fresh for each batch as in papers, stored, or none."""
    mirror: bool | None = None
    """Count real images mirrored as well. Unless said: as the network was trained."""
    against: Literal["training", "held-out", "all"] = "training"
    """Where training held images out: compare with those that it was shown, those that it was not, or all."""
    resolution: Annotated[str | None, tyro.conf.arg(metavar="SIZE")] = None
    """Compare --pictures at this size; otherwise at the real images' own. A network's images keep theirs."""
    labels: Annotated[str | None, tyro.conf.arg(metavar="KIND")] = None
    """Labels of the real images, as for training."""
    max_images: Annotated[Count | None, tyro.conf.arg(metavar="N")] = None
    """Use at most this many real images."""
    batch: Count = 32
    """Images at a time."""
    intervals: bool = True
    """Find confidence intervals."""
    precision: Literal["auto", "float32", "bf16"] = "float32"
    """Activations of the network."""
    device: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """cpu, cuda, cuda:1 ...; the GPU where there is one."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write everything found to this file."""
    outdir: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Or to a file in this folder, named after what was evaluated."""


def main(argv: list[str]) -> int:
    """Parse, open, compute, and print a table."""
    options = parse(Options, argv, "organza evaluate", pairs=True)
    if options.list:
        return _list()
    if (options.network is None) == (options.pictures is None):
        raise UserError("what should be evaluated?", hint="give either --network or --pictures")
    if options.network is not None and options.resolution is not None:
        raise UserError("a network's images are evaluated at their own size", hint="leave --resolution out")
    # After parsing: PyTorch takes seconds to import.
    from organza.core import distributed
    from organza.metrics.names import parse_metrics

    if options.metrics is not None:
        parse_metrics(options.metrics)  # before any work
    if options.network is not None and options.group is None and _is_staged(options.network):
        return _groups(options)
    distributed.start()
    try:
        report = _evaluate(options)
    finally:
        main_process = distributed.rank() == 0
        distributed.stop()
    if main_process:
        show(report)
        for path in _outputs(options):
            say(report.write(path))
    return 0


def _is_staged(network: Path) -> bool:
    from organza.formats import locate
    from organza.models.staged import is_staged

    return is_staged(locate(network))


def _groups(options: Options) -> int:
    """Each group of a training in stages."""
    from organza.formats import locate
    from organza.runs.stages_figures import evaluate_groups, write

    if options.data is None or options.network is None:
        raise UserError("this network is tried on two sets", hint="give them with --data")
    names = ("features", "distance", "seed", "batch", "intervals", "model", "device", "precision", "weights_dir")
    chosen: dict[str, Any] = {name: getattr(options, name) for name in names}
    chosen["face_id"] = options.face_id or options.weights_dir
    with bars() as progress:
        rows = evaluate_groups(
            locate(options.network), options.data, options.metrics, part=options.split, progress=progress, **chosen
        )
    show_groups(rows)
    for path in _outputs(options):
        say(write(rows, path))
    return 0


def show_groups(rows: Sequence[Row]) -> None:
    """Print a line for each group."""
    from rich.markup import escape
    from rich.table import Table

    from organza.cli.console import terminal
    from organza.runs.stages_figures import table

    heads, lines = table(rows)
    shown = Table(*heads, box=None)
    for line in lines:
        shown.add_row(*map(escape, line))
    terminal(width=160).print(shown)
    for row in rows:
        if row.note:
            say(f"warning: {row.group}: {row.note}", error=True)


def _evaluate(options: Options) -> Report:
    from organza.core import distributed
    from organza.metrics import evaluate
    from organza.metrics.opened import open_pair, open_real, trained_with
    from organza.models.load import load, load_translator
    from organza.models.translator import Translator

    changes: dict[str, Any] = {name: getattr(options, name) for name in ("resolution", "labels", "max_images")}
    which: dict[str, Any] = {name: getattr(options, name) for name in ("model", "device", "precision")}
    generated: Any
    with bars() as progress:

        def reading(done: int, total: int) -> None:
            progress("reading images", done, total)

        def opened() -> tuple[Any, Any, bool]:
            if options.network is None:
                assert options.pictures is not None
                return *open_pair(options.pictures, options.data, reading, **changes), bool(options.mirror)
            G = load(options.network, group=options.group, **which)
            if isinstance(G, Translator):
                return G, _tried_on(options, G, reading), False
            real = (
                None
                if options.data is None
                else open_real(options.data, G, reading, against=options.against, **changes)
            )
            return G, real, trained_with(G).mirror if options.mirror is None else options.mirror

        if distributed.rank() == 0:
            opened()  # decodes into the cache, which the others then find
        distributed.barrier()
        generated, real, mirror = opened()
        back = None
        if isinstance(generated, Translator) and len(generated.names) == 2 and options.network is not None:
            other = next(name for name in generated.names if name != generated.name)
            back = load_translator(options.network, group=options.group, **{**which, "model": other})
        return evaluate(
            generated,
            real,
            options.metrics or _usual(generated, real),
            back=back,
            features=options.features,
            distance=options.distance,
            reference=options.reference,
            face_id=options.face_id or options.weights_dir,
            seed=options.seed,
            psi=options.trunc,
            noise=options.noise,
            mirror=mirror,
            batch=options.batch,
            intervals=options.intervals,
            progress=progress if distributed.rank() == 0 else None,
        )


def _tried_on(options: Options, T: Translator, reading: Callable[[int, int], None]) -> Domains | Dataset | Sequences:
    """Source and target for a translator, of videos in the order of their time, or labelled images."""
    from organza.metrics.names import parse_metrics
    from organza.runs.videos import tried_on

    if options.data is None:
        what = "labelled images" if T.model.label_dim else "pairs or two sets"
        raise UserError(f"this translator is tried on {what}", hint="give them with --data")
    changes = {name: getattr(options, name) for name in ("labels", "max_images")}
    return tried_on(options.data, T, parse_metrics(options.metrics or "l1"), reading, part=options.split, **changes)


def _usual(generated: Any, real: Any) -> str:
    """The metrics of what is evaluated, unless named."""
    from organza.data.domains import Domains
    from organza.data.sequences import Sequences

    if isinstance(real, Sequences):
        return "l1,psnr,ssim" + ("" if real.flow is None else ",flicker")
    if hasattr(generated, "targets") and generated.targets:
        return f"asked{min(200, len(real) // 2)}"
    if not isinstance(real, Domains):
        count = 2000 if not hasattr(generated, "__len__") else min(2000, len(generated))
        classified = "accuracy10k," if getattr(generated, "classifier", None) is not None else ""
        return f"{classified}fd{count}_full"
    return "l1,psnr,ssim" if real.paired else f"kd{min(2000, len(real.source))}_full,content"


def _outputs(options: Options) -> list[Path]:
    judged = options.network or options.pictures
    assert judged is not None
    named = [] if options.outdir is None else [options.outdir / f"evaluate-{judged.resolve().name}.json"]
    return ([] if options.json is None else [options.json]) + named


def _list() -> int:
    from rich.table import Table

    from organza.cli.console import terminal
    from organza.metrics.names import EXAMPLES

    table = Table("name", "", box=None)
    for name, meaning in EXAMPLES.items():
        table.add_row(name, meaning)
    terminal().print(table)
    say("Any count goes: fid5k, fid1000. _full: against every real image. docs/metrics.md says more.")
    return 0


def show(report: Report) -> None:
    """Print a report as a table, and its warnings on standard error."""
    from rich.markup import escape
    from rich.table import Table

    from organza.cli.console import terminal

    table = Table("metric", "value", "95% interval", "better", "images", box=None)
    for name, figure in report.figures.items():
        against = f" against {figure.real}" if figure.real else ""
        interval = "" if figure.interval is None else " to ".join(number(value) for value in figure.interval)
        table.add_row(escape(name), number(figure.value), interval, figure.better, f"{figure.generated}{against}")
    terminal(width=120).print(table)
    if report.real is not None and "reference" in report.real:
        say(f"real: the statistics in {report.real['reference']}")
    elif report.real is not None:
        of, part = report.real, {"training": ", those trained on", "held-out": ", those held out"}
        mirrored = ", each mirrored as well" if report.settings.get("mirror") else ""
        size = "x".join(map(str, of["resolution"]))
        say(f"real: {of['pictures']} images of {of['data']}{part.get(of['part'], '')}, {size}{mirrored}")
    for name, network in report.networks.items():
        say(f"{name}: images resized by {network['resize']}; weights and preparation {network['digest'][:12]}")
    for note in report.notes:
        say(f"warning: {note}", error=True)


def number(value: float) -> str:
    """A figure with about four digits.

    Example:
        >>> number(123.456), number(0.0012345), number(0.0)
        ('123.5', '0.001234', '0')
    """
    return f"{value:.4g}"


class bars:
    """A progress bar for each part of an evaluation, one after the other."""

    def __enter__(self) -> Callable[[str, int, int], None]:
        from contextlib import ExitStack

        self._stack, self._what = ExitStack(), ""
        self._bar: Callable[[int, int], None] | None = None
        return self._show

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _show(self, what: str, done: int, total: int) -> None:
        from organza.cli.progress import progress_bar

        if what != self._what:
            self._stack.close()
            self._what, self._bar = what, self._stack.enter_context(progress_bar(what, "images"))
        assert self._bar is not None
        self._bar(done, total)
        if done >= total:
            self._stack.close()
            self._what = ""


def figure_text(figure: Figure) -> str:
    """A figure with its interval, on one line.

    Example:
        >>> from organza.metrics.report import Figure
        >>> figure_text(Figure(12.5, (11.0, 14.0)))
        '12.5 (11 to 14)'
    """
    interval = "" if figure.interval is None else f" ({' to '.join(number(value) for value in figure.interval)})"
    return number(figure.value) + interval
